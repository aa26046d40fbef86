"""Daily bars one by one, as a service hands them out: checked before any model sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from engine.errors import DataError, TemporaryError
from engine.panel import FIELDS, MarketPanel

LARGEST_JUMP = 5.0
"""Largest believable ratio of two closes that follow each other, either way; prices are adjusted."""


class Bar(NamedTuple):
    """One symbol's session."""

    open: float
    high: float
    low: float
    close: float
    volume: float


Bars = dict[tuple[str, date], Bar]


def add_bar(bars: Bars, symbol: str, session: date, row: Mapping[str, Any]) -> None:
    """Check one bar, with the keys o, h, l, c and v, and add it; the same bar again changes nothing.

    Raises
    ------
    TemporaryError
        When a value is no positive finite number (a volume may be 0), or the session has another bar already.
    """
    values = (_number(row.get(name[0]), name, symbol, session) for name in FIELDS)
    bar = Bar(*values)
    known = bars.setdefault((symbol, session), bar)
    if known != bar:
        raise TemporaryError(f"bars: {symbol} on {session} comes twice, as {_shown(known)} and as {_shown(bar)}")


def check_coverage(bars: Bars, symbols: Sequence[str], last: date) -> None:
    """Refuse bars unless each symbol has one in the session ``last``.

    Raises
    ------
    TemporaryError
        Naming the symbols; when none has one, saying that the bars are stale.
    """
    missing = [symbol for symbol in symbols if (symbol, last) not in bars]
    if not missing:
        return
    if len(missing) < len(symbols):
        raise TemporaryError(f"bars: no bar on {last} of {', '.join(missing)}: it may be late, delisted or misspelt")
    newest = max((session for _, session in bars), default=None)
    found = "there are none at all" if newest is None else f"the newest are of {newest}"
    raise TemporaryError(f"bars are stale: none of {last}, {found}: try again later")


def check_sessions(bars: Bars, expected: Sequence[date], first: date, last: date) -> None:
    """Refuse bars that leave out a whole session after their first one, or that stand where there was none.

    Parameters
    ----------
    expected : the sessions of the exchange from ``first`` to ``last``.

    Raises
    ------
    TemporaryError
        Naming the session.
    """
    found = {session for _, session in bars if first <= session <= last}
    begin = min(found, default=last)
    if gaps := sorted({day for day in expected if begin <= day <= last} - found):
        raise TemporaryError(f"bars: no symbol has a bar on {gaps[0]}, which was a session ({len(gaps)} such)")
    if extra := sorted(found - set(expected)):
        raise TemporaryError(f"bars: there are bars on {extra[0]}, which was no session ({len(extra)} such)")


def check_jumps(bars: Bars) -> None:
    """Refuse a close that cannot follow the one before.

    Raises
    ------
    TemporaryError
        Naming symbol, session and both closes.
    """
    before: dict[str, float] = {}
    for (symbol, session), bar in sorted(bars.items()):
        ratio = bar.close / before.get(symbol, bar.close)
        if not 1 / LARGEST_JUMP <= ratio <= LARGEST_JUMP:
            raise TemporaryError(
                f"bars: {symbol} on {session}: close must be within a factor of {LARGEST_JUMP:g} of the one before, "
                f"{before[symbol]}, was {bar.close}"
            )
        before[symbol] = bar.close


def panel_of(bars: Bars, symbols: Sequence[str], lookback_bars: int, source: str) -> MarketPanel:
    """Return the last ``lookback_bars`` sessions as a panel, or all where there are fewer.

    Raises
    ------
    TemporaryError
        When a bar breaks a rule of panels, such as a high below the close.
    """
    sessions = sorted({session for _, session in bars})[-lookback_bars:]
    grid = np.full((len(FIELDS), len(sessions), len(symbols)), np.nan)
    for t, session in enumerate(sessions):
        for i, symbol in enumerate(symbols):
            if (bar := bars.get((symbol, session))) is not None:
                grid[:, t, i] = bar
    days, (opened, high, low, close, volume) = np.array(sessions, dtype="datetime64[D]"), grid
    try:
        return MarketPanel(days, tuple(symbols), opened, high, low, close, volume, source=source)
    except DataError as error:
        raise TemporaryError(f"bars: {error}") from error


def _number(value: object, name: str, symbol: str, session: date) -> float:
    # Text is refused even when it reads as a number: prices are JSON numbers, and what is not is not understood.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and isfinite(value) and (value > 0 or (name == "volume" and value == 0)):  # type: ignore[arg-type,operator]
        return float(value)  # type: ignore[arg-type]
    raise TemporaryError(f"bars: {symbol} on {session}: {name} must be a positive number, was {repr(value)[:80]}")


def _shown(bar: Bar) -> str:
    return "/".join(f"{value:g}" for value in bar)
