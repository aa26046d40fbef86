"""A simulated account on a panel, session by session, for tests: hours, a clock to move, orders of a basket."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from brokers.embedded import EmbeddedVenue
from brokers.protocol import Order, OrderReport, SessionHours, Side
from engine.arrays import FloatArray
from engine.clock import VirtualClock
from engine.observation import feature_table
from engine.panel import MarketPanel
from engine.policy import Decision
from engine.rebalancer import Rebalancer, Terms


def weekday_hours(first: date, last: date) -> list[SessionHours]:
    """Return every weekday, open from 14:30 to 21:00 UTC."""
    days = [first + timedelta(days=k) for k in range((last - first).days + 1)]
    return [SessionHours(day, at(day, 14, 30), at(day, 21)) for day in days if day.weekday() < 5]


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), UTC)


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder in memory where there is one: thousands of transactions wait for the disk otherwise."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@dataclass
class World:
    """A market with an account in it; ``row`` is the session that has closed last."""

    panel: MarketPanel
    terms: Terms
    path: Path
    shown: Callable[[MarketPanel], MarketPanel] = lambda panel: panel
    row: int = 0
    clock: VirtualClock = field(init=False)
    venue: EmbeddedVenue = field(init=False)

    def __post_init__(self) -> None:
        self.clock = VirtualClock(at(self.session(), 21))
        self.reopen()

    def reopen(self) -> None:
        start = self.session(0)
        self.venue = EmbeddedVenue(self.path, self.provided, self.terms, self.clock, weekday_hours, start)

    def provided(self) -> MarketPanel:
        """Return the bars known by now."""
        return self.shown(self.panel.rows(0, self.row + 1))

    def session(self, row: int | None = None) -> date:
        day: date = self.panel.sessions[self.row if row is None else row].item()
        return day

    def close(self) -> None:
        """Go to the close of the next session, whose bars are known at once."""
        self.row += 1
        self.clock.set(at(self.session(), 21))

    def order(self, text: str, client_id: str = "", session: date | None = None) -> OrderReport:
        """Send an order such as ``buy 3 A``, for the next session."""
        side, quantity, symbol = text.split()
        day = self.session(self.row + 1) if session is None else session
        number = len(self.venue.orders(datetime.min.replace(tzinfo=UTC)))
        return self.venue.submit(Order(client_id or f"c{number}", day, symbol, Side(side), float(quantity)))

    def report(self, client_id: str) -> OrderReport:
        report = self.venue.order(client_id)
        assert report is not None
        return report


@dataclass(frozen=True)
class Snapshot:
    """What a decision needs to know of the account, in the order of the panel's symbols."""

    cash: float
    equity: float
    quantity: FloatArray
    mark: FloatArray


def snapshot(world: World) -> Snapshot:
    account, held = world.venue.account(), {holding.symbol: holding for holding in world.venue.holdings()}
    quantity = [held[symbol].quantity if symbol in held else 0.0 for symbol in world.panel.symbols]
    prices = world.venue.prices(world.panel.symbols)
    mark = [prices.get(symbol, math.nan) for symbol in world.panel.symbols]
    return Snapshot(account.cash, account.equity, np.array(quantity), np.array(mark))


def send_basket(world: World, weights: FloatArray) -> list[str]:
    """Decide at the last close, send the orders for the next session and return their client ids."""
    panel, before = world.panel, snapshot(world)
    rebalancer = Rebalancer(panel, feature_table(panel, (), 1, 0, len(panel) - 1), world.terms)
    basket = rebalancer.basket(Decision(weights), world.row, before)
    sent = []
    for symbol, change in zip(panel.symbols, (basket.quantity - before.quantity).tolist(), strict=True):
        if change:
            client_id = f"{world.session()}-{symbol}"
            side = Side.BUY if change > 0 else Side.SELL
            world.venue.submit(Order(client_id, world.session(world.row + 1), symbol, side, abs(change)))
            sent.append(client_id)
    return sent


def replay(world: World, weights: FloatArray) -> Iterator[tuple[list[str], Any]]:
    """Trade (T, N) weights to the end of the panel; after each session yield the client ids sent and a snapshot."""
    while world.row + 1 < len(world.panel):
        row_weights = weights[world.row]
        sent = [] if np.isnan(row_weights).all() else send_basket(world, row_weights)
        world.close()
        yield sent, snapshot(world)
