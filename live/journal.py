"""The journal of one paper account: everything that was decided, sent and filled, in one database."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from brokers.protocol import Movement, Side
from engine.clock import Clock, SystemClock
from engine.errors import RunFolderError, TemporaryError
from live import schema
from live.plan import LIVE_STAGES, Intent, Plan, PlanStatus, Stage
from live.schema import FORMAT_VERSION

BUSY_SECONDS = 10.0
FIRST_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill as it was booked; fields as in trades.csv."""

    fill_id: str
    order_id: str
    session: date
    time_utc: str
    symbol: str
    side: Side
    quantity: float
    price: float
    commission: float
    slippage: float
    cash_after: float
    position_after: float
    reason: str


@dataclass(frozen=True, slots=True)
class Close:
    """The account at the close of a session.

    Attributes
    ----------
    traded : value of the session's fills.
    marks : last known close of each symbol.
    """

    session: date
    equity: float
    cash: float
    traded: float
    marks: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Cash and shares as our own books have them."""

    cash: float
    positions: Mapping[str, float]


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
            return _value(connection, key, default)

    def ledger(self) -> Ledger:
        """Return cash and positions by our own books."""
        with self._reading() as connection:
            return _ledger(connection)

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
            return [_intent(dict(row)) for row in connection.execute(query).mappings()]

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
            return [_fill({name: row[name] for name in names}) for row in rows]

    def count_fills(self) -> int:
        """Return how many fills are booked."""
        with self._reading() as connection:
            return _next_number(connection, schema.fills)

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
                _set_value(connection, "format_version", FORMAT_VERSION)
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


class Writer:
    """Changes of one transaction; made by `Journal.writing`."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def set_value(self, key: str, value: Any) -> None:
        """Keep a JSON value under a name."""
        _set_value(self._connection, key, value)

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
        return intent if row is None else _intent(dict(row))

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
        ledger = _ledger(self._connection)
        signed = quantity if intent.side is Side.BUY else -quantity
        # The order of operations is part of the format: cash_after = cash_before -/+ quantity * price - commission.
        cash = ledger.cash - signed * price - commission
        position = ledger.positions.get(intent.symbol, 0.0) + signed
        number = _next_number(self._connection, schema.fills)
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
        ledger = _ledger(self._connection)
        position = ledger.positions.get(movement.symbol, 0.0) + movement.quantity_change
        positions = {**ledger.positions, movement.symbol: position} if movement.symbol else ledger.positions
        number = _next_number(self._connection, schema.movements)
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
        _set_value(self._connection, "audit_head", [number, sealed])

    def _set_ledger(self, cash: float, positions: Mapping[str, float]) -> None:
        held = {symbol: quantity for symbol, quantity in positions.items() if quantity != 0.0}
        _set_value(self._connection, "ledger", {"cash": cash, "positions": held})


def seal(before: str, number: int, time_utc: str, kind: str, payload: str) -> str:
    """Return the hash of an entry of the audit log, which seals all entries before it too."""
    text = json.dumps([before, number, time_utc, kind, payload], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


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


def _value(connection: Connection, key: str, default: Any) -> Any:
    table = schema.meta
    row = connection.execute(sa.select(table.c.value).where(table.c.key == key)).first()
    return default if row is None else row[0]


def _set_value(connection: Connection, key: str, value: Any) -> None:
    table = schema.meta
    same = table.c.key == sa.bindparam("of_key")
    if not connection.execute(table.update().where(same), {"value": value, "of_key": key}).rowcount:
        connection.execute(table.insert(), {"key": key, "value": value})


def _next_number(connection: Connection, table: sa.Table) -> int:
    """Return how many rows a table has that numbers them from 0; read from its index, not counted."""
    last = connection.execute(sa.select(sa.func.max(table.c.number))).scalar_one()
    return 0 if last is None else int(last) + 1


def _ledger(connection: Connection) -> Ledger:
    found = _value(connection, "ledger", {"cash": 0.0, "positions": {}})
    return Ledger(found["cash"], found["positions"])


def _fill(row: dict[str, Any]) -> Fill:
    return Fill(**row | {"side": Side(row["side"])})


def _intent(row: dict[str, Any]) -> Intent:
    return Intent(**{**row, "side": Side(row["side"]), "stage": Stage(row["stage"])})
