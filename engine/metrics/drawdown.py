"""Falls of an equity curve from its running peak: how deep and how long."""

from __future__ import annotations

import numpy as np

from engine.arrays import FloatArray
from engine.compiled import compiled
from engine.metrics.returns import ROUNDING, annual_return


@compiled
def drawdowns(equity: FloatArray) -> FloatArray:
    """Return the fall of each session's equity from the highest one so far.

    Parameters
    ----------
    equity : (T,) account value in account currency, oldest first, all > 0; the starting equity is a peak too.

    Returns
    -------
    (T,) positive fractions in [0, 1), 0.0 at a peak and so at the first session; NaN where equity is NaN or
    no equity has been positive yet.

    Notes
    -----
    ``(peak - equity) / peak``, which is ``skfolio.measures.get_drawdowns(returns, compounded=True)`` with the
    sign of a loss and with the starting equity as row 0.
    """
    falls = np.empty(len(equity))
    peak = -np.inf
    for t in range(len(equity)):
        if equity[t] > peak:
            peak = equity[t]
        if peak > 0.0:
            falls[t] = (peak - equity[t]) / peak
        else:
            falls[t] = np.nan
    return falls


@compiled
def max_drawdown(equity: FloatArray) -> float:
    """Return the largest fall from a running peak.

    Parameters
    ----------
    equity : (T,) account value in account currency, oldest first, all > 0; the starting equity is a peak too.

    Returns
    -------
    Positive fraction in [0, 1); 0.0 when equity never falls, NaN when T < 2, when an equity is NaN, or when
    the first is not positive.

    Notes
    -----
    ``empyrical.max_drawdown`` with the sign of a loss.
    """
    if len(equity) < 2 or not equity[0] > 0.0:
        return np.nan
    peak = equity[0]
    worst = 0.0
    for value in equity:
        if np.isnan(value):
            return np.nan
        if value > peak:
            peak = value
        fall = (peak - value) / peak
        if fall > worst:
            worst = fall
    return worst


@compiled
def max_drawdown_sessions(equity: FloatArray) -> int:
    """Return the longest stretch from a peak to its recovery, in sessions.

    Parameters
    ----------
    equity : (T,) account value in account currency, oldest first, without NaN.

    Returns
    -------
    Sessions from the last one at the peak to the first one back at or above it; a peak that is not recovered
    counts to the last session. 0 when equity never falls, and when T < 2.
    """
    longest = 0
    peak = 0
    for t in range(1, len(equity)):
        if equity[t] < equity[peak]:
            longest = max(longest, t - peak)
            continue
        # The session of the recovery ends the stretch and is part of it; without a fall there is no stretch.
        if t - peak > 1:
            longest = max(longest, t - peak)
        peak = t
    return longest


@compiled
def calmar_ratio(equity: FloatArray, periods_per_year: float) -> float:
    """Return the annual return over the maximum drawdown.

    Parameters
    ----------
    equity : (T,) account value in account currency, oldest first, all > 0.
    periods_per_year : sessions in a year, such as 252; > 0.

    Returns
    -------
    Ratio with the sign of the annual return; NaN when T < 2 or equity never falls (a drawdown of at most
    1e-15 is rounding).

    Notes
    -----
    ``empyrical.calmar_ratio``, after Young (1991), "Calmar Ratio: A Smoother Tool", Futures 20(1). Young
    takes the last 36 months, month by month; this takes the whole series, session by session.
    """
    worst = max_drawdown(equity)
    if not worst > ROUNDING:
        return np.nan
    return annual_return(equity, periods_per_year) / worst
