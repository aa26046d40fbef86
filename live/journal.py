"""The journal of one paper account: everything that was decided, sent and filled, in one database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from brokers.protocol import Movement
from engine.clock import Clock, SystemClock
from engine.errors import RunFolderError, TemporaryError
from live import schema
from live.plan import LIVE_STAGES, Intent, Plan, PlanStatus
from live.records import Close, Fill, Ledger
from live.schema import FORMAT_VERSION
from live.writer import Writer, fill_of, intent_of, keep_value, kept_ledger, kept_value, next_number

BUSY_SECONDS = 10.0


class Journal:
    """Reads the journal, and opens transactions that write it.

    Parameters
    ----------
    url : of the database, as SQLAlchemy writes it.
    clock : stamps the entries of the audit log.
    durable : wait until the disk has what was written; only a replay may do without.
    busy_seconds : how long another process may keep it locked.

    Raises
    ------
    RunFolderError
        When it is damaged, empty where it should not be, or of a newer format.
    TemporaryError
        When another process keeps it locked, or the disk refuses.
    """

    def __init__(
        self, url: str, clock: Clock | None = None, durable: bool = True, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        self._where = make_url(url).render_as_string(hide_password=True)
        self._clock = clock or SystemClock()
        self._busy_seconds = busy_seconds
        with self._telling():
            self._engine = _engine(url, durable, busy_seconds)
            self._prepare()

    @classmethod
    def at(
        cls, path: Path, clock: Clock | None = None, durable: bool = True, busy_seconds: float = BUSY_SECONDS
    ) -> Journal:
        """Open the journal in a file, made when there is none.

        Raises
        ------
        RunFolderError
            Also when the file is empty: a journal never is.
        """
        if not path.exists():
            _make(path)
        elif path.stat().st_size == 0:
            raise RunFolderError(f"{path} is empty and should be a journal: restore it, or choose another --state")
        return cls(f"sqlite:///{path.absolute()}", clock, durable, busy_seconds)

    def scratch(self) -> Journal:
        """Return a copy in memory, for a rehearsal that leaves nothing behind."""
        copy = Journal("sqlite://", self._clock)
        with self._reading() as source, copy._engine.begin() as target:
            for table in schema.metadata.sorted_tables:
                target.execute(table.delete())
                rows = [dict(row) for row in source.execute(sa.select(table)).mappings()]
                if rows:
                    target.execute(table.insert(), rows)
        return copy

    def dispose(self) -> None:
        """Close the database."""
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Give a writer whose changes are kept together, and on disk when this returns; or not at all.

        Other processes that want to write wait from the beginning: what is read before the first change stays true.
        """
        with self._telling(), self._engine.connect().execution_options(write=True) as connection, connection.begin():
            yield Writer(connection, self._clock)

    def value(self, key: str, default: Any = None) -> Any:
        """Return what is kept under a name."""
        with self._reading() as connection:
            return kept_value(connection, key, default)

    def ledger(self) -> Ledger:
        """Return cash and positions by our own books."""
        with self._reading() as connection:
            return kept_ledger(connection)

    def plan(self, session: date) -> tuple[Plan, PlanStatus, str] | None:
        """Return a session's plan, how far it has come, and a note; None when it has none."""
        table = schema.plans
        with self._reading() as connection:
            row = connection.execute(sa.select(table).where(table.c.session == session)).mappings().first()
            return None if row is None else (Plan.of(row["document"]), PlanStatus(row["status"]), row["note"])

    def last_plan(self) -> Plan | None:
        """Return the latest plan."""
        table = schema.plans
        with self._reading() as connection:
            row = connection.execute(sa.select(table.c.document).order_by(table.c.session.desc()).limit(1)).first()
            return None if row is None else Plan.of(row[0])

    def statuses(self, limit: int | None = None) -> list[tuple[date, PlanStatus, str]]:
        """Return session, status and note of each plan, latest first."""
        table = schema.plans
        query = sa.select(table.c.session, table.c.status, table.c.note).order_by(table.c.session.desc()).limit(limit)
        with self._reading() as connection:
            return [(row[0], PlanStatus(row[1]), row[2]) for row in connection.execute(query)]

    def plans(self) -> Iterator[Plan]:
        """Yield all plans, oldest first."""
        with self._reading() as connection:
            for row in connection.execute(sa.select(schema.plans.c.document).order_by(schema.plans.c.session)):
                yield Plan.of(row[0])

    def intents(self, session: date | None = None, live: bool = False) -> list[Intent]:
        """Return orders in the order of their plans: of a session, or all; those alone that may still fill."""
        table = schema.orders
        query = sa.select(table).order_by(table.c.session, table.c.number)
        if session is not None:
            query = query.where(table.c.session == session)
        if live:
            query = query.where(table.c.stage.in_([stage.value for stage in LIVE_STAGES]))
        with self._reading() as connection:
            return [intent_of(dict(row)) for row in connection.execute(query).mappings()]

    def fills(self, session: date | None = None, after: date | None = None) -> list[Fill]:
        """Return fills in the order in which they were booked: of a session, of those after one, or all."""
        table = schema.fills
        query = sa.select(table).order_by(table.c.number)
        if session is not None:
            query = query.where(table.c.session == session)
        if after is not None:
            query = query.where(table.c.session > after)
        names = [field.name for field in fields(Fill)]
        with self._reading() as connection:
            rows = connection.execute(query).mappings().all()
            return [fill_of({name: row[name] for name in names}) for row in rows]

    def count_fills(self) -> int:
        """Return how many fills are booked."""
        with self._reading() as connection:
            return next_number(connection, schema.fills)

    def movements(self, after: date | None = None) -> list[Movement]:
        """Return what moved money or shares and is no fill, in the order in which it was booked.

        Parameters
        ----------
        after : only those of later sessions.
        """
        table = schema.movements
        query = sa.select(*[table.c[field.name] for field in fields(Movement)]).order_by(table.c.number)
        if after is not None:
            query = query.where(table.c.session > after)
        with self._reading() as connection:
            return [Movement(*row) for row in connection.execute(query)]

    def closes(self) -> list[Close]:
        """Return the account at each close, oldest first."""
        table = schema.closes
        with self._reading() as connection:
            return [Close(*row) for row in connection.execute(sa.select(table).order_by(table.c.session))]

    def peak(self) -> float | None:
        """Return the highest equity at a close; None before the first."""
        with self._reading() as connection:
            found: float | None = connection.execute(sa.select(sa.func.max(schema.closes.c.equity))).scalar_one()
        return found

    def last_close(self) -> Close | None:
        """Return the account at the latest close."""
        table = schema.closes
        with self._reading() as connection:
            row = connection.execute(sa.select(table).order_by(table.c.session.desc()).limit(1)).first()
        return None if row is None else Close(*row)

    def audit(self) -> Iterator[tuple[int, str, str, str, str]]:
        """Yield number, time, kind, payload and hash of each entry of the audit log, oldest first."""
        table = schema.audit
        with self._reading() as connection:
            for row in connection.execute(sa.select(table).order_by(table.c.number)):
                yield tuple(row)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._telling(), self._engine.connect() as connection:
            try:
                yield connection
            except (ValueError, TypeError, LookupError) as error:  # a date, a status or a document that is none
                raise self._damaged(error) from error

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say in our words what a database says in its own."""
        try:
            yield
        except OperationalError as error:
            code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if isinstance(error.orig, sqlite3.Error) and code == sqlite3.SQLITE_ERROR:
                raise self._damaged(error.orig) from error
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise TemporaryError(
                    f"the journal {self._where} has been locked by another process for {self._busy_seconds:g} s: "
                    "nothing was sent after that; try again"
                ) from error
            raise TemporaryError(
                f"the journal {self._where} cannot be read or written ({error.orig}): make room or mend the "
                "permissions; nothing was sent after that"
            ) from error
        except DatabaseError as error:
            raise self._damaged(error.orig) from error
        except UnicodeDecodeError as error:  # SQLite's own message quotes what it could not read
            raise self._damaged(error.reason) from error

    def _damaged(self, error: object) -> RunFolderError:
        return RunFolderError(
            f"the journal {self._where} is damaged ({error}): restore it from a copy, or choose another --state; "
            "nothing was sent after that"
        )

    def _prepare(self) -> None:
        there = set(sa.inspect(self._engine).get_table_names())
        known = set(schema.metadata.tables)
        if not there:
            schema.metadata.create_all(self._engine)
            with self._engine.begin() as connection:
                keep_value(connection, "format_version", FORMAT_VERSION)
        version = self.value("format_version") if schema.meta.name in there else FORMAT_VERSION
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise RunFolderError(
                f"the journal {self._where} has format {version} and this marsfolio knows {FORMAT_VERSION} at most: "
                "update it"
            )
        if there and (not known <= there or not isinstance(version, int)):
            lacking = ", ".join(sorted(known - there)) or "its format_version"
            raise RunFolderError(f"the journal {self._where} lacks {lacking}: it is another database, or damaged")
        if self._engine.dialect.name == "sqlite":
            self._check_pages()

    def _check_pages(self) -> None:
        """Read the whole file: what is damaged must be found before an order is sent, not after."""
        with self._reading() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if found != "ok":
            raise self._damaged(found)


def _make(path: Path) -> None:
    """Make a journal beside its place and move it there: a kill on the way leaves none, never half of one."""
    beside = path.with_name(f".{path.name}.new")
    for left in (beside, beside.with_name(f"{beside.name}-journal")):
        left.unlink(missing_ok=True)
    Journal(f"sqlite:///{beside.absolute()}").dispose()
    beside.replace(path)


def _engine(url: str, durable: bool, busy_seconds: float) -> Engine:
    if not url.startswith("sqlite"):
        return sa.create_engine(url)
    if url == "sqlite://":  # in memory: of one process, and of one connection
        return sa.create_engine(url, poolclass=sa.pool.StaticPool)
    # The module must not begin transactions by itself: it would do so before the first change, not the first reading.
    arguments = {"timeout": busy_seconds, "isolation_level": None}
    pool = sa.pool.NullPool if durable else sa.pool.QueuePool
    engine = sa.create_engine(url, connect_args=arguments, poolclass=pool)

    @sa.event.listens_for(engine, "connect")
    def _set_pragmas(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
