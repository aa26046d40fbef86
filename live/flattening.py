"""Selling all that the strategy holds though trading is halted: orders like any other, written down first."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from brokers.protocol import SessionHours, Side
from engine.errors import Interrupted
from live.desk import Desk
from live.execution import Execution
from live.plan import ID_STEM, SMALLEST, Intent, Plan, intents_of
from live.timing import CUT_OFF

FLATTEN = "flatten"
"""What the client ids of these orders say in place of their side."""


class HaltedDesk(Desk):
    """A desk that may send while trading is halted: what it sends ends positions."""

    @classmethod
    def of(cls, desk: Desk) -> HaltedDesk:
        """Return the same desk as one of these."""
        return cls(**{field.name: getattr(desk, field.name) for field in fields(desk)})

    def check_may_send(self, hours: SessionHours) -> bool:
        """Return whether an order may still be sent in a session: False from its cut-off on.

        Raises
        ------
        Interrupted
            When the process is to stop.
        """
        if self.waiter.stopping:
            raise Interrupted("stopped between two orders: the journal knows what was sent; flatten again to go on")
        return self.time.now() < hours.close - CUT_OFF


def flatten(desk: Desk, hours: SessionHours, seconds: float) -> list[Intent]:
    """Sell what the books say is held, in a session that is open or opens later; safe to repeat.

    Parameters
    ----------
    desk : its books must agree with the account (`live.reconcile.reconcile`).
    seconds : how long to wait for fills while the market is open.

    Returns
    -------
    The flattening orders of the session as they are now, earlier ones included.

    Raises
    ------
    TemporaryError, TradingStopped, Interrupted
        As `Execution.run` does; the next call goes on.
    """
    plan = _nothing_wanted(desk, hours)
    execution = Execution(HaltedDesk.of(desk), plan, hours, desk.waiter.elapsed() + seconds)
    intents = _sales(desk, plan)
    with desk.journal.writing() as writer:
        for intent in intents:
            writer.put(intent)
            writer.note(FLATTEN, client_id=intent.client_id, symbol=intent.symbol, quantity=intent.quantity)
    return [intent for intent in execution.send(intents) if is_flattening(intent)]


def is_flattening(intent: Intent) -> bool:
    """Return whether an order belongs to no plan, but ends a position."""
    return is_flattening_id(intent.client_id)


def is_flattening_id(client_id: str) -> bool:
    """Return whether a client id is that of an order that ends a position."""
    return client_id.rsplit("-", 2)[-2:-1] == [FLATTEN]


def _nothing_wanted(desk: Desk, hours: SessionHours) -> Plan:
    """Return a plan to hold none of the symbols; it is not kept."""
    symbols, ledger, last = desk.recipe.symbols, desk.journal.ledger(), desk.journal.last_close()
    nothing = np.zeros(len(symbols))
    marks = {} if last is None else last.marks
    return Plan(
        session=hours.session,
        decided=hours.session,
        symbols=symbols,
        cash=ledger.cash,
        equity=ledger.cash,
        held=np.array([ledger.positions.get(symbol, 0.0) for symbol in symbols]),
        target=nothing,
        weights=nothing,
        outcome=(),
        close=np.array([marks.get(symbol, np.nan) for symbol in symbols]),
        agent_weights={},
        state={},
        data_hash="",
    )


def _sales(desk: Desk, plan: Plan) -> list[Intent]:
    """Return new sales of what no open order sells yet, by the books and by the venue."""
    known = desk.journal.intents(plan.session)
    selling = dict.fromkeys(plan.symbols, 0.0)
    for intent in desk.journal.intents(live=True):
        if intent.side is Side.SELL:
            selling[intent.symbol] += intent.quantity - intent.filled
    number = 1 + max((intent.number for intent in known), default=-1)
    sales: list[Intent] = []
    for intent in intents_of(plan, {holding.symbol: holding for holding in desk.venue.holdings()}):
        attempt = 1 + sum(is_flattening(other) and other.symbol == intent.symbol for other in known)
        quantity = min(intent.quantity, intent.wanted - selling[intent.symbol])
        if intent.side is Side.SELL and quantity >= SMALLEST:
            name = f"{ID_STEM}{plan.session}-{intent.symbol}-{FLATTEN}-{attempt}"
            sales.append(
                replace(intent, client_id=name, number=number + len(sales), quantity=quantity, wanted=quantity)
            )
    return sales
