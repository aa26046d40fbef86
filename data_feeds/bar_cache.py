"""Daily bars on disk, so that a session asks for what is new and not for all of history."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from math import isfinite
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_feeds.bars import Bar, Bars
from engine.panel import FIELDS

FORMAT_VERSION = 1

_META = b"marsfolio"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """What must not be mixed in one file.

    Attributes
    ----------
    host : of the service; a test's bars are not the market's.
    symbols : sorted.
    """

    host: str
    feed: str
    adjustment: str
    symbols: tuple[str, ...]


class BarCache:
    """Keeps bars in a folder, one parquet file for each kind.

    A file that cannot be read is worth a warning and no more: its bars can be had again.

    Parameters
    ----------
    folder : created when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, kind: Kind) -> Path:
        """Return the file for a kind of bars."""
        digest = hashlib.sha256(_meta(kind, date.min).encode()).hexdigest()[:16]
        return self._folder / f"bars-{kind.feed}-{kind.adjustment}-{digest}.parquet"

    def load(self, kind: Kind) -> tuple[Bars, date] | None:
        """Return bars and the date they were asked for from; None when there are none that can be used."""
        path = self.path(kind)
        if not path.exists():
            return None
        try:
            table = pq.read_table(path, page_checksum_verification=True)
            meta = json.loads((table.schema.metadata or {})[_META])
            start = date.fromisoformat(meta["start"])
            if meta != json.loads(_meta(kind, start)):
                raise ValueError("it is of another kind or version")
            return _bars_of(table), start
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be used, the bars are fetched anew: %s", path, error)
            return None

    def save(self, kind: Kind, bars: Bars, start: date) -> None:
        """Replace the file in one step; a folder that cannot be written to is worth a warning."""
        path = self.path(kind)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(_table_of(bars, _meta(kind, start)), partial, write_page_checksum=True)
            os.replace(partial, path)
        except OSError as error:
            logger.warning("%s cannot be written, the bars are fetched again next time: %s", path, error)
            with contextlib.suppress(OSError):
                partial.unlink()


def _meta(kind: Kind, start: date) -> str:
    return json.dumps({"version": FORMAT_VERSION, "start": start.isoformat(), **asdict(kind)}, sort_keys=True)


def _table_of(bars: Bars, meta: str) -> pa.Table:
    keys = sorted(bars)
    columns = {"session": pa.array([session for _, session in keys], pa.date32()), "symbol": [key[0] for key in keys]}
    columns |= {name: [getattr(bars[key], name) for key in keys] for name in FIELDS}
    return pa.table(columns).replace_schema_metadata({_META: meta.encode()})


def _bars_of(table: pa.Table) -> Bars:
    keys = zip(table["symbol"].to_pylist(), table["session"].to_pylist(), strict=True)
    rows: Sequence[tuple[float, ...]] = list(zip(*(table[name].to_pylist() for name in FIELDS), strict=True))
    if not all(isfinite(value) for row in rows for value in row):
        raise ValueError("it holds values that are no numbers")
    return {key: Bar(*row) for key, row in zip(keys, rows, strict=True)}
