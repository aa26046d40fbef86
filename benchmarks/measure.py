"""Measures one way of running one workload in a process of its own, so that its peak memory is its own.

python benchmarks/measure.py "kernel path" 50 1760 --repeats 9
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Measurement:
    """CPU seconds of a run after a first one that compiles, the process's peak memory, and what the run ended with."""

    way: str
    cpu: float
    first_cpu: float
    peak_mb: float
    fills: int
    equity: float


def measure(way: str, n_symbols: int, n_sessions: int, repeats: int) -> Measurement:
    """Run in a fresh process and return what it found."""
    command = [sys.executable, str(Path(__file__)), way, str(n_symbols), str(n_sessions), "--repeats", str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return Measurement(**json.loads(done.stdout))


def main() -> None:
    """Measure in this process and print JSON."""
    from workloads import WAYS, cerebro_without_table, cpu_seconds, generated

    ways = {**WAYS, "Cerebro path, no table": cerebro_without_table}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=list(ways))
    parser.add_argument("n_symbols", type=int)
    parser.add_argument("n_sessions", type=int)
    parser.add_argument("--repeats", type=int, default=1)
    given = parser.parse_args()
    work = generated(given.n_symbols, given.n_sessions)
    run = ways[given.way]
    first, outcome = cpu_seconds(lambda: run(work), 1)
    cpu = first
    if given.way != "plain backtrader":  # nothing to compile there, and a second run would double its memory
        cpu, outcome = cpu_seconds(lambda: run(work), given.repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(asdict(Measurement(given.way, cpu, first, peak, *outcome))))


if __name__ == "__main__":
    main()
