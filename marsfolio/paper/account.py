"""A paper account ready to work: its venue connected, its journal open, its strategy made."""

from __future__ import annotations

import os
import shutil
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from brokers.protocol import BarSource, SessionHours, Venue
from engine.clock import Clock, SystemClock
from engine.errors import ConfigError
from engine.panel import MarketPanel
from live.desk import Desk, KnownHours
from live.journal import Journal
from live.notify import Notifier
from live.waiting import Waiter
from marsfolio.paper.options import PaperOptions, remembered
from marsfolio.paper.setup import (
    ACCOUNT_FILE,
    BARS_FOLDER,
    SKEW_SECONDS,
    Chosen,
    check_options,
    choose,
    guards_of,
    journal_of,
    panel_of,
    remember,
    settle_identity,
)

COMING = timedelta(days=60)
"""So far ahead an exchange's sessions are known."""


@dataclass
class Opened:
    """A paper account ready to work.

    Attributes
    ----------
    panel : all bars of a simulated account; None with others.
    """

    desk: Desk
    options: PaperOptions
    panel: MarketPanel | None


def open_account(
    options: PaperOptions,
    state: Path,
    waiter: Waiter,
    clock: Clock | None = None,
    start: date | None = None,
    rehearsal: Path | None = None,
) -> Opened:
    """Return the account of a state folder, its venue connected and its journal open.

    Parameters
    ----------
    clock : of a simulated account in a replay; the machine's when None.
    start : the session at whose close a new simulated account is opened; the last complete one when None.
    rehearsal : a folder for what has to be written though nothing is kept; the state folder stays as it is.

    Raises
    ------
    ConfigError
        When options do not go together, or the folder belongs to something else.
    TradingStopped
        When a host is not allowed.
    """
    check_options(options)
    durable = clock is None
    simulated = options.broker == "simulated"
    panel = panel_of(options) if simulated else None
    chosen = choose(options, panel)
    journal = journal_of(options, state, clock, durable) if rehearsal is None else _journal_copy(options, state)
    try:
        settle_identity(journal, chosen.identity, state)
        if rehearsal is None:
            remember(state, options, chosen.identity)
        if panel is not None:
            account = state / ACCOUNT_FILE if rehearsal is None else account_copy(state, rehearsal)
            at = simulated_venue(options, account, panel, chosen, clock or SystemClock(), start)
        else:
            at = alpaca_venue(options, (rehearsal or state) / BARS_FOLDER)
        notifier = Notifier.from_environment(os.environ, chosen.recipe.name, at.redact)
    except BaseException:
        journal.dispose()
        raise
    guards, now = guards_of(options), clock or SystemClock()
    desk = Desk(at.venue, at.bars, journal, chosen.recipe, waiter, guards, notifier, at.skew_seconds, now, at.hours)
    return Opened(desk, options, panel)


def _journal_copy(options: PaperOptions, state: Path) -> Journal:
    if remembered(state) is None:
        return Journal("sqlite://")
    journal = journal_of(options, state)
    try:
        return journal.scratch()
    finally:
        journal.dispose()


def account_copy(state: Path, folder: Path) -> Path:
    """Return the file of a copy, in ``folder``, of the simulated account of a state folder; of none for a new one."""
    if (state / ACCOUNT_FILE).exists():
        shutil.copyfile(state / ACCOUNT_FILE, folder / ACCOUNT_FILE)
    return folder / ACCOUNT_FILE


@dataclass(frozen=True)
class Connection:
    """Where an account is kept.

    Attributes
    ----------
    skew_seconds : how far the machine's clock may be from the venue's; None for any.
    redact : takes secrets out of a text.
    hours : the venue's sessions, remembered.
    """

    venue: Venue
    bars: BarSource
    skew_seconds: float | None = None
    redact: Callable[[str], str] = str
    hours: KnownHours | None = None


def simulated_venue(
    options: PaperOptions, account: Path, panel: MarketPanel, chosen: Chosen, clock: Clock, start: date | None
) -> Connection:
    """Return the embedded account in a file, made when there is none, and its bars."""
    from brokers.embedded import EmbeddedVenue
    from data_feeds.panel_source import PanelBars

    hours = SimulatedHours(panel, options.calendar)
    opened = start or _last_closed(panel, hours, clock.now())

    def provider() -> MarketPanel:
        return panel

    venue = EmbeddedVenue(account, provider, chosen.recipe.terms, clock, hours, opened)
    return Connection(venue, PanelBars(provider))


class SimulatedHours:
    """The sessions of some bars, and after their end those of an exchange; computed once."""

    def __init__(self, panel: MarketPanel, calendar: str) -> None:
        from data_feeds.calendar import exchange_hours

        known = {day.item() for day in panel.sessions}
        first, end = panel.sessions[0].item(), panel.sessions[-1].item()
        found = exchange_hours(first, max(end, SystemClock().now().date()) + COMING, calendar, known)
        self._hours = [SessionHours(*hours) for hours in found if hours[0] in known or hours[0] > end]
        self._days = [hours.session for hours in self._hours]

    def __call__(self, first: date, last: date) -> list[SessionHours]:
        """Return the sessions from ``first`` to ``last``, oldest first."""
        return self._hours[bisect_left(self._days, first) : bisect_right(self._days, last)]


def _last_closed(panel: MarketPanel, hours: Callable[[date, date], list[SessionHours]], now: datetime) -> date:
    closed = [h.session for h in hours(panel.sessions[0].item(), panel.sessions[-1].item()) if h.close <= now]
    if not closed:
        raise ConfigError(f"{panel.source} begins after {now:%Y-%m-%d}: there is no close to open an account at")
    return closed[-1]


def alpaca_venue(options: PaperOptions, cache: Path | None) -> Connection:
    """Return the Alpaca account of the keys in the environment, and bars from there; keys are kept out of all logs.

    Parameters
    ----------
    cache : folder of bars; None keeps none.
    """
    from brokers.alpaca import AlpacaVenue
    from brokers.credentials import Credentials, SecretFilter
    from data_feeds.alpaca import AlpacaBars

    keys = Credentials.from_environment(os.environ)
    SecretFilter(keys.redact).install()
    venue = AlpacaVenue(keys)
    calendar = KnownHours(venue.hours)

    def sessions(first: date, last: date) -> list[date]:
        return [hours.session for hours in calendar(first, last)]

    bars = AlpacaBars(keys, options.feed, cache, sessions)
    return Connection(venue, bars, None if keys.on_loopback else SKEW_SECONDS, keys.redact, calendar)


def replay_sessions(panel: MarketPanel, calendar: str, text: str) -> list[SessionHours]:
    """Return the sessions of ``A:B`` that the data has.

    Raises
    ------
    ConfigError
        When it is not two dates, or fewer than two sessions.
    """
    from marsfolio.compose import parse_window

    span = parse_window(panel, text, "--replay")
    first, last = panel.sessions[span.first].item(), panel.sessions[span.last].item()
    sessions = SimulatedHours(panel, calendar)(first, last)
    if len(sessions) < 2:
        raise ConfigError(f"--replay {text} has {len(sessions)} session: at least two are needed")
    return sessions
