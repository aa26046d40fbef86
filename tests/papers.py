"""Paper accounts as a user of the command line has them, for tests: bars in a file, commands, the files of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.panel import FIELDS, MarketPanel
from engine.tradelog import read_table
from marsfolio.cli import main

SIMULATED = "--broker simulated --data bars.parquet"
FREELY = "--max-turnover 1 --max-loss 1"
"""Random markets fall and turn over as no limit of a sensible account allows."""
TABLES = ("trades.csv", "cash_flows.csv", "equity.csv", "round_trips.csv", "decisions.parquet")


def write_panel(panel: MarketPanel, path: Path) -> None:
    """Write the bars of a panel as a user's file has them, without rows for missing ones."""
    shape = panel.close.shape
    names = [*FIELDS, *(("split", "dividend") if panel.has_actions else ())]
    table = pd.DataFrame(
        {
            "date": np.repeat(panel.sessions.astype("datetime64[ns]"), shape[1]),
            "symbol": np.tile(np.array(panel.symbols, dtype=object), shape[0]),
            **{name: getattr(panel, name).ravel() for name in names},
        }
    )
    table[table["close"].notna()].reset_index(drop=True).to_parquet(path)


def run(line: str) -> int:
    """Run a command line and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    return int(stop.value.code or 0)


def files_of(folder: Path | str) -> dict[str, Any]:
    """Return the tables of a run folder and its metrics, without ids: those are each world's own."""
    found: dict[str, Any] = {name: read_table(Path(folder) / name) for name in TABLES}
    found["trades.csv"] = found["trades.csv"].drop(columns=["fill_id", "order_id"])
    found["metrics.json"] = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
    return found


def assert_same_files(paper: dict[str, Any], backtest: dict[str, Any], without: str = "") -> None:
    """Compare the files of two runs, number by number.

    Parameters
    ----------
    without : session whose decision only the second has: the last of a backtest, which is never filled.
    """
    decisions = backtest["decisions.parquet"]
    kept = decisions[decisions["session"] != without].reset_index(drop=True)
    for name in TABLES:
        expected = kept if name == "decisions.parquet" else backtest[name]
        # Executed weights: what a split made of a share is computed from all shares held, and rounded.
        exact = {"rtol": 1e-14, "atol": 0.0} if name == "decisions.parquet" else {"check_exact": True}
        pd.testing.assert_frame_equal(paper[name], expected, obj=name, **exact)
    assert paper["metrics.json"] == backtest["metrics.json"]
