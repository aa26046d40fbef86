"""What may stand beside raw prices in a file of bars: splits, dividends and the currency."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from data_feeds.table import Table
from data_feeds.table_file import Optional, folded
from engine.arrays import FloatArray
from engine.errors import DataError
from engine.panel import MarketPanel

SPELLINGS: Optional = {
    "split": ("split", "splits", "stocksplit", "stocksplits", "splitfactor", "splitcoefficient"),
    "dividend": ("dividend", "dividends", "divcash", "cashdividend", "cashdividends", "dividendamount", "exdividend"),
    "currency": ("currency",),
}
"""Titles of Yahoo, Tiingo, Alpha Vantage and Quandl. Not split_ratio: some count old shares for a new one."""

_NOTHING = {"split": 1.0, "dividend": 0.0}
_CLEAR_SPLIT = math.log(1.4)
"""Smaller splits are lost in a day's move."""


class SplitTrace(NamedTuple):
    """A declared split and what the market did: ``gap`` is the simple return of a holding from close to open."""

    row: int
    column: int
    ratio: float
    close_before: float
    open: float
    gap: float

    @property
    def far(self) -> bool:
        """True when a holding's value jumped by a quarter, or the price is nearer to no split (beyond 5 %)."""
        off = abs(math.log1p(self.gap))
        return off > max(math.log(1.05), min(math.log(1.25), abs(math.log(self.ratio)) / 2))

    @property
    def clear(self) -> bool:
        """True when the split is large enough to be told from a day's move."""
        return abs(math.log(self.ratio)) > _CLEAR_SPLIT

    @property
    def untraced(self) -> bool:
        """True when the price moved as if there had been no split."""
        off = math.log1p(self.gap)
        return self.clear and abs(off - math.log(self.ratio)) < abs(off)


def read_actions(table: Table) -> dict[str, FloatArray]:
    """Return the splits and dividends (R,) of those columns that the table has; 1, 0 or NaN where nothing happens.

    Raises
    ------
    DataError
        When a value is not empty and not a finite number >= 0. A split of 0 means none.
    """
    found = {}
    for name in _NOTHING:
        if name in table.columns:
            values = table.numbers(name, empty_is_unknown=True)
            table.refuse_values(name, values, np.isinf(values), "must be finite")
            table.refuse_values(name, values, values < 0, "must not be negative")
            if name == "split":
                values[values == 0] = 1.0
            found[name] = values
    return found


def currency_of(table: Table) -> str | None:
    """Return the currency that all rows name; None when none does.

    Raises
    ------
    DataError
        When there are several, or some rows name none.
    """
    if "currency" not in table.columns:
        return None
    codes, names = table.texts("currency")
    nameless = np.array([not name.strip() for name in names] + [True])[codes]  # the last for code -1, missing
    if nameless.all():
        return None
    table.refuse(nameless, lambda row: f"{table.bar_name(row)}: currency must be named in every row or in none")
    used, first = np.unique(codes, return_index=True)
    if len(used) > 1:
        found = ", ".join(sorted(f"{names[code]} ({table.symbol(row)})" for code, row in zip(used, first, strict=True)))
        raise DataError(
            f"{table.path}: prices are in several currencies: {found}; an account has one: "
            "choose symbols of one currency with --symbols, or convert prices and dividends first"
        )
    return str(names[used[0]])


def split_traces(panel: MarketPanel) -> list[SplitTrace]:
    """Return each declared split of a symbol that had a bar before, by session."""
    if panel.split is None or panel.dividend is None:
        return []
    found = []
    for t, i in np.argwhere(panel.split != 1.0).tolist():
        rows = np.flatnonzero(panel.has_bar[:t, i])
        if rows.size:
            before, open_ = float(panel.close[rows[-1], i]), float(panel.open[t, i])
            ratio = float(panel.split[t, i])
            gap = (open_ + float(panel.dividend[t, i])) * ratio / before - 1.0
            found.append(SplitTrace(t, i, ratio, before, open_, gap))
    return found


def notes_on_actions(panel: MarketPanel, table: Table) -> list[str]:
    """Return what a reader should know of a panel's splits and dividends.

    Raises
    ------
    DataError
        When most splits leave no trace in the prices: these are adjusted already, and booking the splits as well
        would multiply the holdings.
    """
    if panel.split is None or panel.dividend is None:
        adjusted = [title for title in table.extra if folded(title) in ("adjclose", "adjustedclose")]
        return [
            f"{title} is not used: if open to close are raw prices, splits look like crashes and dividends are "
            "missing; add columns split and dividend, or multiply the prices by it over close"
            for title in adjusted
        ]
    counts = [
        f"{name}s: {int((values != _NOTHING[name]).sum()) if name in table.columns else 'no such column'}"
        for name, values in (("split", panel.split), ("dividend", panel.dividend))
    ]
    return [f"raw prices ({', '.join(counts)})", *_untraced(panel)]


def _untraced(panel: MarketPanel) -> list[str]:
    clear = [trace for trace in split_traces(panel) if trace.clear]
    untraced = [trace for trace in clear if trace.untraced]
    if not untraced:
        return []
    first = untraced[0]
    found = (
        f"{len(untraced)} of {len(clear)} large splits leave no trace in the prices, the first: {first.ratio:g} for 1 "
        f"of {panel.symbols[first.column]} on {panel.sessions[first.row]}, which opened at {first.open} after a "
        f"close of {first.close_before}"
    )
    if 2 * len(untraced) > len(clear):
        raise DataError(
            f"{panel.source}: {found}; such prices are adjusted for splits already, as Yahoo's are: leave out the "
            "column of splits (dividends must then be adjusted for splits, too)"
        )
    return [f"{found}; `marsfolio data check` lists all"]
