"""What decisions.parquet and round_trips.csv say of holdings and agents, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from engine.arrays import FloatArray, IntArray
from engine.errors import RunFolderError

if TYPE_CHECKING:
    from marsfolio.runs import Run

LARGEST_HOLDINGS = 9
"""How many symbols have an area of their own in the chart of holdings; the rest is one area."""


@dataclass(frozen=True)
class Stack:
    """Shares that are drawn above each other.

    Attributes
    ----------
    values : (names, sessions) fractions.
    """

    sessions: list[str]
    names: list[str]
    values: FloatArray


class Decisions:
    """decisions.parquet as numbers: at thousands of symbols its text would fill the memory."""

    def __init__(self, run: Run) -> None:
        # Imported here: `marsfolio trades` and the like read run folders without drawing anything.
        import pyarrow as pa

        path = run.path / "decisions.parquet"
        try:
            self._table = run.arrow_decisions()
            self.sessions, self._session = _codes(self._table["session"])
            self.symbols, self._symbol = _codes(self._table["symbol"])
            self._executed = self._numbers("executed_weight")
        except FileNotFoundError as error:
            raise RunFolderError(f"{path} does not exist: is its folder a finished run?") from error
        except (OSError, KeyError, pa.ArrowException) as error:
            raise RunFolderError(f"{path} cannot be read: {error}; repeat the run") from error

    def agents(self) -> Stack | None:
        """Return the controller's weights; None without agents."""
        names = self._table.column_names[5:]
        if not names or not self.sessions:
            return None
        first = np.unique(self._session, return_index=True)[1]
        return Stack(self.sessions, names, np.array([self._numbers(name)[first] for name in names]))

    def holdings(self) -> Stack | None:
        """Return the largest holdings after each decision's fills; None with fewer than two of them."""
        grid = np.full((len(self.sessions), len(self.symbols)), np.nan)
        grid[self._session, self._symbol] = self._executed
        filled = np.flatnonzero(~np.isnan(grid).all(axis=1))
        if len(filled) < 2:
            return None
        weights = np.nan_to_num(grid[filled])
        order = np.argsort(-weights.mean(axis=0), kind="stable")
        largest, others = order[:LARGEST_HOLDINGS], order[LARGEST_HOLDINGS:]
        names = [self.symbols[i] for i in largest]
        values = weights[:, largest].T
        if len(others):
            names.append(f"{len(others)} others")
            values = np.vstack((values, weights[:, others].sum(axis=1)))
        return Stack([self.sessions[t] for t in filled], names, values)

    def _numbers(self, name: str) -> FloatArray:
        values: FloatArray = self._table[name].to_numpy().astype("float64")
        return values


def held_at_the_end(run: Run) -> pd.Series[float]:
    """Return the value of each symbol still held, at its last known close, the largest of either sign first."""
    trips = run.round_trips
    held = trips[trips["exit_session"] == ""]
    value = held["quantity"] * held["exit_price"]
    return value.groupby(held["symbol"]).sum().sort_values(ascending=False, kind="stable", key=abs)


def _codes(column: Any) -> tuple[list[str], IntArray]:
    """Return the names in the order of their first row, and each row's number."""
    chunk = column.combine_chunks()
    # An empty column comes back as a chunked array without chunks.
    if not len(chunk):
        return [], np.zeros(0, dtype=np.int64)
    return chunk.dictionary.to_pylist(), chunk.indices.to_numpy().astype("int64")
