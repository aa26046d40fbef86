"""The tables of the embedded account; every function works inside a transaction of its caller."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa

from brokers.embedded_account import EmbeddedAccount, EmbeddedOrder, Execution, Position, Status
from brokers.protocol import Movement, Side

APPLICATION_ID = 0x4D465341  # "MFSA"
FORMAT = 1
METADATA = sa.MetaData()

_ACCOUNT = sa.Table(
    "account",
    METADATA,
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("settled", sa.Date, nullable=False),
    sa.Column("cash", sa.Float, nullable=False),
    sa.Column("equity", sa.Float, nullable=False),
    sa.Column("month_volume", sa.Float, nullable=False),
)
_POSITIONS = sa.Table(
    "positions",
    METADATA,
    sa.Column("symbol", sa.Text, primary_key=True),
    sa.Column("quantity", sa.Float, nullable=False),
    sa.Column("mark", sa.Float),  # NULL before the first bar
)
_ORDERS = sa.Table(
    "orders",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("client_id", sa.Text, nullable=False, unique=True),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("symbol", sa.Text, nullable=False),
    sa.Column("side", sa.Text, nullable=False),
    sa.Column("quantity", sa.Float, nullable=False),
    sa.Column("submitted", sa.Text, nullable=False, index=True),
    sa.Column("changed", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, index=True),
    sa.Column("filled", sa.Float, nullable=False),
    sa.Column("average_price", sa.Float),
    sa.Column("commission", sa.Float, nullable=False),
    sa.Column("slippage", sa.Float, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("split", sa.Float, nullable=False),
)
_EXECUTIONS = sa.Table(
    "executions",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("session", sa.Date, nullable=False, index=True),
    sa.Column("symbol", sa.Text, nullable=False),
    sa.Column("quantity", sa.Float, nullable=False),
    sa.Column("price", sa.Float, nullable=False),
    sa.Column("commission", sa.Float, nullable=False),
    sa.Column("slippage", sa.Float, nullable=False),
    sa.Column("cash_after", sa.Float, nullable=False),
    sa.Column("position_after", sa.Float, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
_MOVEMENTS = sa.Table(
    "movements",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("session", sa.Date, nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("symbol", sa.Text, nullable=False),
    sa.Column("amount", sa.Float, nullable=False),
    sa.Column("quantity_change", sa.Float, nullable=False),
)


def read_settled(connection: sa.Connection) -> date:
    """Return the session settled last."""
    settled: date = connection.execute(sa.select(_ACCOUNT.c.settled)).scalar_one()
    return settled


def read_account(connection: sa.Connection) -> EmbeddedAccount:
    """Return the account with its positions, sorted by symbol."""
    rows = connection.execute(sa.select(_POSITIONS).order_by(_POSITIONS.c.symbol))
    positions = {row.symbol: Position(row.quantity, math.nan if row.mark is None else row.mark) for row in rows}
    row = connection.execute(sa.select(_ACCOUNT)).one()
    return EmbeddedAccount(positions=positions, **row._mapping)


def write_account(connection: sa.Connection, account: EmbeddedAccount) -> None:
    """Replace the account and its positions."""
    values = {column.name: getattr(account, column.name) for column in _ACCOUNT.columns}
    connection.execute(_ACCOUNT.insert().prefix_with("OR REPLACE"), values)
    positions = [
        {"symbol": symbol, "quantity": held.quantity, "mark": None if math.isnan(held.mark) else held.mark}
        for symbol, held in account.positions.items()
    ]
    connection.execute(_POSITIONS.insert().prefix_with("OR REPLACE"), positions)


def add_order(connection: sa.Connection, order: EmbeddedOrder) -> EmbeddedOrder:
    """Add an order and return it with the number that it gets."""
    values = _order_values(order)
    del values["number"]
    number = connection.execute(_ORDERS.insert(), values).inserted_primary_key
    assert number is not None
    return replace(order, number=number[0])


def update_orders(connection: sa.Connection, orders: Sequence[EmbeddedOrder]) -> None:
    """Replace what is kept of orders."""
    if orders:
        same = _ORDERS.c.number == sa.bindparam("of_number")
        connection.execute(
            _ORDERS.update().where(same), [{**_order_values(order), "of_number": order.number} for order in orders]
        )


def find_order(connection: sa.Connection, client_id: str) -> EmbeddedOrder | None:
    """Return the order of a client id, if there is one."""
    found = _orders(connection, _ORDERS.c.client_id == client_id)
    return found[0] if found else None


def open_orders(connection: sa.Connection) -> list[EmbeddedOrder]:
    """Return the orders that may still fill, oldest first."""
    return _orders(connection, _ORDERS.c.status == Status.ACCEPTED.value)


def orders_since(connection: sa.Connection, since: datetime) -> list[EmbeddedOrder]:
    """Return the orders submitted at a time or later, oldest first."""
    return _orders(connection, _ORDERS.c.submitted >= _time_text(since))


def add_executions(connection: sa.Connection, executions: Sequence[Execution]) -> None:
    """Add the fills of a session, in order."""
    if executions:
        connection.execute(_EXECUTIONS.insert(), [asdict(execution) for execution in executions])


def executions_since(connection: sa.Connection, since: date) -> list[Execution]:
    """Return the fills of the sessions after ``since``, in order of execution."""
    rows = _later(connection, _EXECUTIONS, since)
    return [Execution(**row) for row in rows]


def add_movements(connection: sa.Connection, movements: Sequence[Movement]) -> None:
    """Add the cash flows of a session, in order."""
    if movements:
        connection.execute(_MOVEMENTS.insert(), [asdict(movement) for movement in movements])


def movements_since(connection: sa.Connection, since: date) -> list[Movement]:
    """Return the cash flows of the sessions after ``since``, in order."""
    return [Movement(**row) for row in _later(connection, _MOVEMENTS, since)]


def _later(connection: sa.Connection, table: sa.Table, since: date) -> Iterable[dict[str, Any]]:
    columns = [column for column in table.columns if column.name != "number"]
    chosen = sa.select(*columns).where(table.c.session > since).order_by(table.c.number)
    return (dict(row._mapping) for row in connection.execute(chosen))


def _orders(connection: sa.Connection, where: sa.ColumnElement[bool]) -> list[EmbeddedOrder]:
    rows = connection.execute(sa.select(_ORDERS).where(where).order_by(_ORDERS.c.number))
    return [
        EmbeddedOrder(
            **{
                **row._mapping,
                "side": Side(row.side),
                "status": Status(row.status),
                "submitted": datetime.fromisoformat(row.submitted),
                "changed": datetime.fromisoformat(row.changed),
            }
        )
        for row in rows
    ]


def _order_values(order: EmbeddedOrder) -> dict[str, Any]:
    times = {name: _time_text(getattr(order, name)) for name in ("submitted", "changed")}
    return {**asdict(order), "side": order.side.value, "status": order.status.value, **times}


def _time_text(time: datetime) -> str:
    # All of one zone and length, so that texts compare as the times do; SQLAlchemy's DateTime would drop the zone.
    return time.astimezone(UTC).isoformat(timespec="microseconds")
