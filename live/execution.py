"""Carrying out a plan: each order is written down, sent once, and followed until it is final."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time

from brokers.protocol import OrderRefused, OrderReport, OutcomeUnknown, Refusal, SessionHours, Side
from engine.errors import TemporaryError, TradingStopped
from live.books import absorb
from live.desk import Desk
from live.plan import SMALLEST, Intent, Plan, Stage
from live.timing import EXCHANGE

logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0
LOOK_UP_SECONDS = (1.0, 2.0, 4.0, 4.0)
"""Pauses between look-ups of an order that may not exist: what was accepted may appear late."""
SENDS = 3
"""Times that one order is sent, under one id, when it certainly did not arrive."""
QUEUE_BUFFER = 1.02
"""Buys that wait for the open are taken to cost so much more than at the last close."""
BUFFER = 1.01
"""Buys in an open session are taken to cost so much more than at the latest price."""
SALES_SECONDS = 60.0
"""Buys wait so long for sales to fill, then make do with the cash that is there."""


class Execution:
    """Carries out the plan of one session, as far as it can be carried out now; safe to repeat at any moment.

    Parameters
    ----------
    until : `Waiter.elapsed` at which waiting for fills ends.

    Attributes
    ----------
    remarks : what a person should read.
    """

    def __init__(self, desk: Desk, plan: Plan, hours: SessionHours, until: float) -> None:
        self._desk = desk
        self._plan = plan
        self._hours = hours
        self._until = until
        self._close = dict(zip(plan.symbols, plan.close.tolist(), strict=True))
        self.remarks: list[str] = []

    def run(self) -> list[Intent]:
        """Send what may be sent, wait where waiting helps, and return the orders as they are now.

        Raises
        ------
        TemporaryError
            When the venue cannot be reached; the next run goes on.
        TradingStopped
            When a person is needed.
        Interrupted
            When the service is to stop.
        """
        intents = self._intents()
        if any(intent.is_live for intent in intents):
            poll(self._desk, intents)
        for intent in self._with(Stage.SENDING):
            self._settle_unknown(intent)
        self._send_all(self._planned(Side.SELL))
        if self._desk.venue.sizes_buys:
            self._send_all(self._planned(Side.BUY))
            return self._intents()
        if self._desk.time.now() < self._hours.open:
            self._send_all(self._fitting(self._planned(Side.BUY)))
            return self._intents()
        self._wait_while(lambda: self._live(Side.SELL), min(self._until, self._desk.waiter.elapsed() + SALES_SECONDS))
        buys = self._planned(Side.BUY)
        if buys:
            self._send_all(self._sized(buys))
        self._wait_while(self._live, self._until)
        return self._intents()

    def send(self, intents: Iterable[Intent]) -> list[Intent]:
        """Send these orders alone, wait for fills where waiting helps, and return the session's orders as they are now.

        Raises
        ------
        TemporaryError, TradingStopped, Interrupted
            As `run` does.
        """
        self._send_all(intents)
        if not self._desk.venue.sizes_buys and self._desk.time.now() >= self._hours.open:
            self._wait_while(self._live, self._until)
        return self._intents()

    def _intents(self) -> list[Intent]:
        return self._desk.journal.intents(self._plan.session)

    def _with(self, stage: Stage) -> list[Intent]:
        return [intent for intent in self._intents() if intent.stage is stage]

    def _planned(self, side: Side) -> list[Intent]:
        return [intent for intent in self._with(Stage.PLANNED) if intent.side is side]

    def _live(self, side: Side | None = None) -> list[Intent]:
        return [intent for intent in self._intents() if intent.is_live and side in (None, intent.side)]

    def _wait_while(self, live: Callable[[], list[Intent]], until: float) -> None:
        waiter = self._desk.waiter
        while (open_now := live()) and waiter.elapsed() < until and not waiter.stopping:
            waiter.wait(POLL_SECONDS)
            poll(self._desk, open_now)

    def _send_all(self, intents: Iterable[Intent]) -> None:
        for intent in intents:
            if not self._desk.check_may_send(self._hours):
                self._drop(intent, "the session is about to close: nothing more is sent")
                continue
            self._send(intent)

    def _send(self, intent: Intent, retry: bool = True) -> None:
        sending = replace(intent, stage=Stage.SENDING)
        with self._desk.journal.writing() as writer:
            writer.put(sending)
            writer.note("sending", client_id=intent.client_id, quantity=intent.quantity, side=intent.side.value)
        try:
            report = self._post(sending)
        except OrderRefused as refusal:
            self._refused(sending, refusal, retry)
            return
        except TradingStopped:
            self._keep(replace(intent, stage=Stage.PLANNED))
            raise
        self._absorb(sending, report)

    def _post(self, intent: Intent) -> OrderReport:
        """Send an order until the venue certainly has it or has refused it."""
        for _ in range(SENDS):
            try:
                return self._desk.venue.submit(intent.order)
            except OutcomeUnknown as error:
                logger.warning("%s: %s; looking it up", intent.client_id, error)
                if (report := self._look_up(intent)) is not None:
                    return report
            except OrderRefused as refusal:
                if refusal.kind is not Refusal.DUPLICATE:
                    raise
                if (report := self._look_up(intent)) is not None:
                    return report
            if not self._desk.check_may_send(self._hours):
                break
        raise TemporaryError(
            f"nobody can say whether order {intent.client_id} arrived: it is looked up again before anything else is "
            "sent; run again"
        )

    def _look_up(self, intent: Intent) -> OrderReport | None:
        """Return the order at the venue; None when it was not there in several looks, some seconds apart."""
        for pause in LOOK_UP_SECONDS:
            if (report := self._desk.venue.order(intent.client_id)) is not None:
                return report
            self._desk.waiter.wait(pause)
        return self._desk.venue.order(intent.client_id)

    def _settle_unknown(self, intent: Intent) -> None:
        """Find out about an order that was on its way when a run ended; it is sent again if it never arrived."""
        report = self._look_up(intent)
        if report is None:
            self._keep(replace(intent, stage=Stage.PLANNED))
        else:
            self._absorb(intent, report)

    def _absorb(self, intent: Intent, report: OrderReport) -> None:
        with self._desk.journal.writing() as writer:
            absorb(writer, intent, report)
        stop_unknown([report])

    def _keep(self, intent: Intent) -> None:
        with self._desk.journal.writing() as writer:
            writer.put(intent)

    def _drop(self, intent: Intent, reason: str) -> None:
        with self._desk.journal.writing() as writer:
            writer.put(replace(intent, stage=Stage.DROPPED, reason=reason))
            writer.note("dropped", client_id=intent.client_id, reason=reason)
        self.remarks.append(f"{intent.side.value} {intent.quantity:g} {intent.symbol}: not sent, {reason}")

    def _refused(self, intent: Intent, refusal: OrderRefused, retry: bool) -> None:
        with self._desk.journal.writing() as writer:
            writer.put(replace(intent, stage=Stage.REFUSED, reason=str(refusal)))
            writer.note("refused", client_id=intent.client_id, refusal=refusal.kind.value, reason=str(refusal))
        quantity = self._possible(intent, refusal.kind) if retry else 0.0
        told = f"{intent.side.value} {intent.quantity:g} {intent.symbol} was refused: {refusal}"
        if quantity < SMALLEST:
            self.remarks.append(told)
            return
        self.remarks.append(f"{told}; sent again for {quantity:g}")
        number = 1 + max(other.number for other in self._intents())
        again = intent.again(quantity, number, f"after a refusal: {refusal}")
        self._send(again, retry=False)

    def _possible(self, intent: Intent, kind: Refusal) -> float:
        """Return how many shares may be asked for after a refusal; 0 for none."""
        if kind is Refusal.WHOLE:
            return float(math.floor(intent.quantity))
        if kind is Refusal.SHARES and intent.side is Side.SELL:
            held = {holding.symbol: holding.available for holding in self._desk.venue.holdings()}
            return min(intent.quantity, max(held.get(intent.symbol, 0.0), 0.0))
        if kind is Refusal.FUNDS:
            smaller = self._sized([intent])
            less: float = smaller[0].quantity if smaller else 0.0
            return less if less < intent.quantity else 0.0
        if kind is Refusal.OPPOSITE and cancel_own(self._desk, intent.symbol, self._plan.session):
            return intent.quantity
        return 0.0

    def _reserved(self) -> float:
        """Return what our own open buys may still cost."""
        left = [((i.quantity - i.filled) * self._close[i.symbol]) for i in self._live(Side.BUY)]
        return QUEUE_BUFFER * float(sum(left))

    def _cash(self) -> float:
        """Return the cash for further buys: by the broker's books or ours, whichever has less."""
        return min(self._desk.venue.account().cash, self._desk.journal.ledger().cash) - self._reserved()

    def _fitting(self, buys: Sequence[Intent]) -> list[Intent]:
        """Return the buys that the cash pays for before the open, in the order of the plan."""
        if not buys:
            return []
        cash = self._desk.journal.ledger().cash - self._reserved()
        fitting = []
        for intent in buys:
            cost = intent.quantity * self._close[intent.symbol] * QUEUE_BUFFER
            if cost <= cash:
                cash -= cost
                fitting.append(intent)
        return fitting

    def _sized(self, buys: Sequence[Intent]) -> list[Intent]:
        """Return the buys, all made smaller by one factor where the cash does not pay for them."""
        cash = self._cash()
        latest = self._desk.venue.prices([intent.symbol for intent in buys])
        price = {
            intent.symbol: BUFFER * latest[intent.symbol]
            if intent.symbol in latest
            else QUEUE_BUFFER * self._close[intent.symbol]
            for intent in buys
        }
        quantity = shrunk([b.quantity for b in buys], [price[b.symbol] for b in buys], cash, self._fractional)
        sized = []
        for intent, shares in zip(buys, quantity, strict=True):
            if shares < SMALLEST:
                self._drop(intent, f"the cash, {cash:,.2f}, does not pay for it")
            elif shares < intent.quantity:
                sized.append(replace(intent, quantity=shares, reason="shrunk to cash"))
            else:
                sized.append(intent)
        if any(intent.reason for intent in sized):
            self.remarks.append(f"buys were shrunk to the cash present, {cash:,.2f}")
        return sized

    @property
    def _fractional(self) -> bool:
        return self._desk.recipe.terms.fractional


def shrunk(quantity: Sequence[float], price: Sequence[float], cash: float, fractional: bool) -> list[float]:
    """Return quantities (n,) made smaller by one factor, again and again, until the cash pays for them."""
    left = list(quantity)
    while (cost := sum(q * p for q, p in zip(left, price, strict=True))) > cash:
        factor = max(cash, 0.0) / cost * (1 - 1e-12)
        fewer = [math.floor(q * factor * 1e9) / 1e9 if fractional else math.floor(q * factor) for q in left]
        left = [min(f, q) if f < q else 0.0 for f, q in zip(fewer, left, strict=True)]
    return left


def midnight(session: date) -> datetime:
    """Return the start of a date at the exchange, UTC."""
    return datetime.combine(session, time(), EXCHANGE).astimezone(UTC)


def poll(desk: Desk, intents: Iterable[Intent]) -> None:
    """Book what the venue says of orders that are, or may be, there."""
    wanted = {intent.client_id: intent for intent in intents if intent.is_live}
    if not wanted:
        return
    since = midnight(min(intent.session for intent in wanted.values()))
    found = {report.client_id: report for report in desk.venue.orders(since)}
    with desk.journal.writing() as writer:
        for name, intent in wanted.items():
            if name in found:
                absorb(writer, intent, found[name])
    stop_unknown(found[name] for name in wanted if name in found)


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


def cancel_own(desk: Desk, symbol: str, session: date) -> bool:
    """Cancel our open orders of earlier sessions for a symbol; True when none of them is open any more."""
    stale = [i for i in desk.journal.intents(live=True) if i.symbol == symbol and i.session < session]
    return bool(stale) and cancel(desk, stale)


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
