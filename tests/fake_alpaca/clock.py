"""VirtualClock: the venue's time, which only a test moves, and what happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from fake_alpaca.market import FakeMarket, new_york, new_york_date


class Event(NamedTuple):
    """Something that happens at a time: ``split`` at midnight, ``open`` or ``close``."""

    when: datetime
    kind: str


class VirtualClock:
    """The time of the venue.

    Attributes
    ----------
    tick : by how much each request moves the time before it is processed; 0 by default. With a tick a client that
        polls until a deadline gets there, without anyone sleeping.
    """

    def __init__(self, market: FakeMarket, now: datetime, lock: AbstractContextManager[object]) -> None:
        self.tick = timedelta()
        self._market = market
        self._lock = lock
        self._now = _utc(now)
        self._stamps = 0
        self.on_event: Callable[[Event], None] = lambda event: None
        self.on_move: Callable[[], None] = lambda: None

    @property
    def now(self) -> datetime:
        """The time, UTC."""
        return self._now

    def set(self, moment: datetime) -> None:
        """Move to a moment, through every open and close up to and including it.

        Raises
        ------
        ValueError
            When it lies in the past.
        """
        moment = _utc(moment)
        with self._lock:
            if moment < self._now:
                raise ValueError(f"the venue's time cannot go back from {self._now} to {moment}")
            for event in self._events(moment):
                self._go(event.when)
                self.on_event(event)
            self._go(moment)
            self.on_move()

    def advance(self, span: timedelta) -> None:
        """Move on by a span."""
        self.set(self._now + span)

    def to_open(self) -> None:
        """Move to the next open."""
        self.set(self._market.next_hours(self._now)[0])

    def to_close(self) -> None:
        """Move to the next close."""
        self.set(self._market.next_hours(self._now)[1])

    def stamp(self) -> datetime:
        """Return the time with a microsecond more for each stamp taken since it last moved: no two are the same."""
        self._stamps += 1
        return self._now + timedelta(microseconds=self._stamps)

    def _go(self, moment: datetime) -> None:
        if moment != self._now:
            self._now, self._stamps = moment, 0

    def _events(self, until: datetime) -> list[Event]:
        first, last = new_york_date(self._now), new_york_date(until)
        events = [Event(new_york(split.day), "split") for split in self._market.splits]
        for day in self._market.sessions:
            if first <= day <= last:
                hours = self._market.hours[day]
                events += [Event(hours.open, "open"), Event(hours.close, "close")]
        return sorted({event for event in events if self._now < event.when <= until})


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"time must say its zone, was {moment}")
    return moment.astimezone(UTC)
