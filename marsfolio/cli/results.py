"""Results of runs on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from marsfolio.cli.terminal import output, print_table

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
    output().metrics.update(results)
    rows = [[label, *(_percent(metrics[name]) for metrics in results.values())] for label, name in _PERCENT.items()]
    rows += [[label, *(_number(metrics[name], 2) for metrics in results.values())] for label, name in _RATIOS.items()]
    rows += [[label, *(_number(metrics[name], 0) for metrics in results.values())] for label, name in _MONEY.items()]
    rows.append(["fills", *(f"{metrics['n_fills']:,}" for metrics in results.values())])
    if output().as_json:
        print(title)
    else:
        print_table(title, ["", *results], rows)
    for remark in remarks:
        print(f"note: {remark}")


def in_words(statistics: Mapping[str, Any]) -> list[str]:
    """Return in sentences how sure the Sharpe ratio of a run is."""
    found = []
    interval = statistics["intervals"].get("sharpe_ratio")
    if interval is not None:
        found.append(f"Sharpe ratio: {statistics['level']:.0%} interval {interval[0]:.2f} to {interval[1]:.2f}")
    null = statistics["null"]
    if null is not None and null["percentile"].get("sharpe_ratio") is not None:
        found.append(
            f"better Sharpe ratio than {null['percentile']['sharpe_ratio']:.0%} of {null['paths']} random portfolios "
            "of the same exposure, turnover, limits and costs"
        )
    deflated = statistics["deflated_sharpe_ratio"]
    if deflated is not None:
        tried = statistics["n_trials"]
        allowing = "" if tried == 1 else f", allowing for {tried} trials"
        found.append(f"probability that the true Sharpe ratio is above 0{allowing}: {deflated:.0%}")
    return found


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:,.{decimals}f}"
