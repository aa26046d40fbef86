"""How likely a Sharpe ratio is more than luck: the probabilistic and the deflated Sharpe ratio."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from engine.arrays import FloatArray
from engine.errors import InputError
from engine.metrics.returns import sharpe_ratio

_NORMAL = NormalDist()


def probabilistic_sharpe(returns: FloatArray, benchmark: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio of a series of returns exceeds a benchmark.

    Parameters
    ----------
    returns : (n,) simple returns above the risk-free one.
    benchmark : Sharpe ratio of one session, not annualised.

    Returns
    -------
    Probability; NaN when n < 3, a return is NaN, or the returns do not vary.

    Notes
    -----
    As `probability_above`, with the moments of the sample (skew and kurtosis divided by n).
    `skfolio.measures.probabilistic_sharpe_ratio` gives the same but costs 2 s of imports; it leaves NaN returns out.
    """
    values = np.array(returns, dtype=np.float64, order="C")
    n = len(values)
    sharpe = sharpe_ratio(values, 0.0, 1.0)
    if n < 3 or math.isnan(sharpe):
        return math.nan
    centred = values - values.mean()
    standard = centred / math.sqrt(np.mean(centred**2))
    return probability_above(benchmark, sharpe, n, float(np.mean(standard**3)), float(np.mean(standard**4)))


def probability_above(benchmark: float, sharpe: float, n: int, skew: float, kurtosis: float) -> float:
    """Return the probability that a true Sharpe ratio exceeds a benchmark, given the one observed.

    Parameters
    ----------
    benchmark, sharpe : of one session, not annualised.
    n : number of returns.
    skew, kurtosis : of the returns; a normal distribution has 0 and 3.

    Returns
    -------
    Probability; NaN when n < 2, or when the moments leave the estimate no variance.

    Notes
    -----
    Bailey and López de Prado (2012), "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), section 3.
    """
    variance = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if n < 2 or not variance > 0.0:
        return math.nan
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt((n - 1) / variance))


def expected_max_sharpe(n_trials: int, trial_variance: float) -> float:
    """Return the Sharpe ratio that the best of several trials without skill is expected to show.

    Parameters
    ----------
    n_trials : number of independent trials, at least 1; one trial is no choice, and gives 0.
    trial_variance : variance of the trials' Sharpe ratios, >= 0.

    Returns
    -------
    Sharpe ratio over the same period as the variance.

    Raises
    ------
    InputError
        When a value is out of range.

    Notes
    -----
    Bailey and López de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5),
    equation 1 with a mean of 0. Trials that resemble each other count as fewer than they are.
    """
    if n_trials < 1:
        raise InputError(f"n_trials must be at least 1, was {n_trials}")
    if not (math.isfinite(trial_variance) and trial_variance >= 0.0):
        raise InputError(f"trial_variance must be finite and not negative, was {trial_variance}")
    if n_trials == 1:
        return 0.0
    euler = float(np.euler_gamma)
    # The upper tail is taken from below: 1 - 1 / n loses the digits of a large n.
    best = -(1.0 - euler) * _NORMAL.inv_cdf(1.0 / n_trials) - euler * _NORMAL.inv_cdf(1.0 / (n_trials * math.e))
    return math.sqrt(trial_variance) * best


def deflated_sharpe(returns: FloatArray, n_trials: int, trial_variance: float | None = None) -> float:
    """Return the probability that the true Sharpe ratio is above 0, given that it is the best of several trials.

    Parameters
    ----------
    returns : (n,) simple returns of the chosen trial, above the risk-free one.
    n_trials : how many were tried, the chosen one included; with one, this is `probabilistic_sharpe`.
    trial_variance : variance (ddof 1) of the trials' Sharpe ratios of one session, not annualised. None when fewer
        than two are known: then ``1 / (n - 1)``, the variance of the estimate for returns without skill.

    Returns
    -------
    Probability; NaN as in `probabilistic_sharpe`.

    Raises
    ------
    InputError
        As `expected_max_sharpe`.

    Notes
    -----
    Bailey and López de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5), equation 2.
    """
    variance = 1.0 / max(len(returns) - 1, 1) if trial_variance is None else trial_variance
    return probabilistic_sharpe(returns, expected_max_sharpe(n_trials, variance))
