"""Lots of shares, first in, first out, by plain arithmetic: round trips without the engine's help."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.arrays import FloatArray

Names = npt.NDArray[np.object_]
_NOTHING_LEFT = 1e-9  # of what was held


@dataclass(slots=True)
class _Lot:
    entry: int
    shares: float  # negative when short
    price: float
    cost: float  # a share, of the entry


class Lots:
    """The open lots of N symbols, oldest first, and the round trips that they became.

    Rows are numbers of sessions, columns of symbols; shares are signed: buys > 0.
    """

    def __init__(self, n_symbols: int) -> None:
        self._open: list[deque[_Lot]] = [deque() for _ in range(n_symbols)]
        self._trips: list[tuple[int, int, int, float, float, float, float]] = []

    def fill(self, row: int, i: int, shares: float, price: float, commission: float, empties: bool) -> None:
        """Close lots of the other sign with a fill, and open one with what is left of it.

        Parameters
        ----------
        empties : nothing is held after it: all lots close, though their fractions may not add up exactly.
        """
        lots, cost, side = self._open[i], commission / abs(shares), shares
        while lots and lots[0].shares * side < 0 and (empties or shares):
            lot = lots[0]
            closed = lot.shares if empties or abs(shares) >= abs(lot.shares) else -shares
            self._trips.append((i, lot.entry, row, closed, lot.price, price, abs(closed) * (lot.cost + cost)))
            shares += closed
            lot.shares -= closed
            if not lot.shares:
                lots.popleft()
        if shares and not empties:
            lots.append(_Lot(row, shares, price, cost))

    def restate(self, row: int, i: int, change: float) -> None:
        """Spread a change of shares that nobody traded, such as a split, over the lots; what they cost stays."""
        lots = self._open[i]
        held = sum(lot.shares for lot in lots)
        left = (held + change) / held if held else 1.0
        if abs(left) < _NOTHING_LEFT:  # all was paid out in cash, which is a cash flow and no price
            self._trips += [(i, lot.entry, row, lot.shares, lot.price, 0.0, abs(lot.shares) * lot.cost) for lot in lots]
            lots.clear()
        for lot in lots:
            lot.shares *= left
            lot.price /= left
            lot.cost /= left

    def table(self, sessions: Names, symbols: Names, mark: FloatArray) -> pd.DataFrame:
        """Return the columns of round_trips.csv, open lots last.

        Parameters
        ----------
        sessions, symbols : (T,) and (N,) names.
        mark : (N,) last known closes.
        """
        held = [
            (i, lot.entry, -1, lot.shares, lot.price, float(mark[i]), abs(lot.shares) * lot.cost)
            for i, lots in enumerate(self._open)
            for lot in lots
        ]
        rows = np.array(self._trips + held, dtype=np.float64).reshape(-1, 7)
        column, entry, exit_ = rows[:, :3].astype(np.int64).T
        shares, paid, got, costs = rows[:, 3:].T
        pnl = shares * (got - paid) - costs
        ended = exit_ >= 0
        return pd.DataFrame(
            {
                "symbol": symbols[column],
                "entry_session": sessions[entry],
                "exit_session": np.where(ended, sessions[exit_], ""),
                "quantity": shares,
                "entry_price": paid,
                "exit_price": got,
                "costs": costs,
                "pnl": pnl,
                "return": pnl / (np.abs(shares) * paid),
                "sessions_held": np.where(ended, exit_, len(sessions) - 1) - entry,
            }
        )
