"""What a backtrader strategy meets in the simulated broker, beyond the fills that parity tests cover."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np
import pytest
from panels import panel_of

from brokers.simulated import SimulatedBroker
from data_feeds.feeds import clock_feed, panel_feeds
from engine.account import Account
from engine.cerebro import run_cerebro
from engine.errors import InputError
from engine.panel import MarketPanel
from engine.rebalancer import Terms
from strategies.analyzers import RiskAnalyzer
from strategies.baselines import EqualWeight
from strategies.mars import MarsStrategy
from strategies.portfolio import PortfolioStrategy

PANEL = panel_of(np.array([[10.0, 20.0], [11.0, 20.0], [12.0, 20.0]]))


def broker_of(panel: MarketPanel) -> tuple[SimulatedBroker, Any]:
    feed = clock_feed(panel, 0, len(panel) - 1)
    return SimulatedBroker(Account(panel, 0, len(panel) - 1, Terms(cash=1000.0)), feed), feed


def test_positions_are_known_by_the_symbol_a_feed_is_named_after() -> None:
    broker, feed = broker_of(PANEL)
    run_cerebro(PortfolioStrategy, {"policy": EqualWeight(), "terms": Terms(cash=1000.0)}, feed, broker)
    held = [broker.getposition(feed_of_symbol).size for feed_of_symbol in panel_feeds(PANEL)]
    # 1,000 at the first close: floor(500 / 10) and floor(500 / 20) wanted. At 11 and 20 they cost 1,051.05 with
    # the fee, so both are multiplied by 1000 / 1051.05 and floored: 47 and 23. At the second close floor(498 / 11)
    # and floor(498 / 20) of what is then 996.9 in all.
    assert held == [45.0, 24.0]
    assert broker.getposition(feed).size == 0
    assert broker.getvalue() == pytest.approx(broker.getcash() + 45 * 12 + 24 * 20)


def test_single_orders_are_refused_with_what_to_do_instead() -> None:
    class Impatient(bt.Strategy):
        def next(self) -> None:
            self.buy(size=1)

    broker, feed = broker_of(PANEL)
    with pytest.raises(InputError, match="takes one basket of target weights per session"):
        run_cerebro(Impatient, {}, feed, broker)


def test_the_analyzer_sees_the_equity_that_the_account_records() -> None:
    broker, feed = broker_of(PANEL)
    parameters = {"policy": EqualWeight(), "terms": Terms(cash=1000.0)}
    strategy = run_cerebro(PortfolioStrategy, parameters, feed, broker, {"risk": RiskAnalyzer})
    measured, recorded = strategy.analyzers.risk.get_analysis(), broker.result().metrics()
    assert {name: recorded[name] for name in measured if name != "series"} == {
        name: value for name, value in measured.items() if name != "series"
    }


def test_a_mars_strategy_without_an_ensemble_is_refused() -> None:
    broker, feed = broker_of(PANEL)
    with pytest.raises(InputError, match="needs a policy of trained agents, was given EqualWeight"):
        run_cerebro(MarsStrategy, {"policy": EqualWeight()}, feed, broker)


def test_a_strategy_on_other_terms_than_the_account_is_refused() -> None:
    broker, feed = broker_of(PANEL)
    with pytest.raises(InputError, match=r"the strategy trades on .*cash=5\.0.*the account on .*cash=1000\.0"):
        run_cerebro(PortfolioStrategy, {"policy": EqualWeight(), "terms": Terms(cash=5.0)}, feed, broker)


def test_analyzers_of_backtrader_that_ask_for_values_run() -> None:
    broker, feed = broker_of(PANEL)
    parameters = {"policy": EqualWeight(), "terms": Terms(cash=1000.0)}
    strategy = run_cerebro(PortfolioStrategy, parameters, feed, broker, {"values": bt.analyzers.PositionsValue})
    assert len(strategy.analyzers.values.get_analysis()) == 3
    assert broker.getvalue([feed]) == 0.0
    assert broker.getvalue(panel_feeds(PANEL)) == 45 * 12 + 24 * 20
    assert broker.get_cash() + broker.getvalue(panel_feeds(PANEL)) == pytest.approx(broker.get_value())
