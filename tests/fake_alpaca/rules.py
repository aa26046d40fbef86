"""What the venue refuses, in its words and codes; messages that nobody has recorded are guesses."""

from __future__ import annotations

from datetime import time
from decimal import Decimal, InvalidOperation
from typing import Any

from fake_alpaca.market import NEW_YORK
from fake_alpaca.shapes import text
from fake_alpaca.state import Asset, Order, cents
from fake_alpaca.venue import Venue

TYPES = ("market", "limit", "stop", "stop_limit", "trailing_stop")
TIMES = ("day", "gtc", "opg", "cls", "ioc", "fok")
NUMBERS = ("qty", "notional", "limit_price", "stop_price")
FORBIDDEN, INVALID, UNPROCESSABLE = 40310000, 40010001, 42210000


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """The venue answers with an error; ``body`` is its JSON."""

    def __init__(self, status: int, code: int, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, **extra}


def checked_fields(venue: Venue, body: Any) -> dict[str, Any]:
    """Return the fields of a new order, numbers as Decimal.

    Raises
    ------
    Refused
        When the venue would refuse them whatever the state of the account.
    """
    if not isinstance(body, dict):
        raise Refused(400, 40010000, "request body format is invalid")
    fields = {**body, **{name: _number(name, body[name]) for name in NUMBERS if body.get(name) is not None}}
    asset = _asset(venue, fields)
    _check_words(fields)
    _check_client_id(venue, fields)
    _check_amount(fields)
    _check_fraction(venue, fields, asset)
    _check_limit(fields)
    _check_window(venue, fields)
    return fields


def check_account(venue: Venue) -> None:
    """Refuse when the account may not trade."""
    account = venue.account
    if account.trade_suspended_by_user or account.suspend_trade:
        raise Refused(403, FORBIDDEN, "new orders are rejected by user request")
    if account.status != "ACTIVE" or account.account_blocked or account.trading_blocked:
        raise Refused(403, FORBIDDEN, "account is restricted from trading")


def check_order(venue: Venue, order: Order) -> None:
    """Refuse an order that quotes, open orders, position or buying power do not allow."""
    price = venue.price(order.symbol)
    if price is None:
        raise Refused(
            403,
            FORBIDDEN,
            f"order has been rejected due to no available quote for symbol {order.symbol}. please reenter with a limit",
        )
    price = order.limit_price or price
    held = venue.positions.get(order.symbol)
    position = held.qty if held is not None else Decimal(0)
    opposite = [other for other in venue.open_orders(order.symbol) if other.side != order.side]
    if order.side == "sell" and position <= 0 and opposite:
        raise Refused(403, FORBIDDEN, "cannot open a short sell while a long buy order is open")
    _check_wash(order, opposite)
    if position * order.sign < 0:
        _check_available(venue, order, abs(position), order.quantity(price))
    elif order.side == "sell":
        _check_short(venue, order)
    _check_money(venue, order, price, position)


def _number(name: str, value: object) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise Refused(422, INVALID, f"{name} must be a number") from None
    if isinstance(value, bool) or not number.is_finite():
        raise Refused(422, INVALID, f"{name} must be a number")
    if number <= 0:
        raise Refused(422, INVALID, f"{name} must be > 0")
    return number


def _asset(venue: Venue, fields: dict[str, Any]) -> Asset:
    symbol = fields.get("symbol")
    if not symbol:
        raise Refused(422, INVALID, "symbol is required")
    asset = venue.assets.get(symbol)
    if asset is None:
        raise Refused(422, INVALID, f'asset "{symbol}" not found')
    if asset.status != "active":
        raise Refused(422, INVALID, f"asset {symbol} is not active")
    if not asset.tradable:
        raise Refused(422, UNPROCESSABLE, f"asset {symbol} is not tradable")
    return asset


def _check_words(fields: dict[str, Any]) -> None:
    for name, words in (("side", ("buy", "sell")), ("type", TYPES), ("time_in_force", TIMES)):
        if fields.get(name) not in words:
            raise Refused(422, INVALID, f"invalid {name.replace('_', ' ')}")


def _check_client_id(venue: Venue, fields: dict[str, Any]) -> None:
    client_id = fields.get("client_order_id")
    if client_id is None:
        return
    if not isinstance(client_id, str) or len(client_id) > 128:
        raise Refused(422, INVALID, "client_order_id must be no more than 128 characters")
    if venue.find(client_id) is not None:
        raise Refused(422, INVALID, "client_order_id must be unique")


def _check_amount(fields: dict[str, Any]) -> None:
    qty, notional = fields.get("qty"), fields.get("notional")
    if qty is not None and notional is not None:
        raise Refused(400, INVALID, "only one of qty or notional is accepted")
    if qty is None and notional is None:
        raise Refused(422, INVALID, "qty or notional is required")
    if qty is not None and _decimals(qty) > 9:
        raise Refused(422, UNPROCESSABLE, "qty must be limited to 9 decimal places")
    if notional is not None:
        if notional < 1:
            raise Refused(422, INVALID, "notional must be >= 1.00")
        if _decimals(notional) > 2:
            raise Refused(422, UNPROCESSABLE, "notional value must be limited to 2 decimal places")
        if fields["type"] != "market":
            raise Refused(422, UNPROCESSABLE, "notional orders must be market orders")


def _check_fraction(venue: Venue, fields: dict[str, Any], asset: Asset) -> None:
    if fields.get("notional") is None and _decimals(fields["qty"]) == 0:
        return
    if fields["time_in_force"] != "day":
        raise Refused(422, UNPROCESSABLE, "fractional orders must be DAY orders")
    if not asset.fractionable:
        raise Refused(403, FORBIDDEN, f'asset "{asset.symbol}" is not fractionable')
    if not venue.account.fractional_trading:
        raise Refused(403, FORBIDDEN, "account is not allowed to trade fractional shares")


def _check_limit(fields: dict[str, Any]) -> None:
    limit, kind = fields.get("limit_price"), fields["type"]
    if kind in ("limit", "stop_limit") and limit is None:
        raise Refused(422, INVALID, f"{kind.replace('_', ' ')} orders require limit price")
    if kind in ("stop", "stop_limit") and fields.get("stop_price") is None:
        raise Refused(422, INVALID, f"{kind.replace('_', ' ')} orders require stop price")
    if kind == "market" and limit is not None:
        raise Refused(422, INVALID, "market orders must not have limit price")
    if limit is not None and _decimals(limit) > (2 if limit >= 1 else 4):
        message = f"invalid limit_price {text(limit)}. sub-penny increment does not fulfill minimum pricing criteria"
        raise Refused(422, UNPROCESSABLE, message)
    if fields.get("extended_hours") and (kind != "limit" or fields["time_in_force"] not in ("day", "gtc")):
        raise Refused(422, UNPROCESSABLE, "extended hours order must be DAY or GTC limit orders")


def _check_window(venue: Venue, fields: dict[str, Any]) -> None:
    local = venue.clock.now.astimezone(NEW_YORK).time()
    starts = {"opg": time(9, 28), "cls": time(15, 50)}
    tif = fields["time_in_force"]
    if tif in starts and starts[tif] <= local < time(19):
        words = {"opg": "9:28am", "cls": "3:50pm"}[tif]
        raise Refused(422, UNPROCESSABLE, f"{tif} orders submitted after {words} but before 7:00pm ET are rejected")
    if tif in ("ioc", "fok") and venue.market.session_at(venue.clock.now) is None:
        raise Refused(422, UNPROCESSABLE, f"{tif} orders are only accepted during market hours")


def _check_wash(order: Order, opposite: list[Order]) -> None:
    for other in opposite:
        both = order.limit_price is not None and other.limit_price is not None
        if not both or (order.limit_price - other.limit_price) * order.sign >= 0:
            raise Refused(
                403,
                FORBIDDEN,
                "potential wash trade detected. use complex orders",
                existing_order_id=other.id,
                reject_reason=f"opposite side {other.type} order exists",
            )


def _check_available(venue: Venue, order: Order, position: Decimal, qty: Decimal) -> None:
    claims = [other for other in venue.open_orders(order.symbol) if other.side == order.side]
    price = venue.price(order.symbol) or Decimal(1)
    held = sum((other.quantity(price) - other.filled_qty for other in claims), Decimal(0))
    if qty > position - held:
        available = text(position - held)
        raise Refused(
            403,
            FORBIDDEN,
            f"insufficient qty available for order (requested: {text(qty)}, available: {available})",
            available=available,
            existing_qty=text(position),
            held_for_orders=text(held),
            symbol=order.symbol,
        )


def _check_short(venue: Venue, order: Order) -> None:
    account = venue.account
    if account.no_shorting or not account.shorting_enabled or venue.multiplier() <= 1:
        raise Refused(403, FORBIDDEN, "account is not allowed to short")
    if not venue.assets[order.symbol].shortable:
        raise Refused(403, FORBIDDEN, f'asset "{order.symbol}" cannot be sold short')
    if order.qty is None or _decimals(order.qty) > 0:
        raise Refused(403, FORBIDDEN, "fractional orders cannot be sold short")


def _check_money(venue: Venue, order: Order, price: Decimal, position: Decimal) -> None:
    closes = position * order.sign < 0
    cost = order.notional or order.quantity(price) * price
    if cost < 1 and not (closes and order.quantity(price) == abs(position)):
        message = "cost basis must be >= minimal amount of order 1"
        raise Refused(403, FORBIDDEN, message, cost_basis=text(cents(cost)))
    power = venue.buying_power()
    if not closes and cost > power:
        raise Refused(
            403, FORBIDDEN, "insufficient buying power", buying_power=text(power), cost_basis=text(cents(cost))
        )


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)
