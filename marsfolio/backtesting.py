"""What follows the run of a backtest: what a reader should know of it, how sure it is, and its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marsfolio.compose import Market, log_look, provenance_of, remarks_of
from marsfolio.runs import write_run
from marsfolio.statistics import statistics_of

if TYPE_CHECKING:
    from agents.checkpoint import Model
    from engine.arrays import FloatArray
    from engine.result import Result
    from marsfolio.plans import AnyPlan

KIND = "backtest"
COMMISSION_BPS = 10.0
"""Commission when nothing is said."""


@dataclass(frozen=True)
class Finished:
    """A backtest that has run, with everything that its folder says.

    Attributes
    ----------
    benchmark : (T,) value of the benchmark at each close.
    remarks : what a reader should know beyond the result's own remarks.
    provenance : hashes of data, model and strategy, seed and costs.
    statistics : entries of statistics.json.
    """

    plan: AnyPlan
    result: Result
    benchmark: FloatArray | None
    remarks: list[str]
    provenance: dict[str, Any]
    statistics: dict[str, Any]

    def write(self, out: Path, options: Mapping[str, Any]) -> None:
        """Write the run folder; ``options`` are those of `marsfolio backtest` that repeat the run."""
        write_run(
            out,
            KIND,
            self.result,
            KIND,
            options,
            self.provenance,
            self.benchmark,
            self.remarks,
            statistics=self.statistics,
        )


@dataclass(frozen=True)
class Judging:
    """What the statistics of a backtest need to be told: see `marsfolio.statistics.statistics_of`."""

    null_paths: int
    trials: int | None


def finish(
    plan: AnyPlan,
    result: Result,
    market: Market,
    model: Model | None,
    trained: bool,
    weights: Path | None,
    benchmark: tuple[FloatArray | None, list[str]],
    judging: Judging,
) -> Finished:
    """Return a run with remarks, provenance and statistics, and log the look of a trained model.

    Parameters
    ----------
    trained : whether the model ran as it was trained.
    benchmark : its values, and remarks on it.
    """
    judged = model if trained else None
    if judged is not None:
        log_look(judged, result.metrics(), market.panel.content_hash)
    remarks = remarks_of(plan, market, model, result) + benchmark[1]
    provenance = {**provenance_of(market.panel, model, weights, plan.own), "costs": plan.terms.costs.table()}
    sure = statistics_of(result, market.panel, plan.first, judging.null_paths, judging.trials, judged)
    return Finished(plan, result, benchmark[0], remarks, provenance, sure)


def stated_costs(
    costs: str | None, commission_bps: float | list[float] | None, slippage_bps: float | None
) -> dict[str, Any]:
    """Return the options of costs so that they repeat the run from any folder, defaults included."""
    if costs is not None:
        return {"costs": os.path.abspath(costs)} if costs.endswith(".toml") else {}
    return {
        "commission_bps": COMMISSION_BPS if commission_bps is None else commission_bps,
        "slippage_bps": slippage_bps or 0.0,
    }
