"""Statistics of round trips and profits by symbol, on tables that can be checked by hand."""

from __future__ import annotations

import pandas as pd

from engine.tradelog import ROUND_TRIP_COLUMNS
from marsfolio.report.trading import BEST_AND_WORST, profit_by_symbol, round_trip_items


def trips(*rows: tuple[str, str, float, int]) -> pd.DataFrame:
    """Return a table of round trips from symbol, exit session, pnl and sessions held."""
    table = pd.DataFrame(rows, columns=["symbol", "exit_session", "pnl", "sessions_held"])
    return table.reindex(columns=list(ROUND_TRIP_COLUMNS))


def shown(table: pd.DataFrame) -> dict[str, str]:
    return {found.name: found.shown for found in round_trip_items(table)}


def test_only_closed_round_trips_are_won_or_lost() -> None:
    table = trips(
        ("A", "d", 30.0, 1), ("A", "d", 10.0, 2), ("B", "d", -10.0, 5), ("B", "d", 0.0, 4), ("B", "", 99.0, 9)
    )
    assert shown(table) == {
        "round_trips_closed": "4",
        "round_trips_open": "1",
        "win_rate": "50.00 %",
        "average_win": "20.00",
        "average_loss": "10.00",
        "payoff": "2.00",
        "profit_factor": "4.00",
        "median_sessions_held": "3",
    }


def test_without_losses_payoff_and_profit_factor_are_undefined() -> None:
    found = shown(trips(("A", "d", 30.0, 1), ("A", "d", 10.0, 2)))
    assert (found["win_rate"], found["payoff"], found["profit_factor"]) == ("100.00 %", "–", "–")
    assert found["median_sessions_held"] == "1.5"


def test_without_round_trips_everything_is_undefined() -> None:
    table = trips()
    assert set(list(shown(table).values())[2:]) == {"–"}
    assert profit_by_symbol(table) == ([], [])


def test_symbols_are_ranked_by_all_their_profit_and_named_once() -> None:
    best, worst = profit_by_symbol(
        trips(("A", "d", 1.0, 1), ("B", "d", 5.0, 1), ("A", "", 9.0, 1), ("C", "d", -1.0, 1))
    )
    assert [(found.label, found.exact) for found in best] == [("A", "10.0"), ("B", "5.0")]
    assert [(found.label, found.exact) for found in worst] == [("C", "-1.0")]


def test_of_many_symbols_the_ends_are_shown() -> None:
    best, worst = profit_by_symbol(trips(*((f"S{k:03d}", "d", float(k), 1) for k in range(300))))
    assert [found.label for found in best] == ["S299", "S298", "S297", "S296", "S295"]
    assert [found.label for found in worst] == ["S004", "S003", "S002", "S001", "S000"]
    assert BEST_AND_WORST == 5
