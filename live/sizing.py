"""How much may be bought: from the cash that is there and what our open buys may still cost, never from credit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from brokers.protocol import Side
from live.desk import Desk
from live.plan import Intent, Plan

QUEUE_BUFFER = 1.02
"""Buys that wait for the open are taken to cost so much more than at the last close."""
BUFFER = 1.01
"""Buys in an open session are taken to cost so much more than at the latest price."""
SHRUNK = "shrunk to cash"


@dataclass(frozen=True, slots=True)
class Sized:
    """Buys as the cash allows them.

    Attributes
    ----------
    buys : to be sent; smaller than planned where their reason says so.
    dear : those that the cash does not pay for at all.
    cash : what there was for all of them.
    """

    buys: list[Intent]
    dear: list[Intent]
    cash: float


class Purse:
    """The money of one plan.

    Parameters
    ----------
    plan : names the prices before the open.
    """

    def __init__(self, desk: Desk, plan: Plan) -> None:
        self._desk = desk
        self._session = plan.session
        self._least = desk.venue.least_value
        self._queued: dict[str, float] = {
            symbol: QUEUE_BUFFER * price for symbol, price in zip(plan.symbols, plan.close.tolist(), strict=True)
        }

    def fitting(self, buys: Sequence[Intent]) -> list[Intent]:
        """Return the buys that the cash pays for before the open, in the order of the plan."""
        if not buys:
            return []
        cash = self._cash(self._open_buys(), self._queued)
        fitting = []
        for intent in buys:
            cost = intent.quantity * self._queued[intent.symbol]
            if cost <= cash:
                cash -= cost
                fitting.append(intent)
        return fitting

    def sized(self, buys: Sequence[Intent]) -> Sized:
        """Return the buys, all made smaller by one factor where the cash does not pay for them.

        An order that was sent before stays as it is, or is not sent at all: the venue may know it by its id.
        """
        is_open = self._open_buys(buys)
        prices = self._prices([*buys, *is_open])
        cash = left = self._cash(is_open, prices)
        taken: list[Intent] = []
        for intent in (b for b in buys if b.was_sent):
            cost = intent.quantity * prices[intent.symbol]
            if cost <= left:
                left -= cost
                taken.append(intent)
        free = [b for b in buys if not b.was_sent]
        quantity = shrunk([b.quantity for b in free], [prices[b.symbol] for b in free], left, self._fractional)
        for intent, shares in zip(free, quantity, strict=True):
            if self.sends(shares, prices[intent.symbol]):
                is_less = shares < intent.quantity
                taken.append(replace(intent, quantity=shares, reason=SHRUNK) if is_less else intent)
        sent = {intent.client_id for intent in taken}
        return Sized(taken, [b for b in buys if b.client_id not in sent], cash)

    def sends(self, quantity: float, price: float) -> bool:
        """Return whether an order of that size is one that the venue takes."""
        return quantity > 0 and quantity * price >= self._least

    def at_close(self, symbol: str) -> float:
        """Return a symbol's price at the close the plan was made at."""
        return self._queued[symbol] / QUEUE_BUFFER

    def _open_buys(self, but: Sequence[Intent] = ()) -> list[Intent]:
        others = {intent.client_id for intent in but}
        found = [i for i in self._desk.journal.intents(self._session) if i.is_live and i.side is Side.BUY]
        return [intent for intent in found if intent.client_id not in others]

    def _cash(self, open_buys: Sequence[Intent], prices: Mapping[str, float]) -> float:
        """Return the cash for further buys: by the broker's books or ours, whichever has less."""
        reserved: float = sum((i.quantity - i.filled) * prices[i.symbol] for i in open_buys)
        return float(min(self._desk.venue.account().cash, self._desk.journal.ledger().cash)) - reserved

    def _prices(self, intents: Sequence[Intent]) -> dict[str, float]:
        latest = self._desk.venue.prices(sorted({intent.symbol for intent in intents}))
        return self._queued | {symbol: BUFFER * price for symbol, price in latest.items()}

    @property
    def _fractional(self) -> bool:
        return self._desk.recipe.terms.fractional


def shrunk(quantity: Sequence[float], price: Sequence[float], cash: float, fractional: bool) -> list[float]:
    """Return quantities (n,) made smaller by one factor, again and again, until the cash pays for them."""
    left = list(quantity)
    while (cost := sum(q * p for q, p in zip(left, price, strict=True))) > max(cash, 0.0):
        factor = max(cash, 0.0) / cost * (1 - 1e-12)
        fewer = [math.floor(q * factor * 1e9) / 1e9 if fractional else math.floor(q * factor) for q in left]
        left = [min(f, q) if f < q else 0.0 for f, q in zip(fewer, left, strict=True)]
    return left
