"""Baselines: weights that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from panels import panel_of, run_strategy

from engine.arrays import FloatArray
from engine.errors import ConfigError
from engine.panel import MarketPanel
from engine.policy import Policy
from engine.rebalancer import Terms
from strategies.baselines import ConstantExposure, EqualWeight, InverseVolatility, Momentum
from strategies.timing import DipRule, MarketTiming, TrendFilter, VolatilityTarget


def panel_earning(returns: FloatArray) -> MarketPanel:
    """Return the panel whose (T, N) returns these are, after a first session."""
    return panel_of(100.0 * np.cumprod(np.vstack([np.ones(returns.shape[1]), 1.0 + returns]), axis=0))


def last_weights(policy: Policy, panel: MarketPanel) -> FloatArray:
    """Return what the policy asks for at the last close."""
    row = len(panel) - 1
    weights: FloatArray = run_strategy("policy", policy, panel, Terms(), row).target_weight[-1]
    return weights


def alternating(sizes: Sequence[float], n_rows: int) -> FloatArray:
    return np.where(np.arange(n_rows) % 2 == 0, 1.0, -1.0)[:, None] * np.array(sizes)


def test_inverse_volatility_gives_half_the_weight_to_twice_the_volatility() -> None:
    panel = panel_earning(alternating([0.01, 0.02], 40))
    np.testing.assert_allclose(last_weights(InverseVolatility(40), panel), [2 / 3, 1 / 3])


def test_a_constant_exposure_is_equal_weight_beside_cash() -> None:
    panel = panel_of(np.array([[10.0, 20, 7, 5], [10, 20, np.nan, 5]]))
    weights = last_weights(ConstantExposure(0.6), panel)
    np.testing.assert_allclose(weights, [0.2, 0.2, np.nan, 0.2])  # without a bar nothing can be asked for
    np.testing.assert_array_equal(last_weights(ConstantExposure(1.0), panel), last_weights(EqualWeight(), panel))


@pytest.mark.parametrize("exposure", [-0.1, 1.1, float("nan")])
def test_an_exposure_is_a_part_of_the_equity(exposure: float) -> None:
    with pytest.raises(ConfigError, match="exposure must be from 0 to 1"):
        ConstantExposure(exposure)


def test_momentum_holds_the_winners_of_a_year_and_does_not_look_at_its_last_month() -> None:
    returns = np.full((12, 4), 0.0)
    returns[:, :] = [0.01, 0.02, 0.03, 0.04]
    returns[-3:, 0] = 0.9  # the last month of the worst
    np.testing.assert_allclose(last_weights(Momentum(2, 12, 3), panel_earning(returns)), [0, 0, 0.5, 0.5])
    np.testing.assert_allclose(last_weights(Momentum(2, 12, 0), panel_earning(returns)), [0.5, 0, 0, 0.5])
    np.testing.assert_allclose(last_weights(Momentum(10, 12, 3), panel_earning(returns)), [0.25] * 4)


def test_equal_momentum_is_decided_by_name() -> None:
    panel = panel_of(np.cumprod(np.full((5, 3), 1.01), axis=0), symbols=("C", "A", "B"))
    np.testing.assert_allclose(last_weights(Momentum(2, 4, 1), panel), [0, 0.5, 0.5])


def test_a_volatility_target_halves_the_exposure_at_twice_the_volatility_and_never_borrows() -> None:
    calm, wild = (panel_earning(alternating([size, size], 21)) for size in (0.005, 0.02))
    volatility = float(alternating([0.02], 21)[:, 0].std(ddof=1)) * 252**0.5
    assert last_weights(VolatilityTarget(), calm).sum() == pytest.approx(1.0)
    assert last_weights(VolatilityTarget(), wild).sum() == pytest.approx(0.15 / volatility)
    assert last_weights(VolatilityTarget(), panel_of(np.full((22, 2), 10.0))).sum() == pytest.approx(1.0)


def test_the_dip_rule_holds_half_in_a_flat_market_and_more_after_a_fall() -> None:
    assert DipRule().lookback_bars == 315
    flat = alternating([0.01], 314)[:, 0]
    assert DipRule().exposure(flat) == pytest.approx(0.5, abs=0.02)
    assert DipRule().exposure(np.zeros(314)) == pytest.approx(0.5)
    assert DipRule().exposure(flat - 0.002) > 0.65
    assert DipRule().exposure(flat + 0.002) < 0.35


def test_the_dip_rule_is_a_sigmoid_of_the_fall_in_units_of_its_volatility() -> None:
    returns = np.array([0.01, -0.02, 0.03, -0.01])
    rise = 1.03 * 0.99 - 1
    z = rise / (returns.std(ddof=1) * 2**0.5)
    at_once = DipRule(2, 4, follow=1.0).exposure(np.concatenate([[0.5], returns]))
    assert at_once == pytest.approx(1 / (1 + np.exp(z)))


def test_the_dip_rule_follows_a_fall_slowly() -> None:
    before = alternating([0.01], 314)[:, 0]
    after = np.append(before[1:], -0.1)
    at_once, slowly = DipRule(follow=1.0), DipRule()
    assert at_once.exposure(after) - at_once.exposure(before) > 0.1
    assert 0.003 < slowly.exposure(after) - slowly.exposure(before) < 0.02


def test_the_trend_filter_is_all_in_above_the_mean_and_out_below_it() -> None:
    up, down = (panel_earning(np.full((199, 2), step)) for step in (0.001, -0.001))
    np.testing.assert_allclose(last_weights(TrendFilter(), up), [0.5, 0.5])
    np.testing.assert_allclose(last_weights(TrendFilter(), down), [0, 0])


@pytest.mark.parametrize("rule", [VolatilityTarget(), DipRule(), TrendFilter()])
def test_a_rule_reads_as_many_bars_as_it_says_and_waits_for_them(rule: MarketTiming) -> None:
    returns = np.random.default_rng(4).normal(0, 0.02, (rule.lookback_bars, 3))
    panel = panel_earning(returns)
    result = run_strategy("policy", rule, panel, Terms())
    assert result.decided.tolist() == [False] * (rule.lookback_bars - 1) + [True, True]
    short = panel.rows(1, len(panel))
    np.testing.assert_array_equal(last_weights(rule, panel), last_weights(rule, short))
