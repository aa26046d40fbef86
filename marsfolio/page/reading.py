"""Reads a paper account's journal beside the service that writes it, and never stands in its way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError, OperationalError

from engine.errors import RunFolderError, TemporaryError
from live import schema
from live.schema import FORMAT_VERSION

BUSY_SECONDS = 2.0
"""A reader gives way: the writer waits five times longer before it gives up."""
SERVER_SECONDS = 5.0
"""A journal on a database server cannot be seen to change; it is read so often."""
_KEYS = ("account_id", "identity", "opening", "ledger", "halt", "accepted", "doubt", "format_version")
_CHANGE_COUNTER = slice(24, 28)  # of SQLite's file header: goes up with every commit


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A session's plan; ``document`` as `live.plan.Plan.document` writes it, without the strategy's state."""

    session: date
    decided: date
    status: str
    note: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CloseRow:
    """The account at a close."""

    session: date
    equity: float
    cash: float
    traded: float
    marks: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class OrderCount:
    """How many orders a session had, how many filled at least in part, and how many came to nothing."""

    orders: int = 0
    filled: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """A journal at one moment; plans and closes oldest first.

    Attributes
    ----------
    orders : of the latest plan, as rows of the table.
    movements : session, kind, symbol, amount, quantity_change.
    paid : commission and slippage so far, account currency.
    """

    values: Mapping[str, Any]
    plans: tuple[PlanRow, ...]
    closes: tuple[CloseRow, ...]
    orders: tuple[Mapping[str, Any], ...]
    counts: Mapping[date, OrderCount]
    movements: tuple[tuple[date, str, str, float, float], ...]
    paid: float


@dataclass
class Reader:
    """Reads one journal again and again; what never changes there is read once.

    Parameters
    ----------
    path : of an SQLite journal.
    database : address of a journal elsewhere, instead.
    """

    path: Path
    database: str | None = None
    ticking: Callable[[], float] = time.monotonic
    _documents: dict[date, Mapping[str, Any]] = field(default_factory=dict, init=False)
    _closes: list[CloseRow] = field(default_factory=list, init=False)
    _inode: int = field(default=0, init=False)
    _engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self._engine = _engine(self.path, self.database)

    def version(self) -> str:
        """Return what changes whenever the journal does; takes no lock.

        Raises
        ------
        RunFolderError
            When there is no journal.
        """
        if self.database is not None:
            return str(int(self.ticking() / SERVER_SECONDS))
        try:
            with self.path.open("rb") as file:
                counter = file.read(100)[_CHANGE_COUNTER]
            found = self.path.stat()
        except OSError as error:
            raise RunFolderError(
                f"the journal {self.path.name} cannot be read: {error.strerror}; is the state folder still there?"
            ) from error
        if found.st_ino != self._inode:  # a copy was put in its place
            self._documents.clear()
            self._closes.clear()
            self._inode = found.st_ino
        return f"{found.st_ino:x}-{found.st_size:x}-{counter.hex()}"

    def read(self) -> Rows:
        """Return what the journal holds now, all of one moment.

        Raises
        ------
        TemporaryError
            When it is locked, or cannot be reached.
        RunFolderError
            When it is damaged, or of a newer format.
        """
        with _telling(), self._engine.connect() as connection, connection.begin():
            if self.database is None:
                connection.exec_driver_sql("BEGIN")
            return self._rows(connection)

    def orders(self, session: date) -> tuple[Mapping[str, Any], ...]:
        """Return the orders of a session, as rows of the table; raises what `read` does."""
        with _telling(), self._engine.connect() as connection:
            return _orders(connection, session)

    def dispose(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def _rows(self, connection: Connection) -> Rows:
        meta = schema.meta
        query = sa.select(meta.c.key, meta.c.value).where(meta.c.key.in_(_KEYS))
        values = {row[0]: row[1] for row in connection.execute(query)}
        version = values.get("format_version")
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise RunFolderError(f"the journal has format {version}, and this marsfolio knows {FORMAT_VERSION} at most")
        plans = self._plans(connection)
        self._read_closes(connection)
        paid = connection.execute(sa.select(sa.func.sum(schema.fills.c.commission + schema.fills.c.slippage))).scalar()
        movements = sa.select(
            *(schema.movements.c[name] for name in ("session", "kind", "symbol", "amount", "quantity_change"))
        ).order_by(schema.movements.c.number)
        return Rows(
            values=values,
            plans=plans,
            closes=tuple(self._closes),
            orders=_orders(connection, plans[-1].session) if plans else (),
            counts=_counts(connection),
            movements=tuple((row[0], row[1], row[2], row[3], row[4]) for row in connection.execute(movements)),
            paid=paid or 0.0,
        )

    def _plans(self, connection: Connection) -> tuple[PlanRow, ...]:
        table = schema.plans
        light = sa.select(table.c.session, table.c.decided, table.c.status, table.c.note).order_by(table.c.session)
        rows = connection.execute(light).all()
        known = max(self._documents, default=date.min)
        fresh = sa.select(table.c.session, table.c.document).where(table.c.session > known)
        for session, document in connection.execute(fresh):
            self._documents[session] = {name: value for name, value in document.items() if name != "state"}
        return tuple(PlanRow(*row, self._documents[row[0]]) for row in rows)

    def _read_closes(self, connection: Connection) -> None:
        table = schema.closes
        known = self._closes[-1].session if self._closes else date.min
        for row in connection.execute(sa.select(table).where(table.c.session > known).order_by(table.c.session)):
            self._closes.append(CloseRow(*row))


@contextmanager
def _telling() -> Iterator[None]:
    """Say what went wrong without the database's own words: they may hold its address."""
    try:
        yield
    except DatabaseError as error:
        if isinstance(error, OperationalError) and "no such table" not in str(error.orig):
            raise TemporaryError(
                "the journal is locked or cannot be reached just now: this page tries again by itself"
            ) from error
        raise RunFolderError("the journal is damaged or not one: `marsfolio paper audit` says more") from error


def _orders(connection: Connection, session: date) -> tuple[Mapping[str, Any], ...]:
    table = schema.orders
    query = sa.select(table).where(table.c.session == session).order_by(table.c.number)
    return tuple(dict(row) for row in connection.execute(query).mappings())


def _counts(connection: Connection) -> dict[date, OrderCount]:
    columns = schema.orders.c
    failed = (columns.stage == "refused") | (columns.status == "rejected")
    query = sa.select(
        columns.session,
        sa.func.count(),
        sa.func.sum(sa.case((columns.filled > 0, 1), else_=0)),
        sa.func.sum(sa.case((failed, 1), else_=0)),
    ).group_by(columns.session)
    return {row[0]: OrderCount(row[1], row[2], row[3]) for row in connection.execute(query)}


def _engine(path: Path, database: str | None) -> Engine:
    if database is not None and not database.startswith("sqlite"):
        return sa.create_engine(database, pool_size=1, execution_options={"postgresql_readonly": True})
    # mode=ro: nothing can be written, and no file is made; autocommit, because the driver would begin too late.
    where = f"sqlite:///file:{path.absolute()}?mode=ro&uri=true" if database is None else database
    return sa.create_engine(
        where, poolclass=sa.pool.NullPool, connect_args={"timeout": BUSY_SECONDS, "isolation_level": None}
    )
