"""Venue: keeps the account and carries orders from acceptance to their end, by the virtual clock."""

from __future__ import annotations

import uuid
from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from threading import RLock
from typing import Any

from fake_alpaca.clock import Event, VirtualClock
from fake_alpaca.market import FakeMarket, new_york_date
from fake_alpaca.shapes import activity_json, fill_json
from fake_alpaca.state import Account, Asset, Conduct, Order, Position, cents, exact


class Venue:
    """Account, assets, positions, orders and activities of one paper account.

    A market order in session fills at once at the current price; one sent before waits for the next open and fills
    at its price; what is left of a day order at the close expires. Buys queued overnight fill even when the gap
    makes them dearer than the cash. Limit orders fill at the open, whenever the clock moves, and within the day's
    range at the close. Stop orders rest and never trigger. Positions follow splits; dividends are not paid.
    """

    def __init__(self, market: FakeMarket, now: datetime, cash: float, account_number: str) -> None:
        self.lock = RLock()
        self.market = market
        self.clock = VirtualClock(market, now, self.lock)
        self.clock.on_event = self._event
        self.clock.on_move = self.work_all
        self.account = Account(account_number, cents(exact(cash)), now, last_equity=exact(cash))
        self.assets = {symbol: Asset(symbol) for symbol in market.symbols}
        self.positions: dict[str, Position] = {}
        self.orders: list[Order] = []
        self.activities: list[dict[str, Any]] = []
        self.stale_positions: tuple[int, dict[str, Position]] = (0, {})

    def new_id(self, *names: object) -> str:
        """Return a UUID that depends on the names alone."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(str(name) for name in (*names,))))

    def price(self, symbol: str) -> Decimal | None:
        """Return the last price; None when there was never one."""
        price = self.market.price_at(symbol, self.clock.now)
        return None if price is None else exact(price)

    def find(self, client_order_id: str) -> Order | None:
        """Return the order with that client id, hidden or not."""
        return next((order for order in self.orders if order.client_order_id == client_order_id), None)

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """Return the orders that may still fill, oldest first."""
        return [o for o in self.orders if o.is_open and (symbol is None or o.symbol == symbol)]

    def held(self, symbol: str) -> Decimal:
        """Return the shares that open sells claim."""
        price = self.price(symbol) or Decimal(1)
        sells = [order for order in self.open_orders(symbol) if order.side == "sell"]
        return sum((order.quantity(price) - order.filled_qty for order in sells), Decimal(0))

    def long_value(self) -> Decimal:
        """Return the market value of the long positions."""
        return sum((value for value in self._values() if value > 0), Decimal(0))

    def short_value(self) -> Decimal:
        """Return the market value of the short positions, negative."""
        return sum((value for value in self._values() if value < 0), Decimal(0))

    def equity(self) -> Decimal:
        """Return cash and positions."""
        return cents(self.account.cash + self.long_value() + self.short_value())

    def multiplier(self) -> Decimal:
        """Return the margin multiplier in force."""
        return min(self.account.multiplier, self.account.max_margin_multiplier)

    def buying_power(self) -> Decimal:
        """Return multiplier * equity less positions, cash when the multiplier is 1; less what open buys reserve."""
        multiplier = self.multiplier()
        power = self.account.cash
        if multiplier > 1:
            power = multiplier * self.equity() - self.long_value() + self.short_value()
        reserved = sum((self.reserve(order) for order in self.open_orders() if order.side == "buy"), Decimal(0))
        return max(Decimal(0), cents(power - reserved))

    def reserve(self, order: Order) -> Decimal:
        """Return what an open buy may still cost, at its limit or the last price."""
        price = order.limit_price or self.price(order.symbol) or Decimal(0)
        if order.notional is not None:
            return order.notional - order.filled_amount
        return (order.quantity(price) - order.filled_qty) * price

    def accept(self, order: Order) -> None:
        """Take an order that the rules allow: ``pending_new`` in session, else ``accepted``."""
        order.status = "pending_new" if self.market.session_at(self.clock.now) else "accepted"
        order.updated_at = order.submitted_at
        self.orders.append(order)

    def work_all(self) -> None:
        """Fill what can fill now."""
        for order in self.open_orders():
            self.work(order)

    def work(self, order: Order) -> None:
        """Let an order go one step: reject it or fill it where that can happen now."""
        conduct, session = order.conduct, self.market.session_at(self.clock.now)
        if not order.is_open or order.status == "pending_cancel":
            return
        if conduct.reject is not None and (session is not None or not conduct.reject_at_open):
            self._end(order, "rejected")
            return
        if session is None or order.time_in_force == "cls":
            return
        if order.status in ("pending_new", "accepted"):
            order.status = "new"
        bar = self.market.bar_at(order.symbol, session, self.clock.now)
        if bar is not None and self._may_fill(order):
            self._execute(order, exact(bar.close))
        if order.is_open and order.time_in_force in ("ioc", "fok"):
            self._end(order, "canceled")

    def read(self, order: Order) -> None:
        """Say that an order is about to be shown; what waits for reads comes one read nearer."""
        conduct = order.conduct
        if order.status == "pending_cancel" and conduct.cancel_reads is not None:
            if conduct.cancel_reads == 0:
                self._end(order, "canceled")
            conduct.cancel_reads = max(0, conduct.cancel_reads - 1)
        elif conduct.wait_reads > 0:
            conduct.wait_reads -= 1
        else:
            if conduct.rest == "filled" and order.status == "partially_filled":
                conduct.wait_reads, conduct.rest = 0, "open"
                conduct.fill_qty = conduct.fill_fraction = None
                return
            self.work(order)

    def cancel(self, order: Order) -> None:
        """Cancel an order, at once unless its conduct says otherwise."""
        if order.conduct.cancel_reads == 0:
            self._end(order, "canceled")
        else:
            order.status, order.updated_at = "pending_cancel", self.clock.stamp()

    def add_activity(self, kind: str, amount: float, symbol: str = "", qty: float = 0.0) -> None:
        """Book cash (and shares) that is no fill, such as DIV, INT, CSW or CSD, and tell it as an activity."""
        with self.lock:
            self.account.cash = cents(self.account.cash + exact(amount))
            if qty:
                self._move(symbol, exact(qty), Decimal(0))
            self.activities.append(activity_json(self, kind, exact(amount), symbol, exact(qty)))

    def freeze_positions(self, reads: int) -> None:
        """Make the next reads of the positions answer what is held now."""
        self.stale_positions = (reads, deepcopy(self.positions))

    def shown_positions(self) -> dict[str, Position]:
        """Return the positions as a read answers them now."""
        reads, old = self.stale_positions
        if reads == 0:
            return self.positions
        self.stale_positions = (reads - 1, old)
        return old

    def _values(self) -> list[Decimal]:
        prices = [(held, self.price(held.symbol)) for held in self.positions.values()]
        return [held.qty * (held.avg_entry_price if price is None else price) for held, price in prices]

    def _event(self, event: Event) -> None:
        if event.kind == "split":
            for split in self.market.splits:
                held = self.positions.get(split.symbol)
                if held is not None and split.day == new_york_date(event.when):
                    ratio = exact(split.ratio)
                    held.qty, held.avg_entry_price = held.qty * ratio, held.avg_entry_price / ratio
        elif event.kind == "open":
            self.work_all()
            for order in self.open_orders():
                if order.time_in_force == "opg" and order.status != "pending_cancel":
                    self._end(order, "expired")
        else:
            for order in self.open_orders():
                self._close(order, event)
            self.account.last_equity = self.equity()

    def _close(self, order: Order, event: Event) -> None:
        if order.status == "pending_cancel":
            return
        bar = self.market.bar_at(order.symbol, new_york_date(event.when), event.when)
        if bar is not None and self._may_fill(order):
            if order.type == "limit" and bar.low <= order.limit_price <= bar.high and order.time_in_force != "cls":
                self._execute(order, order.limit_price)
            elif order.time_in_force == "cls":
                self._execute(order, exact(bar.close))
        if order.is_open and order.time_in_force != "gtc":
            self._end(order, "canceled" if order.conduct.rest == "canceled" else "expired")

    def _may_fill(self, order: Order) -> bool:
        conduct = order.conduct
        late = self.clock.now < order.fills_from
        return conduct.fills and conduct.wait_reads == 0 and not late and order.type in ("market", "limit")

    def _execute(self, order: Order, price: Decimal) -> None:
        if order.limit_price is not None and (order.limit_price - price) * order.sign < 0:
            return
        wanted = whole = order.quantity(price)
        if order.conduct.fill_fraction is not None:
            wanted = (whole * order.conduct.fill_fraction).quantize(Decimal("1e-9"))
        if order.conduct.fill_qty is not None:
            wanted = min(whole, order.conduct.fill_qty)
        if wanted > order.filled_qty:
            self._fill(order, wanted - order.filled_qty, whole, price)

    def _fill(self, order: Order, qty: Decimal, whole: Decimal, price: Decimal) -> None:
        order.filled_qty += qty
        order.filled_amount += qty * price
        order.status = "filled" if order.filled_qty >= whole else "partially_filled"
        order.filled_at = order.updated_at = self.clock.stamp()
        self.account.cash -= order.sign * cents(qty * price)
        self._move(order.symbol, order.sign * qty, price)
        self.activities.append(fill_json(self, order, qty, whole, price))

    def _move(self, symbol: str, change: Decimal, price: Decimal) -> None:
        held = self.positions.get(symbol) or Position(symbol, Decimal(0), Decimal(0))
        after = held.qty + change
        if held.qty * change >= 0 and after != 0:
            held.avg_entry_price = (held.avg_entry_price * held.qty + price * change) / after
        elif held.qty * after < 0:
            held.avg_entry_price = price
        held.qty = after
        self.positions[symbol] = held
        if after == 0:
            del self.positions[symbol]

    def _end(self, order: Order, status: str) -> None:
        moment = self.clock.stamp()
        order.status, order.updated_at = status, moment
        name = {"canceled": "canceled_at", "expired": "expired_at", "rejected": "failed_at"}[status]
        setattr(order, name, moment)


def new_order(venue: Venue, fields: dict[str, Any], conduct: Conduct) -> Order:
    """Return the order of checked fields, with its ids and time."""
    number = len(venue.orders) + 1
    order_id = venue.new_id(venue.account.account_number, "order", number)
    client_id = fields.get("client_order_id") or venue.new_id(order_id, "client")
    return Order(
        id=order_id,
        client_order_id=client_id,
        symbol=fields["symbol"],
        side=fields["side"],
        qty=fields.get("qty"),
        notional=fields.get("notional"),
        submitted_at=venue.clock.stamp(),
        fills_from=venue.clock.now + conduct.wait,
        type=fields["type"],
        time_in_force=fields["time_in_force"],
        limit_price=fields.get("limit_price"),
        stop_price=fields.get("stop_price"),
        extended_hours=bool(fields.get("extended_hours")),
        conduct=conduct,
    )
