"""What a session works with: the account, its journal, the time there, and how people are told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from brokers.protocol import BarSource, SessionHours, Venue
from engine.clock import Clock, SystemClock
from engine.errors import Interrupted, TradingStopped
from live.deciding import Recipe
from live.guards import Guards
from live.journal import Journal
from live.timing import CUT_OFF, exchange_date
from live.waiting import Waiter

REREAD_SECONDS = 60
LOOK_AHEAD = timedelta(days=16)

logger = logging.getLogger(__name__)


class VenueTime:
    """The broker's time: read once a minute at least, and carried on in between."""

    def __init__(self, venue: Venue, waiter: Waiter) -> None:
        self._venue = venue
        self._waiter = waiter
        self._read: datetime | None = None
        self._at = 0.0

    def forget(self) -> None:
        """Read anew the next time: while we waited, it may have become later than our own clock thinks."""
        self._read = None

    def now(self, fresh: bool = False) -> datetime:
        """Return the time, UTC; read anew when asked, or when the last reading is old."""
        passed = self._waiter.elapsed() - self._at
        if fresh or self._read is None or passed > REREAD_SECONDS:
            self._read = self._venue.now()
            self._at, passed = self._waiter.elapsed(), 0.0
        return self._read + timedelta(seconds=passed)


class KnownHours:
    """Asks for the sessions of a range once, and answers what lies inside from memory."""

    def __init__(self, hours: Callable[[date, date], list[SessionHours]]) -> None:
        self._hours = hours
        self._known: list[SessionHours] = []
        self._range: tuple[date, date] | None = None

    def forget(self) -> None:
        """Ask anew the next time."""
        self._range = None

    def __call__(self, first: date, last: date) -> list[SessionHours]:
        """Return the sessions from ``first`` to ``last``, oldest first."""
        if self._range is None or first < self._range[0] or last > self._range[1]:
            self._known, self._range = self._hours(first, last), (first, last)
        return [hours for hours in self._known if first <= hours.session <= last]


@dataclass
class Desk:
    """Everything that a session of one account needs.

    Attributes
    ----------
    recipe : the strategy.
    tell : is given each line that a person should read, and whether it is an alert.
    skew_seconds : most that the machine's clock may differ from the broker's; None where it may differ at will.
    """

    venue: Venue
    bars: BarSource
    journal: Journal
    recipe: Recipe
    waiter: Waiter
    guards: Guards = field(default_factory=Guards)
    tell: Callable[[str, bool], None] = lambda line, alert: None
    skew_seconds: float | None = 60.0
    clock: Clock = field(default_factory=SystemClock)
    hours: KnownHours | None = None

    def __post_init__(self) -> None:
        self.time = VenueTime(self.venue, self.waiter)
        self._alerts: set[str] = set()
        self._hours = self.hours or KnownHours(self.venue.hours)

    def alert(self, line: str) -> None:
        """Tell what a person should act on; the same line once."""
        if line not in self._alerts:
            self._alerts.add(line)
            self.tell(line, True)

    def check_clock(self) -> datetime:
        """Return the broker's time, and refuse a machine whose clock is far from it.

        Raises
        ------
        TradingStopped
            When the clocks differ by more than allowed.
        """
        now = self.time.now(fresh=True)
        skew = abs((self.clock.now() - now).total_seconds())
        if self.skew_seconds is not None and skew > self.skew_seconds:
            raise TradingStopped(
                f"this machine's clock is {skew:.0f} s away from the broker's, {self.skew_seconds:.0f} s are allowed: "
                "set it (timedatectl set-ntp true), then try again; nothing was sent"
            )
        return now

    def calendar(self, now: datetime, fresh: bool = False) -> list[SessionHours]:
        """Return the sessions from well before the look-back of the strategy to some days ahead.

        Parameters
        ----------
        fresh : ask the venue, which may have closed a day that was to be a session; else once a week will do.
        """
        if fresh:
            self._hours.forget()
        today = exchange_date(now)
        # The week's first day, so that the same range is asked for on most days.
        monday = today - timedelta(days=today.weekday())
        days = timedelta(days=int(self.recipe.lookback_bars * 1.5) + 20)
        return self._hours(monday - days, monday + LOOK_AHEAD)

    def check_may_send(self, hours: SessionHours) -> bool:
        """Return whether an order may still be sent in a session: False from its cut-off on.

        Raises
        ------
        TradingStopped
            When trading was halted.
        Interrupted
            When the service is to stop; all that was sent is in the journal.
        """
        check_not_halted(self.journal)
        if self.waiter.stopping:
            raise Interrupted("stopped between two orders: the journal knows what was sent, and the next run goes on")
        return self.time.now() < hours.close - CUT_OFF


def check_not_halted(journal: Journal) -> None:
    """Refuse to trade while the kill switch is on.

    Raises
    ------
    TradingStopped
        Saying since when and why.
    """
    halt = journal.value("halt")
    if halt is not None:
        raise TradingStopped(
            f"trading was halted at {halt['time_utc']} ({halt['reason']}): look at `marsfolio paper status`, then "
            "`marsfolio paper resume`"
        )
