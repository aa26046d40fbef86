"""A tiny evaluation for tests: random bars in a file, an ensemble that trains in a second, two windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agents.settings import Settings
from engine.limits import MODEL_LIMITS
from engine.rebalancer import Terms
from marsfolio.compose import load_market
from marsfolio.evaluation.cells import Cell
from marsfolio.evaluation.methods import parse_methods
from marsfolio.evaluation.periods import parse_periods

TINY = Settings(
    name="tiny",
    lookback_bars=40,
    n_agents=4,
    hidden=(8,),
    controller_hidden=(8,),
    batch_size=8,
    controller_every=1,
    controller_updates=1,
    update_every=10,
    episodes=2,
    patience=100,
    validation_every=1,
)
N_SESSIONS = 160
DAYS = np.busday_offset("2020-01-01", np.arange(N_SESSIONS)).astype(str)


def window(name: str, first: int) -> str:
    """Return a window whose training begins at a row: 30 sessions to train, 20 to validate, 40 to test."""
    ends = (first, first + 29, first + 30, first + 49, first + 50, first + 89)
    days = [str(DAYS[row]) for row in ends]
    return f"{name}={days[0]}:{days[1]}/{days[2]}:{days[3]}/{days[4]}:{days[5]}"


WINDOWS = (window("one", 40), window("two", 60))


def write_bars(path: Path, seed: int = 0, changed_from: int = N_SESSIONS) -> Path:
    """Write bars of four symbols, the last of which starts late; from a row on they differ from those of others."""
    random = np.random.default_rng(seed)
    steps = 0.01 * random.standard_normal((N_SESSIONS, 4))
    steps[changed_from:] *= -2.0
    close = 50.0 * np.exp(np.cumsum(steps, axis=0)).round(4)
    lines = ["date,symbol,open,high,low,close,volume"]
    for t, day in enumerate(DAYS):
        for i, symbol in enumerate(("AAA", "BBB", "CCC", "LATE")):
            if symbol != "LATE" or t >= 30:
                value, before = close[t, i], close[max(t - 1, 0), i]
                lines.append(f"{day},{symbol},{before},{max(value, before)},{min(value, before)},{value},1000")
    path.write_text("\n".join(lines) + "\n")
    return path


def cell_of(out: Path, data: Path, method: str, text: str = WINDOWS[0], seed: int = 0, null_paths: int = 5) -> Cell:
    """Return one cell of the tiny evaluation."""
    panel = load_market(data).panel
    (periods,) = parse_periods([text])
    chosen = parse_methods([method])[0]
    content = panel.rows(0, periods.fold(panel).test.last + 1).content_hash
    return Cell(out, data, None, content, periods, chosen, seed, Terms(limits=MODEL_LIMITS), null_paths)
