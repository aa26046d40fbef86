"""What the books of a paper account are made of: fills, closes, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from brokers.protocol import Side


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill as it was booked; fields as in trades.csv."""

    fill_id: str
    order_id: str
    session: date
    time_utc: str
    symbol: str
    side: Side
    quantity: float
    price: float
    commission: float
    slippage: float
    cash_after: float
    position_after: float
    reason: str


@dataclass(frozen=True, slots=True)
class Close:
    """The account at the close of a session.

    Attributes
    ----------
    traded : value of the session's fills.
    marks : last known close of each symbol.
    """

    session: date
    equity: float
    cash: float
    traded: float
    marks: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Cash and shares as our own books have them."""

    cash: float
    positions: Mapping[str, float]
