"""What there is to see of a paper account now."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.clock import SystemClock
from engine.errors import MarsfolioError, RunFolderError
from live.desk import Desk
from live.journal import Journal
from live.plan import Intent, Plan, PlanStatus
from live.service import HEALTH_FILE
from live.timing import StartTime, in_words, next_session
from live.waiting import COMMAND_SECONDS, SystemWaiter
from marsfolio.paper.account import open_account
from marsfolio.paper.drift import drift_of
from marsfolio.paper.options import PaperOptions, remembered
from marsfolio.paper.setup import journal_of

SESSIONS_SHOWN = 10


@dataclass
class Status:
    """A paper account as it is now.

    Attributes
    ----------
    facts : name to text, in the order to show.
    holdings : symbol, shares, price, weight, target weight, difference.
    sessions : session, status, orders, filled, note; latest first.
    orders : of the latest plan.
    """

    facts: dict[str, str] = field(default_factory=dict)
    holdings: list[list[str]] = field(default_factory=list)
    sessions: list[list[str]] = field(default_factory=list)
    orders: list[list[str]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)


def status_of(state: Path, offline: bool) -> Status:
    """Return what there is to see; without the broker's answer when it cannot be had.

    Raises
    ------
    RunFolderError
        When there is no such account.
    """
    options = remembered(state)
    if options is None:
        raise RunFolderError(f"--state {state} has no paper account: begin with `marsfolio paper once` or `run`")
    journal = journal_of(options, state, new=False)
    found = Status()
    try:
        _from_journal(found, journal, options, state)
        if not offline:
            _from_venue(found, options, state)
    finally:
        journal.dispose()
    return found


def _from_journal(found: Status, journal: Journal, options: PaperOptions, state: Path) -> None:
    plan, close, ledger = journal.last_plan(), journal.last_close(), journal.ledger()
    halt = journal.value("halt")
    found.facts["strategy"] = options.model or str(options.strategy)
    found.facts["account"] = f"{journal.value('account_id', 'not opened yet')} ({options.broker})"
    found.facts["trading"] = "on" if halt is None else f"HALTED since {halt['time_utc']}: {halt['reason']}"
    found.facts["cash"] = f"{ledger.cash:,.2f}"
    if close is not None:
        closes = journal.closes()
        peak = max(row.equity for row in closes)
        found.facts["equity"] = f"{close.equity:,.2f} at the close of {close.session}"
        found.facts["since the start"] = f"{close.equity / closes[0].equity - 1:+.2%} in {len(closes)} sessions"
        found.facts["below its peak"] = f"{1 - close.equity / peak:.2%}"
    found.facts["service"] = _service(state)
    marks = {} if close is None else close.marks
    equity = ledger.cash + sum(quantity * marks.get(symbol, 0.0) for symbol, quantity in ledger.positions.items())
    found.holdings = _holdings(plan, ledger.positions, marks, equity)
    for day, status, note in journal.statuses(SESSIONS_SHOWN):
        intents = journal.intents(day)
        filled = sum(intent.filled > 0 for intent in intents)
        found.sessions.append([str(day), status.value, str(len(intents)), str(filled), note])
    if plan is not None:
        found.orders = [_order(intent) for intent in journal.intents(plan.session)]


def _service(state: Path) -> str:
    try:
        health: dict[str, Any] = json.loads((state / HEALTH_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "never ran here"
    age = SystemClock().now() - _moment(health["time_utc"])
    text = f"{health['status']}, heard of {age.total_seconds():.0f} s ago (pid {health['pid']})"
    if health["status"] != "stopped" and age.total_seconds() > 300:
        text = f"NOT heard of since {health['time_utc']}: it was killed or hangs"
    if health.get("next_start_utc"):
        text += f", next start {health['next_start_utc']}"
    return text + (f"; trouble: {health['trouble']}" if health.get("trouble") else "")


def _moment(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text)


def _holdings(plan: Plan | None, positions: Any, marks: Any, equity: float) -> list[list[str]]:
    targets = {} if plan is None or plan.target is None else dict(zip(plan.symbols, plan.weights.tolist(), strict=True))
    rows = []
    for symbol in sorted({*positions, *(name for name, weight in targets.items() if weight and weight == weight)}):
        shares, price = positions.get(symbol, 0.0), marks.get(symbol, float("nan"))
        weight, target = shares * price / equity if equity > 0 else 0.0, targets.get(symbol, float("nan"))
        kept = target != target
        wanted, off = ("kept", "") if kept else (_percent(target), f"{100 * (weight - target):+.2f} %")
        rows.append([symbol, f"{shares:g}", f"{price:,.2f}", _percent(weight), wanted, off])
    return rows


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _order(intent: Intent) -> list[str]:
    return [
        intent.side.value,
        f"{intent.quantity:g}",
        intent.symbol,
        f"{intent.filled:g}",
        intent.stage.value,
        intent.status,
        intent.reason,
    ]


def _drift(state: Path) -> str:
    try:
        total = drift_of(state, None).total
    except RunFolderError:
        return "none yet"
    return f"{round(total['drift'], 2) + 0.0:+,.2f} against the backtest of each session (`marsfolio paper drift`)"


def _from_venue(found: Status, options: PaperOptions, state: Path) -> None:
    waiter = SystemWaiter(COMMAND_SECONDS)
    with TemporaryDirectory() as folder:
        try:
            desk = open_account(options, state, waiter, rehearsal=Path(folder), trades=False).desk
        except MarsfolioError as error:
            found.trouble.append(f"the broker was not asked: {error}")
            return
        _ask_venue(found, desk, options, state)


def _ask_venue(found: Status, desk: Desk, options: PaperOptions, state: Path) -> None:
    try:
        now = desk.check_clock()
        account = desk.venue.account()
        ended = [
            day for day, status, _ in desk.journal.statuses(limit=1) if status in (PlanStatus.DONE, PlanStatus.DROPPED)
        ]
        coming = next_session([hours for hours in desk.calendar(now) if hours.session not in ended], now)
        found.facts["at the broker"] = f"cash {account.cash:,.2f}, equity {account.equity:,.2f}"
        if account.blocked:
            found.trouble.append(f"the account may not trade: {account.blocked}")
        found.facts["drift"] = _drift(state)
        if coming is not None:
            starts = StartTime.parse(options.at).of(coming)
            found.facts["next session"] = f"{coming.session}, work begins {in_words(starts)}"
    except MarsfolioError as error:
        found.trouble.append(str(error))
    finally:
        desk.journal.dispose()
