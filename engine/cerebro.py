"""Runs a strategy in backtrader's Cerebro; feed, broker and strategy are handed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import backtrader as bt


def run_cerebro(
    strategy: type[bt.Strategy],
    params: Mapping[str, Any],
    feed: bt.feed.DataBase,
    broker: bt.BrokerBase,
    analyzers: Mapping[str, type[bt.Analyzer]] | None = None,
) -> bt.Strategy:
    """Run ``strategy`` over ``feed`` against ``broker`` and return the strategy object after its last session.

    Parameters
    ----------
    params : the strategy's parameters.
    analyzers : backtrader analyzers to attach, by name.
    """
    cerebro = bt.Cerebro(stdstats=False, maxcpus=1)
    cerebro.broker = broker
    cerebro.adddata(feed)
    cerebro.addstrategy(strategy, **params)
    for name, analyzer in (analyzers or {}).items():
        cerebro.addanalyzer(analyzer, _name=name)
    return cerebro.run()[0]
