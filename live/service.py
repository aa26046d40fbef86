"""The service that runs unattended: looks at the broker's clock often, and works each session once."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from brokers.protocol import SessionHours
from engine.errors import Interrupted, MarsfolioError, TemporaryError, TradingStopped
from live.desk import Desk
from live.plan import PlanStatus
from live.reconcile import reconcile
from live.session import Kind, Outcome, close_books, run_session
from live.timing import BARS_DELAY, StartTime, current_session, last_complete, next_session

logger = logging.getLogger(__name__)

TICK_SECONDS = 10
"""The broker's clock is read so often while waiting."""
RETRY_SECONDS = 60.0
"""After something temporary, and while orders are open, a session is looked at so often."""
HEALTH_FILE = "health.json"


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
    _not_before: float = field(default=0.0, init=False)
    _finished: date | None = field(default=None, init=False)
    _missed: date | None = field(default=None, init=False)
    _evening: date | None = field(default=None, init=False)
    _said: str = field(default="", init=False)

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
        except TradingStopped as error:
            self._troubled("stopped", error)
        except TemporaryError as error:
            self._troubled("waiting", error)
        except MarsfolioError as error:
            self._troubled("stopped", error)

    def _tick(self) -> None:
        now = self.desk.time.now(fresh=True)
        calendar = self.desk.calendar(now)
        hours = current_session(calendar, now)
        coming = self._coming(calendar, now, hours)
        self._tell_missed(calendar, now)
        if self.desk.waiter.elapsed() >= self._not_before:
            if hours is not None and hours.session != self._finished and now >= self.start.of(hours):
                self._work(hours)
            else:
                self._close_evening(calendar, now)
        self.write_health("idle" if not self._said else "troubled", now, coming)

    def _coming(self, calendar: list[SessionHours], now: datetime, hours: SessionHours | None) -> datetime | None:
        """Return when the next work begins."""
        if hours is not None and hours.session != self._finished:
            return self.start.of(hours)
        done = hours.session if hours is not None else None
        later = next_session([other for other in calendar if other.session != done], now)
        return None if later is None else self.start.of(later)

    def _work(self, hours: SessionHours) -> None:
        self._not_before = self.desk.waiter.elapsed() + RETRY_SECONDS
        before = self.desk.journal.plan(hours.session)
        outcome = run_session(self.desk, seconds=RETRY_SECONDS)
        after = self.desk.journal.plan(hours.session)
        finished = after is not None and after[1] in (PlanStatus.DONE, PlanStatus.DROPPED)
        if finished or (outcome.kind is Kind.QUEUED and self.desk.venue.sizes_buys):
            self._finished = hours.session
        if before is None or finished or outcome.kind is not Kind.QUEUED:
            self._tell(outcome.message, outcome.kind is Kind.UNFINISHED and finished)
        self._said = ""
        self.after(outcome)

    def _close_evening(self, calendar: list[SessionHours], now: datetime) -> None:
        """After a close, book what was filled and the account's value; a session without any plan is told of."""
        last = last_complete(calendar, now)
        if last is None or last.session == self._evening or now < last.close + BARS_DELAY:
            return
        if self.desk.journal.value("opening") is None:
            return
        self._not_before = self.desk.waiter.elapsed() + RETRY_SECONDS
        reconcile(self.desk, calendar, now, None)
        if not close_books(self.desk, calendar, now):
            self._evening = last.session
        self._said = ""
        self.after(None)

    def _tell_missed(self, calendar: list[SessionHours], now: datetime) -> None:
        """Say once when a session's cut-off passed without a plan, though the account was open before."""
        gone = [h for h in calendar if h.session not in (self._missed, self._finished) and h.close - now < timedelta(0)]
        opened, last = self.desk.journal.value("opening"), gone[-1] if gone else None
        if opened is None or last is None or self._missed is None:
            self._missed = last.session if last is not None and self._missed is None else self._missed
            return
        self._missed = last.session
        if self.desk.journal.plan(last.session) is None:
            self._tell(f"session {last.session} was missed: nothing was traded, and nothing is made up for it", True)

    def _troubled(self, status: str, error: MarsfolioError) -> None:
        self._not_before = self.desk.waiter.elapsed() + RETRY_SECONDS
        said = str(error)
        if said != self._said:
            self._tell(said, True)
        self._said = said
        self.write_health(status, None, None)

    def _tell(self, line: str, alert: bool) -> None:
        self.desk.tell(line, alert)

    def write_health(self, status: str, now: datetime | None, coming: datetime | None) -> None:
        """Write what a watchdog reads: whether the service lives, what it waits for, and its last trouble."""
        write_health(
            self.folder,
            {
                "status": status,
                "time_utc": _stamp(self.desk.clock.now()),
                "broker_time_utc": None if now is None else _stamp(now),
                "next_start_utc": None if coming is None else _stamp(coming),
                "last_session": None if self._finished is None else self._finished.isoformat(),
                "trouble": self._said or None,
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
