"""The environment's risk score C_env of arXiv 2508.01173, in value weights, bounded and causal."""

from __future__ import annotations

import numpy as np

from engine.arrays import FloatArray
from engine.compiled import compiled
from engine.panel import MarketPanel

RISK_WINDOW = 30
"""Sessions of past returns the simulated volatility uses."""

VOLATILITY_SCALE = 0.40
"""Annualised volatility that counts as the full volatility score of 1: about what a diversified, fully invested
portfolio of large stocks reaches in a crisis. With it, scores of the bundled sample run from 0.3 to 0.6 in nine
sessions of ten when invested, so the lowest of the published thresholds bind almost always and the highest rarely."""


def trailing_returns(panel: MarketPanel) -> FloatArray:
    """Return (T, N) simple close-to-close returns; 0 where either bar is missing, and in the first row."""
    returns = np.zeros_like(panel.close)
    returns[1:] = panel.close[1:] / panel.close[:-1] - 1.0
    return np.nan_to_num(returns, nan=0.0)


@compiled
def risk_score(weights: FloatArray, returns: FloatArray) -> float:
    """Return C_env(s, a) = 0.4 * simulated volatility + 0.3 * concentration + 0.3 * leverage, in [0, 1].

    Simulated volatility is the annualised deviation (ddof 1) that the weights would have had over the past
    returns, over VOLATILITY_SCALE; concentration the sum of squared weights; leverage the gross exposure.
    Each is clipped to [0, 1]. Source: arXiv 2508.01173, section on the safety critic; the published code's
    share counts, constant leverage term and look-ahead are not repeated.

    Parameters
    ----------
    weights : (N,) target weights, NaN counts as 0.
    returns : (M, N) simple returns up to the decision's close; M < 2 gives a volatility of 0.
    """
    m, n = returns.shape
    gross = 0.0
    concentration = 0.0
    for i in range(n):
        if weights[i] == weights[i]:
            gross += abs(weights[i])
            concentration += weights[i] * weights[i]
    volatility = 0.0
    if m >= 2:
        total = 0.0
        squares = 0.0
        for k in range(m):
            value = 0.0
            for i in range(n):
                if weights[i] == weights[i]:
                    value += weights[i] * returns[k, i]
            total += value
            squares += value * value
        variance = max(squares - total * total / m, 0.0) / (m - 1)
        volatility = np.sqrt(variance * 252.0) / VOLATILITY_SCALE
    return 0.4 * min(volatility, 1.0) + 0.3 * min(concentration, 1.0) + 0.3 * min(gross, 1.0)
