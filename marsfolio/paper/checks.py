"""What must be right before an account trades, looked at one by one; nothing is sent, nothing is changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from brokers.protocol import AccountState, SessionHours, Venue
from engine.clock import SystemClock
from engine.errors import MarsfolioError, RunFolderError, TemporaryError, TradingStopped
from engine.panel import MarketPanel
from live.desk import Desk, check_not_halted
from live.journal import Journal
from live.notify import Notifier
from live.plan import PlanStatus
from live.timing import StartTime, current_session, last_complete, next_session
from live.waiting import COMMAND_SECONDS, SystemWaiter, Waiter
from marsfolio.paper.account import Connection, account_copy, alpaca_venue, simulated_venue
from marsfolio.paper.options import PaperOptions, remembered
from marsfolio.paper.setup import (
    SKEW_SECONDS,
    Chosen,
    check_options,
    choose,
    guards_of,
    journal_of,
    panel_of,
    settle_identity,
)

T = TypeVar("T")
FREE_BYTES = 200 * 2**20


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes
    ----------
    state : ``ok``, ``warn`` or ``fail``.
    exit_code : 0 unless it failed.
    """

    name: str
    state: str
    text: str
    exit_code: int = 0


class _Checks:
    """Collects findings; a check that raises one of our errors has failed with its message."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def ok(self, name: str, text: str) -> None:
        self.findings.append(Finding(name, "ok", text))

    def warn(self, name: str, text: str) -> None:
        self.findings.append(Finding(name, "warn", text))

    def run(self, name: str, check: Callable[[], T], said: Callable[[T], str] = str) -> T | None:
        try:
            found = check()
        except MarsfolioError as error:
            later = "; try again later" if isinstance(error, TemporaryError) and "again" not in str(error) else ""
            self.findings.append(Finding(name, "fail", f"{error}{later}", error.exit_code))
            return None
        self.ok(name, said(found))
        return found


def check_account(options: PaperOptions, state: Path) -> list[Finding]:
    """Return a finding for each thing that must be right."""
    checks = _Checks()
    checks.run("options", lambda: check_options(options), lambda _: "go together")
    checks.run("state", lambda: _state(options, state))
    if any(finding.state == "fail" for finding in checks.findings):
        return checks.findings
    simulated = options.broker == "simulated"
    panel = checks.run("data", lambda: panel_of(options), _described) if simulated else None
    chosen = checks.run("strategy", lambda: choose(options, panel), _named)
    checks.run("limits", lambda: guards_of(options), lambda guards: guards.words)
    checks.run("start", lambda: StartTime.parse(options.at), lambda start: f"--at {start.text}")
    checks.run("notifications", lambda: _notifications(options), str)
    if chosen is None or (simulated and panel is None):
        return checks.findings
    checks.run("identity", lambda: _identity(options, state, chosen))
    checks.run("trading", lambda: _trading(options, state))
    if panel is None:
        _broker(checks, options, chosen)
    else:
        _simulated(checks, options, state, panel, chosen)
    return checks.findings


def _described(panel: MarketPanel) -> str:
    return f"{panel.n_symbols} symbols, {panel.sessions[0]} to {panel.sessions[-1]}"


def _named(chosen: Chosen) -> str:
    recipe = chosen.recipe
    return (
        f"{recipe.name} ({recipe.identity[:12]}), {len(recipe.symbols)} symbols, reads {recipe.lookback_bars} sessions"
    )


def _state(options: PaperOptions, state: Path) -> str:
    remembered(state)
    above = next(folder for folder in (state, *state.absolute().parents) if folder.exists())
    if not os.access(above, os.W_OK):
        raise RunFolderError(f"--state {state} cannot be written: {above} is not open to you")
    free = shutil.disk_usage(above).free
    if free < FREE_BYTES:
        raise TemporaryError(
            f"{free / 2**20:.0f} MB are free on the disk of {state}, {FREE_BYTES / 2**20:.0f} are needed"
        )
    return f"{state}: {'known' if state.exists() else 'new'}, {free / 2**30:.0f} GB free"


def _notifications(options: PaperOptions) -> str:
    Notifier.from_environment(os.environ, "check")
    where = [
        name
        for name, variable in (("webhook", "MARSFOLIO_WEBHOOK_URL"), ("mail", "MARSFOLIO_SMTP"))
        if os.environ.get(variable)
    ]
    return "to the log" + "".join(f" and {name}" for name in where)


@contextmanager
def _journal(options: PaperOptions, state: Path) -> Iterator[Journal | None]:
    """Give a copy of the account's journal; None for a new account."""
    if remembered(state) is None:
        yield None
        return
    journal = journal_of(options, state)
    try:
        yield journal.scratch()
    finally:
        journal.dispose()


def _identity(options: PaperOptions, state: Path, chosen: Chosen) -> str:
    with _journal(options, state) as journal:
        if journal is None:
            return "a new account"
        settle_identity(journal, chosen.identity, state)
    return "the same strategy as before"


def _trading(options: PaperOptions, state: Path) -> str:
    with _journal(options, state) as journal:
        if journal is None:
            return "not begun"
        check_not_halted(journal)
        session, status, note = next(iter(journal.statuses(limit=1)), (None, None, ""))
        if status is PlanStatus.STOPPED and journal.value("accepted") != str(session):
            raise TradingStopped(
                f"session {session} was stopped by a limit: {note}; see `marsfolio paper status`, then `marsfolio "
                "paper resume`"
            )
    return "on" if session is None else f"on; last planned was session {session}"


def _broker(checks: _Checks, options: PaperOptions, chosen: Chosen) -> None:
    waiter = SystemWaiter(COMMAND_SECONDS)
    made = checks.run(
        "keys and host", lambda: alpaca_venue(options, None, waiter), lambda _: "present, and a paper host"
    )
    if made is None:
        return
    venue, skew = made.venue, made.skew_seconds
    desk = _desk(made, chosen, waiter)
    account = checks.run("account", lambda: _account(venue), lambda a: f"{a.account_id}: cash {a.cash:,.2f}")
    for remark in () if account is None else account.remarks:
        checks.warn("account", remark)
    _clock_and_bars(checks, desk, skew)
    _assets(checks, venue, chosen)


def _account(venue: Venue) -> AccountState:
    account = venue.account()
    if account.blocked:
        raise TradingStopped(f"it may not trade: {account.blocked}; clear that at the broker")
    return account


def _desk(at: Connection, chosen: Chosen, waiter: Waiter) -> Desk:
    journal = Journal("sqlite://")
    return Desk(at.venue, at.bars, journal, chosen.recipe, waiter, skew_seconds=at.skew_seconds, hours=at.hours)


def _clock_and_bars(checks: _Checks, desk: Desk, skew: float | None) -> None:
    now = checks.run("clock", desk.check_clock, lambda now: f"the broker says {now:%Y-%m-%dT%H:%M:%SZ}")
    if now is None:
        return
    away = abs((SystemClock().now() - now).total_seconds())
    if skew is None and away > SKEW_SECONDS:
        checks.warn("clock", f"this machine is {away:,.0f} s away from it; refused with a real broker")
    calendar = checks.run("calendar", lambda: desk.calendar(now), lambda hours: f"{len(hours)} sessions known")
    if calendar is None:
        return
    session, coming = current_session(calendar, now), next_session(calendar, now)
    if coming is not None:
        today = "now" if session is not None and now >= session.open else "next"
        checks.ok("session", f"{today}: {coming.session}, {coming.open:%H:%M} to {coming.close:%H:%M} UTC")
    last = last_complete(calendar, now)
    if last is not None:
        _bars(checks, desk, last)


def _bars(checks: _Checks, desk: Desk, last: SessionHours) -> None:
    recipe = desk.recipe
    panel = checks.run("bars", lambda: desk.bars.panel(recipe.symbols, last.session, recipe.n_bars), _described)
    if panel is None:
        return
    if len(panel) < recipe.n_bars:
        checks.warn("bars", f"there are {len(panel)} of the {recipe.n_bars} sessions that a decision may look back on")
    if n_missing := int(panel.missing.sum()):
        symbols = [symbol for i, symbol in enumerate(panel.symbols) if panel.missing[:, i].any()]
        checks.warn("bars", f"{n_missing} bars are missing, of {', '.join(symbols[:10])}: a halt, or a new symbol")


def _assets(checks: _Checks, venue: Venue, chosen: Chosen) -> None:
    assets = getattr(venue, "assets", None)
    if assets is None:
        return

    def refused() -> str:
        found = assets(chosen.recipe.symbols)
        bad = sorted(symbol for symbol, asset in found.items() if not asset.tradable)
        if bad:
            raise TradingStopped(f"not tradable: {', '.join(bad)}; leave them out of --symbols")
        whole = sorted(symbol for symbol, asset in found.items() if not asset.fractionable)
        if fractional and whole:
            checks.warn("symbols", f"whole shares only: {', '.join(whole)}")
        return f"all {len(found)} symbols are tradable"

    fractional = chosen.recipe.terms.fractional
    checks.run("symbols", refused)


def _simulated(checks: _Checks, options: PaperOptions, state: Path, panel: MarketPanel, chosen: Chosen) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        account = account_copy(state, Path(folder))
        made = checks.run(
            "account",
            lambda: simulated_venue(options, account, panel, chosen),
            lambda _: "kept here, without keys",
        )
        if made is not None:
            _clock_and_bars(checks, _desk(made, chosen, SystemWaiter(COMMAND_SECONDS)), SKEW_SECONDS)
