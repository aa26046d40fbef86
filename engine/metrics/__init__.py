"""Measures of an equity curve: compiled functions on arrays, the table of a run, and its tracker."""

from engine.metrics.drawdown import calmar_ratio, drawdowns, max_drawdown, max_drawdown_sessions
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
    volatility,
)
from engine.metrics.rolling import rolling_max_drawdown, rolling_volatility
from engine.metrics.table import metrics_table, return_metrics
from engine.metrics.tracker import PortfolioRisk, RiskTracker

__all__ = [
    "PortfolioRisk",
    "RiskTracker",
    "annual_return",
    "annual_turnover",
    "annual_volatility",
    "calmar_ratio",
    "conditional_value_at_risk",
    "drawdowns",
    "max_drawdown",
    "max_drawdown_sessions",
    "metrics_table",
    "return_metrics",
    "rolling_max_drawdown",
    "rolling_volatility",
    "sharpe_ratio",
    "simple_returns",
    "sortino_ratio",
    "total_return",
    "value_at_risk",
    "volatility",
]
