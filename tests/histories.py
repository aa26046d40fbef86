"""What must hold after any session of a paper account, whatever failed: read from the server's history."""

from __future__ import annotations

import re
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from fake_alpaca import FakeAlpaca, Order

from live.journal import Journal
from live.session import Outcome

OUR_ID = re.compile(r"v1-(\d{4}-\d\d-\d\d)-(.+)-(buy|sell)-\d+")


def check_history(server: FakeAlpaca) -> None:
    """Check that no order was doubled or changed, and that nothing was sold short or bought on credit."""
    _check_contents(server)
    _check_orders([order for order in server.orders if OUR_ID.fullmatch(order.client_order_id)])
    assert server.account.cash >= 0, server.account.cash
    assert all(held.qty >= 0 for held in server.positions.values()), server.positions


def held(server: FakeAlpaca) -> dict[str, float]:
    """Return the shares that the server's account has."""
    return {symbol: float(position.qty) for symbol, position in server.positions.items()}


def check_books(server: FakeAlpaca, journal: Journal) -> None:
    """Check that our books are the account of the server."""
    ledger = journal.ledger()
    assert abs(Decimal(str(ledger.cash)) - server.account.cash) < Decimal("0.005"), (ledger, server.account.cash)
    # Sums of fractions are off by less than the nine decimals that brokers count.
    assert {symbol: round(shares, 9) for symbol, shares in ledger.positions.items()} == held(server)
    assert not journal.intents(live=True)


def check_no_secret(server: FakeAlpaca, *texts: object, journal: Path | None = None) -> None:
    """Check that neither key nor secret is in texts or in the file of a journal."""
    written = b"" if journal is None else journal.read_bytes()
    for secret in (server.key, server.secret):
        assert all(secret not in str(text) for text in texts)
        assert secret.encode() not in written


def words(outcome: Outcome) -> str:
    """Return all that an outcome tells people."""
    return " / ".join((outcome.message, *outcome.remarks))


def _check_contents(server: FakeAlpaca) -> None:
    """Check that one client id always named one order."""
    contents: dict[str, set[str]] = defaultdict(set)
    for request in server.posts():
        body: dict[str, Any] = request.body
        if request.status != 429:  # the venue never saw that one
            contents[body["client_order_id"]].add(str(sorted(body.items())))
        quantity = Decimal(body["qty"])
        assert quantity.is_finite()
        assert quantity > 0
        assert quantity == quantity.quantize(Decimal("1e-9"))
    assert all(len(found) == 1 for found in contents.values()), contents


def _check_orders(orders: list[Order]) -> None:
    """Check that a symbol is never bought (or sold) by two of our orders of one session that were both alive."""
    alive: dict[tuple[str, ...], list[Order]] = defaultdict(list)
    for order in orders:
        found = OUR_ID.fullmatch(order.client_order_id)
        assert found is not None
        if order.is_open or order.filled_qty > 0:
            alive[found.groups()].append(order)
    assert all(len(found) == 1 for found in alive.values()), alive
