"""How the pages write numbers: what a metric is called, its unit, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.arrays import FloatArray
from engine.errors import RunFolderError

PERIODS_PER_YEAR = 252.0
UNDEFINED = "–"
MONEY_DECIMALS = 2
SHARE_DECIMALS = 5  # of the charts: 0.001 %

# z: what rounds to zero has no sign.
_FORMATS: dict[str, Callable[[Any], str]] = {
    "share": lambda value: f"{100 * value:z,.2f} %",
    "bare_percent": lambda value: f"{100 * value:z,.1f}",
    "points": lambda value: f"{100 * value:+z,.2f} pp",
    "rank": lambda value: f"{100 * value:.1f} %",
    "ratio": lambda value: f"{value:z,.2f}",
    "signed": lambda value: f"{value:+z,.2f}",
    "times": lambda value: f"{value:z,.2f} ×",
    "money": lambda value: f"{value:z,.2f}",
    "median": lambda value: f"{value:,.1f}".removesuffix(".0"),
    "count": lambda value: f"{value:,}",
    "text": str,
}


class Metric(NamedTuple):
    """What a metric is called, its unit, and whether more (1) or less (-1) of it is better, or neither (0)."""

    label: str
    unit: str
    better: int = 0


METRICS = {
    "total_return": Metric("Total return", "share", 1),
    "annual_return": Metric("Annual return", "share", 1),
    "annual_volatility": Metric("Annual volatility", "share", -1),
    "sharpe_ratio": Metric("Sharpe ratio", "ratio", 1),
    "sortino_ratio": Metric("Sortino ratio", "ratio", 1),
    "calmar_ratio": Metric("Calmar ratio", "ratio", 1),
    "max_drawdown": Metric("Largest drawdown", "share", -1),
    "max_drawdown_sessions": Metric("Longest drawdown, sessions", "count", -1),
    "value_at_risk_95": Metric("Value at risk, 95 %, one session", "share", -1),
    "conditional_value_at_risk_95": Metric("Conditional value at risk, 95 %, one session", "share", -1),
    "annual_turnover": Metric("Annual turnover", "times"),
    "total_commission": Metric("Commission", "money"),
    "total_slippage": Metric("Slippage", "money"),
    "n_fills": Metric("Fills", "count"),
    "n_sessions": Metric("Sessions", "count"),
    "start": Metric("First session", "text"),
    "end": Metric("Last session", "text"),
    "initial_equity": Metric("Initial equity", "money"),
    "final_equity": Metric("Final equity", "money"),
}
"""The entries of metrics.json, in its order."""


class Item(NamedTuple):
    """A number of a page; ``exact`` is the same unrounded, as the files of a run write it."""

    name: str
    label: str
    shown: str
    exact: str


def item(name: str, label: str, unit: str, value: Any) -> Item:
    """Return a value as a page shows it; None and NaN are undefined.

    Raises
    ------
    TypeError, ValueError
        When the value is not of the unit's type.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Item(name, label, UNDEFINED, "null")
    return Item(name, label, _FORMATS[unit](value), str(value))


class Interval(NamedTuple):
    """Two ends; the unit stands once, behind the upper one."""

    low: Item
    high: Item


def interval(name: str, label: str, unit: str, low: Any, high: Any) -> Interval | None:
    """Return an interval as a page shows it; None when an end is undefined.

    Raises
    ------
    TypeError, ValueError
        When an end is not of the unit's type.
    """
    lower, upper = item(f"{name}_low", label, unit, low), item(f"{name}_high", label, unit, high)
    if UNDEFINED in (lower.shown, upper.shown):
        return None
    return Interval(lower._replace(shown=lower.shown.rstrip(" %×p")), upper)


def metric_item(metrics: Mapping[str, Any], name: str) -> Item:
    """Return an entry of metrics.json as a page shows it.

    Raises
    ------
    RunFolderError
        When the entry is not of its type.
    """
    metric = METRICS[name]
    try:
        return item(name, metric.label, metric.unit, metrics.get(name))
    except (TypeError, ValueError) as error:
        raise RunFolderError(f"metrics.json: {name} must be a number, was {metrics[name]!r}: repeat the run") from error


def rounded(values: FloatArray | Sequence[float], decimals: int) -> list[float | None]:
    """Return numbers for a chart, rounded to what can be seen; None where they are not finite."""
    found = np.round(np.asarray(values, dtype=np.float64), decimals)
    return [value if math.isfinite(value) else None for value in found.tolist()]
