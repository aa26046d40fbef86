"""Depth and length of drawdowns against hand tables, empyrical and skfolio."""

from __future__ import annotations

import empyrical
import numpy as np
import pytest
import skfolio.measures
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.metrics import annual_return, calmar_ratio, drawdowns, max_drawdown, max_drawdown_sessions

EQUITIES = st.lists(st.floats(0.01, 1e7), max_size=60).map(lambda values: np.array(values, dtype=np.float64))


def random_returns(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0004, 0.012, 300)


def equity_of(returns: np.ndarray) -> np.ndarray:
    return 1e5 * np.cumprod(np.concatenate([[1.0], 1.0 + returns]))


@pytest.mark.parametrize(
    ("equity", "deepest", "sessions"),
    [
        ([100.0, 110.0, 120.0], 0.0, 0),
        ([100.0, 100.0, 100.0], 0.0, 0),
        ([100.0, 90.0, 100.0], 0.1, 2),
        ([100.0, 90.0, 95.0], 0.1, 2),
        ([100.0, 90.0, 80.0], 0.2, 2),
        ([100.0, 100.0, 90.0, 100.0], 0.1, 2),
        ([100.0, 50.0, 110.0, 105.0, 104.0, 103.0], 0.5, 3),
        ([100.0, 80.0, 90.0, 95.0, 101.0, 100.0, 102.0], 0.2, 4),
        ([80.0, 100.0, 75.0, 100.0, 75.0, 100.0], 0.25, 2),
        ([100.0, 99.0], 0.01, 1),
    ],
)
def test_depth_and_length_of_small_curves_can_be_checked_by_hand(
    equity: list[float], deepest: float, sessions: int
) -> None:
    curve = np.array(equity)
    # One subtraction and one division.
    assert max_drawdown(curve) == pytest.approx(deepest, rel=1e-15)
    assert max_drawdown_sessions(curve) == sessions


def test_the_series_starts_at_zero_and_returns_to_zero_at_each_peak() -> None:
    curve = np.array([100.0, 75.0, 100.0, 200.0, 150.0])
    np.testing.assert_array_equal(drawdowns(curve), [0.0, 0.25, 0.0, 0.0, 0.25])


@pytest.mark.parametrize("seed", range(5))
def test_drawdown_and_calmar_equal_those_of_empyrical(seed: int) -> None:
    returns = random_returns(seed)
    equity = equity_of(returns)
    # empyrical multiplies (1 + r) from 1 on; the equity divides: the digits lost near 1 are about 1e-13.
    assert max_drawdown(equity) == pytest.approx(-empyrical.max_drawdown(returns), rel=1e-9)
    assert calmar_ratio(equity, 252.0) == pytest.approx(empyrical.calmar_ratio(returns, annualization=252), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_drawdowns_equal_those_of_skfolio_after_the_starting_equity(seed: int) -> None:
    returns = random_returns(seed)
    expected = -skfolio.measures.get_drawdowns(returns, compounded=True)
    # Absolute: skfolio takes 1 from a ratio near 1, after 300 products.
    np.testing.assert_allclose(drawdowns(equity_of(returns))[1:], expected, rtol=0.0, atol=1e-13)


@given(equity=EQUITIES)
@settings(deadline=None)
def test_the_maximum_is_the_largest_of_the_series_and_lies_between_zero_and_one(equity: np.ndarray) -> None:
    series = drawdowns(equity)
    assert series.shape == equity.shape
    assert ((series >= 0.0) & (series < 1.0)).all()
    if len(equity) >= 2:
        assert max_drawdown(equity) == series.max()


@given(equity=EQUITIES)
@settings(deadline=None)
def test_cutting_the_future_leaves_past_drawdowns_unchanged(equity: np.ndarray) -> None:
    half = len(equity) // 2
    np.testing.assert_array_equal(drawdowns(equity)[:half], drawdowns(equity[:half]))


@given(equity=EQUITIES)
@settings(deadline=None)
def test_the_longest_stretch_equals_a_search_of_all_peaks(equity: np.ndarray) -> None:
    longest = 0
    for start in range(len(equity)):
        is_peak = equity[start] == equity[: start + 1].max()
        falls_next = start + 1 < len(equity) and equity[start + 1] < equity[start]
        if is_peak and falls_next:
            back = np.nonzero(equity[start + 1 :] >= equity[start])[0]
            longest = max(longest, int(back[0]) + 1 if len(back) else len(equity) - 1 - start)
    assert max_drawdown_sessions(equity) == longest


@pytest.mark.parametrize("equity", [[], [100.0]])
def test_fewer_than_two_equities_have_no_maximum(equity: list[float]) -> None:
    curve = np.array(equity)
    assert np.isnan(max_drawdown(curve))
    assert np.isnan(calmar_ratio(curve, 252.0))
    assert max_drawdown_sessions(curve) == 0
    np.testing.assert_array_equal(drawdowns(curve), np.zeros(len(curve)))


def test_an_equity_that_never_falls_has_no_calmar_ratio() -> None:
    assert np.isnan(calmar_ratio(np.full(10, 5.0), 252.0))
    assert np.isnan(calmar_ratio(np.array([1.0, 2.0, 3.0]), 252.0))


def test_a_fall_of_one_unit_of_rounding_makes_no_calmar_ratio() -> None:
    assert np.isnan(calmar_ratio(np.array([1.0, np.nextafter(1.0, 0.0), 1.1]), 252.0))


def test_losses_alone_fall_from_the_starting_equity() -> None:
    equity = np.array([100.0, 90.0, 81.0])
    assert max_drawdown(equity) == pytest.approx(0.19, rel=1e-15)
    assert calmar_ratio(equity, 2.0) == annual_return(equity, 2.0) / max_drawdown(equity)
    # A year of two sessions: the loss of the year is the drawdown. Two roundings.
    assert calmar_ratio(equity, 2.0) == pytest.approx(-1.0, rel=1e-14)


def test_a_missing_equity_leaves_a_gap_in_the_series_and_no_maximum() -> None:
    curve = np.array([100.0, np.nan, 50.0])
    np.testing.assert_array_equal(drawdowns(curve), [0.0, np.nan, 0.5])
    assert np.isnan(max_drawdown(curve))


def test_an_equity_that_was_never_positive_has_no_drawdown() -> None:
    curve = np.array([0.0, -1.0])
    assert np.isnan(drawdowns(curve)).all()
    assert np.isnan(max_drawdown(curve))
