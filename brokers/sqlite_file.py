"""One SQLite file that must not lose anything: made whole or not at all, one writer at a time, errors by remedy."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from engine.errors import MarsfolioError, RunFolderError, TemporaryError

BUSY_TIMEOUT = 10.0
"""Seconds that a process waits for another one's transaction."""

_LATER = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM}
_DENIED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}


class SqliteFile:
    """A file of tables, opened anew for each transaction, so that other processes may use it in between.

    Parameters
    ----------
    path : the file; `create` makes it.
    content : what it is, in words, for messages.
    application_id, version : written into the file; the version rises when the tables change.
    busy_timeout : seconds.
    durable : wait until the disk has what was written; without, a crash of the machine may lose or harm the file.
    """

    def __init__(
        self,
        path: Path,
        content: str,
        application_id: int,
        version: int,
        busy_timeout: float = BUSY_TIMEOUT,
        durable: bool = True,
    ) -> None:
        self.path = path
        self._content = content
        self._stamp = (application_id, version)
        self._timeout = busy_timeout
        self._durable = durable
        self._engine = self._engine_of(path)

    def create(self, metadata: sa.MetaData, fill: Callable[[sa.Connection], None]) -> bool:
        """Make the file with its tables and first rows; False when it is there already, which stays as it is.

        Whoever is killed meanwhile leaves no file under this name.

        Raises
        ------
        RunFolderError
            When the folder cannot be written to.
        """
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.new")
        try:
            beside.touch(exist_ok=False)
            with self._errors(), _transaction(self._engine_of(beside), write=True) as connection:
                metadata.create_all(connection)
                fill(connection)
                connection.exec_driver_sql(f"PRAGMA application_id = {self._stamp[0]}")
                connection.exec_driver_sql(f"PRAGMA user_version = {self._stamp[1]}")
            os.link(beside, self.path)  # unlike a rename it does not replace what another process has just made
            _sync_folder(self.path.parent)
        except FileExistsError:
            return False
        except OSError as error:
            raise RunFolderError(
                f"cannot make {self.path}: {error.strerror or error}; choose a folder that can be written to"
            ) from error
        finally:
            beside.unlink(missing_ok=True)
        return True

    def check(self) -> None:
        """Refuse a file that is none of ours, of a later version, or damaged.

        Raises
        ------
        RunFolderError
            Saying which, and what to do.
        TemporaryError
            When another process holds it.
        """
        if self.path.exists() and not self.path.stat().st_size:
            raise RunFolderError(f"{self.path} is empty and should hold {self._content}: {_RESTORE}")
        with self.read() as connection:
            application_id = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if application_id != self._stamp[0]:
                raise RunFolderError(f"{self.path} is a SQLite file but not {self._content}: name another one")
            if version != self._stamp[1]:
                raise RunFolderError(
                    f"{self.path} has format {version}, and this program reads format {self._stamp[1]}: use the "
                    "version of marsfolio that wrote it"
                )
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if found != "ok":
                raise RunFolderError(f"{self.path} is damaged ({found}): {_RESTORE}")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that reads; what it sees is of one moment."""
        with self._errors(), _transaction(self._engine, write=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write; others wait. An exception undoes all of it."""
        with self._errors(), _transaction(self._engine, write=True) as connection:
            yield connection

    def _engine_of(self, path: Path) -> sa.Engine:
        # mode=rw: a file that has been deleted must not come back empty.
        name = f"file:{quote(str(path.absolute()))}?mode=rw"

        def connect() -> sqlite3.Connection:
            # The module must not begin transactions by itself: it would do so only before writes, and not for tables.
            return sqlite3.connect(name, uri=True, timeout=self._timeout, isolation_level=None)

        engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)
        sa.event.listen(engine, "connect", self._set_up)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def _set_up(self, connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'OFF'}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> MarsfolioError:
        cause = getattr(error, "orig", None) or error
        code = (getattr(cause, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return TemporaryError(f"{self.path} is in use by another process: try again when that has finished")
        if code in _LATER:
            return TemporaryError(
                f"{self.path} cannot be read or written now ({cause}): look after the disk, try again"
            )
        if code in _DENIED:
            return RunFolderError(f"{self.path} cannot be opened ({cause}): it must exist and be writable")
        return RunFolderError(f"{self.path} is damaged or not {self._content} ({cause}): {_RESTORE}")


_RESTORE = "put a copy of it back, or name another file to begin anew"


@contextmanager
def _transaction(engine: sa.Engine, write: bool) -> Iterator[sa.Connection]:
    with engine.connect().execution_options(write=write) as connection, connection.begin():
        yield connection


def _begin(connection: sa.Connection) -> None:
    # IMMEDIATE: a transaction that reads first and writes later could not be repeated without harm on a conflict.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options()["write"] else "BEGIN")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
