"""From what the user says to the cells of an evaluation, and from these to its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from engine.errors import ConfigError, RunFolderError
from engine.rebalancer import Terms
from engine.tradelog import write_table
from marsfolio.config import FORMAT_VERSION
from marsfolio.evaluation.cells import MAIN, Cell, Outcome, clean, read, terms_table
from marsfolio.evaluation.charts import learning_curves
from marsfolio.evaluation.looks import LOG, count_looks, log_looks, read_looks
from marsfolio.evaluation.methods import REFERENCE, Method
from marsfolio.evaluation.periods import Periods
from marsfolio.evaluation.table import name_of
from marsfolio.report.writing import write_whole
from marsfolio.staging import claimed

KIND = "evaluation"
LOCK = "evaluate.lock"
FACTS, TABLE, CURVES = "evaluation.json", "results", "learning_curves.csv"
OURS = ("cells", "models", LOCK, LOG, FACTS, f"{TABLE}.csv", f"{TABLE}.parquet", CURVES, "config.toml", "report.html")
_KNOWN = {*OURS, "summary.md", "marsfolio.log"}


@dataclass(frozen=True)
class Evaluation:
    """What is to be evaluated.

    Attributes
    ----------
    data, symbols, universe : as in `Cell`.
    hashes : for each window's name, the content of the bars up to the end of its test.
    notes : what a reader should know of the data.
    """

    out: Path
    data: Path | None
    symbols: tuple[str, ...] | None
    periods: tuple[Periods, ...]
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    terms: Terms
    null_paths: int
    hashes: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())
    universe: str | None = None

    def cells(self) -> list[Cell]:
        """Return all cells: of learned methods one a seed, of others one, in the order of the tables."""
        return [
            Cell(
                self.out,
                self.data,
                self.symbols,
                self.hashes[periods.name],
                periods,
                method,
                seed,
                self.terms,
                self.null_paths,
                self.universe,
            )
            for periods in self.periods
            for method in self.methods
            for seed in (self.seeds if method.is_learned else (0,))
        ]


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds, refusing none, negative and repeated ones.

    Raises
    ------
    ConfigError
        Naming the seed.
    """
    if not seeds:
        raise ConfigError("--seeds must name at least one seed")
    wrong = next((seed for k, seed in enumerate(seeds) if seed < 0 or seed in seeds[:k]), None)
    if wrong is not None:
        raise ConfigError(f"--seeds must be different numbers from 0 on, was {', '.join(map(str, seeds))}: see {wrong}")
    return tuple(seeds)


@contextmanager
def evaluating(out: Path) -> Iterator[None]:
    """Hold the folder of an evaluation, so that no other process writes it, and clear what a killed one left.

    Raises
    ------
    RunFolderError
        When it is a file, holds anything but an evaluation, or another process holds it.
    """
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"{out} is a file, and an evaluation is a folder: choose another --out")
    if out.is_dir():
        strange = sorted(path.name for path in out.iterdir() if path.name not in _KNOWN and path.name[0] != ".")
        if strange:
            raise RunFolderError(f"{out} holds {strange[0]!r}, which is no part of an evaluation: choose another --out")
    with claimed(out, out / LOCK):
        clean(out)
        try:
            yield
        finally:
            (out / LOCK).unlink(missing_ok=True)


def write_tables(
    evaluation: Evaluation, computed: Sequence[tuple[Cell, Outcome]], table: pd.DataFrame
) -> dict[str, Any]:
    """Write the long table, the learning curves and what else a page needs, and return the latter.

    Each file is written whole or not at all.
    """
    out = evaluation.out
    for kind in ("csv", "parquet"):
        staged = out / f".{TABLE}.{kind}"
        write_table(table, staged, kind)
        staged.replace(out / f"{TABLE}.{kind}")
    curves = [
        f"{cell.periods.name},{cell.method.name},{cell.seed},{episode},{score!r}\n"
        for cell, outcome in computed
        for episode, score in outcome.curve
    ]
    write_whole(out / CURVES, "".join(["window,method,seed,episode,score\n", *curves]).encode())
    facts = _facts(evaluation, computed)
    write_whole(out / FACTS, (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode())
    return facts


def _facts(evaluation: Evaluation, computed: Sequence[tuple[Cell, Outcome]]) -> dict[str, Any]:
    limits = evaluation.terms.limits
    return {
        "format_version": FORMAT_VERSION,
        "data": evaluation.data.name if evaluation.data else "bundled sample",
        "notes": list(evaluation.notes),
        "windows": [
            {
                "name": periods.name,
                "train": list(periods.train),
                "validation": list(periods.validation),
                "test": list(periods.test),
                "data_hash": evaluation.hashes[periods.name],
            }
            for periods in evaluation.periods
        ],
        "methods": [
            {"name": method.name, "learned": method.is_learned, **method.identity()} for method in evaluation.methods
        ],
        "companions": _companions(computed),
        "agents": {cell.method.name: list(outcome.agent_names) for cell, outcome in computed if outcome.agent_names},
        "reference": REFERENCE,
        "seeds": list(evaluation.seeds),
        "terms": terms_table(evaluation.terms),
        "limits": {"cap": limits.cap, "cash_buffer": limits.cash_buffer} if limits else None,
        "null_paths": evaluation.null_paths,
        "looks": count_looks(read_looks(evaluation.out)),
        "curves": learning_curves(computed),
        "seconds": _seconds(computed),
    }


def _companions(computed: Sequence[tuple[Cell, Outcome]]) -> dict[str, list[str]]:
    """Return for each learned method what the table calls the tracks that stand beside it."""
    found: dict[str, list[str]] = {}
    for cell, outcome in computed:
        if cell.method.is_learned:
            names = [name_of(cell.method.name, name) for name in outcome.tracks if name != MAIN]
            found.setdefault(cell.method.name, names)
    return found


def _seconds(computed: Sequence[tuple[Cell, Outcome]]) -> dict[str, float]:
    """Return the mean time of a cell of each method, of the processes that computed them."""
    times: dict[str, list[float]] = {}
    for cell, outcome in computed:
        times.setdefault(cell.method.name, []).append(float(outcome.facts["seconds"]))
    return {name: math.fsum(values) / len(values) for name, values in times.items()}


def read_all(evaluation: Evaluation) -> list[tuple[Cell, Outcome]]:
    """Return the cells that are on disk, in the order of the tables, and log the looks among them."""
    found = [(cell, outcome) for cell in evaluation.cells() if (outcome := read(cell)) is not None]
    log_looks(evaluation.out, found)
    return found
