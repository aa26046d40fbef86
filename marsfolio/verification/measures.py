"""The measures of metrics.json by plain arithmetic: a second opinion on `engine.metrics`, for `verify`."""

from __future__ import annotations

import math

import numpy as np

from engine.arrays import FloatArray

PER_YEAR = 252
TAIL = 0.05

_ROUNDING = 1e-15  # a deviation or a drawdown this small is none


def measures(equity: FloatArray, traded: float) -> dict[str, float]:
    """Return the measures of an equity curve as the formats define them, losses positive; NaN where undefined.

    Parameters
    ----------
    equity : (T,) account value at each close, T >= 1.
    traded : notional of all fills, account currency.
    """
    n = len(equity) - 1
    with np.errstate(all="ignore"):
        returns = np.where(equity[:-1] > 0, equity[1:] / equity[:-1] - 1, np.nan)
        mean = float(returns.mean()) if n else math.nan
        growth = float(equity[-1] / equity[0]) if n and equity[0] > 0 else math.nan
        annual = growth ** (PER_YEAR / n) - 1 if growth >= 0 else math.nan
        deviation = float(returns.std(ddof=1)) if n > 1 else math.nan
        downside = float(np.sqrt(np.mean(np.minimum(returns, 0) ** 2))) if n > 1 else math.nan
        drawdown = _max_drawdown(equity) if n and equity[0] > 0 else math.nan
        turnover = traded / 2 / equity.mean() * PER_YEAR / n if n and equity.mean() > 0 else math.nan
        found = {
            "total_return": growth - 1,
            "annual_return": annual,
            "annual_volatility": deviation * math.sqrt(PER_YEAR),
            "sharpe_ratio": _over(mean, deviation) * math.sqrt(PER_YEAR),
            "sortino_ratio": _over(mean, downside) * math.sqrt(PER_YEAR),
            "calmar_ratio": _over(annual, drawdown),
            "max_drawdown": drawdown,
            "max_drawdown_sessions": float(_longest_drawdown(equity)),
            "value_at_risk_95": _value_at_risk(np.sort(returns)),
            "conditional_value_at_risk_95": _mean_of_tail(np.sort(returns)),
            "annual_turnover": float(turnover),
        }
    return {name: value if math.isfinite(value) else math.nan for name, value in found.items()}


def _over(above: float, below: float) -> float:
    return above / below if below > _ROUNDING else math.nan


def _max_drawdown(equity: FloatArray) -> float:
    peak = np.maximum.accumulate(equity)
    return float(((peak - equity) / peak).max())


def _longest_drawdown(equity: FloatArray) -> int:
    peaks = np.flatnonzero(equity >= np.maximum.accumulate(equity))
    between = np.diff(peaks)
    return max(int(between[between > 1].max(initial=0)), len(equity) - 1 - int(peaks[-1]))


def _value_at_risk(returns: FloatArray) -> float:
    """Return the largest loss but those of the tail; (n,) returns, sorted."""
    n = len(returns)
    if not n or np.isnan(returns[-1]):  # NaN sorts last
        return math.nan
    return float(-returns[min(n - 1, math.floor(TAIL * n + 1e-9))])


def _mean_of_tail(returns: FloatArray) -> float:
    n = len(returns)
    if not n or np.isnan(returns[-1]):
        return math.nan
    tail = TAIL * n
    whole = math.floor(tail)
    return float(-(returns[:whole].sum() + (tail - whole) * returns[min(whole, n - 1)]) / tail)
