"""Past sessions through the paper service, one after the other, by a clock that jumps from one to the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Protocol

from brokers.protocol import SessionHours
from engine.errors import Interrupted
from live.desk import Desk
from live.session import Outcome, run_session
from live.timing import BARS_DELAY, StartTime


class SetClock(Protocol):
    """A clock that is told the time."""

    def now(self) -> datetime:
        """Return the time, UTC."""
        ...

    def set(self, now: datetime) -> None:
        """Make it so late."""
        ...


class ReplayWaiter:
    """Waits by moving the clock; stops when it is told to."""

    def __init__(self, clock: SetClock) -> None:
        self._clock = clock
        self.stopping = False

    def elapsed(self) -> float:
        """Return seconds of the clock."""
        return self._clock.now().timestamp()

    def wait(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self._clock.set(self._clock.now() + timedelta(seconds=seconds))

    def left(self) -> float:
        """Return infinity: a replay may take its time."""
        return math.inf

    def stop(self) -> None:
        """End the replay after the session under way."""
        self.stopping = True


def replay(
    desk: Desk,
    clock: SetClock,
    start: StartTime,
    sessions: Sequence[SessionHours],
    after: Callable[[Outcome, int, int], None] = lambda outcome, done, total: None,
) -> Outcome:
    """Work the sessions in their order, and book the last close; goes on where an earlier replay ended.

    The account is opened with its cash at the close of the first session, and trades in all others: as a backtest
    over the same sessions does, whose first row is its cash.

    Parameters
    ----------
    after : called after each session with what was done, its number and how many there are.

    Raises
    ------
    Interrupted
        When it was stopped; it goes on from there.
    """
    traded = sessions[1:]
    done = _done(desk, traded)
    for number, hours in enumerate(traded[done:], start=done + 1):
        if desk.waiter.stopping:
            raise Interrupted(f"stopped after {number - 1} of {len(traded)} sessions: the same command goes on")
        clock.set(start.of(hours))
        outcome = run_session(desk)
        desk.tell(outcome.message, False)
        after(outcome, number, len(traded))
    clock.set(sessions[-1].close + BARS_DELAY)
    return run_session(desk)


def _done(desk: Desk, sessions: Sequence[SessionHours]) -> int:
    """Return how many sessions need not be worked again: all before the latest that has a plan."""
    last: date | None = None if (plan := desk.journal.last_plan()) is None else plan.session
    return 0 if last is None else sum(hours.session < last for hours in sessions)
