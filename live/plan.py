"""What is decided for one session: a plan, made once, and the orders it asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any

import numpy as np

from brokers.protocol import Holding, Order, Side
from engine.arrays import FloatArray
from engine.simulator import DUST

SMALLEST = 1e-9
"""Shares; brokers count fractions to nine decimals."""
TOO_LATE = "the session is about to close: nothing more is sent"
ENDED = "its session ended before it was sent"
NOT_FOUND = "not found"
"""Status of an order that was sent and that the venue does not have."""


class PlanStatus(StrEnum):
    """How far a plan has come."""

    STOPPED = "stopped"  # a limit was hit: a person must agree
    TRADING = "trading"  # orders may be sent, or are on their way
    DONE = "done"  # every order is final
    DROPPED = "dropped"  # its session ended before all was sent


class Stage(StrEnum):
    """How far an order has come."""

    PLANNED = "planned"  # never sent
    SENDING = "sending"  # written down, on its way: nobody knows yet whether it arrived
    OPEN = "open"  # the venue has it
    FINAL = "final"  # filled, expired, cancelled or rejected there
    REFUSED = "refused"  # the venue refused it: it does not exist there
    DROPPED = "dropped"  # will not be sent


LIVE_STAGES = (Stage.SENDING, Stage.OPEN)


@dataclass(frozen=True, slots=True)
class Intent:
    """An order as the journal knows it.

    Attributes
    ----------
    number : place in the order of the plan.
    wanted : shares that the plan asks for.
    quantity : shares of the order itself; less than wanted where cash or holdings did not allow more.
    filled, value, commission, slippage : booked so far; value is the sum of quantity times price.
    split : shares that one share of the plan has become by splits; wanted and quantity are restated.
    reason : why it was refused, dropped or made smaller.
    """

    client_id: str
    number: int
    session: date
    symbol: str
    side: Side
    wanted: float
    quantity: float
    stage: Stage = Stage.PLANNED
    order_id: str = ""
    status: str = ""
    filled: float = 0.0
    value: float = 0.0
    commission: float = 0.0
    slippage: float = 0.0
    split: float = 1.0
    reason: str = ""

    @property
    def order(self) -> Order:
        """The order to send."""
        return Order(self.client_id, self.session, self.symbol, self.side, self.quantity)

    @property
    def is_live(self) -> bool:
        """Whether it is, or may be, at the venue and not final."""
        return self.stage in LIVE_STAGES

    @property
    def was_sent(self) -> bool:
        """Whether it was sent before: it may be sent again, and never be another one under the same id."""
        return self.status != ""

    @property
    def absent(self) -> Intent:
        """The same order, to be sent again because the venue certainly does not have it."""
        return replace(self, stage=Stage.PLANNED, status=NOT_FOUND)

    def again(self, quantity: float, number: int, reason: str) -> Intent:
        """Return the next attempt at an order that was refused for certain, under an id of its own."""
        stem, _, attempt = self.client_id.rpartition("-")
        return replace(
            self,
            client_id=f"{stem}-{int(attempt) + 1}",
            number=number,
            quantity=quantity,
            stage=Stage.PLANNED,
            order_id="",
            status="",
            reason=reason,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided for a session; N symbols.

    Attributes
    ----------
    session : in which it trades.
    decided : at whose close it was decided.
    cash, equity : of the account at that close.
    held, target : (N,) shares held and wanted; target None when there is no rebalance.
    weights : (N,) target weights after limits; NaN where a symbol's shares are kept.
    outcome : (N,) bits of `engine.limits`.
    close : (N,) prices it was sized at, NaN where there was no bar.
    state : the strategy's state after the decision.
    data_hash : of the bars that were seen.
    """

    session: date
    decided: date
    symbols: tuple[str, ...]
    cash: float
    equity: float
    held: FloatArray
    target: FloatArray | None
    weights: FloatArray
    outcome: tuple[int, ...]
    close: FloatArray
    agent_weights: Mapping[str, float]
    state: Mapping[str, Any]
    data_hash: str
    remarks: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as JSON values; NaN as null."""
        values = asdict(self)
        for name in ("session", "decided"):
            values[name] = getattr(self, name).isoformat()
        for name in ("held", "target", "weights", "close"):
            array = getattr(self, name)
            values[name] = None if array is None else [None if np.isnan(x) else float(x) for x in array]
        found: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
        return found

    @property
    def digest(self) -> str:
        """sha256 of the document."""
        text = json.dumps(self.document(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Plan:
        """Return the plan of a document that `document` returned."""
        values = dict(document)
        for name in ("session", "decided"):
            values[name] = date.fromisoformat(values[name])
        for name in ("held", "target", "weights", "close"):
            if values[name] is not None:
                values[name] = np.array([np.nan if x is None else x for x in values[name]], dtype=np.float64)
        for name in ("symbols", "outcome", "remarks"):
            values[name] = tuple(values[name])
        return cls(**values)

    @property
    def change(self) -> FloatArray:
        """(N,) shares to buy (positive) and to sell; 0 where nothing is to be done."""
        if self.target is None:
            return np.zeros(len(self.symbols))
        change = self.target - self.held
        return np.where(np.abs(change) > np.maximum(DUST * self.held, SMALLEST), change, 0.0)

    @property
    def traded(self) -> float:
        """Value of all orders at the prices it was sized at, account currency."""
        return float(np.nansum(np.abs(self.change) * self.close))


def intents_of(plan: Plan, holdings: Mapping[str, Holding], least_value: float = 0.0) -> list[Intent]:
    """Return the orders that a plan asks for, sells before buys, each in the order of the symbols.

    A sale is of no more shares than are available, so that none becomes a short sale.

    Parameters
    ----------
    least_value : of an order, account currency; smaller ones are dropped.
    """
    rows: list[tuple[Side, str, float, float, str]] = []
    for symbol, change in zip(plan.symbols, plan.change.tolist(), strict=True):
        if change > 0:
            rows.append((Side.BUY, symbol, change, change, ""))
        elif change < 0:
            holding = holdings.get(symbol)
            available = 0.0 if holding is None else max(holding.available, 0.0)
            short = f"only {available:g} of {-change:g} shares are available" if available < -change else ""
            rows.append((Side.SELL, symbol, -change, min(-change, available), short))
    rows.sort(key=lambda row: row[0] is Side.BUY)
    price = dict(zip(plan.symbols, plan.close.tolist(), strict=True))
    small = {row[1] for row in rows if row[3] >= SMALLEST and row[3] * price[row[1]] < least_value}
    return [
        Intent(
            client_id=client_id(plan.session, symbol, side),
            number=number,
            session=plan.session,
            symbol=symbol,
            side=side,
            wanted=wanted,
            quantity=quantity,
            stage=Stage.PLANNED if quantity >= SMALLEST and symbol not in small else Stage.DROPPED,
            reason=f"worth less than {least_value:.2f}" if symbol in small else reason,
        )
        for number, (side, symbol, wanted, quantity, reason) in enumerate(rows)
    ]


ID_STEM = "v1-"
"""What the client ids of our orders begin with."""


def client_id(session: date, symbol: str, side: Side, attempt: int = 1) -> str:
    """Return our name of an order: the same for the same intent, whoever computes it, whenever."""
    return f"{ID_STEM}{session.isoformat()}-{symbol}-{side.value}-{attempt}"


def ending(intents: Sequence[Intent], sizes_buys: bool) -> tuple[PlanStatus, str]:
    """Return how a plan has ended whose orders are all final, and in words what came to less than was ordered.

    Parameters
    ----------
    sizes_buys : whether the venue fills less on purpose, so that only what it rejected counts.
    """
    names = {intent.client_id for intent in intents}

    def is_short(intent: Intent) -> bool:
        if intent.stage is Stage.REFUSED:
            return intent.again(0.0, 0, "").client_id not in names
        is_less = intent.filled < intent.quantity - SMALLEST and intent.status != "filled"
        return intent.stage is Stage.FINAL and is_less and (not sizes_buys or intent.status == "rejected")

    unsent = [intent for intent in intents if intent.stage is Stage.DROPPED and intent.reason in (TOO_LATE, ENDED)]
    parts = [f"{len(unsent)} orders never reached the venue"] * bool(unsent)
    for intent in filter(is_short, intents):
        told = intent.status or intent.stage.value
        parts.append(f"{intent.side.value} {intent.quantity:g} {intent.symbol}: {intent.filled:g} filled, {told}")
    return PlanStatus.DROPPED if unsent else PlanStatus.DONE, "; ".join(parts)
