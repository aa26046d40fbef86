"""One session of a paper account: reconcile, decide once, check, write the plan down, carry it out, book."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import numpy as np

from brokers.protocol import Holding, SessionHours, Side
from engine.errors import TemporaryError, TradingStopped
from engine.panel import MarketPanel
from live.books import book_closes
from live.deciding import decide
from live.desk import Desk, check_not_halted
from live.execution import Execution
from live.plan import SMALLEST, Intent, Plan, PlanStatus, Stage, ending, intents_of
from live.reconcile import compare, reconcile, refuse_others, refuse_shorts
from live.splits import check_prices
from live.timing import BARS_DELAY, current_session, exchange_date, in_words, last_complete, next_session

logger = logging.getLogger(__name__)

RUN_SECONDS = 150.0
"""A single run waits for fills no longer than this."""


class Kind(StrEnum):
    """How a run of a session ended."""

    NOTHING = "nothing"  # no session to trade, or already done
    QUEUED = "queued"  # sent before the open; the rest follows
    DONE = "done"
    UNFINISHED = "unfinished"  # orders are still open, or one was refused
    REHEARSED = "rehearsed"  # a dry run


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of a session did.

    Attributes
    ----------
    message : one line for people.
    remarks : what else they should read.
    """

    kind: Kind
    message: str
    remarks: tuple[str, ...] = ()
    plan: Plan | None = None
    intents: tuple[Intent, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or 3 when the day is not completed."""
        return 3 if self.kind is Kind.UNFINISHED else 0


def run_session(desk: Desk, dry_run: bool = False, seconds: float = RUN_SECONDS) -> Outcome:
    """Do what there is to do for the session that is open, or opens later today; safe to repeat at any moment.

    Parameters
    ----------
    dry_run : decide and check, but write and send nothing; the journal must be a copy (`Journal.scratch`).
    seconds : how long to wait for fills at most.

    Raises
    ------
    TemporaryError
        When the venue or the bars fail for now.
    TradingStopped
        When a person is needed: halted, a limit was hit, the account is blocked.
    Interrupted
        When the service is to stop.
    """
    until = desk.waiter.elapsed() + seconds
    now = desk.check_clock()
    calendar = desk.calendar(now, fresh=True)
    hours = current_session(calendar, now)
    if hours is None:
        return _out_of_hours(desk, calendar, now, dry_run)
    known = desk.journal.plan(hours.session)
    if known is not None and known[1] in (PlanStatus.DONE, PlanStatus.DROPPED) and not dry_run:
        return _already(desk, hours, known[1], known[2])
    if not dry_run:
        check_not_halted(desk.journal)
    holdings, remarks = reconcile(desk, calendar, now, hours.session, dry_run)
    if known is None:
        plan, remarks = _plan(desk, calendar, now, hours, holdings, remarks, dry_run)
    elif dry_run:
        plan = known[0]
    else:
        plan = _accepted(desk, known[0], known[1], known[2])
    if dry_run:
        intents = desk.journal.intents(hours.session)
        return Outcome(
            Kind.REHEARSED, f"session {hours.session}: nothing was sent", tuple(remarks), plan, tuple(intents)
        )
    execution = Execution(desk, plan, hours, until)
    try:
        intents = execution.run()
    finally:
        remarks += execution.remarks
        for remark in execution.remarks:
            desk.alert(f"session {hours.session}: {remark}")
    return _ended(desk, hours, plan, intents, remarks)


def _out_of_hours(desk: Desk, calendar: Sequence[SessionHours], now: datetime, dry_run: bool) -> Outcome:
    """Book what there is to book, and say when the next session is."""
    coming = next_session(calendar, now)
    then = "" if coming is None else f"; the next session is {coming.session}, open at {in_words(coming.open)}"
    message = f"no session to trade on {exchange_date(now)} in New York{then}; nothing was sent"
    if dry_run or desk.journal.value("opening") is None:
        return Outcome(Kind.NOTHING, message)
    remarks = _missed(desk, calendar, now)
    going = (PlanStatus.TRADING, PlanStatus.STOPPED)
    under_way = [day for day, status, _ in desk.journal.statuses(limit=20) if status in going]
    incomplete = bool(remarks)
    remarks += reconcile(desk, calendar, now, None)[1]
    remarks += close_books(desk, calendar, now)
    after = {day: (status, note) for day, status, note in desk.journal.statuses(limit=20)}
    incomplete |= any(after[day][0] in going or after[day][1] for day in under_way)
    return Outcome(Kind.UNFINISHED if incomplete else Kind.NOTHING, message, tuple(remarks))


def _missed(desk: Desk, calendar: Sequence[SessionHours], now: datetime) -> list[str]:
    """Say so when today's session has passed its cut-off without a plan."""
    today = exchange_date(now)
    was_session = any(hours.session == today and hours.open <= now for hours in calendar)
    if not was_session or desk.journal.plan(today) is not None:
        return []
    remark = f"session {today} was missed: nothing was traded, and nothing is made up for it"
    desk.alert(remark)
    return [remark]


def close_books(desk: Desk, calendar: Sequence[SessionHours], now: datetime) -> list[str]:
    """Book the account at every close up to the last complete session, if its bars can be had; else say why not."""
    last, booked = last_complete(calendar, now), desk.journal.last_close()
    if (
        last is None
        or now < last.close + BARS_DELAY
        or (booked is not None and booked.session >= last.session)
        or desk.journal.intents(live=True)
    ):
        return []
    try:
        panel = _bars(desk, calendar, last)
        check_prices(desk.journal, panel)
    except TemporaryError as error:
        return [f"the close of {last.session} is not booked yet: {error}"]
    with desk.journal.writing() as writer:
        book_closes(desk.journal, writer, panel)
    return []


def _already(desk: Desk, hours: SessionHours, status: PlanStatus, note: str) -> Outcome:
    said = "is done" if status is PlanStatus.DONE else "was dropped"
    return Outcome(Kind.NOTHING, f"session {hours.session} {said}{f' ({note})' if note else ''}; nothing was sent")


def _bars(desk: Desk, calendar: Sequence[SessionHours], last: SessionHours) -> MarketPanel:
    """Return the bars that a decision reads, and before them those since the last decision or booked close."""
    plan, close = desk.journal.last_plan(), desk.journal.last_close()
    known = [] if plan is None else [plan.decided]
    known += [] if close is None else [close.session]
    new = sum(min(known) < hours.session <= last.session for hours in calendar) if known else 0
    return desk.bars.panel(desk.recipe.symbols, last.session, desk.recipe.n_bars + new)


def _restated(panel: MarketPanel, before: Plan | None, n_bars: int) -> list[str]:
    """Return in words that the bars of the decision before are not what they were then."""
    if before is None or before.symbols != panel.symbols:
        return []
    stop = int(np.searchsorted(panel.sessions, np.datetime64(before.decided), "right"))
    if stop == 0 or panel.rows(max(0, stop - n_bars), stop).content_hash == before.data_hash:
        return []
    return [
        f"bars up to {before.decided} were restated since that session was decided (a split, a dividend, a correction)"
    ]


def _plan(
    desk: Desk,
    calendar: Sequence[SessionHours],
    now: datetime,
    hours: SessionHours,
    holdings: dict[str, Holding],
    remarks: list[str],
    dry_run: bool,
) -> tuple[Plan, list[str]]:
    """Decide, check, and write the plan down before anything is sent."""
    refuse_shorts(holdings, desk.recipe.symbols)
    refuse_others(desk, hours.session)
    desk.recipe.check()
    plan = _decided(desk, calendar, now, hours, remarks)
    objections = _written(desk, plan, holdings)
    if objections and not dry_run:
        raise TradingStopped(_stopped(plan, "; ".join(objections)))
    return plan, [*plan.remarks, *(f"a limit would stop this: {objection}" for objection in objections)]


def _decided(
    desk: Desk, calendar: Sequence[SessionHours], now: datetime, hours: SessionHours, remarks: list[str]
) -> Plan:
    """Book the closes up to the last complete session and decide at it."""
    last = last_complete(calendar, now)
    if last is None:
        raise TemporaryError("the venue's calendar names no complete session before now: try again later")
    before = desk.journal.last_plan()
    if before is not None and before.session > hours.session:
        raise TradingStopped(
            f"the broker's clock says {now:%Y-%m-%dT%H:%M:%SZ}, and session {before.session} was traded already: "
            "nothing is sent until that clock is right again"
        )
    panel = _bars(desk, calendar, last)
    check_prices(desk.journal, panel)
    with desk.journal.writing() as writer:
        book_closes(desk.journal, writer, panel)
    booked = desk.journal.last_close()
    marks = {} if booked is None else booked.marks
    state = None if before is None else before.state
    seen = panel.rows(max(0, len(panel) - desk.recipe.n_bars), len(panel))
    plan = decide(desk.recipe, seen, desk.journal.ledger(), marks, state, hours.session)
    _check_value(plan)
    return replace(plan, remarks=(*remarks, *_restated(panel, before, desk.recipe.n_bars)))


def _written(desk: Desk, plan: Plan, holdings: dict[str, Holding]) -> list[str]:
    """Write down a plan and its orders, and return what the guards object to."""
    intents = intents_of(plan, holdings, desk.venue.least_value)
    objections = desk.guards.objections(plan, len(intents), desk.journal.peak() or plan.equity)
    planned = any(intent.stage is Stage.PLANNED for intent in intents)
    status = PlanStatus.STOPPED if objections else PlanStatus.TRADING if planned else PlanStatus.DONE
    with desk.journal.writing() as writer:
        writer.add_plan(plan, status, intents, "; ".join(objections))
        told = {"orders": len(intents), "data": plan.data_hash, "sha256": plan.digest}
        writer.note("plan", session=str(plan.session), status=status.value, **told)
    return objections


def _check_value(plan: Plan) -> None:
    if not plan.equity > 0:
        raise TradingStopped(
            f"the account is worth {plan.equity:,.2f} at the close of {plan.decided}: there is nothing to trade with"
        )


def _stopped(plan: Plan, note: str) -> str:
    return (
        f"session {plan.session} was stopped by a limit: {note}. Nothing was sent. See the orders with `marsfolio "
        "paper status`; `marsfolio paper resume` agrees to this plan once"
    )


def _accepted(desk: Desk, plan: Plan, status: PlanStatus, note: str) -> Plan:
    """Return a plan made by an earlier run, when it may trade."""
    if status is not PlanStatus.STOPPED:
        return plan
    if desk.journal.value("accepted") != str(plan.session):
        raise TradingStopped(_stopped(plan, note))
    with desk.journal.writing() as writer:
        writer.set_status(plan.session, PlanStatus.TRADING)
        writer.note("accepted", session=str(plan.session), note=note)
    return plan


def _ended(desk: Desk, hours: SessionHours, plan: Plan, intents: Sequence[Intent], remarks: list[str]) -> Outcome:
    """Say how far a session has come, and keep it when every order is final."""
    is_open = [intent for intent in intents if intent.is_live]
    waiting = [intent for intent in intents if intent.stage is Stage.PLANNED]
    told = _summary(plan, intents)
    if is_open or waiting:
        if desk.venue.sizes_buys or desk.time.now() < hours.open:
            return Outcome(Kind.QUEUED, f"{told}: queued for the open", tuple(remarks), plan, tuple(intents))
        what = f"{len(is_open)} orders are still open, {len(waiting)} not sent"
        return Outcome(Kind.UNFINISHED, f"{told}: {what}; run again", tuple(remarks), plan, tuple(intents))
    status, note = ending(intents, desk.venue.sizes_buys)
    fills = len(desk.journal.fills(plan.session))
    with desk.journal.writing() as writer:
        writer.set_status(plan.session, status, note)
        writer.note(status.value, session=str(plan.session), fills=fills, said=note)
    remarks += compare(desk)
    kind = Kind.UNFINISHED if note else Kind.DONE
    return Outcome(kind, told + (f"; {note}" if note else ""), tuple(remarks), plan, tuple(intents))


def _summary(plan: Plan, intents: Sequence[Intent]) -> str:
    if not intents:
        return f"session {plan.session}: {'no rebalance' if plan.target is None else 'nothing to trade'}"
    sells = sum(intent.side is Side.SELL for intent in intents)
    filled = sum(intent.filled >= intent.quantity - SMALLEST > 0 for intent in intents)
    return f"session {plan.session}: {sells} sells and {len(intents) - sells} buys, {filled} filled"
