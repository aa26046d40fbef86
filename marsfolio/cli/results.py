"""Results of runs on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from marsfolio.cli.terminal import print_table

_PERCENT = {
    "total return": "total_return",
    "annual return": "annual_return",
    "annual volatility": "annual_volatility",
    "max drawdown": "max_drawdown",
    "VaR 95 %, daily": "value_at_risk_95",
    "CVaR 95 %, daily": "conditional_value_at_risk_95",
}
_RATIOS = {
    "Sharpe ratio": "sharpe_ratio",
    "Sortino ratio": "sortino_ratio",
    "Calmar ratio": "calmar_ratio",
    "turnover a year": "annual_turnover",
}
_MONEY = {"commission": "total_commission", "slippage": "total_slippage", "final equity": "final_equity"}


def print_metrics(results: Mapping[str, Mapping[str, Any]], title: str, remarks: Iterable[str] = ()) -> None:
    """Print one column of metrics per run, and below what a reader should know."""
    rows = [[label, *(_percent(metrics[name]) for metrics in results.values())] for label, name in _PERCENT.items()]
    rows += [[label, *(_number(metrics[name], 2) for metrics in results.values())] for label, name in _RATIOS.items()]
    rows += [[label, *(_number(metrics[name], 0) for metrics in results.values())] for label, name in _MONEY.items()]
    rows.append(["fills", *(f"{metrics['n_fills']:,}" for metrics in results.values())])
    print_table(title, ["", *results], rows)
    for remark in remarks:
        print(f"note: {remark}")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:,.{decimals}f}"
