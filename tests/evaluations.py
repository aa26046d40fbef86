"""A tiny evaluation for tests: random bars in a file, an ensemble that trains in a second, two windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from agents.settings import Settings
from engine.limits import MODEL_LIMITS
from engine.rebalancer import Terms
from marsfolio.compose import load_market
from marsfolio.evaluation.cells import Cell
from marsfolio.evaluation.findings import Findings
from marsfolio.evaluation.longtable import Numbers, Row
from marsfolio.evaluation.methods import parse_methods
from marsfolio.evaluation.paper import COLUMNS as PAPER_COLUMNS
from marsfolio.evaluation.periods import ALL, parse_periods
from marsfolio.evaluation.sections import RESULTS

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


def findings() -> tuple[Findings, list[dict[str, Any]]]:
    """Return an invented evaluation with everything a page can show, and its charts; no method was run for it."""
    names = ["ours", "ours untrained", "ours agent_01", "ours agent_02", "equal_weight:monthly"]
    metrics = [name for _, name, _ in RESULTS]
    metrics += ["sharpe_difference", "volatility_ratio", "null_percentile", "cautious_weight", "cautious_volatility"]
    random = np.random.default_rng(0)
    rows: list[Row] = [
        (window_, name, seed, metric, float(random.uniform(0.1, 0.9)))
        for window_ in ("2022", "2023", ALL)
        for name in names
        for seed in ("0", "1", "median", "q25", "q75")
        for metric in (*metrics, *PAPER_COLUMNS)
    ]
    ends = {"low": -0.1, "high": 1.0}
    rows += [(ALL, "ours", "together", f"sharpe_difference_{end}", value) for end, value in ends.items()]
    windows = [
        {
            "name": str(year),
            "train": [f"{year - 3}-01-01", f"{year - 2}-12-31"],
            "validation": [f"{year - 1}-01-01", f"{year - 1}-12-31"],
            "test": [f"{year}-01-01", f"{year}-12-31"],
        }
        for year in (2022, 2023)
    ]
    scores = {"median": [0.1, 0.2], "min": [0.0, 0.1], "max": [0.2, 0.3]}
    curves = [{"method": "ours", "window": name, "episodes": [1, 2], **scores} for name in ("2022", "2023")]
    facts = {
        "data": "bars.parquet",
        "notes": ["a note <b>"],
        "windows": windows,
        "methods": [
            {"name": "ours", "learned": True, "settings": {"episodes": 3}},
            {"name": "equal_weight:monthly", "learned": False, "schedule": "monthly"},
        ],
        "companions": {"ours": names[1:4]},
        "agents": {"ours": ["agent_01", "agent_02"]},
        "reference": "equal_weight:monthly",
        "seeds": [0, 1],
        "terms": {"cash": 1e6, "fill": "next_open"},
        "limits": {"cap": 0.2, "cash_buffer": 0.05},
        "null_paths": 10,
        "looks": {"2022-01-01:2022-12-31": {"looks": 2, "configurations": 1}},
        "curves": curves,
        "seconds": {"ours": 12.0},
    }
    sessions = DAYS[:50].tolist()
    walk = np.cumprod(1.0 + 0.01 * random.standard_normal(50)).tolist()
    half = random.uniform(0.0, 1.0, 50)
    charts = [
        {
            "name": name,
            "sessions": sessions,
            "equity": {"ours": walk, "equal_weight:monthly": walk[::-1]},
            "halves": {"ours": {"cautious": half.tolist(), "bold": (1.0 - half).tolist()}},
        }
        for name in ("2022", "2023")
    ]
    return Findings(Numbers.of(rows), facts), charts
