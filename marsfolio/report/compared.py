"""Several runs side by side, on the sessions they share, and how each differs from a baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from engine.arrays import FloatArray
from engine.errors import InputError
from engine.metrics import metrics_table

if TYPE_CHECKING:
    from engine.statistics import Difference
    from marsfolio.runs import Run

LEVEL = 0.95
RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class Comparison:
    """Runs on the sessions they share.

    Attributes
    ----------
    runs, equity, metrics : by name of the run; equity is (T,), the account value at each shared close.
    baseline : name of the run that the others are compared with.
    differences : of each run but the baseline, by metric: the run less the baseline.
    remarks : what a reader should know.
    """

    runs: Mapping[str, Run]
    baseline: str
    sessions: list[str]
    equity: dict[str, FloatArray]
    metrics: dict[str, Mapping[str, Any]]
    differences: dict[str, Mapping[str, Difference]]
    remarks: list[str]

    @property
    def period(self) -> str:
        """First and last shared session, and how many there are."""
        return f"{self.sessions[0]} to {self.sessions[-1]}, {len(self.sessions):,} sessions"


def unique_names(folders: Sequence[Path]) -> list[str]:
    """Return the name of each folder, with as many folders above as tell it from the others.

    Raises
    ------
    InputError
        When a folder is given twice.
    """
    places = [folder.resolve() for folder in folders]
    twice = next((place for place, count in Counter(places).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is given twice: name different runs")
    depth = [1] * len(places)
    while True:
        names = [Path(*place.parts[-deep:]).as_posix() for place, deep in zip(places, depth, strict=True)]
        shared = {name for name, count in Counter(names).items() if count > 1}
        if not shared:
            return names
        depth = [deep + (name in shared) for name, deep in zip(names, depth, strict=True)]


def compare(runs: Mapping[str, Run], baseline: str) -> Comparison:
    """Compare runs with one of them on the sessions they share.

    Parameters
    ----------
    runs : at least two, by the names to show.
    baseline : one of these names.

    Raises
    ------
    InputError
        When there are fewer than two runs, the baseline is none of them, or they share fewer than two sessions.
    RunFolderError
        When a file of a run is missing or damaged.
    """
    from engine.statistics import difference_intervals

    if len(runs) < 2:
        raise InputError(f"a comparison needs at least two runs, had {len(runs)}")
    if baseline not in runs:
        raise InputError(f"--baseline {baseline} is none of the runs compared: {', '.join(runs)}")
    tables = {name: run.equity.set_index("session") for name, run in runs.items()}
    sessions = _shared(tables)
    equity = {name: np.array(table.loc[sessions, "equity"], dtype=np.float64) for name, table in tables.items()}
    return Comparison(
        runs,
        baseline,
        sessions,
        equity,
        {name: _metrics(run, tables[name], sessions) for name, run in runs.items()},
        {
            name: difference_intervals(values, equity[baseline], level=LEVEL, resamples=RESAMPLES, seed=SEED)
            for name, values in equity.items()
            if name != baseline
        },
        list(_remarks(runs, tables, sessions)),
    )


def _shared(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the sessions of all runs, in order."""
    every = [set(table.index) for table in tables.values()]
    sessions = sorted(set.intersection(*every))
    if len(sessions) < 2:
        spans = "; ".join(f"{name} from {table.index[0]} to {table.index[-1]}" for name, table in tables.items())
        count = "only one session" if sessions else "no session"
        raise InputError(f"the runs share {count} ({spans}): compare runs over the same time")
    return sessions


def _metrics(run: Run, table: pd.DataFrame, sessions: list[str]) -> Mapping[str, Any]:
    """Return metrics.json, or the same over a part of the run."""
    if len(sessions) == len(table):
        return run.metrics
    first, last = sessions[0], sessions[-1]
    # What was traded in the first session brought the account to its value there: it belongs to the time before.
    part = table[(table.index > first) & (table.index <= last)]
    trades = run.trades[(run.trades["session"] > first) & (run.trades["session"] <= last)]
    return metrics_table(
        np.array(table.loc[sessions, "equity"]),
        np.array(sessions, dtype="datetime64[D]"),
        np.array(2 * part["turnover"] * part["equity"]),
        float(trades["commission"].sum()),
        float(trades["slippage"].sum()),
        len(trades),
    )


def _remarks(runs: Mapping[str, Run], tables: Mapping[str, pd.DataFrame], sessions: list[str]) -> Iterator[str]:
    cut = [name for name, table in tables.items() if len(table) != len(sessions)]
    if cut:
        yield (
            f"the runs cover different sessions and are compared on the {len(sessions):,} they share: the numbers "
            f"here are not those on the pages of {', '.join(cut)}"
        )
    if len({run.provenance.get("data_hash") for run in runs.values()}) > 1:
        yield "the runs used different data"
    said: dict[str, list[str]] = {}
    for name, run in runs.items():
        for remark in run.remarks:
            said.setdefault(remark, []).append(name)
    yield from (f"{', '.join(names)}: {remark}" for remark, names in said.items())
