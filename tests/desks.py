"""A desk on the loopback venue, whose waiting moves the venue's clock: sessions of a paper account without a sleep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from fake_alpaca import FakeAlpaca

from brokers.alpaca import AlpacaVenue
from brokers.credentials import Credentials
from data_feeds.alpaca import AlpacaBars
from engine.http import Tries
from engine.policy import Decision, StatelessPolicy
from engine.rebalancer import Terms
from live.deciding import Recipe
from live.desk import Desk, KnownHours
from live.guards import Guards
from live.journal import Journal
from strategies.portfolio import PortfolioStrategy


class ServerWaiter:
    """Waits by moving the server's clock."""

    def __init__(self, server: FakeAlpaca, seconds: float = math.inf) -> None:
        self._server = server
        self._end = self.elapsed() + seconds
        self.stopping = False
        self.waited: list[float] = []

    def elapsed(self) -> float:
        return self._server.clock.now.timestamp()

    def left(self) -> float:
        return self._end - self.elapsed()

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self._server.clock.advance(timedelta(seconds=seconds))


class ServerClock:
    """The machine's clock, exactly that of the server."""

    def __init__(self, server: FakeAlpaca) -> None:
        self._server = server

    def now(self) -> Any:
        return self._server.clock.now


class FixedWeights(StatelessPolicy):
    """Always the same target weights."""

    def __init__(self, weights: Sequence[float]) -> None:
        self._weights = np.array(weights, dtype=np.float64)

    def decide(self, observation: Any) -> Decision:
        return Decision(self._weights.copy())


def desk_on(
    server: FakeAlpaca,
    journal: Journal | Path,
    weights: dict[str, float],
    lookback_bars: int = 2,
    guards: Guards | None = None,
    fractional: bool = False,
    cache: Path | None = None,
    told: list[tuple[str, bool]] | None = None,
    seconds: float = math.inf,
) -> Desk:
    """Return a desk that holds fixed weights (symbol to weight) on an Alpaca account at the server.

    Parameters
    ----------
    seconds : after these the server is asked, and sent, nothing more.
    """
    keys = Credentials(server.key, server.secret, server.url, server.url)
    waiter = ServerWaiter(server, seconds)
    tries = Tries(sleep=waiter.wait, left=waiter.left)
    venue = AlpacaVenue(keys, tries)
    calendar = KnownHours(venue.hours)
    bars = AlpacaBars(keys, "sip", cache, lambda a, b: [h.session for h in calendar(a, b)], tries)
    symbols = tuple(sorted(weights))
    recipe = Recipe(
        name="fixed",
        identity="fixed",
        strategy=PortfolioStrategy,
        make_policy=lambda panel: FixedWeights([weights[symbol] for symbol in symbols]),
        symbols=symbols,
        lookback_bars=lookback_bars,
        terms=Terms(fractional=fractional),
    )
    lines = [] if told is None else told
    return Desk(
        venue,
        bars,
        journal if isinstance(journal, Journal) else Journal.at(journal, ServerClock(server)),
        recipe,
        waiter,
        guards or Guards(),
        lambda line, alert: lines.append((line, alert)),
        60.0,
        ServerClock(server),
        calendar,
    )
