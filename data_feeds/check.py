"""What a panel holds, and what in it is legal but suspicious."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from data_feeds.actions import SplitTrace, split_traces
from data_feeds.moves import comes_back, split_move
from engine.arrays import BoolArray, FloatArray, IntArray, SessionArray
from engine.panel import MarketPanel

JUMP_RETURN = 0.25
CONSTANT_SESSIONS = 10
LARGE_DIVIDEND = 0.25
ALL = "(all)"
"""The symbol of what concerns no single one."""


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
    UNADJUSTED = "unadjusted_split"
    BAD_PRICE = "bad_price"
    SPIKE = "spike"
    ZERO_VOLUME = "zero_volume"
    CONSTANT_PRICE = "constant_price"
    SPLIT = "split"
    DIVIDEND = "dividend"
    NO_SESSION = "no_session"
    CLOSED = "closed"


REMEDIES = {
    Kind.GAP: "fetch these sessions again; a halt is real: nothing is traded then, and a holding keeps its value",
    Kind.STALE: "if it was delisted, end its membership in a universe file on that day; otherwise fetch it again",
    Kind.JUMP: "look for news of that day; without any, compare with another source",
    Kind.UNADJUSTED: "fetch adjusted prices, or raw ones with the column split beside them",
    Kind.BAD_PRICE: "compare with another source and mend that bar: strategies that buy dips profit from a mistake",
    Kind.SPIKE: "compare with another source and mend high or low: indicators such as ADX and CCI read them",
    Kind.ZERO_VOLUME: "do not count on trading in those sessions; leave the volume empty where it is unknown",
    Kind.CONSTANT_PRICE: "the source may have repeated the last price: end its membership before, or fetch it again",
    Kind.SPLIT: "correct the column split, or leave it out when prices are adjusted",
    Kind.DIVIDEND: "check amount and unit in the company's announcement",
    Kind.NO_SESSION: "fetch these sessions again",
    Kind.CLOSED: "remove those bars, or name the right --calendar",
}
"""What to do about each kind."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something legal but suspicious.

    Parameters
    ----------
    kind : what it is.
    symbol : whose bars.
    first, last : the sessions it spans.
    count : sessions (gap, stale) or bars (the other kinds) that it concerns.
    value : the simple return of a jump, an unadjusted split and a bad price; how far a spike is from open and close,
        as a fraction; the price of a constant price; the return from the close before to the open of a holding that is
        split; a dividend as a fraction of the close; NaN otherwise.
    message : the same for people.
    """

    kind: Kind
    symbol: str
    first: np.datetime64
    last: np.datetime64
    count: int
    value: float
    message: str

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.kind]


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

    Gaps inside a symbol's life; symbols that stop before the last session; close-to-close returns beyond 25 % either
    way, between neighbouring bars of the symbol, declared splits and dividends included, and among them those that
    look like a split that is not adjusted or are undone by the next; highs and lows 25 % beyond open, close and the
    close before; volumes of 0 (one finding a symbol); the same close over 10 or more bars in a row; declared splits
    that the prices do not follow; and dividends above 25 % of the close.
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
    yield from _spikes(panel, column, rows)
    yield from _zero_volume(symbol, sessions, panel.volume[rows, column])
    yield from _constant(symbol, sessions, close)
    yield from (_unlike_split(symbol, panel.sessions[trace.row], trace) for trace in splits if trace.far)
    if panel.dividend is not None:
        yield from _large_dividends(symbol, sessions, close, panel.dividend[rows, column])


def _gaps(symbol: str, sessions: SessionArray, missing: BoolArray) -> Iterator[Finding]:
    for start, stop in flag_runs(missing):
        first, last, count = sessions[start], sessions[stop - 1], stop - start
        text = f"{symbol} has no bar in {in_sessions(count)}, {first} to {last}, between bars"
        yield Finding(Kind.GAP, symbol, first, last, count, np.nan, text)


def _stale(symbol: str, absent: SessionArray, last_bar: np.datetime64) -> Finding:
    count = len(absent)
    text = f"{symbol} stops on {last_bar}, {in_sessions(count)} before the end of the data"
    return Finding(Kind.STALE, symbol, absent[0], absent[-1], count, np.nan, text)


def _jumps(panel: MarketPanel, column: int, rows: IntArray) -> Iterator[Finding]:
    symbol, sessions = panel.symbols[column], panel.sessions[rows]
    close = panel.close[rows, column]
    growth = 1.0 if panel.growth is None else panel.growth[rows[1:], column]
    returns = close[1:] * growth / close[:-1] - 1
    passed = -1
    for row in (np.flatnonzero(np.abs(returns) > JUMP_RETURN) + 1).tolist():
        if row == passed:
            continue
        session, value = sessions[row], float(returns[row - 1])
        if comes_back(returns, row - 1):
            kind, cause = Kind.BAD_PRICE, "undone by the next close, as a wrong price is"
        else:
            kind, cause = _cause(panel, column, rows, row)
        passed = row + 1 if kind is Kind.BAD_PRICE else -1
        text = f"{symbol} returned {value:+.1%} on {session}: {cause}"
        yield Finding(kind, symbol, session, session, 1, value, text)


def _cause(panel: MarketPanel, column: int, rows: IntArray, row: int) -> tuple[Kind, str]:
    open_, close, volume = (values[rows, column] for values in (panel.open, panel.close, panel.volume))
    missing = "declared" if panel.has_actions else "adjusted"
    split = split_move(open_, close, volume, row)
    if split is None:
        return Kind.JUMP, f"news, or a split that is not {missing}"
    return (
        Kind.UNADJUSTED if split.stays else Kind.JUMP,
        f"like a split of {split.name} that is not {missing}",
    )


def _spikes(panel: MarketPanel, column: int, rows: IntArray) -> Iterator[Finding]:
    symbol, sessions = panel.symbols[column], panel.sessions[rows]
    open_, high, low, close = (values[rows, column] for values in (panel.open, panel.high, panel.low, panel.close))
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    # From the close before, too: a session that opens far off and comes back has an honest high and low.
    top[1:], bottom[1:] = np.maximum(top[1:], close[:-1]), np.minimum(bottom[1:], close[:-1])
    for name, values, far in (("high", high, high / top - 1), ("low", low, bottom / low - 1)):
        for row in np.flatnonzero(far > JUMP_RETURN):
            value, session = float(far[row]), sessions[row]
            text = (
                f"{symbol} has a {name} of {float(values[row])} on {session}, {value:.0%} beyond open "
                f"{float(open_[row])} and close {float(close[row])}"
            )
            yield Finding(Kind.SPIKE, symbol, session, session, 1, value, text)


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
        text = f"{symbol} has volume 0 in {in_sessions(rows.size)}, {first} to {last}: no trade, or unknown"
        yield Finding(Kind.ZERO_VOLUME, symbol, first, last, rows.size, np.nan, text)


def _constant(symbol: str, sessions: SessionArray, close: FloatArray) -> Iterator[Finding]:
    for start, stop in flag_runs(close[1:] == close[:-1]):
        # A run of k equal neighbours is k + 1 equal closes.
        count = stop - start + 1
        if count >= CONSTANT_SESSIONS:
            first, last, price = sessions[start], sessions[stop], float(close[start])
            text = f"{symbol} closes at {price} in {in_sessions(count)} in a row, {first} to {last}"
            yield Finding(Kind.CONSTANT_PRICE, symbol, first, last, count, price, text)


def flag_runs(flags: BoolArray) -> list[tuple[int, int]]:
    """Return (start, stop) of each run of True, stop outside it."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype("int8")))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def in_sessions(count: int) -> str:
    """Return a count of sessions in words."""
    return f"{count:,} session{'' if count == 1 else 's'}"
