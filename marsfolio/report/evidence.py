"""statistics.json as a reader meets it: each metric with its interval and its rank among random portfolios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import RunFolderError
from marsfolio.report.formats import METRICS, Item, item, metric_item

if TYPE_CHECKING:
    from marsfolio.runs import Run


class Row(NamedTuple):
    """A metric and what speaks for it; ``better_than`` is a share of the random portfolios, 1 is best."""

    metric: Item
    interval: tuple[Item, Item] | None
    better_than: Item | None
    chance: tuple[Item, Item, Item] | None


@dataclass(frozen=True)
class Evidence:
    """The table of metrics.

    Attributes
    ----------
    level : of the intervals, such as "95 %".
    resamples, mean_block : how the intervals were made; empty without intervals.
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
            f"{found.get('mean_block_sessions', 0.0):.1f}",
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


def _interval(name: str, ends: Any) -> tuple[Item, Item] | None:
    if ends is None:
        return None
    low, high = ends
    label, unit = METRICS[name][:2]
    unit = "ratio" if unit == "count" else unit  # the quantile of whole numbers need not be whole
    return item(f"{name}_low", label, unit, low), item(f"{name}_high", label, unit, high)


def _better_than(name: str, percentile: float | None) -> Item | None:
    """Return the share of random portfolios that did worse: of losses, the one that lies above."""
    label, _, better = METRICS[name]
    if percentile is None or not better:
        return None
    return item(f"{name}_better_than", label, "rank", percentile if better > 0 else 1 - percentile)


def _chance(name: str, null: Mapping[str, Any]) -> tuple[Item, Item, Item] | None:
    median, ends = null.get("median", {}).get(name), null.get("range", {}).get(name)
    if median is None or ends is None:
        return None
    label, unit = METRICS[name][:2]
    unit = "ratio" if unit == "count" else unit
    named = zip(("median", "p05", "p95"), (median, *ends), strict=True)
    middle, low, high = (item(f"{name}_chance_{part}", label, unit, value) for part, value in named)
    return middle, low, high


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
