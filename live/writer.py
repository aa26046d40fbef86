"""Changes to the journal of a paper account: every method belongs to one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from brokers.protocol import Movement, Side
from engine.clock import Clock
from live import schema
from live.plan import Intent, Plan, PlanStatus, Stage
from live.records import Close, Fill, Ledger

FIRST_HASH = "0" * 64


class Writer:
    """Changes of one transaction; made by `Journal.writing`."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def set_value(self, key: str, value: Any) -> None:
        """Keep a JSON value under a name."""
        keep_value(self._connection, key, value)

    def add_plan(self, plan: Plan, status: PlanStatus, intents: Sequence[Intent], note: str = "") -> None:
        """Keep a session's plan and its orders."""
        row = {"session": plan.session, "decided": plan.decided, "status": status.value, "note": note}
        self._connection.execute(schema.plans.insert(), [{**row, "document": plan.document()}])
        for intent in intents:
            self.put(intent)

    def set_status(self, session: date, status: PlanStatus, note: str = "") -> None:
        """Keep how far a plan has come."""
        table = schema.plans
        self._connection.execute(
            table.update().where(table.c.session == session).values(status=status.value, note=note)
        )

    def put(self, intent: Intent) -> None:
        """Keep an order as it is now."""
        table = schema.orders
        values = {**asdict(intent), "side": intent.side.value, "stage": intent.stage.value}
        same = table.c.client_id == sa.bindparam("of_order")
        if not self._connection.execute(table.update().where(same), {**values, "of_order": intent.client_id}).rowcount:
            self._connection.execute(table.insert(), values)

    def current(self, intent: Intent) -> Intent:
        """Return an order as it is kept now; another process may have booked a fill of it."""
        table = schema.orders
        found = self._connection.execute(sa.select(table).where(table.c.client_id == intent.client_id)).mappings()
        row = found.first()
        return intent if row is None else intent_of(dict(row))

    def book(
        self,
        intent: Intent,
        quantity: float,
        price: float,
        commission: float,
        slippage: float,
        time_utc: str,
        reason: str,
    ) -> Fill:
        """Book a fill of an order: it changes cash and position."""
        ledger = kept_ledger(self._connection)
        signed = quantity if intent.side is Side.BUY else -quantity
        # The order of operations is part of the format: cash_after = cash_before -/+ quantity * price - commission.
        cash = ledger.cash - signed * price - commission
        position = ledger.positions.get(intent.symbol, 0.0) + signed
        number = next_number(self._connection, schema.fills)
        table = schema.fills
        # The session is said too because it has an index.
        of_order = self._connection.execute(
            sa.select(sa.func.count()).where(table.c.session == intent.session, table.c.order_id == intent.client_id)
        ).scalar_one()
        fill = Fill(
            fill_id=f"{intent.client_id}-{of_order + 1}",
            order_id=intent.client_id,
            session=intent.session,
            time_utc=time_utc,
            symbol=intent.symbol,
            side=intent.side,
            quantity=quantity,
            price=price,
            commission=commission,
            slippage=slippage,
            cash_after=cash,
            position_after=position,
            reason=reason,
        )
        self._connection.execute(table.insert(), asdict(fill) | {"side": fill.side.value, "number": number})
        self._set_ledger(cash, {**ledger.positions, intent.symbol: position})
        self.note("fill", fill_id=fill.fill_id, quantity=quantity, price=price, commission=commission)
        return fill

    def move(self, movement: Movement) -> None:
        """Book what moves money or shares and is no fill."""
        ledger = kept_ledger(self._connection)
        position = ledger.positions.get(movement.symbol, 0.0) + movement.quantity_change
        positions = {**ledger.positions, movement.symbol: position} if movement.symbol else ledger.positions
        number = next_number(self._connection, schema.movements)
        self._connection.execute(schema.movements.insert(), {"number": number, **asdict(movement)})
        self._set_ledger(ledger.cash + movement.amount, positions)
        told = {name: value for name, value in asdict(movement).items() if name not in ("kind", "session")}
        self.note("movement", what=movement.kind, session=movement.session.isoformat(), **told)

    def open_ledger(self, cash: float, positions: Mapping[str, float]) -> None:
        """Begin the books."""
        self._set_ledger(cash, positions)

    def close(self, close: Close) -> None:
        """Keep the account at a session's close."""
        self._connection.execute(schema.closes.insert(), asdict(close))

    def note(self, kind: str, /, **payload: Any) -> None:
        """Append an entry to the audit log."""
        table = schema.audit
        last = self._connection.execute(
            sa.select(table.c.number, table.c.hash).order_by(table.c.number.desc()).limit(1)
        ).first()
        number, before = (1, FIRST_HASH) if last is None else (last[0] + 1, last[1])
        time_utc = self._clock.now().isoformat(timespec="milliseconds")
        text = json.dumps(payload, sort_keys=True, ensure_ascii=False)
        sealed = seal(before, number, time_utc, kind, text)
        entry = {"number": number, "time_utc": time_utc, "kind": kind, "payload": text, "hash": sealed}
        self._connection.execute(table.insert(), entry)
        keep_value(self._connection, "audit_head", [number, sealed])

    def _set_ledger(self, cash: float, positions: Mapping[str, float]) -> None:
        held = {symbol: quantity for symbol, quantity in positions.items() if quantity != 0.0}
        keep_value(self._connection, "ledger", {"cash": cash, "positions": held})


def seal(before: str, number: int, time_utc: str, kind: str, payload: str) -> str:
    """Return the hash of an entry of the audit log, which seals all entries before it too."""
    text = json.dumps([before, number, time_utc, kind, payload], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def kept_value(connection: Connection, key: str, default: Any) -> Any:
    """Return what is kept under a name."""
    table = schema.meta
    row = connection.execute(sa.select(table.c.value).where(table.c.key == key)).first()
    return default if row is None else row[0]


def keep_value(connection: Connection, key: str, value: Any) -> None:
    """Keep a JSON value under a name."""
    table = schema.meta
    same = table.c.key == sa.bindparam("of_key")
    if not connection.execute(table.update().where(same), {"value": value, "of_key": key}).rowcount:
        connection.execute(table.insert(), {"key": key, "value": value})


def next_number(connection: Connection, table: sa.Table) -> int:
    """Return how many rows a table has that numbers them from 0; read from its index, not counted."""
    last = connection.execute(sa.select(sa.func.max(table.c.number))).scalar_one()
    return 0 if last is None else int(last) + 1


def kept_ledger(connection: Connection) -> Ledger:
    """Return cash and positions by our own books."""
    found = kept_value(connection, "ledger", {"cash": 0.0, "positions": {}})
    return Ledger(found["cash"], found["positions"])


def fill_of(row: dict[str, Any]) -> Fill:
    """Return the fill of a row."""
    return Fill(**row | {"side": Side(row["side"])})


def intent_of(row: dict[str, Any]) -> Intent:
    """Return the order of a row."""
    return Intent(**{**row, "side": Side(row["side"]), "stage": Stage(row["stage"])})
