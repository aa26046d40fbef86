"""What the venue knows: account, assets, positions and orders, plain and free for tests to change."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, ClassVar

CENT = Decimal("0.01")
TERMINAL = frozenset({"filled", "canceled", "expired", "rejected", "replaced", "done_for_day"})


def exact(value: object) -> Decimal:
    """Return a number as the decimal that it is written as."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


def cents(value: Decimal) -> Decimal:
    """Round to whole cents, halves away from 0."""
    return value.quantize(CENT, ROUND_HALF_UP)


class Exact:
    """Keeps the attributes in ``decimals`` as Decimal, whatever number is assigned."""

    decimals: ClassVar[frozenset[str]] = frozenset()

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, exact(value) if name in self.decimals and value is not None else value)


@dataclass
class Account(Exact):
    """The account.

    Attributes
    ----------
    cash : Decimal, whole cents.
    multiplier : of the margin: paper accounts have 4.
    no_shorting, suspend_trade, fractional_trading, max_margin_multiplier : the account's configurations.
    fields : overrides or adds fields of the JSON; None as a value answers null.
    """

    decimals: ClassVar[frozenset[str]] = frozenset({"cash", "multiplier", "last_equity", "max_margin_multiplier"})

    account_number: str
    cash: Decimal
    created_at: datetime
    last_equity: Decimal = Decimal(0)
    multiplier: Decimal = Decimal(4)
    status: str = "ACTIVE"
    trading_blocked: bool = False
    account_blocked: bool = False
    transfers_blocked: bool = False
    trade_suspended_by_user: bool = False
    shorting_enabled: bool = True
    no_shorting: bool = False
    suspend_trade: bool = False
    fractional_trading: bool = True
    max_margin_multiplier: Decimal = Decimal(4)
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Asset:
    """An asset; ``fields`` overrides or adds fields of the JSON."""

    symbol: str
    fractionable: bool = True
    tradable: bool = True
    shortable: bool = True
    status: str = "active"
    exchange: str = "NASDAQ"
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Position(Exact):
    """A position; short ones have a negative quantity."""

    decimals: ClassVar[frozenset[str]] = frozenset({"qty", "avg_entry_price"})

    symbol: str
    qty: Decimal
    avg_entry_price: Decimal


@dataclass
class Conduct(Exact):
    """How the venue treats one order when it does not treat it well.

    Attributes
    ----------
    fills : False for a halt.
    fill_qty, fill_fraction : it fills so much and then stops.
    rest : what becomes of the remainder: ``open`` (expires at the close), ``canceled`` at the close, or ``filled``
        after a read has shown the partial fill.
    wait_reads, wait : it cannot fill before it has been read so often, nor so soon after it was sent.
    reject : it is rejected later, for that reason; at the open where ``reject_at_open``.
    hidden_lookups : so many look-ups by client id answer 404; lists hide it as long where ``hidden_in_lists``.
    cancel_reads : reads that a cancel stays pending; None for ever.
    """

    decimals: ClassVar[frozenset[str]] = frozenset({"fill_qty", "fill_fraction"})

    fills: bool = True
    fill_qty: Decimal | None = None
    fill_fraction: Decimal | None = None
    rest: str = "open"
    wait_reads: int = 0
    wait: timedelta = timedelta()
    reject: str | None = None
    reject_at_open: bool = False
    hidden_lookups: int = 0
    hidden_in_lists: bool = False
    cancel_reads: int | None = 0


@dataclass
class Order(Exact):
    """An order.

    Attributes
    ----------
    fills_from : it cannot fill before.
    shown_status : answered instead of ``status`` when set, such as a word nobody knows.
    fields : overrides or adds fields of the JSON.
    """

    decimals: ClassVar[frozenset[str]] = frozenset({"qty", "notional", "limit_price", "stop_price", "filled_qty"})

    id: str
    client_order_id: str
    symbol: str
    side: str
    qty: Decimal | None
    notional: Decimal | None
    submitted_at: datetime
    fills_from: datetime
    type: str = "market"
    time_in_force: str = "day"
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    extended_hours: bool = False
    status: str = "accepted"
    filled_qty: Decimal = Decimal(0)
    filled_amount: Decimal = Decimal(0)
    updated_at: datetime | None = None
    filled_at: datetime | None = None
    expired_at: datetime | None = None
    canceled_at: datetime | None = None
    failed_at: datetime | None = None
    shown_status: str | None = None
    conduct: Conduct = field(default_factory=Conduct)
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status not in TERMINAL

    @property
    def sign(self) -> int:
        """1 for a buy, -1 for a sell."""
        return 1 if self.side == "buy" else -1

    @property
    def filled_avg_price(self) -> Decimal | None:
        """Mean price of what is filled; None while nothing is."""
        return self.filled_amount / self.filled_qty if self.filled_qty else None

    def quantity(self, price: Decimal) -> Decimal:
        """Return the shares ordered, at that price where the order is for an amount of money."""
        if self.qty is not None:
            return self.qty
        assert self.notional is not None
        return (self.notional / price).quantize(Decimal("1e-9"))
