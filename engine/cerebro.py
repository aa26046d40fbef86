"""Runs a strategy in backtrader's Cerebro; feeds, broker and strategy are handed in."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import backtrader as bt

from engine.errors import InputError


def run_cerebro(
    strategy: type[bt.Strategy],
    params: Mapping[str, Any],
    feeds: bt.feed.DataBase | Sequence[bt.feed.DataBase],
    broker: bt.BrokerBase,
    analyzers: Mapping[str, type[bt.Analyzer]] | None = None,
    start: date | None = None,
    in_one_go: bool = True,
) -> bt.Strategy:
    """Run ``strategy`` over the feeds against ``broker`` and return the strategy object after its last session.

    Parameters
    ----------
    params : the strategy's parameters.
    feeds : one, or several in the order in which the strategy knows them.
    analyzers : backtrader analyzers to attach, by name.
    start : for a strategy with indicators of its own, see `starting`; None runs it as it is.
    in_one_go : compute indicators for all bars before the first is acted on, where that can be; else bar by bar.

    Raises
    ------
    InputError
        When the strategy asks to be skipped.
    """
    cerebro = bt.Cerebro(stdstats=False, maxcpus=1, runonce=in_one_go)
    cerebro.broker = broker
    for feed in feeds if isinstance(feeds, Sequence) else (feeds,):
        cerebro.adddata(feed)
    cerebro.addstrategy(strategy if start is None else starting(strategy, start), **params)
    for name, analyzer in (analyzers or {}).items():
        cerebro.addanalyzer(analyzer, _name=name)
    run = cerebro.run()
    if not run:
        raise InputError(f"{strategy.__name__} raised StrategySkipError: with these parameters it does not run")
    return run[0]


def waited_for(strategy: bt.Strategy) -> list[str]:
    """Return the names of feeds that had too few bars for ``next`` to be called, when it was never called."""
    lengths = zip(strategy.datas, strategy._minperiods, strict=True)
    return [data._name for data, period in lengths if len(data) < period]


def ran_in_one_go(strategy: bt.Strategy) -> bool:
    """Return whether indicators were computed for all bars before the first was acted on."""
    return bool(strategy.cerebro._dorunonce)


def starting(strategy: type[bt.Strategy], start: date) -> type[bt.Strategy]:
    """Return the strategy with every bar before the session ``start`` as part of its minimum period.

    Until then neither ``prenext`` nor ``next`` is called and analyzers see nothing, so that what a strategy or an
    analyzer counts begins with the run. ``nextstart`` comes with the first bar on which all indicators are ready.
    Feeds may be shorter than an indicator's period.
    """
    metaclass: Any = type(strategy)
    made: type[bt.Strategy] = metaclass(strategy.__name__, (_Starting, strategy), {"_first_session": start})
    return made


class _Starting:
    """What `starting` adds to a strategy, ahead of it in the order of its bases."""

    _first_session: date
    _first_bar: int | None = None

    def _is_warming_up(self: Any) -> bool:
        return bool(bt.num2date(self.lines.datetime[0]).date() < self._first_session)

    def _start(self: Any) -> None:
        super()._start()  # type: ignore[misc]
        if any(data.buflen() < period for data, period in zip(self.datas, self._minperiods, strict=True)):
            self.cerebro._disable_runonce()  # computed in one go, such an indicator ends in an IndexError

    def reset(self: Any) -> None:
        """Jump over the warm-up; Cerebro calls this once, when it has computed all indicators in one go."""
        super().reset()  # type: ignore[misc]
        start, earlier = bt.date2num(self._first_session), set[float]()
        for data in self.datas:
            days = data.lines.datetime.array[: data.buflen()]
            past = bisect_left(days, start)
            earlier.update(days[:past])
            data.lines.advance(past)
        for indicator in self._lineiterators[self.IndType]:
            indicator.advance(len(indicator._clock) - len(indicator))
        self.forward(size=len(earlier))

    def _getminperstatus(self: Any) -> int:
        status: int = super()._getminperstatus()  # type: ignore[misc]
        if self._is_warming_up():
            status = max(status, 1)
        elif status <= 0 and self._first_bar in (None, len(self)):  # asked more than once a bar
            self._first_bar, status = len(self), 0
        self._minperstatus = status
        return status

    def prenext(self: Any) -> None:
        if not self._is_warming_up():
            super().prenext()  # type: ignore[misc]

    def _next_analyzers(self: Any, minperstatus: int, once: bool = False) -> None:
        if not self._is_warming_up():
            super()._next_analyzers(minperstatus, once)  # type: ignore[misc]
