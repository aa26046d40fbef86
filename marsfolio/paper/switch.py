"""The kill switch of a paper account."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from engine.clock import SystemClock
from engine.errors import MarsfolioError, RunFolderError, TradingStopped
from live.desk import Desk
from live.flattening import flatten, is_flattening_id
from live.following import cancel, midnight
from live.journal import Journal
from live.plan import ID_STEM, Intent, PlanStatus, Stage
from live.reconcile import reconcile
from live.splits import DOUBT, TRUSTED
from live.timing import current_session, next_session
from live.waiting import COMMAND_SECONDS, SystemWaiter
from marsfolio.logs import run_log
from marsfolio.paper.account import open_account
from marsfolio.paper.options import PaperOptions, remembered
from marsfolio.paper.setup import journal_of

logger = logging.getLogger(__name__)

FLATTEN_SECONDS = 60.0
"""Sales of a halt are followed for so long while the market is open."""


def halt_account(state: Path, reason: str, flatten: bool) -> list[str]:
    """Switch trading off at once, then cancel our open orders and, if asked, sell what the strategy holds.

    The switch is in the journal before anything else is tried, and needs no network: a service that runs sees it before
    its next order.

    Raises
    ------
    RunFolderError
        When there is no such account.
    TradingStopped
        When orders could not be cancelled or sold: a person must do it at the broker.
    """
    options = _known(state)
    with run_log(state / "marsfolio.log"):
        journal = journal_of(options, state, new=False)
        now = SystemClock().now().isoformat(timespec="seconds")
        with journal.writing() as writer:
            writer.set_value("halt", {"time_utc": now, "reason": reason})
            writer.note("halt", reason=reason, flatten=flatten)
        journal.dispose()
        told = [f"halted: {state} sends no more orders until `marsfolio paper resume`"]
        try:
            told += _clear(options, state, flatten)
        except MarsfolioError as error:
            raise TradingStopped(
                f"trading is halted, but open orders may be left: {error}; look at the broker, or halt again"
            ) from error
    return told


def _clear(options: PaperOptions, state: Path, flatten: bool) -> list[str]:
    desk = open_account(options, state, SystemWaiter(COMMAND_SECONDS), trades=False).desk
    try:
        told = [_cancel_all(desk, keep_flattening=flatten)]
        if flatten:
            told += _flatten(desk)
        return told
    finally:
        desk.journal.dispose()


def _cancel_all(desk: Desk, keep_flattening: bool) -> str:
    """Cancel every open order of ours: those in the journal, and any at the venue that bears our name.

    Parameters
    ----------
    keep_flattening : leave those that end positions.
    """

    def goes(client_id: str) -> bool:
        return client_id.startswith(ID_STEM) and not (keep_flattening and is_flattening_id(client_id))

    live = [intent for intent in desk.journal.intents(live=True) if goes(intent.client_id)]
    since = midnight(min((intent.session for intent in live), default=desk.time.now().date()))
    ours = [report for report in desk.venue.orders(since, open_only=True) if report.is_open and goes(report.client_id)]
    for report in ours:
        desk.venue.cancel(report)
    if live and not cancel(desk, live):
        _drop_lost(desk, {intent.client_id for intent in live})
    planned = [intent for intent in desk.journal.intents() if intent.stage is Stage.PLANNED]
    with desk.journal.writing() as writer:
        for intent in planned:
            writer.put(replace(intent, stage=Stage.DROPPED, reason="trading was halted"))
        writer.note("cancelled", orders=len(ours), unsent=len(planned))
    return f"{len(ours)} open orders cancelled, {len(planned)} not sent dropped"


def _drop_lost(desk: Desk, names: set[str]) -> None:
    """Give up orders that were on their way and are not at the venue half a minute later; others must be looked at."""
    for intent in desk.journal.intents(live=True):
        if intent.client_id not in names:
            continue
        if intent.stage is not Stage.SENDING or desk.venue.order(intent.client_id) is not None:
            raise TradingStopped(f"order {intent.client_id} could not be cancelled in 30 s")
        with desk.journal.writing() as writer:
            writer.put(replace(intent, stage=Stage.DROPPED, reason="it never arrived"))
            writer.note("dropped", client_id=intent.client_id, reason="it never arrived")


def _flatten(desk: Desk) -> list[str]:
    """Sell what the strategy holds in the session that is open, or opens later today in New York."""
    now = desk.time.now(fresh=True)
    calendar = desk.calendar(now)
    hours = current_session(calendar, now)
    if hours is None:
        coming = next_session(calendar, now)
        when = "on the next session's date" if coming is None else f"on {coming.session} before its close"
        raise TradingStopped(f"there is no session to sell in today: nothing was sold; halt --flatten again {when}")
    reconcile(desk, calendar, now, hours.session)
    orders = flatten(desk, hours, FLATTEN_SECONDS)
    told = [_told(intent) for intent in orders]
    failed = [_told(intent) for intent in orders if intent.stage in (Stage.REFUSED, Stage.DROPPED)]
    left = {symbol for symbol in desk.recipe.symbols if desk.journal.ledger().positions.get(symbol, 0.0) > 0}
    unsold = left - {intent.symbol for intent in orders if intent.is_live}
    if unsold:
        said = "; ".join(failed) or "no order for them is open"
        raise TradingStopped(f"{', '.join(sorted(unsold))} could not be sold ({said}): sell by hand, or flatten again")
    return told or ["nothing is held"]


def _told(intent: Intent) -> str:
    done = f", {intent.filled:g} filled" if intent.filled else ""
    reason = f": {intent.reason}" if intent.stage in (Stage.REFUSED, Stage.DROPPED) else ""
    state = "filled" if intent.filled >= intent.quantity else f"{intent.stage.value}{done}{reason}"
    return f"sell {intent.quantity:g} {intent.symbol}: {state}"


def resume_account(state: Path) -> list[str]:
    """Switch trading on again, and agree once to a plan that a limit stopped.

    Raises
    ------
    RunFolderError
        When there is no such account.
    """
    options = _known(state)
    with run_log(state / "marsfolio.log"):
        journal = journal_of(options, state, new=False)
        try:
            return _resume(journal)
        finally:
            journal.dispose()


def _resume(journal: Journal) -> list[str]:
    told = []
    halt, doubt = journal.value("halt"), journal.value(DOUBT)
    latest = next(iter(journal.statuses(limit=1)), None)
    stopped = latest[0] if latest is not None and latest[1] is PlanStatus.STOPPED else None
    if stopped is not None and not any(intent.stage is Stage.PLANNED for intent in journal.intents(stopped)):
        stopped = None  # a halt has dropped its orders since
    with journal.writing() as writer:
        if halt is not None:
            writer.set_value("halt", None)
            told.append(f"trading is on again; it was halted at {halt['time_utc']} ({halt['reason']})")
        if stopped is not None:
            writer.set_value("accepted", stopped.isoformat())
            told.append(f"the plan of session {stopped}, which a limit had stopped, may be carried out")
        if doubt is not None:
            writer.set_value(DOUBT, None)
            writer.set_value(TRUSTED, doubt)
            told.append(f"shares and prices of {doubt[0]} are taken as they are, though they disagree since {doubt[1]}")
        writer.note("resume", halted=halt is not None, accepted=None if stopped is None else stopped.isoformat())
    return told or ["trading was not halted, and no plan was stopped by a limit"]


def _known(state: Path) -> PaperOptions:
    options = remembered(state)
    if options is None:
        raise RunFolderError(f"--state {state} has no paper account: nothing was ever traded with it")
    return options
