"""A folder of daily bars: one parquet file a symbol, and a manifest that says what they are and names their hashes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_feeds.table import Table
from engine.errors import ConfigError, DataError, TemporaryError
from engine.panel import ACTIONS, FIELDS

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
BARS = "bars"
LOCK = ".lock"
ADJUSTED = "all"
"""The adjustment of prices that need no splits and dividends beside them."""

_READS = 3


class Row(NamedTuple):
    """A session of a symbol; split and dividend as in a `MarketPanel`."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    split: float = 1.0
    dividend: float = 0.0


History = dict[date, Row]
"""The bars of one symbol."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the manifest says of a symbol.

    Attributes
    ----------
    file : inside the store; named after its contents, so that none is ever changed.
    first, last : sessions of its first and last bar.
    asked_from, asked_to : the span that the source was asked for.
    """

    file: str
    sha256: str
    rows: int
    first: date
    last: date
    asked_from: date
    asked_to: date


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a store holds.

    Attributes
    ----------
    source : where all of it comes from; bars of another source, feed or adjustment are never mixed in.
    adjustment : what prices are adjusted for: ``all``, ``split`` or ``raw``. Without ``all`` dividends, and with
        ``raw`` splits, too, stand beside the prices.
    """

    source: Mapping[str, str]
    adjustment: str
    entries: Mapping[str, Entry]

    @property
    def described(self) -> str:
        """The source and the adjustment, for people."""
        kind = {ADJUSTED: "adjusted for splits and dividends", "split": "adjusted for splits"}
        return f"{' '.join(self.source.values())}, {kind.get(self.adjustment, 'raw prices')}"


def is_store(path: Path) -> bool:
    """Return whether a path is a folder with a manifest."""
    return (path / MANIFEST).is_file()


def read_manifest(folder: Path) -> Manifest:
    """Read what a store holds.

    Raises
    ------
    DataError
        When the manifest is missing, damaged, or of a newer format.
    """
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document["format_version"]
        if version == FORMAT_VERSION:
            entries = {symbol: _entry(said) for symbol, said in document["symbols"].items()}
            return Manifest(document["source"], document["adjustment"], entries)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read: {error!r}: fetch the store anew into another folder") from error
    raise DataError(f"{path}: format_version must be {FORMAT_VERSION}, was {version!r}: update marsfolio")


def read_store(folder: Path, symbols: Sequence[str] | None = None) -> Table:
    """Return the rows of a store, symbol by symbol, each file checked against its hash.

    Parameters
    ----------
    symbols : those to read; all by default, and those that the store does not know are passed over.

    Raises
    ------
    DataError
        When the store is empty or damaged.
    """
    for tries in range(1, _READS + 1):
        manifest = read_manifest(folder)
        wanted = [name for name in sorted(manifest.entries) if symbols is None or name in symbols]
        if not wanted:
            raise DataError(f"{folder} holds no bars: `marsfolio data fetch --store {folder}` gets some")
        try:
            table = pa.concat_tables([_read_file(folder, manifest.entries[name]) for name in wanted])
            break
        except FileNotFoundError as error:
            # A fetch that went on at the same time has replaced it, and the manifest before it.
            if tries == _READS:
                raise DataError(f"{error.filename} is missing: fetch the store anew into another folder") from error
    columns = {name: pa.concat_arrays(table.column(name).chunks) for name in table.column_names}
    return Table(folder, columns, np.arange(table.num_rows, dtype="int64"), ())


def read_tail(folder: Path, entry: Entry, count: int) -> History:
    """Return the last ``count`` bars of a symbol.

    Raises
    ------
    DataError
        When the file is damaged.
    """
    table = _read_known(folder, entry)
    table = table.slice(max(0, table.num_rows - count))
    names = [name for name in Row._fields if name in table.column_names]
    values = zip(*(table.column(name).to_pylist() for name in names), strict=True)
    days = table.column("date").to_pylist()
    return {day: Row(**dict(zip(names, row, strict=True))) for day, row in zip(days, values, strict=True)}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a store, made when there is none, so that no other process writes to it; reading goes on.

    Raises
    ------
    TemporaryError
        When another process holds it.
    ConfigError
        When it cannot be written, or is a folder of something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not is_store(folder) and any(item.name not in (LOCK, BARS) for item in folder.iterdir()):
            raise ConfigError(f"--store {folder} holds something else than a store: name an empty or a new folder")
        file = (folder / LOCK).open("a+")
    except OSError as error:
        raise ConfigError(f"--store {folder} cannot be written: {error.strerror}") from error
    with file:
        try:
            # The system releases it when the process dies, however it dies.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TemporaryError(f"another process is fetching into {folder}: try again when it has ended") from error
        yield


def write_symbol(
    folder: Path,
    manifest: Manifest,
    symbol: str,
    history: History,
    asked: tuple[date, date],
    after: date | None = None,
) -> Manifest:
    """Write a symbol's bars to a file of their own, and return the manifest that names it; it is not written yet.

    Parameters
    ----------
    history : the bars; not empty.
    asked : the span that the source was asked for.
    after : keep what the store has of earlier days; None keeps nothing.
    """
    table = _table_of(symbol, history, manifest.adjustment)
    if after is not None:
        old = _read_known(folder, manifest.entries[symbol])
        table = pa.concat_tables([old.filter(pc.less(old.column("date"), pa.scalar(after))), table])
    sink = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks(), sink, write_page_checksum=True)
    data = bytes(sink.getvalue())
    digest = hashlib.sha256(data).hexdigest()
    # Quoted, because a symbol such as BRK/B or ^GSPC is no name of a file.
    name = f"{BARS}/{quote(symbol, safe='')}-{digest[:12]}.parquet"
    _write_whole(folder / name, data)
    days = table.column("date")
    entry = Entry(name, digest, table.num_rows, days[0].as_py(), days[-1].as_py(), *asked)
    return replace(manifest, entries={**manifest.entries, symbol: entry})


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step, and remove the files that it no longer names."""
    symbols = {name: asdict(manifest.entries[name]) for name in sorted(manifest.entries)}
    document = {
        "format_version": FORMAT_VERSION,
        "source": dict(manifest.source),
        "adjustment": manifest.adjustment,
        "symbols": symbols,
    }
    _write_whole(folder / MANIFEST, json.dumps(document, indent=1, default=str).encode())
    named = {entry.file for entry in manifest.entries.values()}
    for path in (folder / BARS).glob("*"):
        if f"{BARS}/{path.name}" not in named:
            path.unlink()


def _entry(said: Mapping[str, Any]) -> Entry:
    days = {name: date.fromisoformat(said[name]) for name in ("first", "last", "asked_from", "asked_to")}
    return Entry(str(said["file"]), str(said["sha256"]), int(said["rows"]), **days)


def _read_known(folder: Path, entry: Entry) -> Any:
    try:
        return _read_file(folder, entry)
    except FileNotFoundError as error:
        raise DataError(f"{error.filename} is missing: fetch the store anew into another folder") from error


def _read_file(folder: Path, entry: Entry) -> Any:
    path = folder / entry.file
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise DataError(f"{path} is not what {MANIFEST} says (its hash differs): fetch the store anew")
    return pq.read_table(pa.BufferReader(data))


def _table_of(symbol: str, history: History, adjustment: str) -> Any:
    days = sorted(history)
    names = FIELDS if adjustment == ADJUSTED else (*FIELDS, *ACTIONS)
    columns = {"date": pa.array(days, pa.date32()), "symbol": pa.array([symbol] * len(days))}
    columns |= {name: pa.array([getattr(history[day], name) for day in days], pa.float64()) for name in names}
    return pa.table(columns)


def _write_whole(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror}; what was there before is whole") from error
