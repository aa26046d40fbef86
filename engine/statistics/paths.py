"""The metrics of one equity path as a row of numbers: what thousands of resampled or random paths are measured by."""

from __future__ import annotations

import numpy as np

from engine.arrays import FloatArray
from engine.compiled import compiled
from engine.metrics.drawdown import calmar_ratio, max_drawdown, max_drawdown_sessions
from engine.metrics.returns import (
    annual_return,
    annual_turnover,
    annual_volatility,
    conditional_value_at_risk,
    sharpe_ratio,
    simple_returns,
    sortino_ratio,
    total_return,
    value_at_risk,
)

PERIODS_PER_YEAR = 252.0

EQUITY_METRICS = (
    "total_return",
    "annual_return",
    "annual_volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "calmar_ratio",
    "max_drawdown",
    "max_drawdown_sessions",
    "value_at_risk_95",
    "conditional_value_at_risk_95",
    "final_equity",
)
COST_METRICS = ("annual_turnover", "total_commission", "total_slippage")
PATH_METRICS = (*EQUITY_METRICS, *COST_METRICS)
"""The numbers of metrics.json that a path of equity, traded notional and costs defines, in the order of a row."""


@compiled
def path_metrics(equity: FloatArray, traded: FloatArray, commission: float, slippage: float) -> FloatArray:
    """Return the `PATH_METRICS` of one path: 252 sessions a year, no risk-free rate, as in metrics.json.

    Parameters
    ----------
    equity : (T,) account value at each close, account currency.
    traded : (T,) notional traded, account currency.
    commission, slippage : totals of the path, account currency.

    Returns
    -------
    (K,) numbers, NaN where undefined; losses are positive.
    """
    returns = simple_returns(equity)
    found = np.full(len(PATH_METRICS), np.nan)
    found[0] = total_return(equity)
    found[1] = annual_return(equity, PERIODS_PER_YEAR)
    found[2] = annual_volatility(returns, PERIODS_PER_YEAR)
    found[3] = sharpe_ratio(returns, 0.0, PERIODS_PER_YEAR)
    found[4] = sortino_ratio(returns, 0.0, PERIODS_PER_YEAR)
    found[5] = calmar_ratio(equity, PERIODS_PER_YEAR)
    found[6] = max_drawdown(equity)
    found[7] = max_drawdown_sessions(equity)
    found[8] = value_at_risk(returns, 0.95)
    found[9] = conditional_value_at_risk(returns, 0.95)
    found[10] = equity[-1]
    found[11] = annual_turnover(traded, equity, PERIODS_PER_YEAR)
    found[12] = commission
    found[13] = slippage
    for k in range(len(found)):
        if not np.isfinite(found[k]):
            found[k] = np.nan
    return found
