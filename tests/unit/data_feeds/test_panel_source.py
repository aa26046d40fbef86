from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from panels import as_raw, market, random_panel

from data_feeds.panel_source import PanelBars
from engine.errors import DataError, InputError, TemporaryError
from engine.indicators import FEATURES
from engine.observation import feature_table

MARKET = market("A B", "10 -", "11 20", "12 -", "13 21")  # Monday 2024-01-01 to Thursday


def days(*numbers: int) -> list[np.datetime64]:
    return [np.datetime64(f"2024-01-{number:02}") for number in numbers]


def test_bars_end_with_the_session_asked_for_and_are_as_many() -> None:
    panel = PanelBars(lambda: MARKET).panel(["B", "A"], date(2024, 1, 3), 2)
    assert panel.symbols == ("B", "A")
    assert panel.sessions.tolist() == [day.item() for day in days(2, 3)]
    np.testing.assert_array_equal(panel.close, [[20, 11], [np.nan, 12]])


def test_a_short_history_comes_back_whole() -> None:
    assert len(PanelBars(lambda: MARKET).panel(["A"], date(2024, 1, 4), 100)) == 4


def test_sessions_are_those_of_the_symbols() -> None:
    panel = PanelBars(lambda: MARKET).panel(["B"], date(2024, 1, 4), 2)
    assert panel.sessions.tolist() == [day.item() for day in days(2, 4)]


def test_stale_bars_are_temporary_and_say_what_to_do() -> None:
    bars = PanelBars(lambda: MARKET)
    with pytest.raises(TemporaryError, match="panel: no bars of 2024-01-05 yet, the newest are of 2024-01-04: add"):
        bars.panel(["A", "B"], date(2024, 1, 5), 10)
    with pytest.raises(TemporaryError, match="no bars of 2024-01-03, though there are later"):
        bars.panel(["B"], date(2024, 1, 3), 10)
    with pytest.raises(TemporaryError, match="no bars of 2023-12-29"):
        bars.panel(["B"], date(2023, 12, 29), 10)


def test_what_cannot_be_is_refused() -> None:
    bars = PanelBars(lambda: MARKET)
    with pytest.raises(DataError, match="no bars for C"):
        bars.panel(["A", "C"], date(2024, 1, 4), 10)
    with pytest.raises(InputError, match="at least 1"):
        bars.panel(["A"], date(2024, 1, 4), 0)


def test_the_panel_is_asked_for_anew_each_time() -> None:
    panels = iter([MARKET.rows(0, 3), MARKET])
    bars = PanelBars(lambda: next(panels))
    assert len(bars.panel(["A"], date(2024, 1, 3), 9)) == 3
    assert len(bars.panel(["A"], date(2024, 1, 4), 9)) == 4


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lookback_bars", [61, 120])
def test_features_of_the_last_bars_are_those_of_all_history(seed: int, lookback_bars: int) -> None:
    whole = as_raw(random_panel(seed, 150, 4), seed)
    whole = whole.select(whole.symbols)  # no file has sessions in which nothing traded
    names, row = tuple(FEATURES), len(whole) - 10
    last = whole.sessions[row].item()
    part = PanelBars(lambda: whole).panel(whole.symbols, last, lookback_bars)
    expected = feature_table(whole, names, lookback_bars, row, row).values
    found = feature_table(part, names, lookback_bars, len(part) - 1, len(part) - 1).values
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(expected).any()


def test_other_symbols_of_the_same_panel_are_selected_anew() -> None:
    bars = PanelBars(lambda: MARKET)
    for symbols in (("A",), ("A", "B"), ("B", "A")):
        assert bars.panel(symbols, date(2024, 1, 4), 2).symbols == symbols
