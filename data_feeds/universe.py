"""Universes: which symbols there are, and from when to when each belonged."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np

from data_feeds.table_file import nearest_names
from engine.arrays import BoolArray, SessionArray
from engine.errors import ConfigError, did_you_mean

COLUMNS = ("symbol", "first", "last")
SUFFIXES = (".csv", ".txt")
Span = tuple[date, date]
"""First and last day of a membership, both included."""


@dataclass(frozen=True)
class Universe:
    """Symbols and the spans in which each was a member.

    Attributes
    ----------
    spans : of each symbol, at least one, in order and apart.
    source : where it comes from, for messages.
    """

    spans: Mapping[str, Sequence[Span]]
    source: str

    @property
    def symbols(self) -> tuple[str, ...]:
        """All that were ever members, sorted."""
        return tuple(sorted(self.spans))

    @property
    def changes(self) -> bool:
        """Whether a symbol was ever no member."""
        return any(list(spans) != [(date.min, date.max)] for spans in self.spans.values())

    def members(self, sessions: SessionArray, symbols: Sequence[str]) -> BoolArray:
        """Return (T, N) True where a decision at a session's close may hold a symbol.

        That is where it is a member on the next weekday, when the decision is carried out: changes are announced
        before they take effect. A symbol that is not named is never one.
        """
        days = np.busday_offset(sessions, 1, roll="backward")
        found = np.zeros((len(sessions), len(symbols)), dtype=bool)
        for i, symbol in enumerate(symbols):
            for first, last in self.spans.get(symbol, ()):
                found[:, i] |= (days >= np.datetime64(first, "D")) & (days <= np.datetime64(last, "D"))
        return found


def symbols_of(text: str) -> tuple[str, ...]:
    """Return the symbols that a flag names: a list A,B,C, a bundled universe @NAME, or a file.

    Raises
    ------
    ConfigError
        When there are none, one is named twice in a list, or the universe breaks a rule.
    """
    if text.startswith("@") or text.lower().endswith(SUFFIXES) or Path(text).is_file():
        return read_universe(text).symbols
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError(
            f"symbols must be distinct names such as AAPL,MSFT, a universe @NAME or a file, were {text!r}"
        )
    return tuple(sorted(names))


def read_universe(text: str) -> Universe:
    """Read a bundled universe, @NAME, or a file: a symbol a line, or CSV with the columns symbol, first, last.

    Dates are the first and last day of a membership; empty ones leave it open. A symbol that left and came back has
    several lines. Lines that begin with # are remarks.

    Raises
    ------
    ConfigError
        When there is no such universe, or a line breaks a rule; names the line.
    """
    if text.startswith("@"):
        names = bundled()
        if text[1:] not in names:
            raise ConfigError(
                f"there is no universe {text}{did_you_mean(text[1:], names)}: there are "
                f"{', '.join('@' + name for name in names)}; a file of your own is named without @"
            )
        return _parsed((files(__package__) / "universes" / f"{text[1:]}.csv").read_text(encoding="utf-8"), text)
    path = Path(text)
    try:
        return _parsed(path.read_text(encoding="utf-8-sig"), text)
    except FileNotFoundError as error:
        near = nearest_names(path.name, (other.name for other in path.parent.glob("*")))
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"there is no universe file {path}{hint}: name a file, or a bundled one such as @dow30"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a universe, a text file in UTF-8: {error}") from error


def bundled() -> list[str]:
    """Return the names of the universes that come with this project."""
    folder = files(__package__) / "universes"
    return sorted(item.name.removesuffix(".csv") for item in folder.iterdir() if item.name.endswith(".csv"))


def _parsed(text: str, source: str) -> Universe:
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    rows = [(number, line) for number, line in lines if line and not line.startswith("#")]
    titles = [COLUMNS[0]]
    if rows and rows[0][1].split(",")[0].strip().lower() == COLUMNS[0]:
        titles = [title.strip().lower() for title in rows.pop(0)[1].split(",")]
    if tuple(titles) not in (COLUMNS, COLUMNS[:1]):
        raise ConfigError(f"{source}: the columns must be {', '.join(COLUMNS)}, were {', '.join(titles)}")
    if not rows:
        raise ConfigError(f"{source}: names no symbols: write one a line")
    spans: dict[str, list[Span]] = {}
    for number, line in rows:
        symbol, span = _row(next(csv.reader([line])), len(titles), f"{source}: line {number}")
        spans.setdefault(symbol, []).append(span)
    return Universe({symbol: _apart(symbol, some, source) for symbol, some in spans.items()}, source)


def _row(values: Sequence[str], expected: int, where: str) -> tuple[str, Span]:
    if len(values) != expected:
        raise ConfigError(f"{where}: must have {expected} values, has {len(values)}")
    symbol, *days = (value.strip() for value in values)
    if not symbol or not symbol.isprintable() or " " in symbol:
        raise ConfigError(f"{where}: symbol must be a name without blanks, was {symbol!r}")
    ends = zip(days or ("", ""), (date.min, date.max), strict=True)
    first, last = (_day(text, default, where) for text, default in ends)
    if first > last:
        raise ConfigError(f"{where}: {symbol} must not leave before it joins, was {first} to {last}")
    return symbol, (first, last)


def _day(text: str, default: date, where: str) -> date:
    try:
        return date.fromisoformat(text) if text else default
    except ValueError as error:
        raise ConfigError(f"{where}: must be a date such as 2024-01-02, was {text!r}") from error


def _apart(symbol: str, spans: Iterable[Span], source: str) -> list[Span]:
    ordered = sorted(spans)
    for (_, last), (first, _) in pairwise(ordered):
        if first <= last:
            raise ConfigError(
                f"{source}: {symbol} is a member twice on {first}: let each membership end before the next"
            )
    return ordered
