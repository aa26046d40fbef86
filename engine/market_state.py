"""Scale-free state of a market at one close: what each symbol looks like beside the others, and the whole.

One compiled function computes it from the last LOOKBACK_BARS sessions, in training and when trading, so that any
history of at least so many sessions gives the same numbers. No price level enters: multiply a symbol's prices by
ten and nothing changes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.arrays import BoolArray, FloatArray
from engine.compiled import compiled
from engine.observation import bars_window
from engine.panel import FIELDS, MarketPanel

LOOKBACK_BARS = 253
"""Sessions that a state reads: 252 returns."""

MIN_BARS = 64
"""Fewest bars of a symbol inside them for it to be held: 63 returns."""

ASSET_FEATURES = (
    "return_1",
    "return_5",
    "return_21",
    "return_63",
    "return_126",
    "momentum_12_1",
    "volatility_21",
    "volatility_63",
    "volatility_252",
    "drawdown_252",
    "above_mean_50",
    "above_mean_200",
    "bollinger_20",
    "rsi_14",
    "largest_return_21",
    "skewness_63",
    "overnight_21",
    "volume_ratio_21_126",
    "beta_252",
    "residual_volatility_252",
)
"""F features of a symbol, each ranked across the symbols of its session."""

MARKET_FEATURES = (
    "return_5",
    "return_21",
    "return_63",
    "return_252",
    "volatility_ratio_21",
    "volatility_ratio_63",
    "drawdown",
    "correlation_63",
    "breadth_200",
    "dispersion_21",
)
"""M features of the equal-weight market of all symbols; returns and drawdown in units of its volatility."""

RANK_SCALE = float(np.sqrt(3.0) / 2.0)
"""Ranks lie evenly in +-this, with a standard deviation of one half."""

MARKET_CLIP = 3.0


class MarketState(NamedTuple):
    """What a decision knows of the bars.

    Attributes
    ----------
    assets : (N, F) ranks in +-RANK_SCALE; 0, the middle, where a feature is unknown.
    market : (M,) in +-MARKET_CLIP; 0 where unknown.
    ready : (N,) True where the symbol has a bar now and MIN_BARS inside the look-back.
    """

    assets: FloatArray
    market: FloatArray
    ready: BoolArray


def market_state(panel: MarketPanel, row: int) -> MarketState:
    """Return the state at the close of a row of the panel."""
    return state_of_bars(*(np.asarray(bars_window(panel, name, row, LOOKBACK_BARS)) for name in FIELDS))


@compiled
def state_of_bars(
    opening: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray
) -> MarketState:
    """Return the state at the close of the last of L <= LOOKBACK_BARS sessions.

    Parameters
    ----------
    opening, high, low, close, volume : (L, N) bars in terms of the last session, oldest first; NaN where missing.
    """
    length, n = close.shape
    returns, market = _returns(close)
    assets = np.full((n, len(ASSET_FEATURES)), np.nan)
    ready = np.zeros(n, np.bool_)
    own = np.empty((3, length))
    for i in range(n):
        if np.isnan(close[length - 1, i]):
            continue
        known = 0
        for t in range(length):
            if close[t, i] == close[t, i]:
                own[0, known] = np.log(close[t, i])
                own[1, known] = np.log(opening[t, i])
                own[2, known] = volume[t, i]
                known += 1
        ready[i] = known >= MIN_BARS
        _describe(own[0, :known], own[1, :known], own[2, :known], assets[i])
        _compare(returns[i], market, assets[i])
    whole = _whole(returns, market, ready, assets)
    for k in range(assets.shape[1]):
        _rank(assets, k, ready)
    return MarketState(assets, whole, ready)


@compiled
def _returns(close: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (N, L) log returns, NaN where a bar is missing, and (L,) the mean of those known, 0 without any."""
    length, n = close.shape
    returns = np.full((n, length), np.nan)
    market = np.zeros(length)
    for t in range(1, length):
        total, known = 0.0, 0
        for i in range(n):
            value = np.log(close[t, i] / close[t - 1, i])
            if value == value:
                returns[i, t] = value
                total += value
                known += 1
        if known > 0:
            market[t] = total / known
    return returns, market


@compiled
def _mean(values: FloatArray, count: int) -> float:
    """Return the mean of the last ``count`` values."""
    total = 0.0
    for k in range(len(values) - count, len(values)):
        total += values[k]
    return total / count


@compiled
def _deviation(values: FloatArray, count: int) -> float:
    """Return the standard deviation (ddof 0) of the last ``count`` steps between neighbouring values."""
    last = len(values) - 1
    mean = (values[last] - values[last - count]) / count
    total = 0.0
    for k in range(last - count + 1, last + 1):
        total += (values[k] - values[k - 1] - mean) ** 2
    return float(np.sqrt(total / count))


@compiled
def _describe(close: FloatArray, opening: FloatArray, volume: FloatArray, found: FloatArray) -> None:
    """Write the features of one symbol from its own bars (m,), oldest first; what is too short stays NaN.

    ``close`` and ``opening`` are logarithms, so distances from a mean are relative to the geometric mean.
    """
    m = len(close)
    last = close[m - 1]
    if m > 1:
        found[0] = last - close[m - 2]
    if m > 5:
        found[1] = last - close[m - 6]
    if m > 21:
        found[2] = last - close[m - 22]
        found[6] = _deviation(close, 21)
        _short_features(close, opening, found)
    if m > 63:
        found[3] = last - close[m - 64]
        found[7] = _deviation(close, 63)
        found[8] = _deviation(close, m - 1)
        highest = close[0]
        for k in range(m):
            highest = max(highest, close[k])
        found[9] = last - highest
        found[10] = last - _mean(close, 50)
        found[11] = last - _mean(close, min(200, m))
        found[15] = _skewness(close, 63)
    if m > 126:
        found[4] = last - close[m - 127]
        usual = _mean(volume, 126)
        if usual > 0.0:
            found[17] = _mean(volume, 21) / usual
    if m > 251:
        found[5] = close[m - 22] - close[m - 252]


@compiled
def _short_features(close: FloatArray, opening: FloatArray, found: FloatArray) -> None:
    m = len(close)
    largest, ups, downs, overnight, square = -np.inf, 0.0, 0.0, 0.0, 0.0
    mean = _mean(close, 20)
    for k in range(m - 21, m):
        step = close[k] - close[k - 1]
        largest = max(largest, step)
        overnight += opening[k] - close[k - 1]
        if k >= m - 20:
            square += (close[k] - mean) ** 2
        if k >= m - 14:
            ups += max(step, 0.0)
            downs += max(-step, 0.0)
    found[12] = (close[m - 1] - mean) / np.sqrt(square / 20.0) if square > 0.0 else 0.0
    found[13] = ups / (ups + downs) if ups + downs > 0.0 else 0.5
    found[14] = largest
    found[16] = overnight / 21.0


@compiled
def _skewness(values: FloatArray, count: int) -> float:
    last = len(values) - 1
    mean = (values[last] - values[last - count]) / count
    deviation = _deviation(values, count)
    total = 0.0
    for k in range(last - count + 1, last + 1):
        step = values[k] - values[k - 1] - mean
        total += step * step * step
    return total / (count * deviation * deviation * deviation) if deviation > 0.0 else 0.0


@compiled
def _compare(returns: FloatArray, market: FloatArray, found: FloatArray) -> None:
    """Write a symbol's beta and residual volatility against the market, from the sessions where both are known."""
    known, of_one, of_market, product, square, own = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for t in range(1, len(returns)):
        if returns[t] == returns[t]:
            known += 1
            of_one += returns[t]
            of_market += market[t]
            product += returns[t] * market[t]
            square += market[t] * market[t]
            own += returns[t] * returns[t]
    if known < MIN_BARS - 1:
        return
    variance = square / known - (of_market / known) ** 2
    covariance = product / known - of_one / known * of_market / known
    if variance > 0.0:
        found[18] = covariance / variance
        found[19] = np.sqrt(max(own / known - (of_one / known) ** 2 - covariance * covariance / variance, 0.0))


@compiled
def _whole(returns: FloatArray, market: FloatArray, ready: BoolArray, assets: FloatArray) -> FloatArray:
    """Return the (M,) features of the market as a whole; 0 while it has fewer than MIN_BARS sessions."""
    length = len(market)
    found = np.zeros(len(MARKET_FEATURES))
    level = np.cumsum(market)
    if length < MIN_BARS:
        return found
    usual = _deviation(level, length - 1)
    if not usual > 0.0:
        return found
    highest = 0.0
    for t in range(length):
        highest = max(highest, level[t])
    for k in range(4):
        span = min((5, 21, 63, 252)[k], length - 1)
        found[k] = (level[length - 1] - level[length - 1 - span]) / (usual * np.sqrt(span))
    found[4] = 2.0 * np.log(max(_deviation(level, 21) / usual, 1e-3))
    found[5] = 2.0 * np.log(max(_deviation(level, 63) / usual, 1e-3))
    found[6] = (level[length - 1] - highest) / (usual * np.sqrt(63.0))
    found[7] = 4.0 * (_mean_correlation(returns, ready) - 0.4)
    above, known, total, square = 0.0, 0, 0.0, 0.0
    for i in range(len(ready)):
        if ready[i]:
            known += 1
            above += 1.0 if assets[i, 11] > 0.0 else 0.0
            total += assets[i, 2]
            square += assets[i, 2] * assets[i, 2]
    if known > 0:
        found[8] = 3.0 * (2.0 * above / known - 1.0)
        spread = np.sqrt(max(square / known - (total / known) ** 2, 0.0))
        found[9] = spread / (usual * np.sqrt(21.0)) - 1.5
    for k in range(len(found)):
        found[k] = min(max(found[k], -MARKET_CLIP), MARKET_CLIP)
    return found


@compiled
def _mean_correlation(returns: FloatArray, ready: BoolArray) -> float:
    """Return the variance of the mean of 63 standardised returns: their mean correlation, 1 / N too high."""
    length = returns.shape[1]
    total = np.zeros(63)
    counted = 0
    for i in range(len(ready)):
        if not ready[i]:
            continue
        mean, square = 0.0, 0.0
        for t in range(length - 63, length):
            value = returns[i, t]
            if value == value:
                mean += value / 63.0
                square += value * value / 63.0
        deviation = np.sqrt(max(square - mean * mean, 0.0))
        if deviation > 0.0:
            counted += 1
            for k in range(63):
                value = returns[i, length - 63 + k]
                if value == value:
                    total[k] += (value - mean) / deviation
    found = 0.0
    for k in range(63):
        found += (total[k] / max(counted, 1)) ** 2 / 63.0
    return found


@compiled
def _rank(assets: FloatArray, k: int, ready: BoolArray) -> None:
    """Replace feature k by its ranks among those known and ready; equal values share the mean of their ranks."""
    n = len(ready)
    values = assets[:, k].copy()
    known = 0
    for i in range(n):
        if ready[i] and values[i] == values[i]:
            known += 1
    for i in range(n):
        assets[i, k] = 0.0
        if ready[i] and values[i] == values[i]:
            below, same = 0, 0
            for j in range(n):
                if ready[j]:
                    below += values[j] < values[i]
                    same += values[j] == values[i]
            assets[i, k] = ((2.0 * below + same) / known - 1.0) * RANK_SCALE
