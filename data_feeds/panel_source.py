"""Bars for the decisions of paper trading, out of a panel that grows from day to day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np

from engine.errors import InputError, TemporaryError
from engine.panel import MarketPanel


class PanelBars:
    """A source of bars for decisions.

    Parameters
    ----------
    provider : returns the panel as it is now; called for every decision, since files are added to.
    """

    def __init__(self, provider: Callable[[], MarketPanel]) -> None:
        self._provider = provider
        self._whole: MarketPanel | None = None
        self._selected: MarketPanel | None = None

    def panel(self, symbols: Sequence[str], last: date, lookback_bars: int) -> MarketPanel:
        """Return the bars of ``symbols``, in that order, of the ``lookback_bars`` sessions that end with ``last``.

        Sessions are those in which one of the symbols has a bar, as in a file of these symbols alone; where
        history is shorter, all of it comes back. Nothing after ``last`` does.

        Raises
        ------
        TemporaryError
            When ``last`` is not in the data.
        DataError
            When the data has no bars at all of a symbol.
        InputError
            When ``lookback_bars`` is not positive.
        """
        if lookback_bars < 1:
            raise InputError(f"lookback_bars must be at least 1, was {lookback_bars}")
        panel = self._select(self._provider(), tuple(symbols))
        session = np.datetime64(last, "D")
        stop = int(np.searchsorted(panel.sessions, session, side="right"))
        if stop == 0 or panel.sessions[stop - 1] != session:
            raise TemporaryError(_stale(panel, session))
        return panel.rows(max(0, stop - lookback_bars), stop)

    def _select(self, whole: MarketPanel, symbols: tuple[str, ...]) -> MarketPanel:
        """Return the panel of symbols; that of the last time where all is the same, since it may be a long one."""
        if self._selected is None or self._whole is not whole or self._selected.symbols != symbols:
            self._whole, self._selected = whole, whole.select(symbols)
        return self._selected


def _stale(panel: MarketPanel, session: np.datetime64) -> str:
    newest = panel.sessions[-1]
    if newest < session:
        return f"{panel.source}: no bars of {session} yet, the newest are of {newest}: add those since, and try again"
    return f"{panel.source}: no bars of {session}, though there are later ones up to {newest}: add them, and try again"
