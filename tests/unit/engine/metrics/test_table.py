"""The table of a run: names, order, undefined entries and refusals."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from engine.errors import InputError
from engine.metrics import metrics_table, return_metrics

NAMES = [
    "total_return",
    "annual_return",
    "annual_volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "calmar_ratio",
    "max_drawdown",
    "max_drawdown_sessions",
    "value_at_risk_95",
    "conditional_value_at_risk_95",
    "annual_turnover",
    "total_commission",
    "total_slippage",
    "n_fills",
    "n_sessions",
    "start",
    "end",
    "initial_equity",
    "final_equity",
]
COST_NAMES = {"annual_turnover", "total_commission", "total_slippage", "n_fills"}


def days(n: int) -> np.ndarray:
    return np.datetime64("2020-01-06", "D") + np.arange(n)


def table_of(values: list[float], **changes: Any) -> dict[str, Any]:
    given = {
        "equity": np.array(values),
        "sessions": days(len(values)),
        "traded_notional": np.array([104.475, -104.475]),
        "total_commission": 1.5,
        "total_slippage": -0.25,
        "n_fills": 2,
        "periods_per_year": 3.0,
    }
    return metrics_table(**(given | changes))


def test_the_table_of_three_returns_can_be_checked_by_hand() -> None:
    table = table_of([100.0, 110.0, 99.0, 108.9])
    expected = {
        "total_return": 0.089,
        "annual_return": 0.089,
        "annual_volatility": 0.2,
        "sharpe_ratio": 0.5,
        "sortino_ratio": 1.0,
        "calmar_ratio": 0.89,
        "max_drawdown": 0.1,
        "max_drawdown_sessions": 2,
        "value_at_risk_95": 0.1,
        "conditional_value_at_risk_95": 0.1,
        "annual_turnover": 1.0,
        "total_commission": 1.5,
        "total_slippage": -0.25,
        "n_fills": 2,
        "n_sessions": 4,
        "start": "2020-01-06",
        "end": "2020-01-09",
        "initial_equity": 100.0,
        "final_equity": 108.9,
    }
    assert list(table) == list(expected) == NAMES
    for name, value in expected.items():
        # Rounding of a handful of operations on numbers near 1.
        assert table[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-12)), name


def test_a_single_session_has_no_measures_but_dates_and_costs() -> None:
    table = table_of([100.0])
    assert list(table) == NAMES
    assert [name for name, value in table.items() if value is None] == [
        name for name in NAMES[:11] if name != "max_drawdown_sessions"
    ]
    assert (table["start"], table["end"], table["n_sessions"]) == ("2020-01-06", "2020-01-06", 1)


def test_no_session_at_all_has_no_measures_and_no_dates() -> None:
    table = table_of([], traded_notional=np.empty(0), n_fills=0)
    assert list(table) == NAMES
    defined = {name: value for name, value in table.items() if value is not None}
    assert defined == {
        "max_drawdown_sessions": 0,
        "total_commission": 1.5,
        "total_slippage": -0.25,
        "n_fills": 0,
        "n_sessions": 0,
    }


def test_constant_equity_has_returns_of_zero_and_no_ratios() -> None:
    table = table_of([100.0] * 30, traded_notional=np.empty(0))
    undefined = {name for name, value in table.items() if value is None}
    assert undefined == {"sharpe_ratio", "sortino_ratio", "calmar_ratio"}
    zeros = ("total_return", "annual_return", "annual_volatility", "max_drawdown", "annual_turnover")
    assert all(table[name] == 0.0 for name in zeros)


# Plain Python warns of the overflow, compiled code does not.
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_a_growth_too_large_for_a_float_is_undefined() -> None:
    assert table_of([1e-3, 1e9], periods_per_year=252.0)["annual_return"] is None


def test_the_table_is_plain_json_and_its_floats_survive() -> None:
    table = table_of([100.0, 110.0, 99.0, 108.9])
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert {type(value) for value in table.values()} == {float, int, str}


def test_252_sessions_a_year_and_no_risk_free_return_are_the_defaults() -> None:
    equity, sessions = np.array([100.0, 110.0, 99.0]), days(3)
    assert metrics_table(equity, sessions, np.empty(0), 0.0, 0.0, 0) == metrics_table(
        equity, sessions, np.empty(0), 0.0, 0.0, 0, periods_per_year=252, risk_free=0
    )


def test_return_metrics_are_the_table_without_costs() -> None:
    table = table_of([100.0, 110.0, 99.0, 108.9])
    alone = return_metrics(np.array([100.0, 110.0, 99.0, 108.9]), days(4), 3.0)
    assert alone == {name: value for name, value in table.items() if name not in COST_NAMES}


def test_read_only_and_strided_equity_is_accepted() -> None:
    equity = np.repeat([100.0, 110.0, 99.0, 108.9], 2)
    equity.flags.writeable = False
    assert return_metrics(equity[::2], days(4), 3.0) == return_metrics(equity[::2].copy(), days(4), 3.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sessions": days(2)}, "were 2 and 3"),
        ({"sessions": days(3)[::-1]}, "increase strictly"),
        ({"equity": np.array([1.0, np.nan, 2.0])}, "finite, was nan in row 1"),
        ({"equity": np.ones((3, 1))}, "one dimension, had 2"),
        ({"traded_notional": np.array([np.inf])}, "traded_notional must be finite"),
        ({"periods_per_year": 0.0}, "periods_per_year must be positive, was 0.0"),
    ],
)
def test_broken_input_is_refused_with_its_rule_and_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        table_of([1.0, 2.0, 3.0], **changes)
