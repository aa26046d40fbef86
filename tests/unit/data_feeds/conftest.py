"""A loopback venue of five sessions as a source of bars for a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fake_alpaca import FakeAlpaca
from fake_alpaca.example import at, december

from brokers.credentials import Credentials
from data_feeds.alpaca import AlpacaBars
from data_feeds.alpaca_history import AlpacaHistory
from engine.http import Tries

MakeHistory = Callable[..., AlpacaHistory]


@pytest.fixture
def venue() -> Iterator[FakeAlpaca]:
    with FakeAlpaca(december(), now=at(20, 20)) as server:
        yield server


@pytest.fixture
def history(venue: FakeAlpaca) -> Iterator[MakeHistory]:
    """Return a function that makes a source; it never waits."""
    made: list[AlpacaBars] = []

    def make(raw: bool = False, feed: str = "sip") -> AlpacaHistory:
        keys = Credentials(venue.key, venue.secret, venue.url, venue.url)
        made.append(AlpacaBars(keys, feed, tries=Tries(attempts=3, sleep=lambda seconds: None)))
        return AlpacaHistory(made[-1], raw)

    yield make
    for bars in made:
        bars.close()
