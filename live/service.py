"""The service that runs unattended: looks at the broker's clock often, and works each session once."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from brokers.protocol import SessionHours
from engine.errors import Interrupted, MarsfolioError, TemporaryError
from live.desk import Desk
from live.plan import PlanStatus
from live.reconcile import reconcile
from live.session import Kind, Outcome, close_books, run_session
from live.timing import BARS_DELAY, CUT_OFF, StartTime, current_session, last_complete, next_session

logger = logging.getLogger(__name__)

TICK_SECONDS = 5
"""The broker's clock is read so often while waiting."""
RETRY_SECONDS = 60.0
"""After something temporary, and while orders are open, a session is looked at so often."""
QUIET_SECONDS = 3600.0
"""A trouble that comes back within this time is the same one, and not told again."""
HEALTH_FILE = "health.json"
MISSED_UNTIL = "missed_until"
"""In the journal: sessions up to this one are known to be traded or were told to be missed."""


@dataclass
class Service:
    """Decides at each tick whether there is work, and does it.

    Attributes
    ----------
    start : when a session's work begins.
    folder : of the state, for the health file.
    after : called with what was done, after each piece of work: writes the run folder.
    """

    desk: Desk
    start: StartTime
    folder: Path
    after: Callable[[Outcome | None], None] = lambda outcome: None
    _now: datetime | None = field(default=None, init=False)
    _coming: datetime | None = field(default=None, init=False)
    _rest_until: float = field(default=0.0, init=False)
    _rested_at: datetime | None = field(default=None, init=False)
    _finished: date | None = field(default=None, init=False)
    _evening: date | None = field(default=None, init=False)
    _checked: str | None = field(default=None, init=False)
    _trouble: str = field(default="", init=False)
    _told: dict[str, float] = field(default_factory=dict, init=False)

    def tick(self) -> None:
        """Look at the clock and do what is due; what goes wrong is told and tried again, never raised.

        Raises
        ------
        Interrupted
            When the service is to stop.
        """
        try:
            self._tick()
        except Interrupted:
            raise
        except MarsfolioError as error:
            self._rest()
            self._trouble = str(error)
            self._tell(self._trouble, True)
            # Whatever is not temporary needs a person; the service lives on and looks again, for when it is mended.
            self.write_health("waiting" if isinstance(error, TemporaryError) else "needs a person")

    def _tick(self) -> None:
        self._now = None
        self._now = now = self.desk.time.now(fresh=True)
        calendar = self.desk.calendar(now)
        hours = current_session(calendar, now)
        self._coming = self._next_start(calendar, now, hours)
        if self._is_due(now):
            self._tell_missed(calendar, now)
            if hours is not None and hours.session != self._finished and now >= self.start.of(hours):
                self._work(hours)
                self._coming = self._next_start(calendar, now, hours)
            else:
                self._close_evening(calendar, now)
        self.write_health("troubled" if self._trouble else "idle")

    def _next_start(self, calendar: list[SessionHours], now: datetime, hours: SessionHours | None) -> datetime | None:
        """Return when the next work begins."""
        if hours is not None and hours.session != self._finished:
            return self.start.of(hours)
        done = hours.session if hours is not None else None
        later = next_session([other for other in calendar if other.session != done], now)
        return None if later is None else self.start.of(later)

    def _rest(self) -> None:
        self._rest_until, self._rested_at = self.desk.waiter.elapsed() + RETRY_SECONDS, self._now

    def _is_due(self, now: datetime) -> bool:
        """Return whether the rest is over: by the machine's clock, or the broker's where that one runs faster."""
        moved = self._rested_at is not None and abs(now - self._rested_at) >= timedelta(seconds=RETRY_SECONDS)
        return moved or self.desk.waiter.elapsed() >= self._rest_until

    def _work(self, hours: SessionHours) -> None:
        self.write_health("working")
        before = self.desk.journal.plan(hours.session)
        outcome = run_session(self.desk, seconds=RETRY_SECONDS)
        self._rest()
        after = self.desk.journal.plan(hours.session)
        finished = after is not None and after[1] in (PlanStatus.DONE, PlanStatus.DROPPED)
        if finished or (outcome.kind is Kind.QUEUED and self.desk.venue.sizes_buys):
            self._finished = hours.session
        if before is None or finished or outcome.kind is not Kind.QUEUED:
            self._tell(outcome.message, outcome.kind is Kind.UNFINISHED and finished)
        self._trouble = ""
        self.after(outcome)

    def _close_evening(self, calendar: list[SessionHours], now: datetime) -> None:
        """After a close, book what was filled and the account's value."""
        last = last_complete(calendar, now)
        if last is None or last.session == self._evening or now < last.close + BARS_DELAY:
            return
        if self.desk.journal.value("opening") is None:
            return
        self._rest()
        reconcile(self.desk, calendar, now, None)
        if not close_books(self.desk, calendar, now):
            self._evening = last.session
        self._trouble = ""
        self.after(None)

    def _tell_missed(self, calendar: Sequence[SessionHours], now: datetime) -> None:
        """Say once, over restarts too, which sessions have passed without a plan since the service first ran."""
        gone = [hours.session.isoformat() for hours in calendar if now >= hours.close - CUT_OFF]
        if not gone or gone[-1] == self._checked:
            return
        self._checked = gone[-1]
        known, plan = self.desk.journal.value(MISSED_UNTIL), self.desk.journal.last_plan()
        if plan is not None:
            known = max(known or "", plan.session.isoformat())
        missed = [session for session in gone if known is not None and session > known]
        with self.desk.journal.writing() as writer:
            writer.set_value(MISSED_UNTIL, max(gone[-1], known or ""))
            if missed:
                writer.note("missed", sessions=missed)
        if missed:
            were = f"session {missed[0]} was" if len(missed) == 1 else f"sessions {', '.join(missed)} were"
            self._tell(f"{were} missed: nothing was traded, and nothing is made up for it", True)

    def _tell(self, line: str, alert: bool) -> None:
        """Tell a line, but not again what was told or met a short while ago; other numbers make no other line."""
        elapsed, name = self.desk.waiter.elapsed(), re.sub(r"(?<![\d-])\d[\d,.]*(?![\d-])", "#", line)
        if elapsed - self._told.get(name, float("-inf")) > QUIET_SECONDS:
            self.desk.tell(line, alert)
        recent = {other: when for other, when in self._told.items() if elapsed - when <= QUIET_SECONDS}
        self._told = recent | {name: elapsed}

    def write_health(self, status: str) -> None:
        """Write what a watchdog reads: whether the service lives, what it waits for, and its last trouble."""
        write_health(
            self.folder,
            {
                "status": status,
                "time_utc": _stamp(self.desk.clock.now()),
                "broker_time_utc": None if self._now is None else _stamp(self._now),
                "next_start_utc": None if self._coming is None else _stamp(self._coming),
                "last_session": None if self._finished is None else self._finished.isoformat(),
                "trouble": self._trouble or None,
                "pid": os.getpid(),
            },
        )


def write_health(folder: Path, values: dict[str, Any]) -> None:
    """Replace the health file at once."""
    path = folder / HEALTH_FILE
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        logger.warning("cannot write %s: %s", path, error.strerror)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
