"""A paper account on the loopback venue over some quiet sessions, to be hit by faults and checked afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from crashes import Crash, crash_before_sending
from desks import desk_on
from fake_alpaca import Bar, FakeAlpaca, FakeMarket, match, new_york
from fake_alpaca.faults import Match
from histories import check_books, check_history, check_no_secret, words
from venues import scratch

from engine.errors import MarsfolioError
from live.desk import Desk
from live.guards import Guards
from live.session import Outcome, run_session

MONDAY = date(2024, 6, 3)
SESSIONS = [MONDAY + timedelta(days=day) for day in (-3, 0, 1, 2, 3, 4)]
PRICES = {"AAA": 10.0, "BBB": 100.0, "CCC": 50.0}
CASH = 10_000.0
HALF = {"AAA": 0.3, "BBB": 0.3, "CCC": 0.3}
"""Target weights that leave a tenth in cash."""
FOR_CCC = {"AAA": 0.0, "BBB": 0.0, "CCC": 0.9}
"""Target weights that sell two for the third."""
SHARES = {"AAA": 300.0, "BBB": 30.0, "CCC": 60.0}
"""What HALF buys of CASH."""


def at(hour: int, minute: int = 0, second: int = 0, day: int = 0) -> datetime:
    """Return a time of day in New York, so many days after the Monday."""
    return new_york(MONDAY + timedelta(days=day), time(hour, minute, second))


def quiet(prices: dict[str, float] | None = None) -> FakeMarket:
    """Return a market of six sessions, Friday to Friday, whose prices do not move."""
    rows = (prices or PRICES).items()
    return FakeMarket({symbol: {day: Bar(p, p, p, p) for day in SESSIONS} for symbol, p in rows})


@dataclass
class Scene:
    """One account, its journal, and everything that people were told.

    Attributes
    ----------
    told : lines and whether each was an alert.
    """

    server: FakeAlpaca
    journal: Path
    caplog: pytest.LogCaptureFixture
    weights: dict[str, float] = field(default_factory=lambda: dict(HALF))
    fractional: bool = False
    told: list[tuple[str, bool]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def desk(self, change: Callable[[Desk], None] = lambda desk: None) -> Desk:
        """Return the desk of a new process on the same journal."""
        guards = Guards(max_turnover=1.0)
        desk = desk_on(
            self.server, self.journal, self.weights, told=self.told, guards=guards, fractional=self.fractional
        )
        change(desk)
        return desk

    def run(self, desk: Desk | None = None) -> Outcome:
        """Run the session in a new process, or on a desk that is there."""
        try:
            outcome = run_session(desk or self.desk())
        except (MarsfolioError, Crash) as error:
            self.said.append(str(error))
            raise
        self.said.append(words(outcome))
        return outcome

    def run_before_sending(self) -> None:
        """Run the session until its first order is about to leave, and end the process there."""
        self.fails(Crash, self.desk(lambda desk: crash_before_sending(desk, "".join(PRICES))))

    def fails(self, error: type[BaseException], desk: Desk | None = None) -> str:
        """Run the session and return the message of the error that it must end with."""
        with pytest.raises(error) as info:
            self.run(desk)
        return str(info.value)

    def evening(self) -> Outcome:
        """Let the session close without any fault and run after it."""
        self.server.faults.clear()
        self.server.clock.to_close()
        self.server.clock.advance(timedelta(minutes=25))
        return self.run()

    def alerts(self) -> str:
        """Return all alerts."""
        return " / ".join(line for line, is_alert in self.told if is_alert)

    def held(self) -> dict[str, float]:
        """Return the shares that the server's account has."""
        return {symbol: float(held.qty) for symbol, held in self.server.positions.items()}

    def check(self) -> None:
        """Check all that must hold at any moment."""
        check_history(self.server)
        check_no_secret(self.server, self.caplog.text, self.told, self.said, journal=self.journal)

    def check_evening(self) -> None:
        """Check in addition that our books are the account of the server."""
        self.check()
        check_books(self.server, self.desk().journal)


@contextmanager
def scene(
    caplog: pytest.LogCaptureFixture, now: datetime | None = None, market: Any = None, **fields: Any
) -> Iterator[Scene]:
    """Give an account with cash alone on the Monday at 10:00; what must always hold is checked at the end."""
    caplog.set_level(logging.DEBUG)
    with scratch() as folder, FakeAlpaca(market or quiet(), cash=CASH, now=now or at(10)) as server:
        made = Scene(server, folder / "paper.db", caplog, **fields)
        yield made
        made.check()


def post(symbol: str) -> Match:
    """Match orders of a symbol."""
    return match("POST", "orders$", symbol=symbol)


def tuesday(monday: Scene, weights: dict[str, float], hour: int = 10) -> None:
    """Hold Monday's shares, and want others on Tuesday."""
    monday.run()
    monday.evening()
    monday.server.clock.set(at(hour, day=1))
    monday.weights = weights
