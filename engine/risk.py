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


VOLATILITY_WINDOW = 21
"""Sessions that the volatility of the market-impact law looks back."""

UNKNOWN_VOLATILITY = 0.02
"""Daily volatility of a symbol with fewer than five returns in that window: that of a lively single stock."""


def trailing_returns(panel: MarketPanel) -> FloatArray:
    """Return (T, N) simple returns of holding from close to close, dividends and splits included.

    0 where either bar is missing, and in the first row.
    """
    return np.nan_to_num(_holding_returns(panel), nan=0.0)


def trailing_volatility(panel: MarketPanel, first: int, last: int) -> FloatArray:
    """Return the daily volatility of each symbol before the sessions ``first`` to ``last``.

    Returns
    -------
    (last - first + 1, N) standard deviation (ddof 1) of the returns in the VOLATILITY_WINDOW sessions before each,
    the session itself left out; UNKNOWN_VOLATILITY where fewer than five returns are known.
    """
    return _volatility_before(_holding_returns(panel), first, last)


def _holding_returns(panel: MarketPanel) -> FloatArray:
    returns = np.full(panel.close.shape, np.nan)
    growth = 1.0 if panel.growth is None else panel.growth[1:]
    returns[1:] = panel.close[1:] * growth / panel.close[:-1] - 1.0
    return returns


@compiled
def _volatility_before(returns: FloatArray, first: int, last: int) -> FloatArray:
    volatility = np.full((last - first + 1, returns.shape[1]), UNKNOWN_VOLATILITY)
    for t in range(first, last + 1):
        for i in range(returns.shape[1]):
            count, total, squares = 0, 0.0, 0.0
            for k in range(max(0, t - VOLATILITY_WINDOW), t):
                value = returns[k, i]
                if value == value:
                    count += 1
                    total += value
                    squares += value * value
            if count >= 5:
                volatility[t - first, i] = np.sqrt(max(squares - total * total / count, 0.0) / (count - 1))
    return volatility


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
