"""Between the raw JSON of Alpaca's trading API and our types; nothing is filled in for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from math import isfinite
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from brokers.protocol import AccountState, Holding, Order, OrderRefused, OrderReport, Refusal, SessionHours, Side
from engine.errors import TemporaryError

OPEN = frozenset(
    {
        "accepted",
        "accepted_for_bidding",
        "calculated",
        "held",
        "new",
        "partially_filled",
        "pending_cancel",
        "pending_new",
        "pending_replace",
        "pending_review",
        "stopped",
        "suspended",
    }
)
CLOSED = frozenset({"canceled", "done_for_day", "expired", "filled", "rejected", "replaced"})
LONGEST_CLIENT_ID = 128

_SHARE_STEP = Decimal("1e-9")
# Sums of fractions miss their last decimal by so little: what is 0.8 but for that must not be cut to 0.799999999.
_NOISE = Decimal("1e-10")
_NEW_YORK = ZoneInfo("America/New_York")
# The last fill, or else the last change.
_TIMES = (
    "filled_at",
    "canceled_at",
    "expired_at",
    "failed_at",
    "replaced_at",
    "updated_at",
    "submitted_at",
    "created_at",
)

Row = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asset:
    """What Alpaca says of a symbol.

    Attributes
    ----------
    status : in Alpaca's words; ``unknown`` when it does not know the symbol.
    """

    symbol: str
    tradable: bool
    fractionable: bool
    status: str


def row_of(value: object, what: str) -> Row:
    """Return a JSON object.

    Raises
    ------
    TemporaryError
        When the value is anything else, as are all that this module raises.
    """
    if not isinstance(value, dict):
        raise TemporaryError(f"Alpaca's answer for the {what} must be a JSON object, was {_shown(value)}")
    return value


def rows_of(value: object, what: str) -> list[Row]:
    """Return a JSON array of objects."""
    if not isinstance(value, list):
        raise TemporaryError(f"Alpaca's answer for the {what} must be a JSON array, was {_shown(value)}")
    return [row_of(item, what) for item in value]


def text(row: Row, name: str, what: str) -> str:
    """Return a text that must be there and not be empty."""
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise _broken(row, name, what, "a text")
    return value


def number(row: Row, name: str, what: str) -> float:
    """Return a finite number that must be there, whether written as JSON text or number."""
    value = row.get(name)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            decimal = Decimal(str(value))
        except InvalidOperation:
            decimal = Decimal("NaN")
        if decimal.is_finite():
            return float(decimal)
    raise _broken(row, name, what, "a finite number")


def flag(row: Row, name: str, what: str) -> bool:
    """Return a boolean that must be there."""
    value = row.get(name)
    if not isinstance(value, bool):
        raise _broken(row, name, what, "true or false")
    return value


def moment(row: Row, name: str, what: str) -> datetime:
    """Return a time with its zone, in UTC."""
    try:
        value = datetime.fromisoformat(text(row, name, what))
    except ValueError as error:
        raise _broken(row, name, what, "an ISO 8601 time") from error
    if value.tzinfo is None:
        raise _broken(row, name, what, "a time with its zone")
    return value.astimezone(UTC)


def optional(read: Callable[[Row, str, str], T], row: Row, name: str, what: str) -> T | None:
    """Return None for a field that is missing or null, and what ``read`` makes of it otherwise."""
    return None if row.get(name) is None else read(row, name, what)


def clock_time(value: object) -> datetime:
    """Read the clock."""
    return moment(row_of(value, "clock"), "timestamp", "clock")


def account_state(row: Row) -> AccountState:
    """Read an account."""
    what = "account"
    return AccountState(
        text(row, "id", what),
        number(row, "cash", what),
        number(row, "equity", what),
        blocked=_blocked(row),
        remarks=_remarks(row),
    )


def holding(row: Row) -> Holding:
    """Read a position; a short one may come with either sign."""
    what = f"position in {text(row, 'symbol', 'position')}"
    quantity, available = number(row, "qty", what), number(row, "qty_available", what)
    if row.get("side") == "short":
        quantity, available = -abs(quantity), -abs(available)
    price = optional(number, row, "current_price", what)
    return Holding(text(row, "symbol", what), quantity, available, price)


def order_report(row: Row) -> OrderReport:
    """Read an order."""
    client_id = row.get("client_order_id") or ""
    what = f"order {client_id or row.get('id')}"
    status = text(row, "status", what)
    filled = number(row, "filled_qty", what)
    price = number(row, "filled_avg_price", what) if filled else None
    if filled < 0 or (price is not None and price <= 0):
        raise TemporaryError(f"{what}: filled_qty and filled_avg_price must not be negative, were {filled} and {price}")
    return OrderReport(
        order_id=text(row, "id", what),
        client_id=str(client_id),
        symbol=text(row, "symbol", what),
        side=_side(row, what),
        quantity=optional(number, row, "qty", what),
        filled=filled,
        average_price=price,
        status=status,
        is_open=status not in CLOSED,
        is_known=status in OPEN or status in CLOSED,
        time_utc=_last_time(row, what),
        reason="rejected after it had been accepted" if status == "rejected" else "",
    )


def submitted_at(row: Row) -> datetime:
    """Return when an order was submitted or, where it waits for that, created."""
    what = f"order {row.get('client_order_id')}"
    return optional(moment, row, "submitted_at", what) or moment(row, "created_at", what)


def latest_trades(value: object) -> dict[str, float]:
    """Read the latest price of each symbol that has one."""
    trades = row_of(row_of(value, "latest trades").get("trades") or {}, "latest trades")
    prices = {}
    for symbol, trade in trades.items():
        price = number(row_of(trade, f"latest trade of {symbol}"), "p", f"latest trade of {symbol}")
        if price > 0:
            prices[symbol] = price
    return prices


def asset(value: object, symbol: str) -> Asset:
    """Read what trading in a symbol needs."""
    row, what = row_of(value, "asset"), f"asset {symbol}"
    return Asset(symbol, flag(row, "tradable", what), flag(row, "fractionable", what), status=text(row, "status", what))


def order_fields(order: Order) -> dict[str, str]:
    """Return what is sent for an order: a market order for the day, its quantity cut to nine decimals.

    Raises
    ------
    OrderRefused
        When the quantity or the client id must not be sent.
    """
    quantity = Decimal(0)
    if isfinite(order.quantity):
        quantity = Decimal(str(float(order.quantity))).quantize(_NOISE).quantize(_SHARE_STEP, ROUND_DOWN)
    if quantity <= 0:
        raise OrderRefused(
            f"order {order.client_id} was not sent: its quantity must be finite and at least {_SHARE_STEP:f}, "
            f"was {order.quantity}",
            Refusal.OTHER,
        )
    if not 0 < len(order.client_id) <= LONGEST_CLIENT_ID:
        raise OrderRefused(
            f"order {order.client_id!r} was not sent: its client id must have 1 to {LONGEST_CLIENT_ID} characters",
            Refusal.OTHER,
        )
    return {
        "symbol": order.symbol,
        "qty": f"{quantity.normalize():f}",
        "side": str(order.side),
        "type": "market",
        "time_in_force": "day",
        "client_order_id": order.client_id,
    }


def session_hours(row: Row) -> SessionHours:
    """Read a day of the calendar, whose times are New York's without saying so."""
    what = "calendar"
    try:
        session = date.fromisoformat(text(row, "date", what))
        opened, closed = (
            datetime.combine(session, time.fromisoformat(text(row, name, what)), _NEW_YORK).astimezone(UTC)
            for name in ("open", "close")
        )
    except ValueError as error:
        raise TemporaryError(f"{what}: date, open and close must be a date and two times, were {dict(row)}") from error
    if opened >= closed:
        raise TemporaryError(f"{what}: {session} must open before it closes, was {dict(row)}")
    return SessionHours(session, opened, closed)


def _blocked(row: Row) -> str:
    what = "account"
    status = text(row, "status", what)
    reasons = [] if status == "ACTIVE" else [f"its status is {status}"]
    reasons += [name for name in ("trading_blocked", "account_blocked") if flag(row, name, what)]
    if optional(flag, row, "trade_suspended_by_user", what):
        reasons.append("trade_suspended_by_user")
    return ", ".join(reasons)


def _remarks(row: Row) -> tuple[str, ...]:
    remarks = []
    multiplier = optional(number, row, "multiplier", "account")
    if multiplier is not None and multiplier > 1:
        remarks.append(f"the account may borrow: its buying power is {multiplier:g} times its equity")
    if optional(flag, row, "shorting_enabled", "account"):
        remarks.append("the account may sell short")
    return tuple(remarks)


def _side(row: Row, what: str) -> Side:
    try:
        return Side(text(row, "side", what))
    except ValueError as error:
        raise _broken(row, "side", what, "buy or sell") from error


def _last_time(row: Row, what: str) -> datetime | None:
    return next((moment(row, name, what) for name in _TIMES if row.get(name) is not None), None)


def _broken(row: Row, name: str, what: str, rule: str) -> TemporaryError:
    value = _shown(row[name]) if name in row else "missing"
    return TemporaryError(f"Alpaca's answer: {what}: {name} must be {rule}, was {value}")


def _shown(value: object) -> str:
    return repr(value)[:80]
