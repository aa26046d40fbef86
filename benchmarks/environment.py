"""Steps a second of the kernel environment over a batch, and of the environment of one account.

Checks that both give the same rewards and prints wall seconds of the best of several repeats:

    .venv/bin/python benchmarks/environment.py
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
from workloads import generated

from engine.batch_environment import BatchPortfolioEnv
from engine.environment import PortfolioEnv
from engine.limits import MODEL_LIMITS
from engine.observation import FeatureTable
from engine.panel import Window
from engine.rebalancer import Terms

SYMBOLS, SESSIONS, FEATURES = 50, 1760, 5
SIZES = (64, 256)
STEPS, REPEATS = 40, 15
TERMS = Terms(limits=MODEL_LIMITS)
HEADER = ("", "steps a second", "microseconds a step")
WORDS = (
    f"Steps of the training environment, {SYMBOLS} symbols and {FEATURES} features each, random actions: targets, "
    "limits, whole shares, costs, fills at the next open, reward, risk score and observation. Wall time, the best of "
    f"{REPEATS} repeats of {STEPS} steps of all environments."
)


def rate(step: Callable[[int], None], count: int) -> float:
    """Return how many environments are stepped in a second when a call steps ``count``; the best repeat."""
    step(0)  # compiles
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for k in range(STEPS):
            step(k)
        seconds.append(time.perf_counter() - start)
    return STEPS * count / min(seconds)


def rows() -> list[list[str]]:
    """Measure everything; fails when the ways disagree."""
    panel, random = generated(SYMBOLS, SESSIONS).panel, np.random.default_rng(0)
    names = tuple(f"feature_{k}" for k in range(FEATURES))
    table = FeatureTable(names, 0, random.normal(size=(SESSIONS, SYMBOLS, FEATURES)))
    actions = random.uniform(-1.0, 1.0, (STEPS, max(SIZES), SYMBOLS)).astype(np.float32)
    alone = PortfolioEnv(panel, table, 0, SESSIONS - 1, TERMS)
    table_rows = [_row("one account, PortfolioEnv", rate(lambda k: _ignore(alone.step(actions[k, 0])), 1))]
    alone.reset()
    expected = [alone.step(actions[k, 0])[1] for k in range(STEPS)]
    for threads in (1, 2):
        for size in SIZES:
            env = BatchPortfolioEnv(panel, table, Window(0, SESSIONS - 1), TERMS, size, threads=threads)
            env.reset()
            rewards = [env.step(actions[k, :size])[1][0] for k in range(STEPS)]
            if rewards != expected:
                raise SystemExit("the environments do not agree")
            found = rate(lambda k, env=env, size=size: _ignore(env.step(actions[k, :size])), size)
            table_rows.append(_row(f"{size} accounts, {threads} thread{'s' if threads > 1 else ''}", found))
            env.close()
    return table_rows


def _row(name: str, found: float) -> list[str]:
    return [name, f"{found:,.0f}", f"{1e6 / found:.1f}"]


def _ignore(result: object) -> None:
    """Drop what a step returns."""


def main() -> None:
    """Measure and print a table; with --json, the header, the rows and the words of docs/benchmarks.md."""
    table = rows()
    if "--json" in sys.argv[1:]:
        print(json.dumps({"words": WORDS, "header": HEADER, "rows": table}))
        return
    print(WORDS)
    for name, rate_, micro in [HEADER, *table]:
        print(f"{name:32}{rate_:>18}{micro:>22}")


if __name__ == "__main__":
    main()
