"""The metrics of a finished run, named and ordered as in metrics.json."""

from __future__ import annotations

import math

import numpy as np

from engine.arrays import FloatArray, SessionArray
from engine.errors import InputError
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

Metrics = dict[str, float | int | str | None]


def metrics_table(
    equity: FloatArray,
    sessions: SessionArray,
    traded_notional: FloatArray,
    total_commission: float,
    total_slippage: float,
    n_fills: int,
    periods_per_year: float = 252.0,
    risk_free: float = 0.0,
) -> Metrics:
    """Return all metrics of a run, in the names and the order of metrics.json.

    Parameters
    ----------
    equity : (T,) account value at the close of each session, in account currency, oldest first.
    sessions : (T,) dates, strictly increasing.
    traded_notional : (k,) quantity times price of fills, in account currency, of any sign; may be empty.
    total_commission, total_slippage : money paid and money lost against the reference prices; a loss is
        positive.
    n_fills : number of fills.
    periods_per_year : sessions in a year, > 0.
    risk_free : risk-free return of one session, a fraction.

    Returns
    -------
    Plain numbers and ISO dates; None where a measure is undefined, as most are when T < 2. Losses are
    positive.

    Raises
    ------
    InputError
        When the lengths of equity and sessions differ, a number is not finite, sessions
        do not increase, or ``periods_per_year`` is not positive.
    """
    of_returns = return_metrics(equity, sessions, periods_per_year, risk_free)
    notional = _finite("traded_notional", traded_notional)
    costs: Metrics = {
        "annual_turnover": _defined(annual_turnover(notional, _finite("equity", equity), float(periods_per_year))),
        "total_commission": float(total_commission),
        "total_slippage": float(total_slippage),
        "n_fills": int(n_fills),
    }
    table: Metrics = {}
    for name, value in of_returns.items():
        if name == "n_sessions":
            table.update(costs)
        table[name] = value
    return table


def return_metrics(
    equity: FloatArray, sessions: SessionArray, periods_per_year: float = 252.0, risk_free: float = 0.0
) -> Metrics:
    """Return the metrics that need the equity curve alone: metrics.json without turnover, costs and fills.

    Parameters
    ----------
    equity : (T,) account value at the close of each session, in account currency, oldest first.
    sessions : (T,) dates, strictly increasing.
    periods_per_year : sessions in a year, > 0.
    risk_free : risk-free return of one session, a fraction.

    Returns
    -------
    Plain numbers and ISO dates; None where a measure is undefined. Losses are positive.
    ``max_drawdown_sessions`` is 0 when equity never falls.

    Raises
    ------
    InputError
        As `metrics_table`.
    """
    values = _finite("equity", equity)
    dates = _checked_sessions(sessions, len(values))
    if not periods_per_year > 0:
        raise InputError(f"periods_per_year must be positive, was {periods_per_year}")
    # One type of argument, or the functions would be compiled once for 252 and once for 252.0.
    per_year, free = float(periods_per_year), float(risk_free)
    returns = simple_returns(values)
    return {
        "total_return": _defined(total_return(values)),
        "annual_return": _defined(annual_return(values, per_year)),
        "annual_volatility": _defined(annual_volatility(returns, per_year)),
        "sharpe_ratio": _defined(sharpe_ratio(returns, free, per_year)),
        "sortino_ratio": _defined(sortino_ratio(returns, free, per_year)),
        "calmar_ratio": _defined(calmar_ratio(values, per_year)),
        "max_drawdown": _defined(max_drawdown(values)),
        "max_drawdown_sessions": int(max_drawdown_sessions(values)),
        "value_at_risk_95": _defined(value_at_risk(returns, 0.95)),
        "conditional_value_at_risk_95": _defined(conditional_value_at_risk(returns, 0.95)),
        "n_sessions": len(values),
        "start": str(dates[0]) if len(dates) else None,
        "end": str(dates[-1]) if len(dates) else None,
        "initial_equity": float(values[0]) if len(values) else None,
        "final_equity": float(values[-1]) if len(values) else None,
    }


def _defined(value: float) -> float | None:
    # An overflow is as undefined as NaN, and JSON has a word for neither. Adding 0.0 turns -0.0 into 0.0.
    return float(value) + 0.0 if math.isfinite(value) else None


def _finite(name: str, values: FloatArray) -> FloatArray:
    # A copy, because numba compiles again for a read-only or strided array.
    array = np.array(values, dtype=np.float64, order="C")
    if array.ndim != 1:
        raise InputError(f"{name} must have one dimension, had {array.ndim}")
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array)))
        raise InputError(f"{name} must be finite, was {array[row]} in row {row}")
    return array


def _checked_sessions(sessions: SessionArray, n_rows: int) -> SessionArray:
    dates = np.asarray(sessions, dtype="datetime64[D]")
    if len(dates) != n_rows:
        raise InputError(f"sessions must be as many as equity, were {len(dates)} and {n_rows}")
    if not (np.diff(dates.astype(np.int64)) > 0).all():
        raise InputError("sessions must increase strictly")
    return dates
