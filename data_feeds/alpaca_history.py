"""Alpaca's daily bars for a store: the same requests and checks as for a decision, without its demand for all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from data_feeds.alpaca import AlpacaBars
from data_feeds.alpaca_actions import actions_of, with_actions
from data_feeds.bars import Bar
from data_feeds.store import ADJUSTED, History, Row
from engine.errors import TemporaryError


class AlpacaHistory:
    """A source of bars, adjusted for splits and dividends or raw with both beside them.

    Parameters
    ----------
    bars : asks Alpaca.
    raw : prices as they were traded.
    """

    rows_a_request = 10_000

    def __init__(self, bars: AlpacaBars, raw: bool = False) -> None:
        self._bars = bars
        self.adjustment = "raw" if raw else ADJUSTED
        kind = bars.kind(())
        self.identity: Mapping[str, str] = {"name": "alpaca", "feed": kind.feed, "host": kind.host}

    def fetch(self, symbols: Sequence[str], first: date, last: date) -> dict[str, History]:
        """Return the bars from ``first`` to ``last`` of those symbols that have some.

        Raises
        ------
        TemporaryError, TradingStopped
            As `AlpacaBars.fetch` does; the former also when a high is below the close, or the like.
        """
        found: dict[str, History] = {}
        for (symbol, day), bar in self._bars.fetch(self._bars.kind(symbols, self.adjustment), first, last).items():
            _check(symbol, day, bar)
            found.setdefault(symbol, {})[day] = Row(*bar)
        if self.adjustment == ADJUSTED or not found:
            return found
        actions = actions_of(self._bars, sorted(found), first, last)
        return {symbol: with_actions(history, actions.get(symbol, {})) for symbol, history in found.items()}


def _check(symbol: str, day: date, bar: Bar) -> None:
    if bar.high < max(bar.open, bar.close) or bar.low > min(bar.open, bar.close):
        prices = "/".join(f"{price:g}" for price in bar[:4])
        raise TemporaryError(f"bars: {symbol} on {day}: open and close must lie between low and high, were {prices}")
