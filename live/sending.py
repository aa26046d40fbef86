"""Sending orders: each is written down first, sent once, and sent again only when it certainly did not arrive."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import replace

from brokers.protocol import OrderRefused, OrderReport, OutcomeUnknown, Refusal, SessionHours, Side
from engine.errors import TemporaryError, TradingStopped
from engine.http import RequestFailed
from live.desk import Desk
from live.following import poll, settle, take
from live.plan import TOO_LATE, Intent, Plan, Stage
from live.sizing import Purse

logger = logging.getLogger(__name__)

SENDS = 3
"""Times that one order is sent, under one id, when it certainly did not arrive."""
BUSY_SECONDS = (2.0, 4.0, 8.0, 16.0, 32.0)
"""Pauses of a whole run after answers that nothing was processed: together longer than the minute of a rate limit."""


class Sender:
    """Sends the orders of one session.

    Parameters
    ----------
    until : `Waiter.elapsed` after which no busy venue is waited for.

    Attributes
    ----------
    remarks : what a person should read.
    """

    def __init__(self, desk: Desk, plan: Plan, hours: SessionHours, purse: Purse, until: float) -> None:
        self._desk = desk
        self._session = plan.session
        self._hours = hours
        self._purse = purse
        self._until = until
        self._pauses = iter(BUSY_SECONDS)
        self.remarks: list[str] = []

    def send(self, intents: Iterable[Intent]) -> None:
        """Send orders one after the other; from the cut-off of the session on they are dropped.

        Raises
        ------
        TemporaryError
            When the venue stays too busy, or nobody can say whether an order arrived; the next run goes on.
        TradingStopped
            When a person is needed.
        Interrupted
            When the service is to stop.
        """
        for intent in intents:
            self._send(intent)

    def drop(self, intent: Intent, reason: str) -> None:
        """Write down that an order will not be sent."""
        with self._desk.journal.writing() as writer:
            writer.put(replace(intent, stage=Stage.DROPPED, reason=reason))
            writer.note("dropped", client_id=intent.client_id, reason=reason)
        self.remarks.append(f"{intent.side.value} {intent.quantity:g} {intent.symbol}: not sent, {reason}")

    def return_absent(self, intents: Iterable[Intent]) -> None:
        """Look up orders of which nobody knows whether they arrived; those that did not will be sent again."""
        for intent in settle(self._desk, intents):
            self._keep(intent.absent)

    def _send(self, intent: Intent, retry: bool = True) -> None:
        sends = 0
        while sends < SENDS:
            if not self._desk.check_may_send(self._hours):
                self.drop(intent, TOO_LATE)
                return
            sending = self._written(intent)
            try:
                report = self._submitted(sending)
            except OrderRefused as refusal:
                if refusal.kind is Refusal.DUPLICATE:
                    self._adopt(sending)
                else:
                    self._refused(sending, refusal, retry)
                return
            except TradingStopped:
                self._keep(intent)
                raise
            except TemporaryError as error:
                self._keep(intent)
                self._pause(error)
                continue
            if report is not None:
                take(self._desk, sending, report)
                return
            if not settle(self._desk, [sending]):
                return
            intent = sending.absent
            self._keep(intent)
            sends += 1
        raise TemporaryError(f"order {intent.client_id} was sent {SENDS} times and never arrived; run again")

    def _written(self, intent: Intent) -> Intent:
        sending = replace(intent, stage=Stage.SENDING)
        with self._desk.journal.writing() as writer:
            writer.put(sending)
            writer.note("sending", client_id=intent.client_id, quantity=intent.quantity, side=intent.side.value)
        return sending

    def _submitted(self, intent: Intent) -> OrderReport | None:
        """Send an order once; None when nobody knows whether it arrived."""
        try:
            return self._desk.venue.submit(intent.order)
        except OutcomeUnknown as error:
            logger.warning("%s: %s; looking it up", intent.client_id, error)
        return None

    def _adopt(self, intent: Intent) -> None:
        """Book an order that the venue has already under this id."""
        logger.warning("%s is at the venue already; looking it up", intent.client_id)
        if settle(self._desk, [intent]):
            raise TemporaryError(
                f"the venue has order {intent.client_id} and does not show it: it is looked up again before anything "
                "else is sent; run again"
            )

    def _pause(self, error: TemporaryError) -> None:
        """Wait for a busy venue, or raise the error when that has taken too long already."""
        asked = error.retry_after if isinstance(error, RequestFailed) else None
        pause = max(next(self._pauses, math.inf), asked or 0.0)
        waiter = self._desk.waiter
        if waiter.elapsed() + pause > self._until:
            raise error
        logger.warning("%s; sending again in %.0f s", error, pause)
        waiter.wait(pause)

    def _keep(self, intent: Intent) -> None:
        with self._desk.journal.writing() as writer:
            writer.put(intent)

    def _refused(self, intent: Intent, refusal: OrderRefused, retry: bool) -> None:
        quantity = self._possible(intent, refusal.kind) if retry else 0.0
        again = None
        told = f"{intent.side.value} {intent.quantity:g} {intent.symbol} was refused: {refusal}"
        if self._purse.sends(quantity, self._purse.at_close(intent.symbol)):
            number = 1 + max(other.number for other in self._desk.journal.intents(self._session))
            again = intent.again(quantity, number, f"after a refusal: {refusal}")
            told += f"; sent again for {quantity:g}"
        with self._desk.journal.writing() as writer:
            writer.put(replace(intent, stage=Stage.REFUSED, reason=str(refusal)))
            writer.note("refused", client_id=intent.client_id, refusal=refusal.kind.value, reason=str(refusal))
            if again is not None:
                writer.put(again)
        self.remarks.append(told)
        if again is not None:
            self._send(again, retry=False)

    def _possible(self, intent: Intent, kind: Refusal) -> float:
        """Return how many shares may be asked for after a refusal; 0 for none."""
        if kind is Refusal.WHOLE:
            return float(math.floor(intent.quantity))
        if kind is Refusal.SHARES and intent.side is Side.SELL:
            held = {holding.symbol: holding.available for holding in self._desk.venue.holdings()}
            return min(intent.quantity, max(held.get(intent.symbol, 0.0), 0.0))
        if kind is Refusal.FUNDS:
            # What has filled since it was sent is paid for already: it must not be set aside once more.
            poll(self._desk, [i for i in self._desk.journal.intents(self._session) if i.stage is Stage.OPEN])
            smaller = self._purse.sized([replace(intent, stage=Stage.PLANNED, status="")]).buys
            less: float = smaller[0].quantity if smaller else 0.0
            return less if less < intent.quantity else 0.0
        return 0.0
