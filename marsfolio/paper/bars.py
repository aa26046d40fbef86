"""What a simulated account knows of the market: the bars of a file that grows, and the sessions there are."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from brokers.protocol import SessionHours
from engine.clock import SystemClock
from engine.errors import InputError, TemporaryError
from engine.panel import MarketPanel
from marsfolio.paper.options import PaperOptions
from marsfolio.paper.setup import panel_of

COMING = timedelta(days=60)
"""So far ahead an exchange's sessions are known."""


class FileBars:
    """The bars of a simulated account's file or folder as they are now: read again when that has changed."""

    def __init__(self, options: PaperOptions, panel: MarketPanel) -> None:
        self._options = options
        self._path = None if options.data is None else Path(options.data)
        self._panel = panel
        self._stamp = self._now()

    def __call__(self) -> MarketPanel:
        """Return the panel.

        Raises
        ------
        TemporaryError
            When the file cannot be read, as while it is being written.
        """
        stamp = self._now()
        if stamp != self._stamp:
            try:
                self._panel, self._stamp = panel_of(self._options), stamp
            except InputError as error:
                raise TemporaryError(f"{error}; it has just been changed: trying again later") from error
        return self._panel

    def _now(self) -> tuple[tuple[str, int, int], ...]:
        """Return name, time and size of the file, or of all files of a folder."""
        if self._path is None:
            return ()
        try:
            files = sorted(self._path.rglob("*")) if self._path.is_dir() else [self._path]
            return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
        except OSError as error:
            raise TemporaryError(f"{self._path} cannot be read ({error.strerror}): put the bars back there") from error


class SimulatedHours:
    """The sessions of some bars, and after their end those of an exchange; computed once for the same bars."""

    def __init__(self, bars: Callable[[], MarketPanel], calendar: str) -> None:
        self._bars = bars
        self._calendar = calendar
        self._panel: MarketPanel | None = None
        self._hours: list[SessionHours] = []
        self._days: list[date] = []

    def __call__(self, first: date, last: date) -> list[SessionHours]:
        """Return the sessions from ``first`` to ``last``, oldest first."""
        panel = self._bars()
        if panel is not self._panel:
            self._compute(panel)
        return self._hours[bisect_left(self._days, first) : bisect_right(self._days, last)]

    def _compute(self, panel: MarketPanel) -> None:
        from data_feeds.calendar import exchange_hours

        known = {day.item() for day in panel.sessions}
        first, end = panel.sessions[0].item(), panel.sessions[-1].item()
        found = exchange_hours(first, max(end, SystemClock().now().date()) + COMING, self._calendar, known)
        self._hours = [SessionHours(*hours) for hours in found if hours[0] in known or hours[0] > end]
        self._days = [hours.session for hours in self._hours]
        self._panel = panel
