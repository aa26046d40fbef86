"""When orders execute on our broker, in which sessions, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import backtrader as bt
import numpy as np
import pytest
from ordinary import (
    BUY_100,
    FLAT,
    FREE,
    Script,
    Scripted,
    costing,
    fills,
    play,
    run_ours,
    run_theirs,
    with_actions,
)
from panels import market, panel_of

from brokers.orders import OrderBroker
from data_feeds.feeds import clock_feed, panel_feeds
from engine.cerebro import run_cerebro, starting
from engine.errors import ConfigError, InputError
from engine.ledger import FillTiming
from engine.limits import Limits
from engine.orders import OrderAccount


@pytest.mark.parametrize(
    ("timing", "row", "price"),
    [(FillTiming.NEXT_OPEN, 1, 11), (FillTiming.NEXT_CLOSE, 1, 12), (FillTiming.SAME_CLOSE, 0, 10)],
)
def test_market_orders_execute_when_the_terms_say(timing: FillTiming, row: int, price: float) -> None:
    ours = play(market("A", "9/10", "11/12", "13"), BUY_100, replace(FREE, timing=timing))
    assert fills(ours) == [(row, 100, price, 0)]
    assert ours.result.cash[0] == 10_000
    assert ours.result.cash[1] == 10_000 - 100 * price
    assert ours.result.traded.tolist() == [0, 100 * price, 0]


def test_a_same_close_order_is_filled_before_the_split_and_the_dividend_of_the_next_day() -> None:
    panel = with_actions(market("A", "30", "10", "10"), split={1: 3.0}, dividend={1: 1.0})
    ours = play(panel, BUY_100, replace(FREE, timing=FillTiming.SAME_CLOSE))
    assert fills(ours) == [(0, 100, 30, 0)]
    assert ours.result.cash.tolist() == [10_000, 7_300, 7_300]
    assert ours.result.final_quantity.tolist() == [300]


def test_what_is_left_of_a_same_close_order_waits_for_the_next_open() -> None:
    terms = replace(costing(participation_cap=0.1), timing=FillTiming.SAME_CLOSE)
    panel = market("A", "9/10", "11/12", "13/14", "15")
    assert fills(play(panel, {0: lambda s: s.buy(size=150)}, terms)) == [(0, 100, 10, 0), (1, 50, 11, 0)]


def test_a_same_close_order_for_a_symbol_without_a_bar_that_day_waits_for_its_next_open() -> None:
    panel = market("A B", "10 10", "10 -", "10 11/12", "10 13")
    ours = play(panel, {1: lambda s: s.buy(data="B", size=10)}, replace(FREE, timing=FillTiming.SAME_CLOSE))
    assert fills(ours) == [(2, 10, 11, 0)]


def test_a_child_that_is_activated_later_does_not_fill_at_the_close_its_parent_was_placed_at() -> None:
    def bracket(strategy: bt.Strategy) -> None:
        parent = strategy.buy(size=10, exectype=bt.Order.Limit, price=9.0, transmit=False)
        strategy.sell(size=10, parent=parent)

    panel = market("A", "10", "10", "9", "8", "7")
    ours = play(panel, {0: bracket}, replace(FREE, timing=FillTiming.SAME_CLOSE))
    assert fills(ours) == [(2, 10, 9, 0), (3, -10, 8, 0)]


def test_a_symbol_that_pauses_is_not_matched_against_its_last_bar() -> None:
    panel = market("A B", "10 10/8", "10 -", "10 10/10", "10 7")
    script: Script = {0: lambda s: s.buy(data="B", size=10, exectype=bt.Order.Limit, price=8.0)}
    assert fills(play(panel, script)) == [(3, 10, 7, 0)]
    # backtrader's own broker looks at the bar that the order was placed on, in the session without one.
    theirs = run_theirs(Scripted, panel, FREE, script=script)
    assert ("Completed", 1) in [(status, row) for row, status, _ in theirs.told]


def test_orders_for_a_symbol_that_has_not_begun_are_rejected() -> None:
    panel = market("A B", "10 -", "10 -", "10 20", "10 20")
    limit = {"data": "B", "size": 1, "exectype": bt.Order.Limit, "price": 50.0}
    script: Script = {0: lambda s: (s.buy(data="B", size=1), s.buy(**limit)), 2: lambda s: s.buy(data="B", size=1)}
    ours = play(panel, script)
    assert fills(ours) == [(3, 1, 20, 0)]
    assert ours.strategy.told[:2] == [(1, "Rejected", 0), (1, "Rejected", 0)]
    assert len(ours.account.placed) == 1


def test_a_symbol_that_has_not_begun_shows_nothing_not_its_last_bar() -> None:
    seen = []
    panel = market("A B", "10 -", "10 20", "10 30")
    play(panel, {0: lambda s: seen.extend([s.data1.close[0], s.data1.datetime.date(0), len(s.data1)])})
    assert math.isnan(seen[0])
    assert seen[1:] == [date(1, 1, 1), 0]


def test_an_order_with_a_nan_in_it_is_rejected_and_cash_stays_a_number() -> None:
    script: Script = {
        0: lambda s: s.buy(size=10, exectype=bt.Order.Limit, price=math.nan),
        1: lambda s: s.buy(size=math.nan),
        2: lambda s: s.buy(size=10),
    }
    ours = play(FLAT, script)
    assert [status for _, status, _ in ours.strategy.told[:2]] == ["Rejected", "Rejected"]
    assert ours.result.cash[-1] == 9_900


def test_a_delisted_symbol_is_valued_at_its_last_close_and_reported() -> None:
    panel = market("A B", "10 10", "10 10", "10 20", "10 -", "10 -")
    ours = play(panel, {0: lambda s: s.buy(data="B", size=100), 3: lambda s: s.close(data="B")})
    assert ours.result.equity.tolist() == [10_000, 10_000, 11_000, 11_000, 11_000]
    assert "B stopped trading on 2024-01-03: 100 shares are valued at that close, 20.0" in ours.result.remarks()


def test_sessions_without_any_bar_have_a_row_and_earn_interest() -> None:
    panel = market("A", "10", "-", "10", "-")
    ours = play(panel, {}, costing(cash_rate=0.36))
    assert ours.result.cash == pytest.approx(10_000 * 1.001 ** np.arange(4))


def test_the_first_row_is_the_initial_cash_and_the_last_orders_do_not_fill() -> None:
    for timing in FillTiming:
        ours = play(FLAT, {4: lambda s: s.buy(size=10)}, replace(FREE, timing=timing))
        assert fills(ours) == []
    longer = play(FLAT, {1: lambda s: s.buy(size=10), 3: lambda s: s.buy(size=10)}, first=1, last=3)
    assert fills(longer) == [(1, 10, 10, 0)]
    assert longer.result.sessions.tolist() == FLAT.sessions[1:4].tolist()
    assert longer.result.cash.tolist() == [10_000, 9_900, 9_900]


def test_feeds_that_go_on_after_the_last_session_do_not_carry_the_run_further() -> None:
    account = OrderAccount(FLAT, 0, 2, FREE)
    every: Script = {row: lambda s: s.buy(size=1) for row in range(5)}
    strategy = run_cerebro(Scripted, {"script": every}, panel_feeds(FLAT), OrderBroker(account))
    assert strategy.rows == [0, 1, 2]
    assert account.result().final_quantity.tolist() == [2]


def test_a_strategy_may_stop_the_run_and_keeps_what_it_holds() -> None:
    ours = play(market("A", "10", "10", "11", "12"), {0: lambda s: s.buy(size=10), 2: lambda s: s.env.runstop()})
    assert ours.result.equity.tolist() == [10_000, 10_000, 10_010, 10_020]


def test_bars_before_the_first_session_warm_up_indicators_and_nothing_else() -> None:
    panel = panel_of(np.arange(10.0, 20.0)[:, None])

    def prepare(strategy: bt.Strategy) -> None:
        strategy.average = bt.ind.SMA(period=3)

    seen: list[float] = []
    script: Script = {row: lambda s: seen.append(s.average[0]) for row in range(10)}
    account = OrderAccount(panel, 4, 9, FREE)
    feeds, params = panel_feeds(panel), {"script": script, "prepare": prepare}
    values = {"values": bt.analyzers.PositionsValue}
    start = panel.sessions[4].item()
    strategy = run_cerebro(Scripted, params, feeds, OrderBroker(account), values, start)
    assert strategy.rows == [4, 5, 6, 7, 8, 9]
    assert seen == [13, 14, 15, 16, 17, 18]
    assert len(strategy.analyzers.values.get_analysis()) == 6


@pytest.mark.parametrize("runonce", [True, False])
def test_nextstart_comes_once_with_the_first_bar_that_is_ready(runonce: bool) -> None:
    class FirstBar(bt.Analyzer):
        def nextstart(self) -> None:
            self.strategy.measured = len(self.strategy)

    class Watch(bt.Strategy):
        def __init__(self) -> None:
            bt.ind.SMA(period=3)
            self.calls: list[tuple[str, int]] = []
            self.measured = 0

        def prenext(self) -> None:
            self.calls.append(("prenext", len(self)))

        def nextstart(self) -> None:
            self.calls.append(("nextstart", len(self)))

        def next(self) -> None:
            self.calls.append(("next", len(self)))

    panel = panel_of(np.arange(10.0, 16.0)[:, None])
    expected = {
        0: [("prenext", 1), ("prenext", 2), ("nextstart", 3), ("next", 4), ("next", 5), ("next", 6)],
        1: [("prenext", 2), ("nextstart", 3), ("next", 4), ("next", 5), ("next", 6)],
        2: [("nextstart", 3), ("next", 4), ("next", 5), ("next", 6)],
        4: [("nextstart", 5), ("next", 6)],
    }
    for first, calls in expected.items():
        cerebro = bt.Cerebro(stdstats=False, runonce=runonce)
        cerebro.adddata(panel_feeds(panel)[0])
        cerebro.addstrategy(starting(Watch, panel.sessions[first].item()))
        cerebro.addanalyzer(FirstBar)
        strategy = cerebro.run()[0]
        assert strategy.calls == calls
        assert strategy.measured == max(3, first + 1)


def test_a_symbol_shorter_than_an_indicator_is_no_error() -> None:
    def prepare(strategy: bt.Strategy) -> None:
        strategy.averages = [bt.ind.SMA(data, period=3) for data in strategy.datas]

    seen: list[float] = []
    script: Script = {row: lambda s: seen.append(s.averages[0][0]) for row in range(5)}
    panel = market("A B C", "10 - -", "11 - -", "12 10 -", "13 10 -", "14 - -")
    ours = play(panel, script, prepare=prepare)
    assert ours.strategy.rows == [0, 1, 2, 3, 4]
    assert seen[2:] == [11, 12, 13]
    with pytest.raises(IndexError):
        run_theirs(Scripted, panel.select(["A", "B"]), FREE, script=script, prepare=prepare)


def test_a_strategy_that_buys_once_still_buys_when_there_is_a_warm_up() -> None:
    class BuyAtTheStart(bt.Strategy):
        def nextstart(self) -> None:
            self.buy(size=10)

    ours = run_ours(BuyAtTheStart, FLAT, FREE, first=2)
    assert fills(ours) == [(1, 10, 10, 0)]


def test_orders_before_the_first_session_are_rejected() -> None:
    # As a strategy in a Cerebro of the user's own would place them.
    account = OrderAccount(FLAT, 2, 4, FREE)
    every: Script = {row: lambda s: s.buy(size=1) for row in range(5)}
    strategy = run_cerebro(Scripted, {"script": every}, panel_feeds(FLAT), OrderBroker(account))
    assert [(row, status) for row, status, _ in strategy.told[:2]] == [(1, "Rejected"), (2, "Rejected")]
    assert account.result().final_quantity.tolist() == [2]


def test_limits_are_refused_because_orders_have_no_target_weights() -> None:
    with pytest.raises(ConfigError, match="a cap and a cash buffer limit target weights"):
        OrderAccount(FLAT, 0, 4, replace(FREE, limits=Limits(cap=0.2)))


@pytest.mark.parametrize(("first", "last"), [(-1, 2), (3, 2), (0, 5)])
def test_rows_outside_the_panel_are_refused(first: int, last: int) -> None:
    with pytest.raises(InputError, match="rows must satisfy 0 <= first <= last < 5"):
        OrderAccount(FLAT, first, last, FREE)


@pytest.mark.parametrize("call", ["setcommission", "set_slippage_perc", "set_coc", "setcash", "add_cash", "set_filler"])
def test_what_the_terms_say_a_strategy_cannot_say_otherwise(call: str) -> None:
    with pytest.raises(InputError, match=r"is not the strategy's to call.*remove the call"):
        play(FLAT, {0: lambda s: getattr(s.broker, call)(1)})


def test_other_feeds_than_the_panels_are_refused() -> None:
    broker = OrderBroker(OrderAccount(FLAT, 0, 4, FREE))
    with pytest.raises(InputError, match="the feed '' is no symbol of panel: give Cerebro the feeds of panel_feeds"):
        run_cerebro(Scripted, {"script": BUY_100}, clock_feed(FLAT, 0, 4), broker)
    later = replace(FLAT, sessions=FLAT.sessions + 30)
    broker = OrderBroker(OrderAccount(FLAT, 0, 4, FREE))
    with pytest.raises(InputError, match="is no session of panel: give Cerebro the feeds of panel_feeds"):
        run_cerebro(Scripted, {"script": BUY_100}, panel_feeds(later), broker)


def test_sessions_of_an_order_account_come_in_order() -> None:
    account = OrderAccount(FLAT, 0, 2, FREE)
    with pytest.raises(InputError, match="the next session to begin is row 0 of at most 2, was 1"):
        account.begin(1)


def test_a_strategy_that_wants_to_be_skipped_is_said_so() -> None:
    class Skip(bt.Strategy):
        def __init__(self) -> None:
            raise bt.StrategySkipError

    with pytest.raises(InputError, match="Skip raised StrategySkipError"):
        run_ours(Skip, FLAT, FREE)


def test_orders_that_came_to_nothing_and_ruin_are_remarked_on() -> None:
    script: Script = {
        0: lambda s: (s.sell(size=500), s.buy(size=math.nan), s.buy(size=2000)),
        1: lambda s: s.buy(size=1),
    }
    ours = play(market("A", "10", "10", "50", "50"), script)
    assert ours.result.remarks() == [
        "orders refused for lack of cash (status Margin): 1",
        "orders refused because they could not be placed (status Rejected): 1",
        "the account was worth nothing or less on 2024-01-03: it is ruined",
    ]
