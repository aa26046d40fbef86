"""The log of looks at test windows: every evaluation of a learned method on one is counted, for good."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.errors import RunFolderError
from marsfolio.evaluation.cells import MAIN, Cell, Outcome
from marsfolio.report.writing import write_whole

LOG = "looks.jsonl"


def log_looks(out: Path, computed: Iterable[tuple[Cell, Outcome]]) -> None:
    """Add the learned cells that are not in the log yet; a cell that was read again is no new look.

    Raises
    ------
    RunFolderError
        When the log is damaged or cannot be written.
    """
    before = read_looks(out)
    known = {look["cell"] for look in before}
    fresh = [_entry(cell, outcome) for cell, outcome in computed if cell.method.is_learned and cell.digest not in known]
    if not fresh:
        return
    lines = [json.dumps(look, ensure_ascii=False) + "\n" for look in (*before, *fresh)]
    try:
        write_whole(out / LOG, "".join(lines).encode())  # whole: a kill must lose no look
    except OSError as error:
        raise RunFolderError(f"cannot add to {out / LOG}: {error.strerror}; looks must be logged") from error


def read_looks(out: Path) -> list[dict[str, Any]]:
    """Return the log, oldest first.

    Raises
    ------
    RunFolderError
        When it is damaged.
    """
    path = out / LOG
    if not path.exists():
        return []
    try:
        looks = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [{**look, "test": look["test"], "cell": look["cell"]} for look in looks]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{path} cannot be read: {error!r}; it lists every look at a test window") from error


def count_looks(looks: Iterable[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return for each test window, ``looks`` at it and how many ``configurations`` were looked at."""
    looks = list(looks)
    counts = Counter(look["test"] for look in looks)
    return {
        test: {
            "looks": count,
            "configurations": len({look["configuration"] for look in looks if look["test"] == test}),
        }
        for test, count in sorted(counts.items())
    }


def _entry(cell: Cell, outcome: Outcome) -> dict[str, Any]:
    metrics = outcome.tracks[MAIN].metrics
    return {
        "time_utc": outcome.facts["time_utc"],
        "window": cell.periods.name,
        "test": ":".join(cell.periods.test),
        "method": cell.method.name,
        "seed": cell.seed,
        "cell": cell.digest,
        "configuration": cell.configuration,
        "data_hash": cell.data_hash,
        "total_return": metrics["total_return"],
        "sharpe_ratio": None if metrics["sharpe_ratio"] != metrics["sharpe_ratio"] else metrics["sharpe_ratio"],
        "max_drawdown": metrics["max_drawdown"],
    }
