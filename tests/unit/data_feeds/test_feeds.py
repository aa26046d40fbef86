from __future__ import annotations

from datetime import datetime
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from data_feeds.feeds import ArrayFeed, PanelFeed, panel_feeds
from engine.errors import InputError
from engine.panel import FIELDS, MarketPanel

LINES = (*FIELDS, "openinterest")
MODES = [
    {"runonce": True, "preload": True},
    {"runonce": False, "preload": True},
    {"runonce": False, "preload": False},
    {"exactbars": -1},
    {"lookahead": 2},
]


def make_panel(n_sessions: int = 40, n_symbols: int = 4, seed: int = 7) -> MarketPanel:
    """Random bars on weekdays: the first symbol is complete, the others start late and have missing bars."""
    rng = np.random.default_rng(seed)
    shape = (n_sessions, n_symbols)
    close = np.exp(rng.normal(3, 0.3, shape))
    open_ = close * rng.uniform(0.95, 1.05, shape)
    high, low = np.maximum(open_, close) * 1.01, np.minimum(open_, close) * 0.99
    volume = rng.integers(0, 10**9, shape).astype("float64")
    missing = rng.random(shape) < 0.2
    for column in range(n_symbols):
        missing[: 3 * column, column] = True
    missing[:, 0] = False
    volume[rng.random(shape) < 0.1] = np.nan
    bars = [np.where(missing, np.nan, values) for values in (open_, high, low, close, volume)]
    days = np.busday_offset(np.datetime64("2023-12-20"), np.arange(n_sessions), roll="forward")
    return MarketPanel(days, tuple("ABCD"[:n_symbols]), *bars)


class Recorder(bt.Strategy):
    """Writes down every bar when it arrives, and a moving average of the first feed."""

    params = (("with_average", False),)

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.lengths = [0] * len(self.datas)
        self.average = bt.indicators.SMA(self.data0.close, period=3) if self.p.with_average else None

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        for number, data in enumerate(self.datas):
            if len(data) == self.lengths[number]:
                continue
            self.lengths[number] = len(data)
            values = tuple(getattr(data, line)[0] for line in LINES)
            average = (self.average[0],) if self.average is not None and number == 0 else ()
            self.seen.append((data._name, data.datetime.datetime(0), *values, *average))


def run(feeds: list[Any], with_average: bool = False, **mode: Any) -> list[tuple[Any, ...]]:
    cerebro = bt.Cerebro(stdstats=False, **mode)
    for feed in feeds:
        cerebro.adddata(feed)
    cerebro.addstrategy(Recorder, with_average=with_average)
    return list(cerebro.run()[0].seen)


def expected_bars(panel: MarketPanel) -> list[tuple[Any, ...]]:
    bars = []
    for t, session in enumerate(panel.sessions):
        for column in np.flatnonzero(panel.has_bar[t]):
            prices = [getattr(panel, name)[t, column] for name in FIELDS[:4]]
            volume = np.nan_to_num(panel.volume[t, column])
            moment = datetime.combine(session.item(), datetime.min.time())
            bars.append((panel.symbols[column], moment, *prices, volume, np.nan))
    return bars


def pandas_feeds(panel: MarketPanel) -> list[Any]:
    feeds = []
    for column, name in enumerate(panel.symbols):
        has_bar = panel.has_bar[:, column]
        bars = {field: getattr(panel, field)[has_bar, column] for field in FIELDS}
        index = pd.DatetimeIndex(panel.sessions[has_bar].astype("datetime64[ns]"))
        frame = pd.DataFrame(bars, index=index).fillna({"volume": 0.0})
        feeds.append(bt.feeds.PandasData(dataname=frame, name=name))
    return feeds


def assert_same(left: list[tuple[Any, ...]], right: list[tuple[Any, ...]]) -> None:
    assert [bar[:2] for bar in left] == [bar[:2] for bar in right]
    np.testing.assert_array_equal(*(np.array([bar[2:8] for bar in bars]) for bars in (left, right)))


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_strategy_sees_exactly_the_bars_of_the_panel_and_no_others(mode: dict[str, Any]) -> None:
    panel = make_panel()
    assert_same(run(panel_feeds(panel), **mode), expected_bars(panel))


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_array_feeds_and_pandas_feeds_cannot_be_told_apart(mode: dict[str, Any]) -> None:
    panel = make_panel(seed=11)
    ours = run(panel_feeds(panel), with_average=True, **mode)
    theirs = run(pandas_feeds(panel), with_average=True, **mode)
    np.testing.assert_equal(ours, theirs)


@pytest.mark.parametrize("runonce", [True, False])
def test_feeds_can_be_run_a_second_time(runonce: bool) -> None:
    panel = make_panel()
    feeds = panel_feeds(panel)
    first = run(feeds, runonce=runonce)
    assert_same(run(feeds, runonce=runonce), first)


@pytest.mark.parametrize("runonce", [True, False])
def test_the_dates_of_a_feed_can_be_narrowed_as_in_any_backtrader_feed(runonce: bool) -> None:
    panel = make_panel(n_symbols=1)
    first, last = panel.sessions[5], panel.sessions[9]
    feed = ArrayFeed(panel=panel, column=0, name="A", fromdate=first.item(), todate=last.item())
    assert_same(run([feed], runonce=runonce), expected_bars(panel.rows(5, 10)))


def test_weekly_bars_are_built_as_from_a_pandas_feed() -> None:
    panel = make_panel(n_symbols=1)
    results = []
    for (feed,) in (panel_feeds(panel), pandas_feeds(panel)):
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.resampledata(feed, timeframe=bt.TimeFrame.Weeks)
        cerebro.addstrategy(Recorder)
        results.append(cerebro.run()[0].seen)
    assert 5 < len(results[0]) < 12
    np.testing.assert_equal(*results)


def test_a_single_feed_runs_with_the_least_memory_that_backtrader_knows() -> None:
    # With several feeds that miss bars, exactbars=1 fails inside backtrader, PandasData included.
    panel = make_panel(n_symbols=1)
    assert_same(run(panel_feeds(panel), exactbars=1), expected_bars(panel))


def test_feeds_are_named_after_their_symbols_in_the_order_of_the_panel() -> None:
    assert [feed._name for feed in panel_feeds(make_panel())] == ["A", "B", "C", "D"]


def test_a_symbol_without_any_bar_is_refused() -> None:
    panel = make_panel().rows(0, 9)  # D starts in row 9
    with pytest.raises(InputError, match="no bars for D"):
        panel_feeds(panel)


class ClockReader(bt.Strategy):
    """Writes down the row, the date and the lines of a panel feed."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def next(self) -> None:
        lines = [getattr(self.data, line)[0] for line in LINES]
        self.seen.append((self.data.row, self.data.datetime.date(0), all(np.isnan(lines)), len(self.data)))


def run_clock(feed: PanelFeed, **mode: Any) -> list[tuple[Any, ...]]:
    cerebro = bt.Cerebro(stdstats=False, **mode)
    cerebro.adddata(feed)
    cerebro.addstrategy(ClockReader)
    return list(cerebro.run()[0].seen)


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize(("first", "last", "expected"), [(0, None, (0, 39)), (5, 8, (5, 8)), (39, 39, (39, 39))])
def test_the_clock_gives_one_bar_a_session_and_its_row_in_the_panel(
    mode: dict[str, Any], first: int, last: int | None, expected: tuple[int, int]
) -> None:
    panel = make_panel()
    feed = PanelFeed(panel=panel, first=first, last=last)
    rows = range(expected[0], expected[1] + 1)
    wanted = [(row, panel.sessions[row].item(), True, n) for n, row in enumerate(rows, start=1)]
    assert run_clock(feed, **mode) == wanted
    assert feed.panel is panel


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (4, 3), (0, 40)])
def test_rows_outside_the_panel_are_refused(first: int, last: int) -> None:
    with pytest.raises(InputError, match=f"0 <= first <= last < 40, were first {first} and last {last}"):
        PanelFeed(panel=make_panel(), first=first, last=last)


def test_the_clock_runs_on_sessions_on_which_some_or_all_other_symbols_have_no_bar() -> None:
    panel = make_panel()
    assert panel.missing.any()
    assert [row for row, *_ in run_clock(PanelFeed(panel=panel))] == list(range(len(panel)))
