"""The only place that reads the time of day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

from engine.errors import InputError


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the time now, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time now, in UTC."""
        return datetime.now(UTC)


class VirtualClock:
    """A clock that stands still until it is moved: replays and tests tell it what time it is.

    Raises
    ------
    InputError
        When a time has no time zone, or `advance` would go back.
    """

    def __init__(self, now: datetime) -> None:
        self.set(now)

    def now(self) -> datetime:
        """Return the time it was set to, in UTC."""
        return self._now

    def set(self, now: datetime) -> None:
        """Make it ``now``, in whatever time zone that is given."""
        if now.tzinfo is None:
            raise InputError(f"a time needs a time zone, was {now}")
        self._now = now.astimezone(UTC)

    def advance(self, by: timedelta) -> None:
        """Move on by that much."""
        if by < timedelta(0):
            raise InputError(f"a clock advances by a positive time, was {by}: use set to go back")
        self._now += by
