"""A paper account ready to work: its venue connected, its journal open, its strategy made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from brokers.protocol import BarSource, SessionHours, Venue
from engine.clock import Clock, SystemClock, VirtualClock
from engine.errors import ConfigError
from engine.panel import MarketPanel
from live.desk import Desk, KnownHours
from live.journal import Journal
from live.notify import Notifier
from live.timing import BARS_DELAY
from live.waiting import Waiter
from marsfolio.paper.bars import FileBars, SimulatedHours
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
    trades: bool = True,
    panel: MarketPanel | None = None,
) -> Opened:
    """Return the account of a state folder, its venue connected and its journal open.

    Parameters
    ----------
    clock : of a simulated account in a replay; the machine's when None.
    start : the session at whose close a new simulated account is opened; the last complete one when None.
    rehearsal : a folder for what has to be written though nothing is kept; the state folder stays as it is.
    panel : the bars of a simulated account, where they are read already.
    trades : False to look at the account or to halt it; a replay is then seen at the time it has come to.

    Raises
    ------
    ConfigError
        When options do not go together, or the folder belongs to something else.
    TradingStopped
        When a host is not allowed.
    """
    check_options(options)
    if panel is None and options.broker == "simulated":
        panel = panel_of(options)
    chosen = choose(options, panel)
    new = rehearsal is None
    journal = journal_of(options, state, clock, durable=clock is None) if new else _journal_copy(options, state)
    try:
        settle_identity(journal, chosen.identity, state)
        _settle_replay(journal, clock, trades, state)
        if rehearsal is None and trades:
            remember(state, options, chosen.identity)
        if panel is None:
            at = alpaca_venue(options, (rehearsal or state) / BARS_FOLDER, waiter)
        else:
            account = state / ACCOUNT_FILE if rehearsal is None else account_copy(state, rehearsal)
            stands = None if trades else _stands_at(journal)
            at = simulated_venue(options, account, panel, chosen, clock, start, stands)
        # Sessions of a replay are no news: they go to the log alone.
        environment = os.environ if clock is None else {}
        notifier = Notifier.from_environment(environment, chosen.recipe.name, at.redact)
    except BaseException:
        journal.dispose()
        raise
    guards = guards_of(options)
    desk = Desk(
        at.venue, at.bars, journal, chosen.recipe, waiter, guards, notifier, at.skew_seconds, at.clock, at.hours
    )
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


def _settle_replay(journal: Journal, clock: Clock | None, trades: bool, state: Path) -> None:
    """Keep that an account belongs to a replay, and refuse to mix the days of a replay with today."""
    replayed = journal.value("replay", False)
    if clock is None and replayed and trades:
        raise ConfigError(
            f"--state {state} holds a replay: go on with --replay A:B, or give trading by today's clock another --state"
        )
    if clock is not None and not replayed:
        if journal.value("opening") is not None or (state / ACCOUNT_FILE).exists():
            raise ConfigError(f"--state {state} trades by today's clock: give a replay another --state")
        with journal.writing() as writer:
            writer.set_value("replay", True)


def _stands_at(journal: Journal) -> date | None:
    """Return the session whose close a replay has come to; None for an account of today."""
    if not journal.value("replay", False):
        return None
    last = journal.last_close()
    if last is None:
        raise ConfigError("the replay has not booked a close yet: go on with --replay A:B")
    return last.session


@dataclass(frozen=True)
class Connection:
    """Where an account is kept.

    Attributes
    ----------
    skew_seconds : how far the machine's clock may be from the venue's; None for any.
    redact : takes secrets out of a text.
    hours : the venue's sessions, remembered.
    clock : the time here.
    """

    venue: Venue
    bars: BarSource
    skew_seconds: float | None = None
    redact: Callable[[str], str] = str
    hours: KnownHours | None = None
    clock: Clock = field(default_factory=SystemClock)


def simulated_venue(
    options: PaperOptions,
    account: Path,
    panel: MarketPanel,
    chosen: Chosen,
    clock: Clock | None = None,
    start: date | None = None,
    stands: date | None = None,
) -> Connection:
    """Return the embedded account in a file, made when there is none, and its bars.

    Parameters
    ----------
    panel : the bars as they are now; without a clock they are read again whenever their file changes.
    clock : of a replay; the machine's when None.
    start : the session at whose close a new account is opened; the last complete one when None.
    stands : the session at whose close time stands still, in place of a clock.
    """
    from brokers.embedded import EmbeddedVenue
    from data_feeds.panel_source import PanelBars

    bars = FileBars(options, panel) if clock is None else lambda: panel
    hours = SimulatedHours(bars, options.calendar)
    if clock is not None:
        time = clock
    elif stands is not None:
        time = VirtualClock(hours(stands, stands)[0].close + BARS_DELAY)
    else:
        time = SystemClock()
    opened = start or _last_closed(panel, hours, time.now())
    venue = EmbeddedVenue(account, bars, chosen.recipe.terms, time, hours, opened, durable=clock is None)
    return Connection(venue, PanelBars(bars), clock=time)


def _last_closed(panel: MarketPanel, hours: Callable[[date, date], list[SessionHours]], now: datetime) -> date:
    closed = [h.session for h in hours(panel.sessions[0].item(), panel.sessions[-1].item()) if h.close <= now]
    if not closed:
        raise ConfigError(f"{panel.source} begins after {now:%Y-%m-%d}: there is no close to open an account at")
    return closed[-1]


def alpaca_venue(options: PaperOptions, cache: Path | None, waiter: Waiter) -> Connection:
    """Return the Alpaca account of the keys in the environment, and bars from there; keys are kept out of all logs.

    Parameters
    ----------
    cache : folder of bars; None keeps none.
    waiter : knows how long may be asked.
    """
    from brokers.alpaca import AlpacaVenue
    from brokers.credentials import Credentials, SecretFilter
    from data_feeds.alpaca import AlpacaBars
    from engine.http import Tries

    keys = Credentials.from_environment(os.environ)
    SecretFilter(keys.redact).install()
    tries = Tries(sleep=waiter.wait, left=waiter.left)
    venue = AlpacaVenue(keys, tries)
    calendar = KnownHours(venue.hours)

    def sessions(first: date, last: date) -> list[date]:
        return [hours.session for hours in calendar(first, last)]

    bars = AlpacaBars(keys, options.feed, cache, sessions, tries)
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
    sessions = SimulatedHours(lambda: panel, calendar)(first, last)
    if len(sessions) < 2:
        raise ConfigError(f"--replay {text} has {len(sessions)} session: at least two are needed")
    return sessions
