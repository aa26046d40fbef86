"""Equity curves and what follows from them: drawdowns, rolling risk, returns of the months and years."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from engine.arrays import FloatArray
from engine.metrics import drawdowns, rolling_volatility, simple_returns
from engine.metrics.returns import ROUNDING
from marsfolio.report.formats import PERIODS_PER_YEAR

ROLLING_SESSIONS = 63
"""Returns in a window of the rolling measures: a quarter of a year."""


@dataclass(frozen=True)
class Curve:
    """One equity curve.

    Attributes
    ----------
    equity : (T,) value at each close; NaN before the first known one.
    drawdown : (T,) fall from the highest value so far, a positive fraction.
    volatility, sharpe : (T,) of the last `ROLLING_SESSIONS` returns, annualised; NaN where undefined.
    """

    equity: FloatArray
    drawdown: FloatArray
    volatility: FloatArray
    sharpe: FloatArray


def curve_of(equity: FloatArray) -> Curve:
    """Return a curve and what follows from it.

    Parameters
    ----------
    equity : (T,) value at each close, oldest first; NaN where unknown, which counts at the last known value.
    """
    # A copy: numba compiles again for the read-only arrays of pandas.
    known = np.array(pd.Series(equity, dtype="float64").ffill())
    returns = simple_returns(known)
    deviation = rolling_volatility(returns, ROLLING_SESSIONS)
    mean = np.full(len(returns), np.nan)
    if len(returns) >= ROLLING_SESSIONS:
        windows = np.lib.stride_tricks.sliding_window_view(returns, ROLLING_SESSIONS)
        mean[ROLLING_SESSIONS - 1 :] = windows.mean(axis=1)
    scale = np.sqrt(PERIODS_PER_YEAR)
    sharpe = mean / np.where(deviation > ROUNDING, deviation, np.nan) * scale
    first = np.full(min(len(known), 1), np.nan)  # the first session has no return
    return Curve(known, drawdowns(known), np.concatenate((first, deviation * scale)), np.concatenate((first, sharpe)))


def benchmark_curve(table: pd.DataFrame) -> Curve | None:
    """Return the benchmark of equity.csv, starting at the equity of its first session; None without one."""
    if "benchmark" not in table or not table["benchmark"].notna().any():
        return None
    values = table["benchmark"].to_numpy()
    first = int(np.flatnonzero(~np.isnan(values))[0])
    return curve_of(values * (table["equity"].iloc[first] / values[first]))


class Drawdown(NamedTuple):
    """One fall below a peak, as rows of its curve; ``recovered`` is None while it lasts."""

    peak: int
    trough: int
    recovered: int | None
    depth: float


def worst_drawdowns(falls: FloatArray, count: int = 5) -> list[Drawdown]:
    """Return the deepest falls, deepest first.

    Parameters
    ----------
    falls : (T,) fall from the highest value so far, a positive fraction.
    """
    below = falls > 0
    starts = np.flatnonzero(below[1:] & ~below[:-1]) + 1
    if not len(starts):
        return []
    ends = np.flatnonzero(~below[1:] & below[:-1]) + 1
    depths = np.maximum.reduceat(falls, starts)
    found = []
    for k in np.argsort(-depths, kind="stable")[:count].tolist():
        recovered = int(ends[k]) if k < len(ends) else None
        trough = int(starts[k] + np.argmax(falls[starts[k] : recovered]))
        found.append(Drawdown(int(starts[k]) - 1, trough, recovered, float(depths[k])))
    return found


def period_returns(sessions: Sequence[str], equity: FloatArray, letters: int) -> dict[str, float]:
    """Return the return of each month (``letters`` 7) or year (4), by its part of the ISO date.

    The first counts from the first known value and is NaN when that is its only one; their product is the
    return of the whole.
    """
    known = pd.Series(equity, index=list(sessions), dtype="float64").dropna()
    if known.empty:
        return {}
    groups = known.groupby(known.index.str[:letters])
    last = groups.last()
    changes = last.to_numpy() / np.concatenate((known.to_numpy()[:1], last.to_numpy()[:-1])) - 1
    if groups.size().iloc[0] == 1:
        changes[0] = np.nan
    return dict(zip(last.index.tolist(), changes.tolist(), strict=True))


def full_colour(returns: Iterable[float]) -> float:
    """Return the size of a return that is shown in full colour, > 0; NaN among the returns is left out.

    One extraordinary month must not leave all others pale, and months of nothing stay pale.
    """
    sizes = np.abs(np.array(list(returns)))
    sizes = sizes[~np.isnan(sizes)]
    return max(float(np.quantile(sizes, 0.9)), 0.01) if len(sizes) else 0.01
