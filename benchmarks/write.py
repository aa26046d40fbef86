"""Measures everything in one run on this machine, and writes docs/benchmarks.md.

make benchmarks        (about ten minutes; plain backtrader on W2 alone takes two, and 4 GB)
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
from measure import Measurement, measure
from workloads import WAYS, WORKLOADS, Workload, generated

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "docs" / "benchmarks.md"
SCALES = ((500, 1250), (1000, 1250), (1000, 2500), (5000, 1250), (5000, 2500))
SLOW = "plain backtrader"

INTRODUCTION = """# Benchmarks

Written by `make benchmarks` (benchmarks/write.py): every number of a table was measured in one run on one machine,
each way in a process of its own, after a first call that compiles or reads the compiled code from disk. CPU seconds
of the run itself, bars in memory, files excluded unless said otherwise; peak memory of the whole process, imports
included.
"""

ENGINES = """## Engines

Daily rebalance to given weights, whole shares, 10 basis points, filled at the next open. All ways of a workload end
with the same number of fills and the same equity (relative difference below 1e-9), or this script fails. *Plain
backtrader* is preloaded array feeds and one market order for each change; *Cerebro path* is our strategy, broker and
feed in backtrader's Cerebro, the table of the trade log included; the *path-dependent strategy* is a subclass that
decides in Python, session by session, from the path of its own equity; the *numpy loop* is one pass over sessions in
plain numpy that keeps the same trade log and knows neither missing bars, limits nor a lack of cash.
"""

SCALING = """## Scaling

Cerebro path without the table of the trade log. The last column is what must stay level.
"""

COMMAND = """## The command line

`marsfolio backtest --strategy weights` on W1 from parquet files, as a user calls it: reading bars and weights,
Cerebro, all files of the run, statistics and the report; and `marsfolio --help`.
"""


def main() -> None:
    """Measure and write."""
    parts = [INTRODUCTION, _machine(), ENGINES, _engines(), SCALING, _scaling(), COMMAND, _command_line()]
    parts += _script("metrics", "Metrics and statistics")
    parts += _script("training", "Training")
    parts += _script("environment", "Training environment")
    parts += _script("paper", "Paper trading")
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text("\n".join(parts), encoding="utf-8")
    print(f"wrote {TARGET}")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first column is text, the others numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _machine() -> str:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("numpy", "numba", "pandas", "backtrader"))
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"{where}, {versions}.\n"


def _engines() -> str:
    rows = []
    for way in WAYS:
        measure(way, 5, 100, 1)  # compiles what no earlier run has, so that no peak below is the compiler's
    for name, (n_symbols, n_sessions) in WORKLOADS.items():
        found = {}
        for way in WAYS:
            print(f"{name}: {way}", flush=True)
            found[way] = measure(way, n_symbols, n_sessions, 7 if name == "W1" else 3)
        _check_equal(name, list(found.values()))
        for way, each in found.items():
            rows.append([f"{name}: {way}", *_numbers(each), *_ratios(each, found)])
    header = ["", "CPU s", "peak MB", "fills", "x faster than plain backtrader", "x faster than the numpy loop"]
    return markdown(header, rows)


def _check_equal(name: str, found: Sequence[Measurement]) -> None:
    same = [each for each in found if "path-dependent" not in each.way]
    if len({each.fills for each in same}) > 1 or max(abs(each.equity / same[0].equity - 1) for each in same) > 1e-9:
        raise SystemExit(f"{name}: the ways do not agree: {same}")


def _numbers(each: Measurement) -> list[str]:
    return [f"{each.cpu:.4f}" if each.cpu < 0.1 else f"{each.cpu:.2f}", f"{each.peak_mb:,.0f}", f"{each.fills:,}"]


def _ratios(each: Measurement, found: dict[str, Measurement]) -> list[str]:
    return [f"{found[way].cpu / each.cpu:,.1f}" for way in (SLOW, "numpy loop")]


def _scaling() -> str:
    rows = []
    for n_symbols, n_sessions in SCALES:
        print(f"scaling: {n_symbols} x {n_sessions}", flush=True)
        each = measure("Cerebro path, no table", n_symbols, n_sessions, 1)
        per_cell = each.cpu / (n_symbols * n_sessions) * 1e9
        rows.append([f"{n_symbols:,} symbols x {n_sessions:,} sessions", *_numbers(each), f"{per_cell:.0f}"])
    return markdown(["", "CPU s", "peak MB", "fills", "ns a symbol and session"], rows)


def _command_line() -> str:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _write_files(generated(*WORKLOADS["W1"]), place)
        backtest = f"backtest --data {place}/bars.parquet --strategy weights --weights {place}/weights.parquet"
        _time(f"{backtest} --out {place}/first")  # compiles, if nothing has yet
        timed = {
            "`marsfolio --help`": [_time("--help") for _ in range(5)],
            "backtest of W1": [_time(f"{backtest} --out {place}/run") for _ in range(3)],
            "the same with `--null-paths 0`": [_time(f"{backtest} --null-paths 0 --out {place}/run") for _ in range(3)],
        }
    rows = [
        [name, *(f"{np.median(column):.2f}" for column in zip(*times, strict=True))] for name, times in timed.items()
    ]
    return markdown(["", "wall s", "CPU s"], rows)


def _write_files(work: Workload, place: Path) -> None:
    panel = work.panel
    shape = panel.close.shape
    keys = {
        "date": np.repeat(panel.sessions.astype("datetime64[ns]"), shape[1]),
        "symbol": np.tile(np.array(panel.symbols, dtype=object), shape[0]),
    }
    bars = {name: getattr(panel, name).ravel() for name in ("open", "high", "low", "close", "volume")}
    pd.DataFrame({**keys, **bars}).to_parquet(place / "bars.parquet")
    pd.DataFrame({**keys, "weight": work.weights.ravel()}).to_parquet(place / "weights.parquet")


def _time(line: str) -> tuple[float, float]:
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "marsfolio", *line.split()], check=True, capture_output=True, cwd=HERE.parent)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def _script(name: str, title: str) -> list[str]:
    print(name, flush=True)
    done = subprocess.run(
        [sys.executable, str(HERE / f"{name}.py"), "--json"], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    return [f"## {title}\n", found["words"] + "\n", markdown(found["header"], found["rows"])]


if __name__ == "__main__":
    main()
