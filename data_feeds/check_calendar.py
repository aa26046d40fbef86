"""Sessions of an exchange without any bar, and bars on days when it was closed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data_feeds.calendar import exchange_hours
from data_feeds.check import ALL, Finding, Kind, flag_runs, in_sessions
from engine.panel import MarketPanel


def find_calendar_problems(panel: MarketPanel, calendar: str) -> list[Finding]:
    """Return where the sessions of a panel are not those of an exchange, by exchange_calendars, in order of dates.

    Raises
    ------
    ConfigError
        When the calendar is unknown, or does not know those years.
    """
    span = panel.sessions[0].item(), panel.sessions[-1].item()
    expected = np.array([day for day, _, _ in exchange_hours(*span, calendar)], dtype="datetime64[D]")
    return sorted([*_without_bars(panel, expected, calendar), *_while_closed(panel, expected, calendar)], key=_first)


def _first(finding: Finding) -> np.datetime64:
    return finding.first


def _without_bars(panel: MarketPanel, expected: np.ndarray, calendar: str) -> Iterator[Finding]:
    for start, stop in flag_runs(~np.isin(expected, panel.sessions)):
        first, last, count = expected[start], expected[stop - 1], stop - start
        text = f"no symbol has a bar in {in_sessions(count)} of {calendar}, {first} to {last}"
        yield Finding(Kind.NO_SESSION, ALL, first, last, count, np.nan, text)


def _while_closed(panel: MarketPanel, expected: np.ndarray, calendar: str) -> Iterator[Finding]:
    for row in np.flatnonzero(~np.isin(panel.sessions, expected)):
        day, bars = panel.sessions[row], np.flatnonzero(panel.has_bar[row])
        symbol = panel.symbols[bars[0]] if len(bars) == 1 else ALL
        text = f"{len(bars)} symbols have a bar on {day}, when {calendar} was closed"
        yield Finding(Kind.CLOSED, symbol, day, day, len(bars), np.nan, text)
