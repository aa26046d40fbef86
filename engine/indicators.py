"""The indicators of arXiv 2508.01173, section "State", from TA-Lib, free of the price level.

Levels of adjusted prices depend on dividends paid later, so no feature here depends on them: the price is
taken relative to its mean over the look-back, and MACD relative to the last close. RSI, CCI and ADX are
free of the level by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import talib

from engine.arrays import FloatArray

LOOKBACK_BARS = 120
"""Bars a feature may use. MACD's 26-day average keeps a weight of 1e-4 on older bars; ADX, which is smoothed
twice, differs from its value on a much longer history by 0.06 % in the median and 0.6 % at most."""

MIN_BARS = 40
"""Fewest bars for a feature: MACD(12/26/9) and ADX(14) need 34 and 28."""


class BarWindow(NamedTuple):
    """The bars of one symbol that a feature may use, oldest first; each (M,) with MIN_BARS <= M."""

    high: FloatArray
    low: FloatArray
    close: FloatArray


def price(window: BarWindow) -> float:
    """Return the last close over the mean close of the window, minus 1."""
    return float(window.close[-1] / window.close.mean() - 1.0)


def macd(window: BarWindow) -> float:
    """Return the MACD line (12/26) over the last close."""
    return float(talib.MACD(window.close, 12, 26, 9)[0][-1] / window.close[-1])


def rsi(window: BarWindow) -> float:
    """Return the relative strength index over 14 bars, in [0, 100]."""
    return float(talib.RSI(window.close, 14)[-1])


def cci(window: BarWindow) -> float:
    """Return the commodity channel index over 20 bars."""
    return float(talib.CCI(window.high, window.low, window.close, 20)[-1])


def adx(window: BarWindow) -> float:
    """Return the average directional movement index over 14 bars, in [0, 100]."""
    return float(talib.ADX(window.high, window.low, window.close, 14)[-1])


FEATURES: dict[str, Callable[[BarWindow], float]] = {
    "price": price,
    "macd": macd,
    "rsi": rsi,
    "cci": cci,
    "adx": adx,
}
MARS_FEATURES = ("price", "macd", "rsi", "cci", "adx")
"""The K = 5 features of arXiv 2508.01173, in the paper's order."""
