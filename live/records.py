"""What the books of a paper account are made of: fills, closes, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from brokers.protocol import Movement, Side
from live.plan import SMALLEST


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

    def as_of(self, session: date, fills: Sequence[Fill], movements: Sequence[Movement]) -> Ledger:
        """Return the books at the close of a session.

        Parameters
        ----------
        fills, movements : all that came after it, oldest first; earlier ones are passed over.
        """
        cash, positions = self.cash, dict(self.positions)
        for fill in reversed([fill for fill in fills if fill.session > session]):
            signed = fill.quantity if fill.side is Side.BUY else -fill.quantity
            cash += signed * fill.price + fill.commission
            positions[fill.symbol] = positions.get(fill.symbol, 0.0) - signed
        for movement in reversed([movement for movement in movements if movement.session > session]):
            cash -= movement.amount
            if movement.symbol:
                positions[movement.symbol] = positions.get(movement.symbol, 0.0) - movement.quantity_change
        return Ledger(cash, {symbol: quantity for symbol, quantity in positions.items() if abs(quantity) > SMALLEST})
