"""Evaluations in Python: the same folder as `marsfolio evaluate` writes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from engine.limits import MODEL_LIMITS
from engine.tradelog import read_table
from marsfolio.api.arguments import FILLS, Span, absolute, listed, one_of, span
from marsfolio.backtesting import stated_costs
from marsfolio.choice import costs_of, terms_of
from marsfolio.compose import absolute_universe, with_limits
from marsfolio.evaluation.asked import Asked, plan_evaluation
from marsfolio.evaluation.cells import Cell
from marsfolio.evaluation.grid import compute_all
from marsfolio.evaluation.output import write_output
from marsfolio.evaluation.plan import evaluating


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Attributes
    ----------
    path : its folder, with report.html.
    answer : does the first method beat holding everything equally, and how sure is that?
    table : the long table: window, method, seed, metric, value.
    """

    path: Path
    answer: str
    table: pd.DataFrame

    def metric(self, name: str = "sharpe_ratio", seed: str = "median") -> pd.DataFrame:
        """Return one metric, a row a method and a column a window.

        Parameters
        ----------
        seed : median, q25, q75, together, or the number of a seed.
        """
        rows = self.table[(self.table["metric"] == name) & (self.table["seed"].astype(str) == seed)]
        return rows.pivot_table(index="method", columns="window", values="value", sort=False)

    @property
    def summary(self) -> str:
        """The summary in Markdown."""
        return (self.path / "summary.md").read_text(encoding="utf-8")


class _Watcher:
    """Says nothing, or a line a cell."""

    def __init__(self, total: int, progress: bool) -> None:
        self._total, self._done, self._progress = total, 0, progress

    def done(self, cell: Cell) -> None:
        """Hear of a cell."""
        self._done += 1
        if self._progress:
            print(f"{self._done}/{self._total} {cell.label}")  # noqa: T201 - asked for


def evaluate(
    data: str | Path | None,
    windows: Mapping[str, tuple[Span, Span, Span]] | Sequence[str],
    methods: Sequence[str],
    seeds: Iterable[int],
    out: str | Path,
    *,
    symbols: Sequence[str] | str | None = None,
    universe: str | Path | None = None,
    episodes: Sequence[str] | int | None = None,
    update_every: Sequence[str] | int | None = None,
    cash: float = 1_000_000.0,
    costs: str | Path | None = None,
    commission_bps: float | None = None,
    slippage_bps: float | None = None,
    fill: str = "next_open",
    fractional: bool = False,
    cap: float | None = None,
    cash_buffer: float | None = None,
    null_paths: int = 100,
    resamples: int = 2000,
    trials: int | None = None,
    jobs: int | None = 1,
    progress: bool = False,
) -> Evaluation:
    """Compare methods over windows and seeds, beside baselines and chance, as `marsfolio evaluate` does.

    An evaluation that was interrupted goes on.

    Parameters
    ----------
    data : file of bars; None for the bundled sample.
    windows : by name, the windows of training, validation and test; or NAME=TRAIN/VALIDATION/TEST texts.
    methods : settings, ablations and baselines, such as ``"marsfolio"``, ``"equal_weight:monthly"``.
    seeds : of the learned methods.
    out : folder of the evaluation.
    universe : a bundled @NAME or a file: its members are traded, each while it is one.
    episodes, update_every : of what is trained; a number for all, or SETTING=N texts.
    jobs : processes; None for one a processor core. More than one needs a script that guards itself with
        ``if __name__ == "__main__"``.
    progress : print a line when a cell is done.

    Raises
    ------
    ConfigError
        When arguments are unknown, out of range, or do not go together.
    RunFolderError
        When the folder holds anything else.
    """
    bps = commission_bps, slippage_bps
    of_costs = costs_of(None if costs is None else str(costs), *bps)
    terms = terms_of(cash, of_costs, one_of("fill", fill, FILLS), fractional)
    file, place, names = None if data is None else Path(data), Path(out), listed("symbols", symbols)
    overrides = {"episodes": _texts(episodes), "update_every": _texts(update_every)}
    asked = Asked(_windows(windows), list(methods), list(seeds), overrides, null_paths)
    members = None if universe is None else str(universe)
    plan = plan_evaluation(place, file, names, asked, with_limits(terms, cap, cash_buffer, MODEL_LIMITS), members)
    said = {
        "out": absolute(place),
        "windows": asked.windows,
        "methods": asked.methods,
        "seeds": asked.seeds,
        "data": absolute(file),
        "symbols": None if names is None else ",".join(names),
        **{key: texts or None for key, texts in overrides.items()},
        "cash": cash,
        "costs": None if costs is None else str(costs),
        "fill": fill,
        "fractional": fractional,
        "cap": cap,
        "cash_buffer": cash_buffer,
        "null_paths": null_paths,
        "resamples": resamples,
        "trials": trials,
        "jobs": jobs,
        **absolute_universe(members),
        **stated_costs(None if costs is None else str(costs), *bps),
    }
    options = {key: value for key, value in said.items() if value is not None}
    with evaluating(place):
        left = [cell for cell in plan.cells() if not cell.folder.is_dir()]
        compute_all(left, jobs or os.cpu_count() or 1, _Watcher(len(left), progress))
        answer = write_output(plan, options, resamples, trials, lambda done, total: None)
    return Evaluation(place, answer, read_table(place / "results.parquet"))


def _windows(windows: Mapping[str, tuple[Span, Span, Span]] | Sequence[str]) -> list[str]:
    if not isinstance(windows, Mapping):
        return list(windows)
    return [f"{name}={'/'.join(span(part) for part in parts)}" for name, parts in windows.items()]


def _texts(value: Sequence[str] | int | None) -> list[str]:
    if value is None:
        return []
    return [str(value)] if isinstance(value, int) else list(value)
