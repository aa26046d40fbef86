"""How a file that must not lose anything is made, shared and refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from venues import scratch

from brokers.sqlite_file import SqliteFile
from engine.errors import RunFolderError, TemporaryError

METADATA = sa.MetaData()
NOTES = sa.Table("notes", METADATA, sa.Column("text", sa.Text, primary_key=True))


@pytest.fixture
def path() -> Iterator[Path]:
    with scratch() as folder:
        yield folder / "a file? 100%.db"


def file_at(path: Path, application_id: int = 7, version: int = 1) -> SqliteFile:
    return SqliteFile(path, "a notebook", application_id, version, busy_timeout=0.05)


def made(path: Path, text: str = "first") -> SqliteFile:
    file = file_at(path)
    assert file.create(METADATA, lambda connection: note(connection, text))
    file.check()
    return file


def note(connection: sa.Connection, text: str) -> None:
    connection.execute(NOTES.insert(), {"text": text})


def notes(file: SqliteFile) -> list[str]:
    with file.read() as connection:
        return list(connection.execute(sa.select(NOTES.c.text).order_by(NOTES.c.text)).scalars())


def test_a_file_is_made_whole_and_alone(path: Path) -> None:
    file = made(path)
    assert notes(file) == ["first"]
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_there_is_not_replaced(path: Path) -> None:
    file = made(path)
    assert not file_at(path).create(METADATA, lambda connection: note(connection, "second"))
    assert notes(file) == ["first"]
    assert list(path.parent.iterdir()) == [path]


def test_what_fails_while_a_file_is_made_leaves_none(path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        file_at(path).create(METADATA, lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_refused(path: Path) -> None:
    with pytest.raises(RunFolderError, match="choose a folder"):
        file_at(path / "missing" / "file").create(METADATA, lambda _: None)


def test_a_transaction_is_all_or_nothing(path: Path) -> None:
    file = made(path)

    def write_and_fail() -> None:
        with file.write() as connection:
            note(connection, "second")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert notes(file) == ["first"]
    with file.write() as connection:
        note(connection, "second")
    assert notes(file) == ["first", "second"]


def test_what_is_written_is_on_the_disk_when_the_transaction_ends(path: Path) -> None:
    with made(path).read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL


def test_a_file_that_another_process_holds_is_temporary(path: Path) -> None:
    file, other = made(path), sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert notes(file) == ["first"]
    with pytest.raises(TemporaryError, match="in use by another process"), file.write():
        pass
    other.execute("ROLLBACK")
    other.execute("BEGIN EXCLUSIVE")
    for attempt in (file.check, lambda: notes(file)):
        with pytest.raises(TemporaryError, match="in use by another process"):
            attempt()
    other.close()
    file.check()


def test_a_file_of_a_later_version_or_of_something_else_is_refused(path: Path) -> None:
    made(path)
    with pytest.raises(RunFolderError, match="has format 1, and this program reads format 2"):
        file_at(path, version=2).check()
    with pytest.raises(RunFolderError, match="not a notebook"):
        file_at(path, application_id=8).check()


def test_an_empty_a_missing_and_a_wrong_file_are_refused(path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot be opened"):
        file_at(path).check()
    assert not path.exists()
    path.touch()
    with pytest.raises(RunFolderError, match="is empty"):
        file_at(path).check()
    path.write_text("session,equity\n" * 100)
    with pytest.raises(RunFolderError, match="damaged or not a notebook"):
        file_at(path).check()
    path.unlink()
    path.mkdir()
    with pytest.raises(RunFolderError, match="cannot be opened"):
        file_at(path).check()


@pytest.mark.parametrize("begin", [4096 + 100, 8192 + 100])
def test_a_damaged_file_is_refused(path: Path, begin: int) -> None:
    file = made(path)
    with file.write() as connection:
        for k in range(2000):
            note(connection, f"{k:05} " + "x" * 50)
    content = bytearray(path.read_bytes())
    content[begin - 100 : begin + 2000] = b"\x05" * 2100
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match="damaged"):
        file.check()


def test_a_file_cut_short_is_refused(path: Path) -> None:
    file = made(path)
    with file.write() as connection:
        for k in range(2000):
            note(connection, f"{k:05} " + "x" * 50)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(RunFolderError, match="damaged"):
        file.check()


def test_a_file_that_lacks_a_table_is_refused(path: Path) -> None:
    file = made(path)
    with file.write() as connection:
        connection.exec_driver_sql("DROP TABLE notes")
    with pytest.raises(RunFolderError, match="damaged or not a notebook"):
        notes(file)


def test_a_file_that_is_deleted_does_not_come_back_empty(path: Path) -> None:
    file = made(path)
    path.unlink()
    with pytest.raises(RunFolderError, match="cannot be opened"), file.write():
        pass
    assert not path.exists()


@pytest.mark.parametrize(("durable", "synchronous"), [(True, 2), (False, 0)])
def test_only_what_may_be_lost_does_not_wait_for_the_disk(tmp_path: Path, durable: bool, synchronous: int) -> None:
    file = SqliteFile(tmp_path / "notes.db", "a notebook", 7, 1, durable=durable)
    file.create(sa.MetaData(), lambda connection: None)
    with file.read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == synchronous
