"""The comparison page: runs side by side, and how each differs from a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from engine.metrics import drawdowns
from marsfolio.report import repetition
from marsfolio.report.compared import LEVEL, RESAMPLES, Comparison, compare
from marsfolio.report.formats import (
    METRICS,
    SHARE_DECIMALS,
    UNDEFINED,
    Interval,
    Item,
    interval,
    item,
    metric_item,
    rounded,
)
from marsfolio.report.template import fill

if TYPE_CHECKING:
    from engine.statistics import Difference
    from marsfolio.runs import Run

COMPARED = tuple(name for name in METRICS if name not in ("n_sessions", "start", "end", "initial_equity"))
"""The metrics that are shown side by side."""


def render(
    runs: Mapping[str, Run],
    baseline: str,
    extra: pd.DataFrame | None = None,
    extra_title: str = "",
    title: str = "",
) -> str:
    """Return the comparison page of runs; parameters and errors as in `compare` and `page`."""
    return page(compare(runs, baseline), extra, extra_title, title)


def page(found: Comparison, extra: pd.DataFrame | None = None, extra_title: str = "", title: str = "") -> str:
    """Return the comparison page.

    Parameters
    ----------
    extra, extra_title : a table to show first, its columns as they are named; numbers get two decimals.
    title : of the page; says how many runs there are when empty.
    """
    return fill(
        "comparison.html.j2",
        {
            "sessions": found.sessions,
            "names": list(found.runs),
            "baseline": list(found.runs).index(found.baseline),
            "equity": [rounded(values / values[0], SHARE_DECIMALS) for values in found.equity.values()],
            "drawdown": [rounded(drawdowns(values), SHARE_DECIMALS) for values in found.equity.values()],
        },
        title=title or f"Comparison of {len(found.runs)} runs",
        period=found.period,
        names=list(found.runs),
        baseline=found.baseline,
        remarks=found.remarks,
        extra_title=extra_title,
        extra=None if extra is None else _extra(extra),
        metrics=[MetricRow(METRICS[name].label, list(_side_by_side(found, name))) for name in COMPARED],
        others=[name for name in found.runs if name != found.baseline],
        differences=change_rows(found),
        level=f"{100 * LEVEL:g} %",
        resamples=RESAMPLES,
        options=_differing(found.runs),
        commands={name: repetition.command(run, run.path.resolve()) for name, run in found.runs.items()},
    )


class Value(NamedTuple):
    """A run's value of a metric; ``best`` when no other run has a better one and some a worse."""

    item: Item
    best: bool


class MetricRow(NamedTuple):
    """A metric of all runs."""

    label: str
    values: list[Value]


class Change(NamedTuple):
    """A run's difference to the baseline; ``verdict`` is better or worse where the interval leaves out 0."""

    difference: Item
    interval: Interval | None
    verdict: str
    hint: str


class ChangeRow(NamedTuple):
    """The differences in a metric, a run each."""

    label: str
    changes: list[Change]


def _side_by_side(found: Comparison, name: str) -> Iterator[Value]:
    direction = METRICS[name].better
    values = [found.metrics[run].get(name) for run in found.runs]
    known = [direction * value for value in values if value is not None] if direction else []
    differ = len(set(known)) > 1
    for run, value in zip(found.runs, values, strict=True):
        best = differ and value is not None and direction * value == max(known)
        yield Value(metric_item(found.metrics[run], name), best)


def change_rows(found: Comparison) -> list[ChangeRow]:
    """Return the differences to the baseline in every metric of which more or less is better."""
    return [
        ChangeRow(metric.label, [_change(name, changes[name]) for changes in found.differences.values()])
        for name, metric in METRICS.items()
        if metric.better and all(name in changes for changes in found.differences.values())
    ]


def _change(name: str, found: Difference) -> Change:
    label, unit, better = METRICS[name]
    unit = "points" if unit == "share" else "signed"
    ends = interval(name, label, unit, found.low, found.high)
    verdict = hint = ""
    if ends is not None:
        hint = f"not above zero in {found.share_not_positive:.1%} of the redraws"
        if found.low > 0 or found.high < 0:
            verdict = "better" if (found.low > 0) == (better > 0) else "worse"
    return Change(item(f"{name}_difference", label, unit, found.value), ends, verdict, hint)


def _differing(runs: Mapping[str, Run]) -> dict[str, list[str]]:
    """Return the options, hashes and seeds in which the runs differ, a value for each run."""
    known = [{**repetition.options(run), **repetition.provenance(run)} for run in runs.values()]
    names = dict.fromkeys(name for table in known for name in table if name != "out")
    rows = {name: [table.get(name, UNDEFINED) for table in known] for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


class Extra(NamedTuple):
    """A table of the caller's."""

    columns: list[str]
    rows: list[list[Item]]


def _extra(table: pd.DataFrame) -> Extra:
    columns = [str(column) for column in table.columns]
    rows = [
        [_extra_item(column, value) for column, value in zip(columns, row, strict=True)]
        for row in table.itertuples(index=False)
    ]
    return Extra(columns, rows)


def _extra_item(column: str, value: Any) -> Item:
    if isinstance(value, (bool, str)) or value is None:
        return item(column, column, "text", value)
    return item(column, column, "count" if isinstance(value, (int, np.integer)) else "money", value)
