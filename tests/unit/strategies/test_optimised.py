"""The optimisers: weights that theory knows, caps, failures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from panels import panel_of, run_strategy

from data_feeds.files import read_panel
from engine.arrays import FloatArray
from engine.errors import ConfigError, PolicyError
from engine.limits import Limits
from engine.panel import MarketPanel, Window
from engine.policy import Policy
from engine.rebalancer import Schedule, Terms
from engine.result import Result
from marsfolio.compose import plan_strategy
from strategies.baselines import EqualWeight
from strategies.optimised import HierarchicalRiskParity, MeanVariance, MinVariance, Optimised, RiskParity
from strategies.registry import OPTIMISED, baseline

DATA = Path(os.environ.get("MARSFOLIO_DATA", "absent")) / "us50.parquet"
N_RETURNS = 4000
"""So many that the shrinkage of the covariance, which falls with their number, moves a weight by 0.001."""


def panel_like(covariance: FloatArray, mean: FloatArray) -> MarketPanel:
    """Return a panel whose sample of returns has exactly these moments."""
    draws = np.random.default_rng(8).normal(0, 1, (N_RETURNS, len(mean)))
    draws -= draws.mean(axis=0)
    white = draws @ np.linalg.inv(np.linalg.cholesky(draws.T @ draws / N_RETURNS)).T
    returns = white @ np.linalg.cholesky(covariance).T + mean
    return panel_of(np.cumprod(np.vstack([np.full(len(mean), 1e6), 1 + returns]), axis=0))


def weights_of(policy: Policy, panel: MarketPanel) -> FloatArray:
    row = len(panel) - 1
    weights: FloatArray = run_strategy("policy", policy, panel, Terms(), row).target_weight[-1]
    return weights


UNCORRELATED = panel_like(np.diag([0.01, 0.02]) ** 2, np.array([1e-4, 2e-4]))
"""The second has twice the volatility and twice the mean of the first."""


@pytest.mark.parametrize(
    ("optimiser", "expected"),
    [
        (MinVariance, [4 / 5, 1 / 5]),  # 1 / variance
        (RiskParity, [2 / 3, 1 / 3]),  # 1 / volatility
        (HierarchicalRiskParity, [4 / 5, 1 / 5]),  # 1 / variance of two clusters of one
        (MeanVariance, [2 / 3, 1 / 3]),  # mean / variance
    ],
)
def test_two_uncorrelated_symbols_get_the_weights_of_the_textbook(
    optimiser: type[Optimised], expected: list[float]
) -> None:
    np.testing.assert_allclose(weights_of(optimiser(N_RETURNS), UNCORRELATED), expected, atol=0.003)


def test_risk_parity_makes_equal_contributions_of_correlated_symbols() -> None:
    deviation = np.array([0.01, 0.015, 0.03])
    correlation = np.array([[1, 0.7, 0.2], [0.7, 1, 0.1], [0.2, 0.1, 1]])
    covariance = correlation * np.outer(deviation, deviation)
    weights = weights_of(RiskParity(N_RETURNS), panel_like(covariance, np.zeros(3)))
    contributions = weights * (covariance @ weights)
    np.testing.assert_allclose(contributions / contributions.sum(), 1 / 3, atol=0.005)


def test_mean_variance_without_a_positive_mean_is_minimum_variance() -> None:
    panel = panel_like(np.diag([0.01, 0.02]) ** 2, np.array([-1e-3, -1e-3]))
    assert weights_of(MeanVariance(N_RETURNS), panel) == pytest.approx(weights_of(MinVariance(N_RETURNS), panel))


@pytest.mark.parametrize("name", OPTIMISED)
def test_a_cap_is_a_constraint_and_the_rest_goes_to_others_not_to_cash(name: str) -> None:
    panel = panel_like(np.diag([0.005, 0.02, 0.03, 0.04]) ** 2, np.full(4, 1e-4))
    weights = weights_of(OPTIMISED[name](N_RETURNS, 0.4), panel)
    assert weights.max() == pytest.approx(0.4, abs=1e-5)
    assert weights.sum() == pytest.approx(1.0)


def test_the_cap_of_the_limits_is_the_cap_of_the_problem() -> None:
    panel = panel_like(np.diag([0.005, 0.02, 0.03, 0.04]) ** 2, np.full(4, 1e-4))
    row = len(panel) - 1
    terms = Terms(limits=Limits(cap=0.4))
    plan = plan_strategy("min_variance", panel, terms, Window(row, row), Schedule.DAILY, None)
    weights = run_strategy("policy", plan.make_policy(), panel, terms, row).target_weight[-1]
    assert weights.max() == pytest.approx(0.4, abs=1e-5)
    assert weights.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", OPTIMISED)
def test_a_cap_that_leaves_no_choice_means_equal_weights(name: str) -> None:
    np.testing.assert_array_equal(weights_of(OPTIMISED[name](N_RETURNS, 0.5), UNCORRELATED), [0.5, 0.5])


@pytest.mark.parametrize(("n_returns", "cap"), [(1, 1.0), (250, 0.0), (250, 1.5)])
def test_values_out_of_range_are_refused(n_returns: int, cap: float) -> None:
    with pytest.raises(ConfigError, match="must be a"):
        MinVariance(n_returns, cap)


def test_a_solver_that_fails_is_an_error_that_names_the_session_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from skfolio.exceptions import ConvexOptimizationError
    from skfolio.optimization import MeanRisk

    def fail(*_: object) -> None:
        raise ConvexOptimizationError("Solver 'CLARABEL' failed.")

    monkeypatch.setattr(MeanRisk, "fit", fail)
    message = rf"close of {UNCORRELATED.sessions[-1]}: Solver 'CLARABEL' failed. Use inverse_volatility or hrp"
    with pytest.raises(PolicyError, match=message):
        weights_of(MinVariance(N_RETURNS), UNCORRELATED)


@pytest.mark.skipif(not DATA.exists(), reason="MARSFOLIO_DATA must name a folder with us50.parquet")
def test_on_fifty_stocks_in_2019_the_optimisers_take_the_risk_that_they_should() -> None:
    panel, _ = read_panel(DATA)
    span = panel.window(np.datetime64("2019-01-01"), np.datetime64("2019-12-31"))

    def run(policy: Policy) -> Result:
        return run_strategy("policy", policy, panel, Terms(), span.first, span.last, Schedule.MONTHLY)

    equal = run(EqualWeight())
    results = {name: run(baseline(name, 0.2)()) for name in OPTIMISED}
    volatility = {name: result.metrics()["annual_volatility"] for name, result in results.items()}
    assert volatility["min_variance"] < volatility["risk_parity"] < equal.metrics()["annual_volatility"]
    for result in results.values():
        assert result.decided.sum() == 12
        asked = result.target_weight[result.decided]
        np.testing.assert_allclose(asked.sum(axis=1), 1.0)
        assert asked.min() == 0.0 or asked.min() > 1e-3
        assert asked.max() < 0.2001
    holdings = {name: (result.target_weight[result.decided] > 0).sum(axis=1) for name, result in results.items()}
    assert (holdings["risk_parity"] == 50).all()
    assert holdings["mean_variance"].mean() < 20
