"""Drawdowns, rolling measures and returns by month, on curves that can be checked by hand and against pandas."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics import drawdowns, max_drawdown, max_drawdown_sessions
from marsfolio.report.curves import (
    ROLLING_SESSIONS,
    Drawdown,
    benchmark_curve,
    curve_of,
    full_colour,
    period_returns,
    worst_drawdowns,
)

#            0    1    2    3    4    5    6    7    8   9
BY_HAND = [100, 110, 99, 104, 110, 88, 66, 120, 120, 90]


def falls(values: list[int]) -> np.ndarray:
    return drawdowns(np.array(values, dtype=np.float64))


def test_drawdowns_run_from_the_last_close_at_the_peak_to_the_first_back_at_it() -> None:
    worst = worst_drawdowns(falls(BY_HAND))
    assert worst == [
        Drawdown(4, 6, 7, pytest.approx(0.4)),
        Drawdown(8, 9, None, pytest.approx(0.25)),
        Drawdown(1, 2, 4, pytest.approx(0.1)),
    ]


def test_a_curve_that_never_falls_has_no_drawdown() -> None:
    assert worst_drawdowns(falls([1, 1, 2])) == worst_drawdowns(falls([1])) == worst_drawdowns(falls([])) == []


def test_only_the_deepest_are_named() -> None:
    assert [round(fall.depth, 2) for fall in worst_drawdowns(falls([100, 99, 100, 97, 100, 98, 100]), 2)] == [
        0.03,
        0.02,
    ]


@given(st.lists(st.integers(1, 9), min_size=2, max_size=40))
def test_deepest_and_longest_are_those_of_the_metrics(values: list[int]) -> None:
    equity = np.array(values, dtype=np.float64)
    found = worst_drawdowns(drawdowns(equity), len(values))
    lengths = [(len(values) - 1 if fall.recovered is None else fall.recovered) - fall.peak for fall in found]
    assert max((fall.depth for fall in found), default=0.0) == max_drawdown(equity)
    assert max(lengths, default=0) == max_drawdown_sessions(equity)
    for fall in found:
        assert equity[fall.trough] == equity[fall.peak : fall.recovered].min()


def test_rolling_measures_equal_those_of_pandas_and_begin_with_the_first_full_window() -> None:
    equity = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.02, 200)))
    curve = curve_of(equity)
    returns = pd.Series(equity).pct_change()
    window = returns.rolling(ROLLING_SESSIONS)
    np.testing.assert_allclose(curve.volatility, window.std() * math.sqrt(252), rtol=1e-9)
    np.testing.assert_allclose(curve.sharpe, window.mean() / window.std() * math.sqrt(252), rtol=1e-9, atol=1e-12)
    assert np.flatnonzero(~np.isnan(curve.sharpe))[0] == ROLLING_SESSIONS


def test_a_flat_curve_has_no_volatility_and_no_sharpe_ratio() -> None:
    curve = curve_of(np.full(100, 5.0))
    assert curve.volatility[-1] == 0.0
    assert np.isnan(curve.sharpe).all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_short_curves_have_everything_undefined(n: int) -> None:
    curve = curve_of(np.arange(1.0, n + 1))
    assert len(curve.equity) == len(curve.drawdown) == len(curve.volatility) == len(curve.sharpe) == n
    assert np.isnan(curve.sharpe).all()


def test_a_benchmark_starts_at_the_equity_of_its_first_session_and_holds_its_last_known_close() -> None:
    table = pd.DataFrame({"equity": [100.0, 200.0, 300.0, 400.0], "benchmark": [math.nan, 5.0, math.nan, 6.0]})
    curve = benchmark_curve(table)
    assert curve is not None
    np.testing.assert_allclose(curve.equity, [math.nan, 200.0, 200.0, 240.0])
    assert benchmark_curve(table[["equity"]]) is None
    assert benchmark_curve(table.assign(benchmark=math.nan)) is None


def test_months_count_from_the_last_close_before_them() -> None:
    sessions = ["2020-01-30", "2020-01-31", "2020-02-03", "2020-02-28", "2020-04-01"]
    equity = np.array([100.0, 110.0, 50.0, 121.0, 60.5])
    assert period_returns(sessions, equity, 7) == pytest.approx({"2020-01": 0.1, "2020-02": 0.1, "2020-04": -0.5})
    assert period_returns(sessions, equity, 4) == pytest.approx({"2020": -0.395})


def test_a_month_that_holds_the_first_session_alone_has_no_return() -> None:
    found = period_returns(["2020-01-31", "2020-02-03"], np.array([100.0, 110.0]), 7)
    assert found == pytest.approx({"2020-01": math.nan, "2020-02": 0.1}, nan_ok=True)
    assert period_returns(["2020-01-31"], np.array([math.nan]), 7) == {}


def test_full_colour_is_that_of_a_large_month_and_not_of_an_extraordinary_one() -> None:
    assert full_colour([math.nan, *([0.05, -0.05] * 10), 9.0]) == pytest.approx(0.05)
    assert full_colour([1e-6, -1e-6]) == full_colour([]) == full_colour([math.nan]) == 0.01
