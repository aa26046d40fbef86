"""What baselines read of the past: closes of exactly the last L sessions, and the returns of the market in them."""

from __future__ import annotations

import numpy as np

from engine.arrays import BoolArray, FloatArray
from engine.observation import Observation
from engine.policy import Decision, StatelessPolicy

YEAR = 252
"""Sessions of a year, for look-backs and annual volatilities."""

ENOUGH = 0.9
"""Share of a look-back's sessions in which a symbol must have a bar to be weighed by its past."""


class WeighedByPast(StatelessPolicy):
    """Base of policies that weigh each usable symbol by its closes of the last ``lookback_bars`` sessions.

    Usable is a symbol with a bar in this session and in nine tenths of the look-back, whose price has moved in
    it; the others get 0. A missing close counts as the one before it. One usable symbol gets all of
    the portfolio. Without any, as before the data is as long as nine tenths of the look-back, there is no decision:
    what is held stays.

    Parameters
    ----------
    lookback_bars : sessions read, this one included, >= 3.
    """

    def __init__(self, lookback_bars: int) -> None:
        self.lookback_bars = lookback_bars

    def decide(self, observation: Observation) -> Decision | None:
        """Return the weights of the usable symbols, 0 for the others; None when there is no usable one."""
        close = observation.window("close", self.lookback_bars)
        usable = _usable(close, self.lookback_bars)
        if not usable.any():
            return None
        symbols = tuple(np.array(observation.symbols)[usable].tolist())
        weights = np.zeros(len(usable))
        weights[usable] = self.weigh(_filled(close[:, usable]), symbols)
        return Decision(weights)

    def weigh(self, close: FloatArray, symbols: tuple[str, ...]) -> FloatArray:
        """Return (n,) weights >= 0 that sum to 1.

        Parameters
        ----------
        close : (<= lookback_bars, n) closes of the n usable symbols, none missing.
        symbols : their names.
        """
        raise NotImplementedError


def simple_returns(close: FloatArray) -> FloatArray:
    """Return the (T - 1, n) simple returns of (T, n) closes."""
    returns: FloatArray = close[1:] / close[:-1] - 1.0
    return returns


def market_returns(observation: Observation, n_returns: int) -> FloatArray | None:
    """Return the last returns of the market: each session the mean of all symbols that have one, costs aside.

    A symbol has one when it has a bar in that session and an earlier one in the window.

    Returns
    -------
    (n_returns,) simple returns, oldest first, 0 where no symbol has one; None when the data is shorter.
    """
    close = observation.window("close", n_returns + 1)
    if len(close) <= n_returns:
        return None
    missing = np.isnan(close)
    started = np.logical_or.accumulate(~missing, axis=0)
    counts = started[:-1] & ~missing[1:]
    returns = np.where(counts, simple_returns(_filled(close)), 0.0)
    market: FloatArray = returns.sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
    return market


def _usable(close: FloatArray, lookback_bars: int) -> BoolArray:
    present = ~np.isnan(close)
    low = np.where(present, close, np.inf).min(axis=0)
    high = np.where(present, close, -np.inf).max(axis=0)
    usable: BoolArray = present[-1] & (present.sum(axis=0) >= ENOUGH * lookback_bars) & (high > low)
    return usable


def _filled(close: FloatArray) -> FloatArray:
    """Return closes with the last one before in place of a missing one, and at the beginning the first one after."""
    present = ~np.isnan(close)
    rows = np.where(present, np.arange(len(close))[:, None], present.argmax(axis=0))
    filled: FloatArray = np.take_along_axis(close, np.maximum.accumulate(rows, axis=0), axis=0)
    return filled
