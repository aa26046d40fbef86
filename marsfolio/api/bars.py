"""Bars for the Python interface: of a file, of a pandas table, or the bundled sample."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from engine.errors import DataError
from engine.panel import MarketPanel
from marsfolio.compose import Market, load_market


@dataclass(frozen=True)
class Bars(Market):
    """Bars of N symbols over T sessions.

    Attributes
    ----------
    panel : the bars as arrays.
    notes : what a reader should know about them.
    path : the file they are from; None for the bundled sample and for bars that were made in Python.
    is_sample : True for the bundled sample.
    """

    path: Path | None = None
    is_sample: bool = False

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the symbols."""
        return self.panel.symbols

    @property
    def close(self) -> pd.DataFrame:
        """Closes, one row a session and one column a symbol; NaN where a bar is missing."""
        return self.field("close")

    def field(self, name: str) -> pd.DataFrame:
        """Return open, high, low, close or volume, one row a session and one column a symbol."""
        days = pd.DatetimeIndex(self.panel.sessions, name="session")
        return pd.DataFrame(np.array(getattr(self.panel, name)), index=days, columns=list(self.symbols))

    def __repr__(self) -> str:
        days = self.panel.sessions
        return f"Bars({len(self.symbols)} symbols, {days[0]} to {days[-1]}, from {self.panel.source})"


Data: TypeAlias = "str | Path | pd.DataFrame | MarketPanel | Bars | None"
"""What may be given as bars; None is the bundled sample."""


def read_bars(data: Data = None, symbols: Sequence[str] | None = None) -> Bars:
    """Return bars, checked.

    Parameters
    ----------
    data : a CSV or parquet file; a long table with the columns of one (date, symbol, open, high, low, close, volume,
        for raw prices also split and dividend); a wide table of closes, one row a day and one column a symbol, NaN
        where there is none; or None for the bundled sample.
    symbols : those to read; all by default.

    Raises
    ------
    DataError
        When the file or the table breaks a rule, naming the row and the value.
    """
    if isinstance(data, Bars):
        return _selected(data, symbols)
    if isinstance(data, MarketPanel):
        return _selected(Bars(data), symbols)
    if isinstance(data, pd.DataFrame):
        with table_file(data if "symbol" in data.reset_index().columns else _long(data), "bars") as written:
            market = load_market(written, symbols)
        return Bars(replace(market.panel, source="a table in Python"), market.notes)
    path = None if data is None else Path(data)
    market = load_market(path, symbols)
    return Bars(market.panel, market.notes, path, is_sample=path is None)


@contextmanager
def table_file(table: pd.DataFrame, what: str) -> Iterator[Path]:
    """Yield a file that holds a table, so that it is checked as any file is; errors speak of the table.

    Raises
    ------
    DataError
        Whatever is raised inside.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{what}.parquet"
        named = [name for name in table.index.names if name is not None]
        (table.reset_index() if named else table).to_parquet(path, index=False)
        try:
            yield path
        except DataError as error:
            raise DataError(str(error).replace(str(path), f"the table of {what}")) from None


def _long(closes: pd.DataFrame) -> pd.DataFrame:
    """Return a wide table of closes as a long one of bars."""
    if not isinstance(closes.index, pd.DatetimeIndex):
        raise DataError(
            "a table of bars needs a column symbol (a long table: date, symbol, open, high, low, close, volume), or "
            f"days as its index (a wide table of closes); its columns are {', '.join(map(str, closes.columns[:10]))}"
        )
    names = closes.columns.astype(str)
    values = closes.to_numpy(dtype="float64")
    t, i = np.nonzero(~np.isnan(values))
    close = values[t, i]
    return pd.DataFrame(
        {
            "date": closes.index[t],
            "symbol": names[i],
            **dict.fromkeys(("open", "high", "low", "close"), close),
            "volume": np.full(len(close), np.nan),
        }
    )


def _selected(bars: Bars, symbols: Sequence[str] | None) -> Bars:
    found = load_market(bars, symbols)
    assert isinstance(found, Bars)
    return found
