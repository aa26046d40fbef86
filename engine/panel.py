"""MarketPanel: the bars of N symbols over T sessions as immutable arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from engine.arrays import BoolArray, FloatArray, SessionArray
from engine.errors import DataError, InputError

FIELDS = ("open", "high", "low", "close", "volume")
ACTIONS = ("split", "dividend")
"""Corporate actions, beside raw prices; a panel of adjusted prices has neither."""


class Window(NamedTuple):
    """Rows of a panel, both ends included."""

    first: int
    last: int


@dataclass(frozen=True, eq=False)
class MarketPanel:
    """Bars of N symbols over T sessions; the arrays are read-only.

    Parameters
    ----------
    sessions : (T,) ``datetime64[D]``, strictly increasing: the union of the dates in the data.
    symbols : N distinct names, in the order of the columns.
    open, high, low, close : (T, N) prices in account currency; NaN where the bar is missing, > 0 elsewhere.
    volume : (T, N) shares; NaN where missing or unknown.
    split, dividend : (T, N) new shares for an old one, and cash a (new) share, from the session's open on, for
        those who held at the close before; 1 and 0, or NaN, where nothing happens. Both None when prices are
        adjusted for them.
    closes_only : True when the source has closes alone, so that open = high = low = close.
    source : where the bars came from, for messages and reports.
    member : (T, N) True where a decision at the session's close may hold the symbol, because it belongs to the
        universe then; a decision is shown the bars of members alone, and the others are sold. None: always.

    Raises
    ------
    DataError
        When shapes disagree, sessions do not increase, symbols repeat, or a price breaks a rule.
    """

    sessions: SessionArray
    symbols: tuple[str, ...]
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    closes_only: bool = False
    source: str = field(default="panel")
    split: FloatArray | None = None
    dividend: FloatArray | None = None
    member: BoolArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbols", tuple(self.symbols))
        object.__setattr__(self, "sessions", _frozen(self.sessions, "datetime64[D]"))
        for name in FIELDS:
            object.__setattr__(self, name, _frozen(getattr(self, name), "float64"))
        if self.split is not None or self.dividend is not None:
            for name, nothing in zip(ACTIONS, (1.0, 0.0), strict=True):
                values = getattr(self, name)
                filled = (
                    np.full(self.close.shape, nothing)
                    if values is None
                    else np.where(np.isnan(values), nothing, values)
                )
                object.__setattr__(self, name, _frozen(filled, "float64"))
        if self.member is not None:
            object.__setattr__(self, "member", _frozen(self.member, "bool"))
        self._check()

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def n_symbols(self) -> int:
        """N, the number of symbols."""
        return len(self.symbols)

    @cached_property
    def missing(self) -> BoolArray:
        """(T, N) True where a symbol has no bar."""
        return _frozen(np.isnan(self.close), "bool")

    @cached_property
    def has_bar(self) -> BoolArray:
        """(T, N) True where a symbol has a bar."""
        return _frozen(~self.missing, "bool")

    @cached_property
    def investable(self) -> BoolArray:
        """(T, N) True where a symbol has a bar and a decision may hold it."""
        return self.has_bar if self.member is None else _frozen(self.has_bar & self.member, "bool")

    @property
    def has_actions(self) -> bool:
        """True when prices are raw, and splits and dividends stand beside them."""
        return self.split is not None

    @cached_property
    def growth(self) -> FloatArray | None:
        """(T, N) what one old share became at each close, in new shares: split * (1 + dividend / close).

        A holding's simple return is close[t] * growth[t] / close[t - 1] - 1 (the definition of the Center for
        Research in Security Prices). None when prices are adjusted; 1 where there is no bar.
        """
        if self.split is None or self.dividend is None:
            return None
        return _frozen(self.split * (1.0 + np.nan_to_num(self.dividend / self.close, nan=0.0)), "float64")

    @cached_property
    def content_hash(self) -> str:
        """sha256 of sessions, symbols, bars and memberships: the same however the file was written."""
        digest = hashlib.sha256("\x1f".join(self.symbols).encode())
        digest.update(self.sessions.astype("int64").tobytes())
        for name in self._arrays:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()

    def rows(self, start: int, stop: int) -> MarketPanel:
        """Return the sessions ``start:stop`` (row numbers, as a slice) as a panel of its own."""
        return self._part(slice(start, stop), list(range(self.n_symbols)))

    def select(self, symbols: Sequence[str]) -> MarketPanel:
        """Return the panel of ``symbols`` in that order; sessions on which none of them has a bar go.

        Raises
        ------
        DataError
            When a symbol is not in the panel, or named twice.
        """
        unknown = [symbol for symbol in symbols if symbol not in self.symbols]
        if unknown:
            raise DataError(
                f"{self.source}: no bars for {', '.join(unknown)}; the data has {', '.join(self.symbols[:20])}"
                f"{' ...' if self.n_symbols > 20 else ''}"
            )
        columns = [self.symbols.index(symbol) for symbol in symbols]
        kept: BoolArray = np.asarray(self.has_bar[:, columns].any(axis=1))
        return self._part(kept, columns)

    def window(self, start: np.datetime64 | None, end: np.datetime64 | None) -> Window:
        """Return the rows of the sessions inside [start, end], clipped to the data.

        Raises
        ------
        InputError
            When no session lies inside.
        """
        first = 0 if start is None else int(np.searchsorted(self.sessions, start, side="left"))
        last = len(self) - 1 if end is None else int(np.searchsorted(self.sessions, end, side="right")) - 1
        if first > last:
            raise InputError(
                f"no session between {start or 'the first'} and {end or 'the last'} in {self.source}, "
                f"which has {self.sessions[0]} to {self.sessions[-1]}: choose dates inside"
            )
        return Window(first, last)

    def _part(self, rows: slice | BoolArray, columns: list[int]) -> MarketPanel:
        part = {name: getattr(self, name)[rows][:, columns] for name in self._arrays}
        symbols = tuple(self.symbols[i] for i in columns)
        return MarketPanel(self.sessions[rows], symbols, closes_only=self.closes_only, source=self.source, **part)

    @property
    def _arrays(self) -> tuple[str, ...]:
        """Names of the (T, N) arrays that it has."""
        return (*FIELDS, *(ACTIONS if self.has_actions else ()), *(() if self.member is None else ("member",)))

    def _check(self) -> None:
        shape = (len(self.sessions), len(self.symbols))
        if 0 in shape:
            raise DataError(f"{self.source}: no bars (sessions x symbols is {shape[0]} x {shape[1]})")
        for name in self._arrays:
            if getattr(self, name).shape != shape:
                raise DataError(f"{self.source}: {name} has shape {getattr(self, name).shape}, expected {shape}")
        if np.isnat(self.sessions).any() or not (np.diff(self.sessions.astype("int64")) > 0).all():
            raise DataError(f"{self.source}: sessions must increase strictly")
        if len(set(self.symbols)) != shape[1]:
            raise DataError(f"{self.source}: a symbol is named twice")
        self._check_prices()

    def _check_prices(self) -> None:
        has_bar = ~np.isnan(self.close)
        for name in FIELDS[:4]:
            values = getattr(self, name)
            self._refuse(
                np.isnan(values) == has_bar,
                name,
                "must be a number where the bar has a close, and NaN elsewhere",
            )
            self._refuse(has_bar & ~((values > 0) & np.isfinite(values)), name, "must be positive and finite")
        with np.errstate(invalid="ignore"):
            self._refuse(self.high < np.maximum(self.open, self.close), "high", "must not be below open or close")
            self._refuse(self.low > np.minimum(self.open, self.close), "low", "must not be above open or close")
            self._refuse((self.volume < 0) | np.isinf(self.volume), "volume", "must be finite and not negative")

        if self.split is not None and self.dividend is not None:
            self._refuse(~((self.split > 0) & np.isfinite(self.split)), "split", "must be positive and finite")
            self._refuse(
                ~((self.dividend >= 0) & np.isfinite(self.dividend)), "dividend", "must be finite and not negative"
            )
            for name, nothing in zip(ACTIONS, (1.0, 0.0), strict=True):
                self._refuse((getattr(self, name) != nothing) & ~has_bar, name, "needs a bar in its session")

    def _refuse(self, broken: BoolArray, name: str, rule: str) -> None:
        if broken.any():
            t, i = (int(axis[0]) for axis in np.nonzero(broken))
            value = getattr(self, name)[t, i]
            raise DataError(f"{self.source}: {self.symbols[i]} on {self.sessions[t]}: {name} {rule}, was {value}")


def _frozen(values: object, dtype: str) -> np.ndarray[Any, Any]:
    array = np.array(values, dtype=dtype, order="C")
    array.flags.writeable = False
    return array
