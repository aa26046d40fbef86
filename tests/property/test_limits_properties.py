"""The limits are a promise: they hold for every input, not only for sensible ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays import FloatArray
from engine.costs import Costs
from engine.errors import ConfigError
from engine.limits import BUFFERED, CAPPED, LONG_ONLY, Limits, outcome_label, project_weights
from engine.rebalancer import Terms

ODD = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1e300, -1e300, 5e-324, 1.0, 1 / 3, 0.1, 0.7])
WEIGHT = st.one_of(ODD, st.floats(0, 1), st.floats(-2, 2), st.floats(allow_nan=True, allow_infinity=True))
HELD = st.one_of(st.just(0.0), st.floats(0, 1.5))
CAP = st.one_of(st.just(1.0), st.just(0.2), st.floats(0.001, 1))
BUFFER = st.one_of(st.just(0.0), st.just(0.05), st.floats(0, 0.999))


@st.composite
def inputs(draw: Any) -> tuple[FloatArray, FloatArray, float, float]:
    n = draw(st.integers(1, 12))
    weights = np.array(draw(st.lists(WEIGHT, min_size=n, max_size=n)))
    held = np.array(draw(st.lists(HELD, min_size=n, max_size=n)))
    limits = Limits(draw(CAP), draw(BUFFER))
    return weights, held, limits.cap, limits.budget


def free_budget(weights: FloatArray, held: FloatArray, budget: float) -> float:
    for weight, kept in zip(weights.tolist(), held.tolist(), strict=True):
        if math.isnan(weight):
            budget -= kept
    return max(budget, 0.0)


def in_order_sum(weights: FloatArray) -> float:
    return sum(weight for weight in weights.tolist() if not math.isnan(weight))


@given(case=inputs())
def test_every_weight_is_between_zero_and_the_cap_and_nan_stays_nan(
    case: tuple[FloatArray, FloatArray, float, float],
) -> None:
    weights, held, cap, budget = case
    given_weights = weights.copy()
    result, _ = project_weights(weights, held, cap, budget)
    assert np.array_equal(np.isnan(result), np.isnan(weights))
    decided = result[~np.isnan(result)]
    assert (decided >= 0).all()
    assert (decided <= cap).all()
    np.testing.assert_array_equal(weights, given_weights, err_msg="the input must not change")


@given(case=inputs())
def test_the_sum_is_at_most_the_budget_that_kept_shares_leave(
    case: tuple[FloatArray, FloatArray, float, float],
) -> None:
    weights, held, cap, budget = case
    result, _ = project_weights(weights, held, cap, budget)
    # Exactly: not an ulp above, whatever the scaling rounds to.
    assert in_order_sum(result) <= free_budget(weights, held, budget)


@given(case=inputs())
def test_when_the_kept_shares_exceed_the_budget_nothing_else_is_bought(
    case: tuple[FloatArray, FloatArray, float, float],
) -> None:
    weights, held, cap, budget = case
    weights = np.append(weights, math.nan)
    held = np.append(held, 1.5)
    result, _ = project_weights(weights, held, cap, budget)
    assert not np.nan_to_num(result).any()


@given(case=inputs())
def test_applied_twice_the_limits_change_nothing_more(case: tuple[FloatArray, FloatArray, float, float]) -> None:
    weights, held, cap, budget = case
    once, _ = project_weights(weights, held, cap, budget)
    twice, outcome = project_weights(once, held, cap, budget)
    np.testing.assert_array_equal(twice, once)
    assert not outcome.any()


@given(raw=st.lists(st.floats(0, 1), min_size=1, max_size=10), cap=CAP, budget=st.floats(0.1, 1))
def test_weights_inside_the_limits_are_not_touched(raw: list[float], cap: float, budget: float) -> None:
    weights = np.minimum(np.array(raw), cap)
    weights *= min(1.0, budget / max(weights.sum(), 1e-300)) * (1 - 1e-12)
    result, outcome = project_weights(weights, np.zeros(len(raw)), cap, budget)
    np.testing.assert_array_equal(result, weights)
    assert not outcome.any()


@given(case=inputs())
def test_the_bits_say_what_was_done(case: tuple[FloatArray, FloatArray, float, float]) -> None:
    weights, held, cap, budget = case
    result, outcome = project_weights(weights, held, cap, budget)
    clipped = np.clip(weights, 0, cap)
    over = in_order_sum(clipped) > free_budget(weights, held, budget)
    for weight, clip, final, bits in zip(weights, clipped, result, outcome.tolist(), strict=True):
        assert bool(bits & CAPPED) == (weight > cap)
        assert bool(bits & LONG_ONLY) == (weight < 0)
        assert bool(bits & BUFFERED) == (over and clip > 0)
        assert bits & ~(CAPPED | LONG_ONLY | BUFFERED) == 0
        if not bits and not math.isnan(weight):
            assert final == weight


@given(case=inputs())
def test_scaling_keeps_the_proportions(case: tuple[FloatArray, FloatArray, float, float]) -> None:
    weights, held, cap, budget = case
    result, outcome = project_weights(weights, held, cap, budget)
    scaled = (outcome & BUFFERED) > 0
    clipped = np.clip(weights, 0, cap)
    # Below 1e-200 the factor underflows; no proportion is left to keep.
    scaled &= clipped > 1e-200
    if scaled.any():
        factors = result[scaled] / clipped[scaled]
        np.testing.assert_allclose(factors, factors[0], rtol=1e-12)


def test_limits_in_numbers() -> None:
    weights = np.array([0.5, 0.3, 0.1, -0.2, math.nan])
    held = np.array([0.0, 0.0, 0.0, 0.0, 0.65])
    result, outcome = project_weights(weights, held, 0.2, 0.95)
    # 0.2 + 0.2 + 0.1 = 0.5 wanted, 0.95 - 0.65 = 0.3 free: all times 0.6.
    np.testing.assert_allclose(result, [0.12, 0.12, 0.06, 0.0, math.nan], rtol=1e-12)
    assert [outcome_label(bits) for bits in outcome] == [
        "cap+cash_buffer",
        "cap+cash_buffer",
        "cash_buffer",
        "long_only",
        "",
    ]


BAD_NUMBERS = [math.nan, math.inf, -math.inf, -1e-9, -1.0]


@pytest.mark.parametrize("cap", [*BAD_NUMBERS, 0.0, 1.0 + 1e-9, 2.0])
def test_a_cap_out_of_range_is_refused(cap: float) -> None:
    with pytest.raises(ConfigError, match=rf"cap must be above 0 and at most 1, was {cap}"):
        Limits(cap=cap)


@pytest.mark.parametrize("buffer", [*BAD_NUMBERS, 1.0, 2.0])
def test_a_cash_buffer_out_of_range_is_refused(buffer: float) -> None:
    with pytest.raises(ConfigError, match=rf"cash_buffer must be at least 0 and below 1, was {buffer}"):
        Limits(cash_buffer=buffer)


@pytest.mark.parametrize("name", ["commission_bps", "slippage_bps"])
@pytest.mark.parametrize("value", [*BAD_NUMBERS, 10_000.0, 1e300])
def test_costs_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{name} must be at least 0 and below 10000 basis points, was "):
        Costs(**{name: value})


@pytest.mark.parametrize("cash", [*BAD_NUMBERS, 0.0])
def test_cash_that_is_not_positive_is_refused(cash: float) -> None:
    with pytest.raises(ConfigError, match=r"cash must be positive and finite, was "):
        Terms(cash=cash)


@given(cap=st.floats(min_value=0, max_value=1, exclude_min=True), buffer=st.floats(0, 1, exclude_max=True))
def test_every_value_in_range_is_accepted(cap: float, buffer: float) -> None:
    limits = Limits(cap, buffer)
    assert 0 < limits.budget <= 1
