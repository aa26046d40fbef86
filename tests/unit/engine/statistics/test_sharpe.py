"""Probabilistic and deflated Sharpe ratios: the papers' numbers, skfolio's, and what they must mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skfolio.measures

from engine.errors import InputError
from engine.statistics.sharpe import (
    deflated_sharpe,
    expected_max_sharpe,
    probabilistic_sharpe,
    probability_above,
)


def returns_of(seed: int, n: int = 500, mean: float = 0.0005) -> np.ndarray:
    return mean + 0.01 * np.random.default_rng(seed).standard_t(4, n)


def test_the_hedge_fund_of_the_2012_paper() -> None:
    # 24 months, monthly Sharpe ratio 0.458; printed: 0.982 if normal, 0.913 with the skew and kurtosis it had.
    assert probability_above(0.0, 0.458, 24, 0.0, 3.0) == pytest.approx(0.982, abs=5e-4)
    assert probability_above(0.0, 0.458, 24, -2.448, 10.164) == pytest.approx(0.913, abs=5e-4)


def test_the_numerical_example_of_the_2014_paper() -> None:
    # 1,250 days, annual Sharpe ratio 2.5, skew -3, kurtosis 10; variance of the trials' annual ratios 1/2.
    sharpe, variance = 2.5 / math.sqrt(250), 0.5 / 250
    best = expected_max_sharpe(100, variance)
    assert best == pytest.approx(0.1132, abs=5e-5)
    assert probability_above(best, sharpe, 1250, -3.0, 10.0) == pytest.approx(0.9004, abs=5e-5)
    # With 46 trials it would have passed at 95 %; with normal returns, 88 would have been as good.
    assert probability_above(expected_max_sharpe(46, variance), sharpe, 1250, -3.0, 10.0) == pytest.approx(
        0.9505, abs=5e-5
    )
    assert probability_above(expected_max_sharpe(88, variance), sharpe, 1250, 0.0, 3.0) == pytest.approx(
        0.9505, abs=5e-5
    )


@pytest.mark.parametrize("seed", range(5))
def test_all_three_equal_those_of_skfolio(seed: int) -> None:
    returns, trials = returns_of(seed), np.random.default_rng(seed).normal(0, 0.05, 12)
    variance = float(trials.var(ddof=1))
    # Rounding of sums of 500 numbers.
    assert probabilistic_sharpe(returns, 0.02) == pytest.approx(
        skfolio.measures.probabilistic_sharpe_ratio(returns, 0.02), rel=1e-12
    )
    assert expected_max_sharpe(12, variance) == pytest.approx(
        skfolio.measures.expected_max_sharpe_ratio(12, math.sqrt(variance)), rel=1e-12
    )
    assert deflated_sharpe(returns, 12, variance) == pytest.approx(
        skfolio.measures.deflated_sharpe_ratio(returns, trials), rel=1e-12
    )


def test_the_expected_best_is_near_the_mean_of_simulated_bests() -> None:
    best = np.random.default_rng(0).normal(0, 0.1, (4000, 50)).max(axis=1)
    # The paper's is an approximation for many trials; the mean of 4,000 bests has an error of 0.7 % of 0.1.
    assert expected_max_sharpe(50, 0.01) == pytest.approx(best.mean(), abs=0.005)


def test_one_trial_is_deflated_by_nothing() -> None:
    returns = returns_of(1)
    assert deflated_sharpe(returns, 1) == probabilistic_sharpe(returns)
    assert deflated_sharpe(returns, 1, 0.5) == probabilistic_sharpe(returns)


def test_more_trials_and_wider_trials_deflate_more() -> None:
    returns = returns_of(1, mean=0.002)
    of_trials = [deflated_sharpe(returns, n) for n in (1, 2, 10, 100, 10_000)]
    assert of_trials == sorted(of_trials, reverse=True)
    assert len(set(of_trials)) == 5
    of_variance = [deflated_sharpe(returns, 10, variance) for variance in (0.0, 0.001, 0.01)]
    assert of_variance == sorted(of_variance, reverse=True)


def test_unknown_trials_vary_as_estimates_without_skill_do() -> None:
    returns = returns_of(2, n=400)
    assert deflated_sharpe(returns, 20) == deflated_sharpe(returns, 20, 1 / 399)
    estimates = np.random.default_rng(0).normal(0, 1, (5000, 400))
    ratios = estimates.mean(axis=1) / estimates.std(axis=1, ddof=1)
    # The variance of 5,000 normal numbers has an error of 2 %.
    assert ratios.var() == pytest.approx(1 / 399, rel=0.06)


def test_the_best_of_many_without_skill_looks_sure_until_it_is_deflated() -> None:
    trials = np.random.default_rng(3).normal(0, 0.01, (100, 500))
    ratios = trials.mean(axis=1) / trials.std(axis=1, ddof=1)
    best = trials[np.argmax(ratios)]
    assert probabilistic_sharpe(best) > 0.98
    assert 0.2 < deflated_sharpe(best, 100, float(ratios.var(ddof=1))) < 0.8
    assert 0.2 < deflated_sharpe(best, 100) < 0.8


def test_a_longer_record_of_the_same_returns_is_surer_and_losses_are_the_mirror_image() -> None:
    returns = returns_of(4, mean=0.001)
    assert 0.5 < probabilistic_sharpe(returns) < probabilistic_sharpe(np.tile(returns, 4))
    assert probabilistic_sharpe(-returns) == pytest.approx(1.0 - probabilistic_sharpe(returns), abs=1e-12)


@pytest.mark.parametrize("returns", [[], [0.1], [0.1, 0.2], [0.1] * 30, [0.1, float("nan"), 0.2, 0.3]])
def test_without_enough_or_varying_returns_there_is_no_probability(returns: list[float]) -> None:
    assert math.isnan(probabilistic_sharpe(np.array(returns)))
    assert math.isnan(deflated_sharpe(np.array(returns), 5))


def test_moments_that_leave_no_variance_give_no_probability() -> None:
    assert math.isnan(probability_above(0.0, 1.0, 100, 3.0, 3.0))


@pytest.mark.parametrize(
    ("n_trials", "variance", "named"),
    [
        (0, 0.1, "n_trials must be at least 1, was 0"),
        (3, -0.1, "trial_variance must be finite and not negative, was -0.1"),
        (3, math.nan, "trial_variance must be finite"),
    ],
)
def test_numbers_of_trials_out_of_range_are_refused(n_trials: int, variance: float, named: str) -> None:
    with pytest.raises(InputError, match=named):
        deflated_sharpe(returns_of(0), n_trials, variance)
