"""What a panel holds, and what in it is legal but suspicious."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from data_feeds.actions import SplitTrace, split_traces
from engine.arrays import BoolArray, FloatArray, IntArray, SessionArray
from engine.panel import MarketPanel

JUMP_RETURN = 0.25
CONSTANT_SESSIONS = 10
LARGE_DIVIDEND = 0.25
_USUAL_SPLITS = np.array([1.5, *range(2, 11), 15, 20, 25, 30, 40, 50, 100])


@dataclass(frozen=True, slots=True)
class SymbolSummary:
    """The life of one symbol: from its first bar to its last.

    Parameters
    ----------
    symbol : its name.
    first, last : sessions of its first and last bar; None when it has no bar.
    bars : number of bars.
    missing : sessions inside its life without a bar.
    """

    symbol: str
    first: np.datetime64 | None
    last: np.datetime64 | None
    bars: int
    missing: int


@dataclass(frozen=True, slots=True)
class PanelSummary:
    """What a panel holds; ``missing`` counts all (session, symbol) pairs without a bar.

    ``raw`` is True when splits and dividends stand beside the prices.
    """

    source: str
    sessions: int
    first: np.datetime64
    last: np.datetime64
    bars: int
    missing: int
    closes_only: bool
    content_hash: str
    symbols: tuple[SymbolSummary, ...]
    raw: bool
    splits: int
    dividends: int


class Kind(StrEnum):
    """What is suspicious about some bars of a symbol."""

    GAP = "gap"
    STALE = "stale"
    JUMP = "jump"
    ZERO_VOLUME = "zero_volume"
    CONSTANT_PRICE = "constant_price"
    SPLIT = "split"
    DIVIDEND = "dividend"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something legal but suspicious.

    Parameters
    ----------
    kind : what it is.
    symbol : whose bars.
    first, last : the sessions it spans.
    count : sessions (gap, stale) or bars (the other kinds) that it concerns.
    value : the simple return of a jump, the price of a constant price, the return from the close before to the open
        of a holding that is split, a dividend as a fraction of the close; NaN otherwise.
    message : the same for people.
    """

    kind: Kind
    symbol: str
    first: np.datetime64
    last: np.datetime64
    count: int
    value: float
    message: str


def summarise(panel: MarketPanel) -> PanelSummary:
    """Return sessions, bars, missing bars and content hash of a panel, and the life of each symbol."""
    bars = int(panel.has_bar.sum())
    return PanelSummary(
        source=panel.source,
        sessions=len(panel),
        first=panel.sessions[0],
        last=panel.sessions[-1],
        bars=bars,
        missing=panel.missing.size - bars,
        closes_only=panel.closes_only,
        content_hash=panel.content_hash,
        symbols=tuple(_life(panel, column) for column in range(panel.n_symbols)),
        raw=panel.has_actions,
        splits=0 if panel.split is None else int((panel.split != 1.0).sum()),
        dividends=0 if panel.dividend is None else int((panel.dividend != 0.0).sum()),
    )


def find_problems(panel: MarketPanel) -> list[Finding]:
    """Return what is legal but suspicious, symbol by symbol in the panel's order.

    Gaps inside a symbol's life; symbols that stop before the last session; close-to-close returns beyond 25 %
    either way, between neighbouring bars of the symbol, declared splits and dividends included; volumes of 0 (one
    finding a symbol); the same close over 10 or more bars in a row; declared splits that the prices do not follow;
    and dividends above 25 % of the close.
    """
    splits: dict[int, list[SplitTrace]] = {}
    for trace in split_traces(panel):
        splits.setdefault(trace.column, []).append(trace)
    return [
        finding for column in range(panel.n_symbols) for finding in _problems(panel, column, splits.get(column, []))
    ]


def _life(panel: MarketPanel, column: int) -> SymbolSummary:
    rows = np.flatnonzero(panel.has_bar[:, column])
    if not rows.size:
        return SymbolSummary(panel.symbols[column], None, None, 0, 0)
    first, last = int(rows[0]), int(rows[-1])
    missing = last - first + 1 - rows.size
    return SymbolSummary(panel.symbols[column], panel.sessions[first], panel.sessions[last], rows.size, missing)


def _problems(panel: MarketPanel, column: int, splits: list[SplitTrace]) -> Iterator[Finding]:
    symbol, has_bar = panel.symbols[column], panel.has_bar[:, column]
    rows = np.flatnonzero(has_bar)
    if not rows.size:
        return
    first, last = int(rows[0]), int(rows[-1])
    yield from _gaps(symbol, panel.sessions[first : last + 1], ~has_bar[first : last + 1])
    if last < len(panel) - 1:
        yield _stale(symbol, panel.sessions[last + 1 :], panel.sessions[last])
    sessions, close = panel.sessions[rows], panel.close[rows, column]
    yield from _jumps(panel, column, rows)
    yield from _zero_volume(symbol, sessions, panel.volume[rows, column])
    yield from _constant(symbol, sessions, close)
    yield from (_unlike_split(symbol, panel.sessions[trace.row], trace) for trace in splits if trace.far)
    if panel.dividend is not None:
        yield from _large_dividends(symbol, sessions, close, panel.dividend[rows, column])


def _gaps(symbol: str, sessions: SessionArray, missing: BoolArray) -> Iterator[Finding]:
    for start, stop in _runs(missing):
        first, last, count = sessions[start], sessions[stop - 1], stop - start
        text = f"{symbol} has no bar in {_sessions(count)}, {first} to {last}, between bars"
        yield Finding(Kind.GAP, symbol, first, last, count, np.nan, text)


def _stale(symbol: str, absent: SessionArray, last_bar: np.datetime64) -> Finding:
    count = len(absent)
    text = f"{symbol} stops on {last_bar}, {_sessions(count)} before the end of the data"
    return Finding(Kind.STALE, symbol, absent[0], absent[-1], count, np.nan, text)


def _jumps(panel: MarketPanel, column: int, rows: IntArray) -> Iterator[Finding]:
    symbol, sessions = panel.symbols[column], panel.sessions[rows]
    open_, close = panel.open[rows, column], panel.close[rows, column]
    growth = 1.0 if panel.growth is None else panel.growth[rows[1:], column]
    returns = close[1:] * growth / close[:-1] - 1
    for row in np.flatnonzero(np.abs(returns) > JUMP_RETURN):
        session, value = sessions[row + 1], float(returns[row])
        split = _split_like(open_[row + 1] / close[row])
        missing = "declared" if panel.has_actions else "adjusted"
        cause = f"like a split of {split} that is not {missing}" if split else f"news, or a split that is not {missing}"
        text = f"{symbol} returned {value:+.1%} on {session}: {cause}"
        yield Finding(Kind.JUMP, symbol, session, session, 1, value, text)


def _split_like(move: float) -> str:
    """Return the split that a move of the price from close to open looks like; empty when it is like none."""
    ratio = max(move, 1 / move)
    nearest = float(_USUAL_SPLITS[np.argmin(np.abs(np.log(_USUAL_SPLITS / ratio)))])
    if abs(nearest / ratio - 1) > 0.03:
        return ""
    new, old = ("3", "2") if nearest == 1.5 else (f"{nearest:g}", "1")
    return f"{new} for {old}" if move < 1 else f"{old} for {new}"


def _unlike_split(symbol: str, session: np.datetime64, trace: SplitTrace) -> Finding:
    text = (
        f"{symbol} has a split of {trace.ratio:g} for 1 on {session}, but opens at {trace.open} after a close of "
        f"{trace.close_before}, {trace.gap:+.1%} for who held: a wrong split or day, or prices that are adjusted"
    )
    return Finding(Kind.SPLIT, symbol, session, session, 1, trace.gap, text)


def _large_dividends(symbol: str, sessions: SessionArray, close: FloatArray, dividend: FloatArray) -> Iterator[Finding]:
    for row in np.flatnonzero(dividend > LARGE_DIVIDEND * close):
        session, value = sessions[row], float(dividend[row] / close[row])
        text = (
            f"{symbol} pays {float(dividend[row])} a share on {session}, {value:.0%} of its close: a special dividend, "
            "another unit, or one for the shares before a split"
        )
        yield Finding(Kind.DIVIDEND, symbol, session, session, 1, value, text)


def _zero_volume(symbol: str, sessions: SessionArray, volume: FloatArray) -> Iterator[Finding]:
    rows = np.flatnonzero(volume == 0)
    if rows.size:
        first, last = sessions[rows[0]], sessions[rows[-1]]
        text = f"{symbol} has volume 0 in {_sessions(rows.size)}, {first} to {last}: no trade, or unknown"
        yield Finding(Kind.ZERO_VOLUME, symbol, first, last, rows.size, np.nan, text)


def _constant(symbol: str, sessions: SessionArray, close: FloatArray) -> Iterator[Finding]:
    for start, stop in _runs(close[1:] == close[:-1]):
        # A run of k equal neighbours is k + 1 equal closes.
        count = stop - start + 1
        if count >= CONSTANT_SESSIONS:
            first, last, price = sessions[start], sessions[stop], float(close[start])
            text = f"{symbol} closes at {price} in {_sessions(count)} in a row, {first} to {last}"
            yield Finding(Kind.CONSTANT_PRICE, symbol, first, last, count, price, text)


def _runs(flags: BoolArray) -> list[tuple[int, int]]:
    """Return (start, stop) of each run of True, stop outside it."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype("int8")))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _sessions(count: int) -> str:
    return f"{count:,} session{'' if count == 1 else 's'}"
