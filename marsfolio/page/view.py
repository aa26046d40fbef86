"""What the page shows of an account, computed from its journal: numbers and words, no markup."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from marsfolio.page.curves import agent_weights, drawdown, equal_weight, splits_of
from marsfolio.page.health import Alert, Health, alerts_of
from marsfolio.page.orders import PLANS, Today, today_of
from marsfolio.page.reading import CloseRow, OrderCount, PlanRow, Rows
from marsfolio.paper.options import PaperOptions


@dataclass(frozen=True, slots=True)
class Holding:
    """A symbol held or wanted; ``target`` None where its shares are kept."""

    symbol: str
    shares: float
    price: float | None
    value: float
    weight: float
    target: float | None

    @property
    def off(self) -> float | None:
        """Weight less target."""
        return None if self.target is None else self.weight - self.target


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session of the past; change against the close before."""

    session: date
    status: str
    count: OrderCount
    equity: float | None
    change: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Tiles:
    """The headline numbers; fractions and account currency, None when undefined."""

    equity: float
    cash: float
    cash_share: float | None
    last_change: float | None
    total_return: float | None
    drawdown: float | None
    against_benchmark: float | None
    paid: float
    sessions: int


@dataclass(frozen=True, slots=True)
class View:
    """Everything on the page.

    Attributes
    ----------
    account : its last characters alone.
    waits : whether a person must agree before it trades again.
    charts : JSON values for the page's script.
    """

    name: str
    broker: str
    account: str
    symbols: int
    at: str
    halted: Mapping[str, str] | None
    waits: bool
    as_of: date | None
    tiles: Tiles
    health: Health
    alerts: tuple[Alert, ...]
    today: Today | None
    last_traded: date | None
    holdings: tuple[Holding, ...]
    sessions: tuple[SessionRow, ...]
    charts: Mapping[str, Any]


def view_of(rows: Rows, options: PaperOptions, health: Health) -> View:
    """Return what the page shows."""
    identity = rows.values.get("identity", {})
    symbols = identity.get("symbols", [])
    benchmark = equal_weight(rows.closes, symbols, splits_of(rows.movements, rows.plans, rows.closes))
    halt = rows.values.get("halt")
    plan = rows.plans[-1] if rows.plans else None
    agreed = plan is not None and rows.values.get("accepted") == plan.session.isoformat()
    return View(
        name=_name(options),
        broker=options.broker,
        account=shortened(str(rows.values.get("account_id", ""))),
        symbols=len(symbols),
        at=options.at,
        halted=halt,
        waits=rows.values.get("doubt") is not None or (plan is not None and plan.status == "stopped" and not agreed),
        as_of=rows.closes[-1].session if rows.closes else None,
        tiles=_tiles(rows, benchmark),
        health=health,
        alerts=alerts_of(rows, health),
        today=None if plan is None else today_of(plan, rows.orders),
        last_traded=max((session for session, count in rows.counts.items() if count.orders), default=None),
        holdings=_holdings(rows, plan),
        sessions=_sessions(rows),
        charts=_charts(rows, benchmark),
    )


def shortened(account: str) -> str:
    """Return the end of an account's number, so that a picture of the page gives none away."""
    return f"…{account[-4:]}" if len(account) > 6 else account


def _name(options: PaperOptions) -> str:
    path = options.model or str(options.strategy)
    name = path.replace("\\", "/").rstrip("/").rpartition("/")[2].rpartition(":")[2]
    return name if options.agent is None else f"{name}/{options.agent}"


def _ledger(rows: Rows) -> tuple[float, Mapping[str, float]]:
    ledger = rows.values.get("ledger", {"cash": 0.0, "positions": {}})
    return ledger["cash"], ledger["positions"]


def _worth(rows: Rows) -> float:
    """Return cash and holdings now, at the last closes."""
    cash, positions = _ledger(rows)
    marks = rows.closes[-1].marks if rows.closes else {}
    return cash + sum(quantity * marks.get(symbol, 0.0) for symbol, quantity in positions.items())


def _tiles(rows: Rows, benchmark: Sequence[float]) -> Tiles:
    cash, worth, closes = _ledger(rows)[0], _worth(rows), rows.closes
    equity = closes[-1].equity if closes else worth
    total = closes[-1].equity / closes[0].equity - 1 if len(closes) > 1 else None
    return Tiles(
        equity=equity,
        cash=cash,
        cash_share=cash / worth if worth > 0 else None,
        last_change=closes[-1].equity / closes[-2].equity - 1 if len(closes) > 1 else None,
        total_return=total,
        drawdown=drawdown([close.equity for close in closes])[-1] if closes else None,
        against_benchmark=None if total is None or not benchmark else total - (benchmark[-1] / benchmark[0] - 1),
        paid=rows.paid,
        sessions=len(closes),
    )


def _holdings(rows: Rows, plan: PlanRow | None) -> tuple[Holding, ...]:
    _, positions = _ledger(rows)
    worth = _worth(rows)
    marks = rows.closes[-1].marks if rows.closes else {}
    targets = _targets(rows.plans)
    found = []
    for symbol in {*positions, *(name for name, weight in targets.items() if weight)}:
        shares, price = positions.get(symbol, 0.0), marks.get(symbol)
        value = shares * (price or 0.0)
        found.append(Holding(symbol, shares, price, value, value / worth if worth > 0 else 0.0, targets.get(symbol)))
    return tuple(sorted(found, key=lambda holding: (-holding.value, holding.symbol)))


def _targets(plans: Sequence[PlanRow]) -> dict[str, float]:
    """Return the target weights of the latest rebalance: they hold until the next one."""
    last = next((plan.document for plan in reversed(plans) if plan.document["target"] is not None), None)
    if last is None:
        return {}
    pairs = zip(last["symbols"], last["weights"], strict=True)
    return {symbol: weight for symbol, weight in pairs if weight is not None and math.isfinite(weight)}


def _sessions(rows: Rows) -> tuple[SessionRow, ...]:
    by_day: dict[date, tuple[float, float | None]] = {}
    before: CloseRow | None = None
    for close in rows.closes:
        by_day[close.session] = close.equity, None if before is None else close.equity / before.equity - 1
        before = close
    found = []
    for plan in reversed(rows.plans):
        equity, change = by_day.get(plan.session, (None, None))
        count = rows.counts.get(plan.session, OrderCount())
        words = PLANS.get(plan.status, plan.status)
        found.append(SessionRow(plan.session, words, count, equity, change, plan.note))
    return tuple(found)


def _charts(rows: Rows, benchmark: Sequence[float]) -> dict[str, Any]:
    equity = [close.equity for close in rows.closes]
    told = [plan.decided.isoformat() for plan in rows.plans if plan.document["agent_weights"]]
    agents = agent_weights(rows.plans)
    return {
        "sessions": [close.session.isoformat() for close in rows.closes],
        "equity": [round(value, 2) for value in equity],
        "benchmark": [round(value, 2) for value in benchmark],
        "drawdown": [round(-fall, 5) for fall in drawdown(equity)],
        "agents": {
            "sessions": told,
            "names": list(agents),
            "values": [[None if w is None else round(w, 5) for w in weights] for weights in agents.values()],
        },
    }
