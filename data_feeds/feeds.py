"""A MarketPanel as backtrader feeds: one feed per symbol, or one clock for the whole panel."""

from __future__ import annotations

import math
from array import array
from typing import Any

import backtrader as bt
import numpy as np

from engine.arrays import FloatArray, SessionArray
from engine.errors import InputError
from engine.panel import FIELDS, MarketPanel

EPOCH_ORDINAL = 719_163  # date(1970, 1, 1).toordinal(): backtrader counts days from 0001-01-01
_NO_DATE = 1.0  # 0001-01-01: NaN would be an error in backtrader's conversions


class _BufferFeed(bt.feed.DataBase):
    """A feed whose bars are whole columns; lines without a column stay NaN."""

    def columns(self) -> dict[str, FloatArray]:
        """Return line name to values (T,), ``datetime`` among them."""
        raise NotImplementedError

    def start(self) -> None:
        super().start()
        self._next_bar = 0
        self._buffers = {name: array("d", values.tobytes()) for name, values in self.columns().items()}

    def preload(self) -> None:
        if self._filters or self._tzinput or self.p.fromdate is not None or self.p.todate is not None:
            super().preload()  # bar by bar through _load, where backtrader applies these
            return
        n_bars = len(self._buffers["datetime"])
        empty = array("d", [math.nan]) * n_bars
        for line_name in self.getlinealiases():
            line = getattr(self.lines, line_name)
            # Cerebro has already extended the line by its lookahead; that room belongs behind the bars. One more,
            # because before the first bar backtrader reads the last place: it would show the last bar of all.
            line.extension += 1
            nothing = _NO_DATE if line_name == "datetime" else math.nan
            line.array = self._buffers.get(line_name, empty) + array("d", [nothing]) * line.extension
        self._next_bar = n_bars
        self.home()

    def stop(self) -> None:
        super().stop()
        self._buffers = {}

    def _load(self) -> bool:
        row = self._next_bar
        if row >= len(self._buffers["datetime"]):
            return False
        for name, values in self._buffers.items():
            getattr(self.lines, name)[0] = values[row]
        self._next_bar = row + 1
        return True


class ArrayFeed(_BufferFeed):
    """The bars of one symbol of a panel as an ordinary daily feed.

    Sessions on which the symbol has no bar are absent. backtrader has no word for an unknown volume: it
    becomes 0. Open interest is NaN. Bars are dated at midnight of their session. Before the symbol's first bar its
    lines read NaN, and its date the year 1.

    Parameters
    ----------
    panel : the bars.
    column : number of the symbol in the panel.
    """

    params = (("panel", None), ("column", 0))

    def columns(self) -> dict[str, FloatArray]:
        panel, column = self.p.panel, self.p.column
        has_bar = panel.has_bar[:, column]
        bars = {name: getattr(panel, name)[has_bar, column] for name in FIELDS}
        bars["volume"] = np.nan_to_num(bars["volume"], nan=0.0)
        return {**bars, "datetime": _numbers(panel.sessions[has_bar])}


class PanelFeed(_BufferFeed):
    """One clock for a whole panel: a bar per session, dated at its midnight, all other lines NaN.

    A strategy reads the bars themselves from ``panel`` at ``row``, so that cost does not grow with the
    number of feeds.

    Parameters
    ----------
    panel : the bars.
    first, last : row numbers of the first and the last session to deliver; all sessions by default.

    Raises
    ------
    InputError
        When the rows are not 0 <= first <= last < T.
    """

    params = (("panel", None), ("first", 0), ("last", None))

    def __init__(self) -> None:
        super().__init__()
        size = len(self.p.panel)
        self._last_row = size - 1 if self.p.last is None else int(self.p.last)
        if not 0 <= self.p.first <= self._last_row < size:
            raise InputError(
                f"rows must satisfy 0 <= first <= last < {size}, were first {self.p.first} and last {self._last_row}"
            )

    @property
    def panel(self) -> MarketPanel:
        """The panel that this feed is the clock of."""
        panel: MarketPanel = self.p.panel
        return panel

    @property
    def first_row(self) -> int:
        """Row number in the panel of the first bar."""
        return int(self.p.first)

    @property
    def last_row(self) -> int:
        """Row number in the panel of the last bar."""
        return self._last_row

    @property
    def row(self) -> int:
        """Row number in the panel of the current bar."""
        return int(self.p.first) + len(self) - 1

    def columns(self) -> dict[str, FloatArray]:
        return {"datetime": _numbers(self.panel.sessions[self.p.first : self._last_row + 1])}


def panel_feeds(panel: MarketPanel, allow_empty: bool = False) -> list[Any]:
    """Return one :class:`ArrayFeed` per symbol, named after it, in the panel's order.

    backtrader calls a strategy's ``next`` when every feed has had its first bar, and ``prenext`` before: a strategy
    on symbols of which some start late writes ``def prenext(self): self.next()`` and asks ``len(data)``.

    Parameters
    ----------
    allow_empty : take a symbol without any bar as one that starts later.

    Raises
    ------
    InputError
        When a symbol has no bar at all, unless allowed: backtrader would never call ``next``.
    """
    empty = [name for column, name in enumerate(panel.symbols) if not panel.has_bar[:, column].any()]
    if empty and not allow_empty:
        raise InputError(f"{panel.source}: no bars for {', '.join(empty)}: select the other symbols first")
    return [ArrayFeed(panel=panel, column=column, name=name) for column, name in enumerate(panel.symbols)]


def clock_feed(panel: MarketPanel, first: int, last: int) -> PanelFeed:
    """Return the clock of the rows ``first`` to ``last`` of a panel.

    Raises
    ------
    InputError
        When the rows are not inside the panel.
    """
    make: Any = PanelFeed  # backtrader's metaclass turns keywords into parameters, which no type checker sees
    feed: PanelFeed = make(panel=panel, first=first, last=last)
    return feed


def _numbers(sessions: SessionArray) -> FloatArray:
    return sessions.astype("int64").astype("float64") + EPOCH_ORDINAL
