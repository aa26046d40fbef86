"""What a run says of itself, as `marsfolio.verification.verify` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine.arrays import FloatArray, IntArray
from engine.panel import MarketPanel
from marsfolio.runs import Run

INTEREST = "interest"
"""The kind of cash flow that bars do not cause."""


@dataclass(frozen=True, slots=True)
class Books:
    """What a run says of itself.

    Attributes
    ----------
    trades, cash_flows, equity, round_trips : the tables of the files of these names.
    metrics : the entries of metrics.json.
    cash : initial cash, account currency.
    timing : ``next_open``, ``next_close`` or ``same_close``.
    fractional : whether fractions of shares are kept over a split, or paid out.
    data_hash : content hash of the bars; empty when the run does not say it.
    """

    trades: pd.DataFrame
    cash_flows: pd.DataFrame
    equity: pd.DataFrame
    round_trips: pd.DataFrame
    metrics: Mapping[str, Any]
    cash: float
    timing: str
    fractional: bool
    data_hash: str


def books_of(run: Run) -> Books:
    """Return what a run says of itself, by its files and its options.

    Raises
    ------
    RunFolderError
        When a file is missing or damaged.
    """
    said = run.options
    return Books(
        run.trades,
        run.cash_flows,
        run.equity,
        run.round_trips,
        run.metrics,
        cash=float(said.get("cash", 1_000_000.0)),  # the defaults of `marsfolio backtest`
        timing=str(said.get("fill", "next_open")),
        fractional=bool(said.get("fractional", False)),
        data_hash=str(run.provenance.get("data_hash", "")),
    )


def numbers(table: pd.DataFrame, column: str) -> FloatArray:
    """Return a column as float64."""
    return table[column].to_numpy(dtype=np.float64)


def places(column: pd.Series[Any], names: Sequence[str]) -> IntArray:
    """Return where each text of a column stands among ``names``; -1 where it does not."""
    place = {name: k for k, name in enumerate(names)}
    return np.array([place.get(text, -1) for text in column.tolist()], dtype=np.int64)


def session_names(panel: MarketPanel) -> list[str]:
    """Return the panel's sessions as the files write them."""
    return [str(session) for session in panel.sessions]
