"""statistics.json as a reader meets it: each metric with its interval and its rank among random portfolios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import RunFolderError
from marsfolio.report.formats import METRICS, Interval, Item, interval, item, metric_item

if TYPE_CHECKING:
    from marsfolio.runs import Run


class Chance(NamedTuple):
    """What the random portfolios reached: the median, and between which values nine in ten lie.

    Only of metrics of which more or less is better: turnover and costs are about those of the run.
    """

    median: Item
    middle: Interval


class Row(NamedTuple):
    """A metric and what speaks for it; ``better_than`` is a share of the random portfolios, 1 is best."""

    metric: Item
    interval: Interval | None
    better_than: Item | None
    chance: Chance | None


@dataclass(frozen=True)
class Evidence:
    """The table of metrics.

    Attributes
    ----------
    level : of the intervals, such as "95 %".
    resamples, mean_block : how the intervals were made; 0 and empty where unknown.
    sharpe : probabilistic and deflated Sharpe ratio, number of trials; empty without statistics.
    paths : number of random portfolios; 0 without them.
    """

    rows: list[Row]
    level: str
    resamples: int
    mean_block: str
    sharpe: list[Item]
    paths: int

    @property
    def has_intervals(self) -> bool:
        """Whether any metric has an interval."""
        return any(row.interval for row in self.rows)


def evidence_of(run: Run) -> Evidence:
    """Return the table of metrics of a run; without statistics.json, the metrics alone.

    Raises
    ------
    RunFolderError
        When metrics.json or statistics.json holds something else than it should.
    """
    found = run.statistics
    try:
        null = found.get("null") or {}
        return Evidence(
            [_row(run.metrics, found.get("intervals") or {}, null, name) for name in METRICS],
            f"{100 * found.get('level', 0.95):g} %",
            int(found.get("resamples", 0)),
            _block(found.get("mean_block_sessions")),
            _sharpe(found),
            int(null.get("paths", 0)),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{run.path / 'statistics.json'} is not as it should be ({error}): repeat the run"
        ) from error


def _row(metrics: Mapping[str, Any], intervals: Mapping[str, Any], null: Mapping[str, Any], name: str) -> Row:
    return Row(
        metric_item(metrics, name),
        _interval(name, intervals.get(name)),
        _better_than(name, null.get("percentile", {}).get(name)),
        _chance(name, null),
    )


def _interval(name: str, ends: Any) -> Interval | None:
    low, high = ends or (None, None)
    return interval(name, METRICS[name].label, _unit(name), low, high)


def _unit(name: str) -> str:
    # The quantile of whole numbers need not be whole.
    unit = METRICS[name].unit
    return "ratio" if unit == "count" else unit


def _block(sessions: float | None) -> str:
    return "" if sessions is None else f"{sessions:.1f}"


def _better_than(name: str, percentile: float | None) -> Item | None:
    """Return the share of random portfolios that did worse: of losses, the one that lies above."""
    label, _, better = METRICS[name]
    if percentile is None or not better:
        return None
    return item(f"{name}_better_than", label, "rank", percentile if better > 0 else 1 - percentile)


def _chance(name: str, null: Mapping[str, Any]) -> Chance | None:
    median, ends = null.get("median", {}).get(name), null.get("range", {}).get(name)
    label, unit, better = METRICS[name].label, _unit(name), METRICS[name].better
    if not better:
        return None
    middle = interval(f"{name}_random", label, unit, *(ends or (None, None)))
    return None if middle is None else Chance(item(f"{name}_random_median", label, unit, median), middle)


def _sharpe(found: Mapping[str, Any]) -> list[Item]:
    if not found:
        return []
    trials = found.get("n_trials", 1)
    of = "a single trial" if trials == 1 else f"the best of {trials} trials"
    return [
        item(
            "probabilistic_sharpe_ratio",
            "Probabilistic Sharpe ratio: probability that the true one is above 0",
            "rank",
            found.get("probabilistic_sharpe_ratio"),
        ),
        item(
            "deflated_sharpe_ratio",
            f"Deflated Sharpe ratio: probability that it is above what luck gives {of}",
            "rank",
            found.get("deflated_sharpe_ratio"),
        ),
        item("n_trials", "Trials counted", "count", trials),
    ]
