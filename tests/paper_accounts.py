"""Paper accounts whose journals are written directly, so that nothing need be traded to look at one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np

from brokers.protocol import Side
from live.journal import Journal
from live.plan import Intent, Plan, PlanStatus, Stage, client_id
from live.records import Close
from marsfolio.paper.options import PaperOptions
from marsfolio.paper.setup import remember

FIRST = date(2024, 1, 2)
ACCOUNT = "PA3ABCDEF123"
STAGES = (
    (Stage.FINAL, "filled", 1.0, ""),
    (Stage.FINAL, "expired", 0.5, ""),
    (Stage.REFUSED, "", 0.0, "AAA is not tradable"),
    (Stage.OPEN, "accepted", 0.0, ""),
    (Stage.DROPPED, "", 0.0, "no cash is left"),
)
"""Stage, status, part that filled and reason of the orders of the last plan, in turn."""


def weekdays(n: int, first: date = FIRST) -> list[date]:
    days = (first + timedelta(days=k) for k in range(2 * n))
    return [day for day in days if day.weekday() < 5][:n]


def write_account(
    state: Path, n_sessions: int = 10, n_symbols: int = 4, n_agents: int = 3, traded: bool = True, seed: int = 1
) -> Path:
    """Write the state folder of an account that rebalanced in every session but its first; return the folder."""
    state.mkdir(parents=True, exist_ok=True)
    symbols = tuple(f"S{k:02d}" for k in range(n_symbols))
    identity = {"broker": "simulated", "strategy": "equal_weight", "symbols": list(symbols)}
    remember(state, PaperOptions(strategy="equal_weight", broker="simulated"), identity)
    random = np.random.default_rng(seed)
    days = weekdays(n_sessions + 1)
    price = 50.0 * np.cumprod(1 + random.normal(0.0005, 0.012, (n_sessions, n_symbols)), axis=0)
    shares = np.full(n_symbols, 4.0)
    cash = 100.0
    journal = Journal.at(state / "paper.db", durable=False)
    with journal.writing() as writer:
        writer.set_value("identity", identity)
        writer.set_value("account_id", ACCOUNT)
        writer.set_value("opening", {"cash": cash, "positions": {}})
        writer.open_ledger(cash, dict(zip(symbols, shares.tolist(), strict=True)))
        for t in range(n_sessions):
            marks = dict(zip(symbols, price[t].tolist(), strict=True))
            writer.close(Close(days[t], float(cash + shares @ price[t]), cash, 10.0, marks))
            last = t == n_sessions - 1
            agents = {f"agent_{k}": float(w) for k, w in enumerate(random.dirichlet(np.ones(n_agents)))}
            plan = plan_of(days[t + 1], days[t], symbols, cash, shares, price[t], agents if n_agents else {}, traded)
            intents = _intents(plan, last) if traded else []
            writer.add_plan(plan, PlanStatus.TRADING if last and traded else PlanStatus.DONE, intents)
    journal.dispose()
    return state


def plan_of(
    session: date,
    decided: date,
    symbols: Sequence[str],
    cash: float,
    shares: np.ndarray,
    close: np.ndarray,
    agents: dict[str, float],
    rebalances: bool = True,
) -> Plan:
    n = len(symbols)
    return Plan(
        session=session,
        decided=decided,
        symbols=tuple(symbols),
        cash=cash,
        equity=float(cash + shares @ close),
        held=shares,
        target=shares + np.where(np.arange(n) % 2, 1.0, -1.0) if rebalances else None,
        weights=np.full(n, 0.9 / n) if rebalances else np.full(n, np.nan),
        outcome=tuple(int(k == 1) for k in range(n)),
        close=close,
        agent_weights=agents,
        state={"peak": 1.0},
        data_hash="d" * 64,
    )


def _intents(plan: Plan, last: bool) -> list[Intent]:
    found = []
    for number, (symbol, change) in enumerate(zip(plan.symbols, plan.change.tolist(), strict=True)):
        side = Side.BUY if change > 0 else Side.SELL
        stage, status, part, reason = STAGES[number % len(STAGES)] if last else STAGES[0]
        filled = abs(change) * part
        value = filled * float(plan.close[number])
        name = client_id(plan.session, symbol, side)
        intent = Intent(name, number, plan.session, symbol, side, abs(change), abs(change), stage, str(number), status)
        found.append(_filled(intent, filled, value, reason))
    return found


def _filled(intent: Intent, filled: float, value: float, reason: str) -> Intent:
    return replace(intent, filled=filled, value=value, commission=value * 1e-3, reason=reason)


def add_close(state: Path, equity: float) -> date:
    """Book one more close, as the service does at the end of a session."""
    journal = Journal.at(state / "paper.db", durable=False)
    last = journal.last_close()
    assert last is not None
    day = weekdays(2, last.session)[1]
    with journal.writing() as writer:
        writer.close(Close(day, equity, last.cash, 0.0, dict(last.marks)))
    journal.dispose()
    return day


def write_health(state: Path, heard: datetime, **more: object) -> None:
    values = {"status": "idle", "time_utc": heard.strftime("%Y-%m-%dT%H:%M:%SZ"), "pid": 1, **more}
    (state / "health.json").write_text(json.dumps(values))
