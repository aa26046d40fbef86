"""The orders of a plan as the page shows them: how far each is, and why it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from marsfolio.page.reading import PlanRow

LIMITS = {1: "cap", 2: "cash buffer", 4: "long only", 8: "no bar", 16: "shrunk to cash", 32: "volume cap"}
"""Bits of a plan's outcome, in words; `engine.limits` has them too, behind a compiler that needs 70 MB."""

STAGES = {
    "planned": "to be sent",
    "sending": "on its way",
    "open": "open",
    "final": "final",
    "refused": "refused",
    "dropped": "not sent",
}
PLANS = {
    "stopped": "stopped by a limit",
    "trading": "trading",
    "done": "done",
    "dropped": "session ended first",
}


@dataclass(frozen=True, slots=True)
class Order:
    """One order of a plan; price is of its fills, or else of the close it was sized at."""

    side: str
    symbol: str
    quantity: float
    filled: float
    price: float | None
    value: float | None
    stage: str
    tone: str
    why: str


@dataclass(frozen=True, slots=True)
class Today:
    """The latest plan."""

    session: date
    decided: date
    status: str
    status_words: str
    note: str
    rebalances: bool
    turnover: float
    orders: tuple[Order, ...]


def today_of(plan: PlanRow, orders: Sequence[Mapping[str, Any]]) -> Today:
    """Return a plan and its orders as the page shows them."""
    document = plan.document
    at = {symbol: i for i, symbol in enumerate(document["symbols"])}
    shown = tuple(_order(order, document, at.get(order["symbol"])) for order in orders)
    traded = sum(order.value or 0.0 for order in shown)
    return Today(
        session=plan.session,
        decided=plan.decided,
        status=plan.status,
        status_words=PLANS.get(plan.status, plan.status),
        note=plan.note,
        rebalances=document["target"] is not None,
        turnover=traded / 2 / document["equity"] if document["equity"] > 0 else 0.0,
        orders=shown,
    )


def _order(order: Mapping[str, Any], document: Mapping[str, Any], i: int | None) -> Order:
    filled = order["filled"]
    price = order["value"] / filled if filled else None if i is None else document["close"][i]
    stage = STAGES.get(order["stage"], order["stage"])
    if order["stage"] == "final":
        stage = "filled" if filled >= order["quantity"] else f"{order['status'] or 'ended'}"
        stage = "partly filled" if 0 < filled < order["quantity"] else stage
    reasons = [_move(document, i), order["reason"]]
    return Order(
        side=order["side"],
        symbol=order["symbol"],
        quantity=order["quantity"],
        filled=filled,
        price=price,
        value=None if price is None else price * (filled or order["quantity"]),
        stage=stage,
        tone=_tone(order),
        why="; ".join(reason for reason in reasons if reason),
    )


def _tone(order: Mapping[str, Any]) -> str:
    if order["stage"] == "refused" or order["status"] == "rejected":
        return "loss"
    if order["stage"] == "final":
        return "good" if order["filled"] >= order["quantity"] else "warn"
    return "soft" if order["stage"] == "dropped" else "wait"


def _move(document: Mapping[str, Any], i: int | None) -> str:
    """Return from which weight to which a symbol goes, and which limit changed that."""
    if i is None or document["target"] is None or document["weights"][i] is None:
        return ""
    held, close = document["held"][i], document["close"][i]
    now = held * close / document["equity"] if held and close else 0.0
    bits = document["outcome"][i] if document["outcome"] else 0
    limits = ", ".join(name for bit, name in LIMITS.items() if bits & bit)
    return f"from {now:.2%} to {document['weights'][i]:.2%}" + (f" ({limits})" if limits else "")
