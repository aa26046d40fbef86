"""Volatility and maximum drawdown over a moving window."""

from __future__ import annotations

import numpy as np

from engine.arrays import FloatArray
from engine.compiled import compiled
from engine.errors import InputError
from engine.metrics.drawdown import max_drawdown
from engine.metrics.returns import volatility


@compiled
def rolling_volatility(returns: FloatArray, window: int) -> FloatArray:
    """Return the standard deviation of the last ``window`` returns, not annualised.

    Parameters
    ----------
    returns : (n,) simple returns.
    window : number of returns, at least 2.

    Returns
    -------
    (n,) fractions per session, >= 0, with ``ddof=1``, as ``pandas.Series.rolling(window).std()``; entry t
    covers the returns ``t - window + 1`` to t. NaN before ``t = window - 1`` and where the window holds a
    NaN.

    Raises
    ------
    InputError
        When ``window`` is below 2.

    Notes
    -----
    Each window is summed anew: a running sum would drift, and row t would depend on where the data starts.
    """
    if window < 2:
        raise InputError("window must be at least 2 returns")
    rolled = np.full(len(returns), np.nan)
    for t in range(window - 1, len(returns)):
        rolled[t] = volatility(returns[t - window + 1 : t + 1])
    return rolled


@compiled
def rolling_max_drawdown(equity: FloatArray, window: int) -> FloatArray:
    """Return the largest fall from a running peak inside the last ``window`` sessions.

    Parameters
    ----------
    equity : (T,) account value in account currency, oldest first, all > 0.
    window : number of sessions, at least 1; a session is one change of equity, so that ``window + 1``
        equities count and the starting one is among them.

    Returns
    -------
    (T,) positive fractions in [0, 1); entry t is ``max_drawdown(equity[t - window : t + 1])``. NaN before
    ``t = window`` and where the window holds a NaN.

    Raises
    ------
    InputError
        When ``window`` is below 1.
    """
    if window < 1:
        raise InputError("window must be at least 1 session")
    rolled = np.full(len(equity), np.nan)
    for t in range(window, len(equity)):
        rolled[t] = max_drawdown(equity[t - window : t + 1])
    return rolled
