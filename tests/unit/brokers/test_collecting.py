"""A paper session decides exactly as a backtest would on the same account, and trades nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from panels import panel_of

from brokers.collecting import CollectingBroker, Snapshot
from data_feeds.feeds import clock_feed, panel_feeds
from engine.cerebro import run_cerebro
from engine.errors import InputError
from engine.rebalancer import Terms
from strategies.baselines import EqualWeight
from strategies.portfolio import PortfolioStrategy

PANEL = panel_of(np.array([[10.0, 20.0], [11.0, 20.0], [12.0, 20.0]]))
LAST = len(PANEL) - 1


def snapshot(**changes: Any) -> Snapshot:
    mark = PANEL.close[LAST]
    held = {"cash": 880.0, "equity": 1000.0, "quantity": np.array([10.0, 0.0]), "mark": mark} | changes
    return Snapshot(PANEL.symbols, **held)


def decided(broker: CollectingBroker) -> CollectingBroker:
    run_cerebro(PortfolioStrategy, {"policy": EqualWeight()}, clock_feed(PANEL, LAST, LAST), broker)
    return broker


def test_the_basket_of_the_last_session_is_kept() -> None:
    basket = decided(CollectingBroker(snapshot())).basket
    assert basket is not None
    assert basket.row == LAST
    # Half of 1,000 at 12 and at 20, floored.
    assert basket.quantity.tolist() == [41.0, 25.0]


def test_a_second_basket_is_refused() -> None:
    broker = decided(CollectingBroker(snapshot()))
    with pytest.raises(InputError, match="second"):
        decided(broker)


def test_the_account_is_answered_from_the_snapshot() -> None:
    broker = CollectingBroker(snapshot())
    broker.check_terms(Terms(cash=5.0))
    feeds = panel_feeds(PANEL)
    assert (broker.getcash(), broker.getvalue(), broker.getvalue([feeds[0]])) == (880.0, 1000.0, 120.0)
    assert [broker.getposition(feed).size for feed in feeds] == [10.0, 0.0]
    assert broker.getposition(clock_feed(PANEL, LAST, LAST)).size == 0


def test_single_orders_are_refused() -> None:
    broker = CollectingBroker(snapshot())
    for method in (broker.buy, broker.sell, broker.cancel):
        with pytest.raises(InputError, match="basket"):
            method()


@pytest.mark.parametrize(
    "changes",
    [{"equity": 0.0}, {"equity": np.nan}, {"cash": np.inf}, {"quantity": np.zeros(3)}, {"mark": np.zeros((2, 1))}],
)
def test_an_account_that_cannot_be_sized_for_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        snapshot(**changes)
