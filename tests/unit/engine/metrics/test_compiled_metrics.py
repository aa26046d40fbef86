"""The compiled functions equal the same functions in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine.metrics as metrics

if not hasattr(metrics.simple_returns, "py_func"):
    pytest.skip("numba is switched off: there is nothing to compare", allow_module_level=True)

EQUITIES = st.lists(st.floats(0.01, 1e7), max_size=60).map(lambda values: np.array(values, dtype=np.float64))
RETURNS = st.lists(st.floats(-0.99, 2.0), max_size=60).map(lambda values: np.array(values, dtype=np.float64))

OF_EQUITY: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (metrics.simple_returns, ()),
    (metrics.total_return, ()),
    (metrics.annual_return, (252.0,)),
    (metrics.calmar_ratio, (252.0,)),
    (metrics.drawdowns, ()),
    (metrics.max_drawdown, ()),
    (metrics.max_drawdown_sessions, ()),
    (metrics.rolling_max_drawdown, (5,)),
]
OF_RETURNS: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (metrics.volatility, ()),
    (metrics.annual_volatility, (252.0,)),
    (metrics.sharpe_ratio, (0.0001, 252.0)),
    (metrics.sortino_ratio, (0.0001, 252.0)),
    (metrics.value_at_risk, (0.95,)),
    (metrics.conditional_value_at_risk, (0.95,)),
    (metrics.rolling_volatility, (5,)),
]


def assert_same(compiled: Any, plain: Any) -> None:
    # Powers come from two libraries and np.partition leaves the tail in another order: a few units of 2e-16
    # each, of which a mean of up to 60 returns that nearly cancel keeps 1e-14 absolute.
    np.testing.assert_allclose(compiled, plain, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("function", "arguments"), OF_EQUITY, ids=lambda value: getattr(value, "__name__", ""))
# Growth of 1e9 in a session overflows the annual return: to infinity in both, with a warning in one.
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@given(equity=EQUITIES)
@settings(deadline=None)
def test_measures_of_equity_are_the_same_compiled_and_plain(
    function: Callable[..., Any], arguments: tuple[Any, ...], equity: np.ndarray
) -> None:
    assert_same(function(equity, *arguments), function.py_func(equity, *arguments))


@pytest.mark.parametrize(("function", "arguments"), OF_RETURNS, ids=lambda value: getattr(value, "__name__", ""))
@given(returns=RETURNS)
@settings(deadline=None)
def test_measures_of_returns_are_the_same_compiled_and_plain(
    function: Callable[..., Any], arguments: tuple[Any, ...], returns: np.ndarray
) -> None:
    assert_same(function(returns, *arguments), function.py_func(returns, *arguments))


@given(equity=EQUITIES, notional=st.lists(st.floats(-1e6, 1e6), max_size=20))
@settings(deadline=None)
def test_turnover_is_the_same_compiled_and_plain(equity: np.ndarray, notional: list[float]) -> None:
    traded = np.array(notional, dtype=np.float64)
    assert_same(metrics.annual_turnover(traded, equity, 252.0), metrics.annual_turnover.py_func(traded, equity, 252.0))


@pytest.mark.parametrize("broken", [[], [5.0], [0.0, 1.0], [-1.0, 1.0], [1.0, np.nan, 2.0], [np.nan, 1.0], [1.0, -1.0]])
@pytest.mark.parametrize(("function", "arguments"), OF_EQUITY, ids=lambda value: getattr(value, "__name__", ""))
def test_broken_curves_are_treated_the_same_compiled_and_plain(
    function: Callable[..., Any], arguments: tuple[Any, ...], broken: list[float]
) -> None:
    equity = np.array(broken, dtype=np.float64)
    assert_same(function(equity, *arguments), function.py_func(equity, *arguments))
