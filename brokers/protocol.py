"""What the paper service asks of a brokerage account, whoever keeps it: a venue and what goes to and from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from engine.errors import MarsfolioError
from engine.panel import MarketPanel


class Side(StrEnum):
    """Which way an order goes."""

    BUY = "buy"
    SELL = "sell"


@dataclass(frozen=True, slots=True)
class SessionHours:
    """One trading session of the exchange.

    Attributes
    ----------
    session : its date at the exchange.
    open, close : regular hours, UTC; half days close early.
    """

    session: date
    open: datetime
    close: datetime


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account as the venue sees it now.

    Attributes
    ----------
    account_id : never changes, is no secret.
    cash, equity : account currency.
    blocked : why it may not trade, in the venue's words; empty when it may.
    remarks : what is worth a warning, such as a margin of four times the equity.
    """

    account_id: str
    cash: float
    equity: float
    blocked: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Holding:
    """A position; short ones have a negative quantity.

    Attributes
    ----------
    quantity : shares held, those that open orders want to sell included.
    available : shares that no open order claims.
    price : the venue's last price; None when it does not say.
    """

    symbol: str
    quantity: float
    available: float
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A market order for one session.

    Attributes
    ----------
    client_id : our own name of it, unique for ever: it makes sending again harmless.
    session : the session in which it is to execute; it ends with that session.
    quantity : shares, positive.
    """

    client_id: str
    session: date
    symbol: str
    side: Side
    quantity: float


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What a venue says of an order.

    Attributes
    ----------
    order_id : the venue's name of it.
    client_id : ours; somebody else's when we did not send it.
    quantity : shares ordered; None where the order was for an amount of money.
    split : shares that one share has become by splits since it was ordered; they have restated ``quantity``.
    filled : shares executed so far, never negative.
    average_price : executed price, slippage included; None while nothing is filled.
    status : in the venue's words.
    is_open : whether it may still fill. A status we do not know counts as open.
    is_known : False when we do not know the status: a person must look.
    time_utc : of the last fill or, without one, of the last change; None when the venue does not say.
    reason : why it was refused or shrunk, in words; empty otherwise.
    commission, slippage : of what is filled, account currency; slippage is for information, being in the price.
    """

    order_id: str
    client_id: str
    symbol: str
    side: Side
    quantity: float | None
    filled: float
    average_price: float | None
    status: str
    is_open: bool
    is_known: bool = True
    time_utc: datetime | None = None
    reason: str = ""
    commission: float = 0.0
    slippage: float = 0.0
    split: float = 1.0


@dataclass(frozen=True, slots=True)
class Movement:
    """What moves money or shares and is no fill: interest, a dividend, a split.

    Attributes
    ----------
    kind : as in cash_flows.csv.
    symbol : empty for none.
    amount : account currency, positive when received.
    quantity_change : shares, signed.
    """

    session: date
    kind: str
    symbol: str
    amount: float
    quantity_change: float


class Refusal(StrEnum):
    """Why a venue refuses an order; decides what is tried next."""

    DUPLICATE = "duplicate"  # the client id exists already: the order is there, look it up
    FUNDS = "funds"  # not enough buying power
    SHARES = "shares"  # more than is available to sell, or it would be a short sale
    OPPOSITE = "opposite"  # an open order on the other side (wash trade)
    WHOLE = "whole"  # whole shares only
    OTHER = "other"  # not tradable, no quote, anything else


class OrderRefused(MarsfolioError):  # noqa: N818 - an answer, not a fault
    """The venue has refused an order for certain: it does not exist there.

    Attributes
    ----------
    kind : a `Refusal`.
    """

    exit_code = 3

    def __init__(self, message: str, kind: Refusal) -> None:
        super().__init__(message)
        self.kind = kind


class OutcomeUnknown(MarsfolioError):  # noqa: N818 - a state, not a fault of the program
    """An order was sent and no one knows whether the venue has it: look it up by its client id."""

    exit_code = 3


class Venue(Protocol):
    """A brokerage account.

    Every method but `submit` may be repeated without harm. Beside what is said below, each raises `TemporaryError`
    when the venue cannot be reached or answers nonsense, after a few tries of its own, and `TradingStopped` when a
    person is needed (keys refused, host not allowed).

    Attributes
    ----------
    name : ``alpaca`` or ``simulated``.
    sizes_buys : whether the venue itself shrinks buys to the cash that is there when they fill, so that all orders
        of a session may be sent at once. Otherwise buys that need the proceeds of sales must wait for these.
    least_value : of an order, account currency; 0 where any will do.
    """

    name: str
    sizes_buys: bool
    least_value: float

    def now(self) -> datetime:
        """Return the venue's time, UTC."""
        ...

    def hours(self, first: date, last: date) -> list[SessionHours]:
        """Return the sessions from ``first`` to ``last``, oldest first."""
        ...

    def account(self) -> AccountState:
        """Return the account."""
        ...

    def holdings(self) -> list[Holding]:
        """Return the positions that are not 0."""
        ...

    def orders(self, since: datetime, open_only: bool = False) -> list[OrderReport]:
        """Return the orders of the account, ours and others, submitted since a time, oldest first, all of them."""
        ...

    def order(self, client_id: str) -> OrderReport | None:
        """Return the order with this client id; None when the venue says that there is none."""
        ...

    def submit(self, order: Order) -> OrderReport:
        """Send an order once.

        Raises
        ------
        OrderRefused
            When it certainly was refused.
        OutcomeUnknown
            When it may or may not have arrived: a timeout, a broken connection, a 5xx, an answer that cannot be read.
        TemporaryError
            When it certainly was not processed (429).
        TradingStopped
            When keys or account are refused.
        """
        ...

    def cancel(self, report: OrderReport) -> None:
        """Ask to cancel an open order; what came of it is in its next report."""
        ...

    def prices(self, symbols: Sequence[str]) -> Mapping[str, float]:
        """Return the latest trade prices of those symbols that have one."""
        ...

    def movements(self, since: date) -> list[Movement]:
        """Return what moved money or shares after the session ``since`` and is no fill, as far as the venue tells."""
        ...


class BarSource(Protocol):
    """Daily bars for decisions."""

    def panel(self, symbols: Sequence[str], last: date, lookback_bars: int) -> MarketPanel:
        """Return bars that end with the session ``last``, at least ``lookback_bars`` sessions where there are so many.

        Raises
        ------
        TemporaryError
            When they are stale (``last`` is missing), incomplete or implausible; names symbol, session and value.
        """
        ...
