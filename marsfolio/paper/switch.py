"""The kill switch of a paper account."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from brokers.protocol import Order, OrderRefused, OutcomeUnknown, Side
from engine.clock import SystemClock
from engine.errors import MarsfolioError, RunFolderError, TradingStopped
from live.desk import Desk
from live.following import cancel, midnight
from live.journal import Journal
from live.plan import ID_STEM, PlanStatus, Stage
from live.splits import DOUBT, TRUSTED
from live.timing import current_session
from live.waiting import SystemWaiter
from marsfolio.logs import run_log
from marsfolio.paper.account import open_account
from marsfolio.paper.options import PaperOptions, remembered
from marsfolio.paper.setup import journal_of

logger = logging.getLogger(__name__)


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
    account = open_account(options, state, SystemWaiter())
    desk = account.desk
    try:
        told = [_cancel_all(desk)]
        if flatten:
            told += _flatten(desk)
        return told
    finally:
        desk.journal.dispose()


def _cancel_all(desk: Desk) -> str:
    """Cancel every open order of ours: those in the journal, and any at the venue that bears our name."""
    live = desk.journal.intents(live=True)
    since = midnight(min((intent.session for intent in live), default=desk.time.now().date()))
    ours = [r for r in desk.venue.orders(since, open_only=True) if r.is_open and r.client_id.startswith(ID_STEM)]
    for report in ours:
        desk.venue.cancel(report)
    final = cancel(desk, live) if live else True
    with desk.journal.writing() as writer:
        for intent in desk.journal.intents():
            if intent.stage is Stage.PLANNED:
                writer.put(replace(intent, stage=Stage.DROPPED, reason="trading was halted"))
        writer.note("cancelled", orders=len(ours))
    if not final:
        raise TradingStopped("an order could not be cancelled in 30 s")
    return f"{len(ours)} open orders cancelled"


def _flatten(desk: Desk) -> list[str]:
    """Sell what the strategy holds in the session that is open, or opens next; under names of their own."""
    now = desk.time.now(fresh=True)
    hours = current_session(desk.calendar(now), now)
    if hours is None:
        raise TradingStopped(
            "the market is closed for today: nothing was sold; flatten again on the next session's date"
        )
    told = []
    for holding in desk.venue.holdings():
        if holding.symbol not in desk.recipe.symbols or holding.available <= 0:
            continue
        name = f"{ID_STEM}{hours.session}-{holding.symbol}-flatten-{now:%H%M%S}"
        order = Order(name, hours.session, holding.symbol, Side.SELL, holding.available)
        with desk.journal.writing() as writer:
            writer.note("flatten", client_id=name, symbol=holding.symbol, quantity=holding.available)
        try:
            desk.venue.submit(order)
            told.append(f"sell {holding.available:g} {holding.symbol}: sent")
        except OrderRefused as refusal:
            told.append(f"sell {holding.available:g} {holding.symbol}: refused, {refusal}")
        except OutcomeUnknown as error:
            found = desk.venue.order(name)
            told.append(f"sell {holding.available:g} {holding.symbol}: {'sent' if found else f'unknown, {error}'}")
    return told or ["nothing is held"]


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
    stopped = next((day for day, status, _ in journal.statuses(limit=1) if status is PlanStatus.STOPPED), None)
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
