"""FakeAlpaca: the loopback server that tests start."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from threading import Thread
from types import TracebackType
from typing import Any

from fake_alpaca.clock import VirtualClock
from fake_alpaca.faults import Faults
from fake_alpaca.market import FakeMarket
from fake_alpaca.state import Account, Asset, Conduct, Order, Position
from fake_alpaca.trading import submit
from fake_alpaca.venue import Venue
from fake_alpaca.web import Loopback
from fake_alpaca.wire import Request

KEY, SECRET, ACCOUNT_NUMBER = "PKTESTTESTTESTTEST00", "test-secret-of-the-loopback-venue-only-0", "PA3TEST00001"


class FakeAlpaca:
    """A paper account behind http://127.0.0.1:PORT, with Alpaca's trading and data API; a context manager.

    Leaving the context raises when the server itself failed while answering.

    Parameters
    ----------
    market : prices and hours.
    cash : account currency.
    now : the venue's time; two hours before the first open by default.

    Attributes
    ----------
    url : of both APIs.
    clock : the venue's time, see `VirtualClock`.
    faults : what goes wrong, see `Faults`.
    requests : all requests, oldest first; those of the control endpoint are not among them.
    has_sip : whether the subscription has recent SIP data; Basic has not.
    enforces_rate_limit : whether the 201st request in a minute of the venue's time answers 429.
    errors : exceptions of the server itself.
    """

    def __init__(
        self,
        market: FakeMarket,
        cash: float = 100_000.0,
        key: str = KEY,
        secret: str = SECRET,
        account_number: str = ACCOUNT_NUMBER,
        now: datetime | None = None,
        port: int = 0,
    ) -> None:
        first = market.hours[market.sessions[0]].open - timedelta(hours=2)
        self.market = market
        self.venue = Venue(market, first if now is None else now, cash, account_number)
        self.key, self.secret = key, secret
        self.faults = Faults()
        self.requests: list[Request] = []
        self.errors: list[BaseException | None] = []
        self.has_sip = False
        self.enforces_rate_limit = False
        self._http = Loopback(self, port)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> FakeAlpaca:
        Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        if self.errors and error is None:
            raise AssertionError(f"the fake venue failed: {self.errors[0]!r}") from self.errors[0]

    @property
    def clock(self) -> VirtualClock:
        """The venue's time."""
        return self.venue.clock

    @property
    def account(self) -> Account:
        """The account, free to change."""
        return self.venue.account

    @property
    def assets(self) -> dict[str, Asset]:
        """Assets by symbol, free to change."""
        return self.venue.assets

    @property
    def positions(self) -> dict[str, Position]:
        """Positions by symbol, free to change."""
        return self.venue.positions

    @property
    def orders(self) -> list[Order]:
        """Orders, oldest first, free to change."""
        return self.venue.orders

    def order(self, client_order_id: str) -> Order:
        """Return the order with that client id; KeyError when there is none."""
        order = self.venue.find(client_order_id)
        if order is None:
            raise KeyError(client_order_id)
        return order

    def hold(self, symbol: str, qty: float, price: float | None = None) -> None:
        """Put a position into the account without touching the cash; at the last price by default."""
        at = self.market.price_at(symbol, self.clock.now) if price is None else price
        with self.venue.lock:
            self.positions[symbol] = Position(symbol, qty, 0 if at is None else at)  # type: ignore[arg-type]

    def trade(self, symbol: str, side: str, qty: float, **fields: Any) -> Order:
        """Send an order as a person at the web page would: market and day by default, no client id of ours.

        Raises
        ------
        Refused
            When the venue refuses it.
        """
        order = {"symbol": symbol, "side": side, "qty": qty, "type": "market", "time_in_force": "day", **fields}
        with self.venue.lock:
            return submit(self.venue, order, Conduct())[0]

    def pay(self, kind: str, amount: float, symbol: str = "", qty: float = 0.0) -> None:
        """Book cash or shares that are no fill: ``pay("CSW", -500)``, ``pay("DIV", 12.5, "AAPL")``."""
        self.venue.add_activity(kind, amount, symbol, qty)

    def posts(self) -> list[Request]:
        """Return the requests that tried to send an order."""
        return [r for r in self.requests if (r.method, r.path) == ("POST", "/v2/orders")]

    def count(self, method: str = "*", path: str = "", status: int | None = None) -> int:
        """Return how many requests had that method, path (a regular expression) and status."""
        return sum(
            method in ("*", r.method) and re.search(path, r.path) is not None and status in (None, r.status)
            for r in list(self.requests)
        )
