"""The records of an account as plain arrays, which the compiled functions read and change."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from engine.arrays import BoolArray, FloatArray
from engine.costs import CostRates

OutcomeArray = np.ndarray[tuple[int], np.dtype[np.int8]]
CountArray = np.ndarray[tuple[int], np.dtype[np.int64]]
RecordArray = np.ndarray[tuple[int], np.dtype[np.void]]

FILL = np.dtype(
    [
        ("row", "i4"),
        ("symbol", "i4"),
        ("quantity", "f8"),
        ("price", "f8"),
        ("commission", "f8"),
        ("slippage", "f8"),
        ("cash_after", "f8"),
        ("position_after", "f8"),
        ("reason", "i1"),
    ],
    align=True,
)
"""One fill: row and symbol are column numbers, quantity is signed, money in account currency, reason a `Reason`."""

FLOW = np.dtype(
    [("row", "i4"), ("symbol", "i4"), ("kind", "i1"), ("amount", "f8"), ("quantity_change", "f8")], align=True
)
"""What moves money or shares and is no fill: symbol -1 for none, amount > 0 when received, kind a `Flow`."""


class Reason(IntEnum):
    """Why a fill happened; the first four are bits of a basket's fills.

    A market order that fills at the close it was placed at (SAME_CLOSE) is in the cash of the next session, like the
    fills of a same_close basket; every other fill is in the cash of its own.
    """

    REBALANCE = 0
    SHRUNK = 1
    PARTIAL = 2
    SHRUNK_PARTIAL = 3
    MARKET = 4
    CLOSE = 5
    LIMIT = 6
    STOP = 7
    STOP_LIMIT = 8
    SAME_CLOSE = 9


class Flow(IntEnum):
    """Kinds of cash flow."""

    INTEREST = 0
    DIVIDEND = 1
    SPLIT = 2
    CASH_IN_LIEU = 3


class FillTiming(IntEnum):
    """When the orders of a decision at the close of session t execute."""

    NEXT_OPEN = 0
    NEXT_CLOSE = 1
    SAME_CLOSE = 2

    @classmethod
    def parse(cls, name: str) -> FillTiming:
        """Return the timing called ``next_open``, ``next_close`` or ``same_close``."""
        return cls[name.upper()]


class Bars(NamedTuple):
    """The bars of a run as the compiled functions read them; (T, N) unless said otherwise."""

    open: FloatArray
    close: FloatArray
    volume: FloatArray
    has_bar: BoolArray
    volatility: FloatArray  # daily, of the sessions before; (0, N) when no cost reads it
    split: FloatArray  # new shares for an old one, from the session's open; (0, N) when prices are adjusted
    dividend: FloatArray  # cash a (new) share, to who held at the close before; (0, N) when prices are adjusted
    days: FloatArray  # (T,) calendar days since the session before
    month: CountArray  # (T,) number of the calendar month


class Book(NamedTuple):
    """What an account holds; changed in place."""

    cash: FloatArray  # (1,)
    quantity: FloatArray  # (N,) shares
    mark: FloatArray  # (N,) last close known, NaN before the first
    pending: FloatArray  # (N,) shares wanted by the basket that waits
    pending_row: CountArray  # (1,) its decision's row, -1 for none
    month_volume: FloatArray  # (1,) traded in this calendar month, as commission tiers count it


class Log(NamedTuple):
    """Everything that moved money or shares, in order; changed in place."""

    fills: RecordArray  # room for N fills a session
    flows: RecordArray  # room for 3 N + 1 flows a session where there are corporate actions, else 1
    n_fills: CountArray  # (1,)
    n_flows: CountArray  # (1,)


class Records(NamedTuple):
    """What happened, one row a session; changed in place."""

    equity: FloatArray  # (T,) at the close, before the fills of a same_close decision
    cash: FloatArray  # (T,)
    largest_weight: FloatArray  # (T,) largest weight of one symbol at the close
    traded: FloatArray  # (T,) notional traded for the fills booked in that session's row
    target_weight: FloatArray  # (T, N) after limits; NaN: no target
    executed_weight: FloatArray  # (T, N) shares held after the fills at the decision's close; NaN: not filled
    outcome: np.ndarray[tuple[int, int], np.dtype[np.int8]]  # (T, N) bits of engine.limits


class Rules(NamedTuple):
    """How orders are sized, limited, timed and charged."""

    rates: CostRates
    cap: float
    budget: float
    limited: bool
    fractional: bool
    timing: int
