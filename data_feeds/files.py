"""Bars and target weights from long CSV and parquet files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_feeds.actions import SPELLINGS, currency_of, notes_on_actions, read_actions
from data_feeds.store import is_store, read_manifest, read_store
from data_feeds.table import Table, read_table
from data_feeds.table_file import nearest_names
from engine.arrays import FloatArray, IntArray, SessionArray
from engine.errors import DataError
from engine.limits import WEIGHT_TOLERANCE
from engine.panel import FIELDS, MarketPanel

PRICES = FIELDS[:4]

logger = logging.getLogger(__name__)


def read_panel(path: Path, symbols: Sequence[str] | None = None) -> tuple[MarketPanel, tuple[str, ...]]:
    """Read a long file of bars (.csv, .csv.gz, .parquet) or a store of them, and what the reader should know about it.

    The columns are date, symbol, open, high, low, close and volume, the rows in any order. An empty volume is
    unknown (NaN). When every bar has open = high = low = close and no volume is known, the panel is marked as
    having closes only.

    With a column split (new shares for an old one; empty, 0 or 1 for none) or dividend (cash a new share, on the
    ex-date) prices are raw, and the panel has both; without, they are taken as adjusted. A column currency must
    name one for all.

    Parameters
    ----------
    path : the file, or the folder of a store.
    symbols : the symbols to read; all by default. Prices of other symbols are not checked.

    Returns
    -------
    The panel, its symbols sorted, and notes for people, such as "ignored the extra columns: vwap".

    Raises
    ------
    DataError
        When the file, a row or the list of symbols breaks a rule; names the file, the row and the value.
    """
    table, origin = _read_bars(path, symbols)
    names, i = table.symbols()
    days, t = table.days()
    if symbols is not None:
        wanted = np.isin(i, _chosen(path, names, symbols))
        table, t, i = table.keep(wanted), t[wanted], i[wanted]
        t, days = _renumbered(t, days)
        i, kept = _renumbered(i, np.arange(len(names)))
        names = tuple(names[k] for k in kept)
    currency = currency_of(table)
    bars = _checked_bars(table)
    table.refuse_duplicates(t, i)
    closes_only = _has_closes_only(bars)
    bars |= read_actions(table)
    grids: dict[str, Any] = {name: _grid(values, t, i, (len(days), len(names))) for name, values in bars.items()}
    panel = MarketPanel(days, names, **grids, closes_only=closes_only, source=str(path))
    notes = _notes(table, closes_only, currency)
    return panel, (*origin, *notes, *notes_on_actions(panel, table))


def read_weights(path: Path, panel: MarketPanel) -> FloatArray:
    """Read a long file of target weights (date, symbol, weight), decided at each date's close.

    Parameters
    ----------
    path : a .csv, .csv.gz or .parquet file; rows in any order.
    panel : the bars that the weights are for; its sessions and symbols are the only ones allowed.

    Returns
    -------
    (T, N) fractions of equity. A row is all NaN (no rebalance) when the file has no row for its date;
    otherwise a symbol without a row has 0.

    Raises
    ------
    DataError
        When a date is not a session of the panel, a symbol is unknown or occurs twice on a date, a weight is
        not finite and >= 0, or the weights of a date sum to more than 1 (tolerance 1e-9).
    """
    table = read_table(path, ("date", "symbol", "weight"))
    if table.extra:
        logger.info("%s: %s", path, _ignored(table))
    names, i = table.symbols()
    days, t = table.days()
    t, i = _panel_rows(table, days, t, panel), _panel_columns(table, names, i, panel)
    weights = table.numbers("weight")
    table.refuse_values("weight", weights, ~np.isfinite(weights), "must be a finite number")
    table.refuse_values("weight", weights, weights < 0, "must not be negative")
    table.refuse_duplicates(t, i)
    _check_sums(table, weights, t, panel)
    result = np.full((len(panel), panel.n_symbols), np.nan)
    result[t] = 0.0
    result[t, i] = weights
    return result


def _read_bars(path: Path, symbols: Sequence[str] | None) -> tuple[Table, tuple[str, ...]]:
    """Return the rows, of a store those of the symbols alone, and what is to be said of where they come from."""
    if not is_store(path):
        return read_table(path, ("date", "symbol", *FIELDS), SPELLINGS), ()
    manifest = read_manifest(path)
    if symbols is not None:
        _chosen(path, tuple(manifest.entries), symbols)
    return read_store(path, symbols), (f"bars of {manifest.described}",)


def _chosen(path: Path, names: tuple[str, ...], symbols: Sequence[str]) -> list[int]:
    if not symbols:
        raise DataError(f"{path}: the list of symbols is empty: name at least one, or leave the list out")
    repeated = [symbol for k, symbol in enumerate(symbols) if symbol in symbols[:k]]
    if repeated:
        raise DataError(f"{path}: the list of symbols names {', '.join(repeated)} more than once: name each once")
    number = {name: k for k, name in enumerate(names)}
    unknown = [symbol for symbol in symbols if symbol not in number]
    if unknown:
        described = "; ".join(f"{symbol!r}{_hint(symbol, names)}" for symbol in unknown)
        raise DataError(f"{path}: no bars for {described}: choose among the {len(names)} symbols of the file")
    return [number[symbol] for symbol in symbols]


def _hint(symbol: str, names: Sequence[str]) -> str:
    near = nearest_names(symbol, names)
    return f" (nearest: {', '.join(near)})" if near else ""


def _renumbered(codes: IntArray, labels: SessionArray | IntArray) -> tuple[IntArray, np.ndarray]:
    """Drop the labels that no row uses; both keep their order."""
    used, numbers = np.unique(codes, return_inverse=True)
    return numbers.astype("int64"), labels[used]


def _checked_bars(table: Table) -> dict[str, FloatArray]:
    bars = {name: table.numbers(name, empty_is_unknown=name == "volume") for name in FIELDS}
    for name in PRICES:
        table.refuse_values(name, bars[name], ~np.isfinite(bars[name]), "must be a finite number")
        table.refuse_values(name, bars[name], bars[name] <= 0, "must be positive")
    top, bottom = np.maximum(bars["open"], bars["close"]), np.minimum(bars["open"], bars["close"])
    beside = {"open": bars["open"], "close": bars["close"]}
    table.refuse_values("high", bars["high"], bars["high"] < top, "must not be below open or close", beside)
    table.refuse_values("low", bars["low"], bars["low"] > bottom, "must not be above open or close", beside)
    table.refuse_values("volume", bars["volume"], np.isinf(bars["volume"]), "must be finite")
    table.refuse_values("volume", bars["volume"], bars["volume"] < 0, "must not be negative")
    return bars


def _grid(values: FloatArray, t: IntArray, i: IntArray, shape: tuple[int, int]) -> FloatArray:
    grid = np.full(shape, np.nan)
    grid[t, i] = values
    return grid


def _has_closes_only(bars: dict[str, FloatArray]) -> bool:
    if not np.isnan(bars["volume"]).all():
        return False
    return all(np.array_equal(bars[name], bars["close"]) for name in ("open", "high", "low"))


def _notes(table: Table, closes_only: bool, currency: str | None) -> tuple[str, ...]:
    notes = [_ignored(table)] if table.extra else []
    if closes_only:
        notes.append("every bar has open = high = low = close and no volume: taken as closes only")
    if currency is not None:
        notes.append(f"prices are in {currency}")
    return tuple(notes)


def _ignored(table: Table) -> str:
    return f"ignored the extra columns: {', '.join(name or '(without a name)' for name in table.extra)}"


def _panel_rows(table: Table, days: SessionArray, t: IntArray, panel: MarketPanel) -> IntArray:
    at = np.searchsorted(panel.sessions, days)
    known = panel.sessions[np.minimum(at, len(panel) - 1)] == days
    table.refuse(
        ~known[t],
        lambda row: (
            f"date must be a session of {panel.source} ({panel.sessions[0]} to {panel.sessions[-1]}), "
            f"was {days[t[row]]}"
        ),
        "give the weights at a session's close",
    )
    return at[t].astype("int64")


def _panel_columns(table: Table, names: tuple[str, ...], i: IntArray, panel: MarketPanel) -> IntArray:
    number = {name: k for k, name in enumerate(panel.symbols)}
    columns = np.array([number.get(name, -1) for name in names], dtype="int64")

    def say(row: int) -> str:
        name = names[i[row]]
        return f"symbol must be one of {panel.source}, was {name!r}{_hint(name, panel.symbols)}"

    table.refuse(columns[i] < 0, say, "mend the name or add its bars")
    return columns[i]


def _check_sums(table: Table, weights: FloatArray, t: IntArray, panel: MarketPanel) -> None:
    sums = np.bincount(t, weights=weights, minlength=len(panel))
    table.refuse(
        sums[t] > 1 + WEIGHT_TOLERANCE,
        lambda row: f"weights of {panel.sessions[t[row]]} must sum to at most 1, sum to {float(sums[t[row]])}",
        "lower the weights; what is left of 1 is cash",
    )
