"""What the venue says of our orders: read from its list, looked up one by one where that may be wrong, and booked."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time

from brokers.protocol import OrderReport
from engine.errors import Interrupted, TradingStopped
from live.books import absorb
from live.desk import Desk
from live.plan import Intent, Stage
from live.timing import EXCHANGE

logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0
LOOK_UP_SECONDS = (0.0, 1.0, 2.0, 4.0, 4.0)
"""Pauses before the look-ups of an order that may not exist: what was accepted may appear late."""


def midnight(session: date) -> datetime:
    """Return the start of a date at the exchange, UTC."""
    return datetime.combine(session, time(), EXCHANGE).astimezone(UTC)


def reports_of(desk: Desk, intents: Sequence[Intent]) -> dict[str, OrderReport]:
    """Return what the venue says of orders by their client ids; those it does not know are left out.

    An order that was there before and is not on the list is looked up by its id: lists may lag.
    """
    if not intents:
        return {}
    since = midnight(min(intent.session for intent in intents))
    found = {report.client_id: report for report in desk.venue.orders(since)}
    for intent in intents:
        if intent.stage is Stage.OPEN and intent.client_id not in found:
            report = desk.venue.order(intent.client_id)
            if report is None:
                desk.alert(
                    f"the venue had order {intent.client_id} ({intent.symbol}) and does not show it now: it is taken "
                    "as open; look at it at the broker"
                )
            else:
                found[intent.client_id] = report
    return found


def poll(desk: Desk, intents: Iterable[Intent]) -> None:
    """Book what the venue says of orders that are, or may be, there.

    Raises
    ------
    TradingStopped
        When one is in a status that nobody here knows.
    """
    wanted = [intent for intent in intents if intent.is_live]
    found = reports_of(desk, wanted)
    with desk.journal.writing() as writer:
        for intent in wanted:
            if intent.client_id in found:
                absorb(writer, intent, found[intent.client_id])
    stop_unknown(found[intent.client_id] for intent in wanted if intent.client_id in found)


def settle(desk: Desk, intents: Iterable[Intent]) -> list[Intent]:
    """Find out about orders that may or may not be at the venue, and return those that it certainly does not have.

    Each is looked up by its id several times, some seconds apart, all that are missing in the same rounds.

    Raises
    ------
    TradingStopped
        When one is in a status that nobody here knows.
    Interrupted
        When the service is to stop; nothing is concluded then.
    """
    missing = list(intents)
    for pause in LOOK_UP_SECONDS:
        if not missing:
            break
        if pause:
            desk.waiter.wait(pause)
        if desk.waiter.stopping:
            raise Interrupted("stopped while orders were looked up: the next run looks again before it sends any")
        missing = [intent for intent in missing if not _is_there(desk, intent)]
    return missing


def _is_there(desk: Desk, intent: Intent) -> bool:
    report = desk.venue.order(intent.client_id)
    if report is not None:
        take(desk, intent, report)
    return report is not None


def take(desk: Desk, intent: Intent, report: OrderReport) -> None:
    """Book one report.

    Raises
    ------
    TradingStopped
        When its status is unknown.
    """
    with desk.journal.writing() as writer:
        absorb(writer, intent, report)
    stop_unknown([report])


def stop_unknown(reports: Iterable[OrderReport]) -> None:
    """Stop when an order is in a status that nobody here knows; it is taken as open.

    Raises
    ------
    TradingStopped
        Naming order and status.
    """
    for report in reports:
        if not report.is_known:
            raise TradingStopped(
                f"order {report.client_id} has the unknown status {report.status!r}: it is taken as open, and nothing "
                "more is sent; look at it at the broker"
            )


def cancel(desk: Desk, intents: Sequence[Intent], seconds: float = 30.0) -> bool:
    """Cancel orders and wait until they are final; False when one is still open after so many seconds."""
    for intent in intents:
        report = desk.venue.order(intent.client_id)
        if report is not None and report.is_open:
            desk.venue.cancel(report)
    until = desk.waiter.elapsed() + seconds
    ids = {intent.client_id for intent in intents}
    while True:
        poll(desk, [intent for intent in desk.journal.intents(live=True) if intent.client_id in ids])
        left = [intent for intent in desk.journal.intents(live=True) if intent.client_id in ids]
        if not left or desk.waiter.elapsed() >= until or desk.waiter.stopping:
            return not left
        desk.waiter.wait(POLL_SECONDS)
