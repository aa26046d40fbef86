"""What the embedded account keeps: itself, its orders, its executions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from brokers.protocol import OrderReport, Side


class Status(StrEnum):
    """What has become of an order; only an accepted one is open."""

    ACCEPTED = "accepted"
    FILLED = "filled"
    EXPIRED = "expired"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Position:
    """Shares held (0 for a symbol that is only watched) and the last close known, NaN before the first."""

    quantity: float
    mark: float


@dataclass(frozen=True, slots=True)
class EmbeddedAccount:
    """The account at the close of the session settled last; symbols go by name, since a panel may change."""

    account_id: str
    settled: date
    cash: float
    equity: float
    month_volume: float
    positions: Mapping[str, Position]


@dataclass(frozen=True, slots=True)
class EmbeddedOrder:
    """An order as the account keeps it; the fields are those of `brokers.protocol.OrderReport`.

    Attributes
    ----------
    quantity : shares of the session settled last: a split restates it while the order is open.
    changed : time of the fill, or of the last change.
    """

    number: int
    client_id: str
    session: date
    symbol: str
    side: Side
    quantity: float
    submitted: datetime
    changed: datetime
    status: Status = Status.ACCEPTED
    filled: float = 0.0
    average_price: float | None = None
    commission: float = 0.0
    slippage: float = 0.0
    reason: str = ""
    split: float = 1.0

    def restated(self, quantity: float, ratio: float) -> EmbeddedOrder:
        """Return it in the shares of after a split."""
        return replace(self, quantity=quantity, split=self.split * ratio)

    def report(self) -> OrderReport:
        """Return what a venue says of it."""
        return OrderReport(
            order_id=str(self.number),
            client_id=self.client_id,
            symbol=self.symbol,
            side=self.side,
            quantity=self.quantity,
            filled=self.filled,
            average_price=self.average_price,
            status=self.status.value,
            is_open=self.status is Status.ACCEPTED,
            time_utc=self.changed,
            reason=self.reason,
            commission=self.commission,
            slippage=self.slippage,
            split=self.split,
        )


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill of all orders of a symbol together; the fields are those of `engine.ledger.FILL`."""

    session: date
    symbol: str
    quantity: float
    price: float
    commission: float
    slippage: float
    cash_after: float
    position_after: float
    reason: str
