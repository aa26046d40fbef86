"""Strategies written for backtrader alone get the same fills on our feeds and broker as on its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ordinary import RandomOrders, assert_books_balance, assert_same, run_ours, run_theirs, same_close
from panels import SEEDS, random_panel

from engine.costs import Costs
from engine.rebalancer import Terms


class Crossover(bt.Strategy):
    """The example of backtrader's manual: one order at a time, market orders on a crossing of two averages."""

    params = (("fast", 3), ("slow", 8))

    def __init__(self) -> None:
        self.order = None
        self.crossing = bt.ind.CrossOver(bt.ind.SMA(period=self.p.fast), bt.ind.SMA(period=self.p.slow))

    def notify_order(self, order: bt.Order) -> None:
        if order.status not in (order.Submitted, order.Accepted):
            self.order = None

    def next(self) -> None:
        if self.order:
            return
        if not self.position and self.crossing > 0:
            self.order = self.buy(size=100)
        elif self.position and self.crossing < 0:
            self.order = self.close()


class LimitEntryStopExit(bt.Strategy):
    """Buys dips with a limit good for five days; a stop protects what it holds, a trailing stop every other time."""

    def __init__(self) -> None:
        self.low = bt.ind.Lowest(self.data.low, period=5)
        self.entry = self.exit = None
        self.bought = 0

    def notify_order(self, order: bt.Order) -> None:
        if order.status == order.Completed and order.isbuy():
            self.bought += 1
            if self.bought % 2:
                self.exit = self.sell(size=50, exectype=bt.Order.Stop, price=order.executed.price * 0.97)
            else:
                self.exit = self.sell(size=50, exectype=bt.Order.StopTrail, trailpercent=0.04)
        if order is not None and not order.alive():
            self.entry = None if self.entry is not None and order.ref == self.entry.ref else self.entry

    def next(self) -> None:
        if not self.position and self.entry is None:
            price, days = self.low[0] * 1.01, timedelta(days=5)
            self.entry = self.buy(size=50, exectype=bt.Order.Limit, price=price, valid=days)


class Brackets(bt.Strategy):
    """Brackets on both sides; children by limit and stop."""

    def next(self) -> None:
        if self.position or self.broker.get_orders_open():
            return
        price = self.data.close[0]
        if len(self) % 3:
            self.buy_bracket(size=30, price=price * 0.995, stopprice=price * 0.97, limitprice=price * 1.03)
        else:
            self.sell_bracket(size=30, exectype=bt.Order.Market, stopprice=price * 1.03, limitprice=price * 0.97)


class TargetPercent(bt.Strategy):
    """Ranks several symbols by momentum and moves each to a percentage, sells first."""

    def __init__(self) -> None:
        self.momentum = {data: bt.ind.ROC(data.close, period=4) for data in self.datas}

    def next(self) -> None:
        if len(self) % 5:
            return
        ranked = sorted(self.datas, key=lambda data: self.momentum[data][0])
        for rank, data in enumerate(ranked):
            self.order_target_percent(data, target=0.9 * rank / sum(range(len(ranked))))


class LongShort(bt.Strategy):
    """Turns each position over, from long to short and back, through order_target_size and order_target_value."""

    def next(self) -> None:
        for number, data in enumerate(self.datas):
            if (len(self) + number) % 4 == 0:
                self.order_target_size(data, target=40 if data.close[0] > data.open[0] else -40)
            elif (len(self) + number) % 7 == 0:
                self.order_target_value(data, target=-2_000.0)


class OtherKinds(bt.Strategy):
    """Market on close, stop limits, one-cancels-other, and a sizer, on symbols by name."""

    def __init__(self) -> None:
        self.setsizer(bt.sizers.PercentSizer(percents=10))

    def next(self) -> None:
        first, last = self.getdatabyname("S0"), self.dnames["S2"]
        price = first.close[0]
        if len(self) % 6 == 1:
            self.buy(data=first, exectype=bt.Order.Close)
            self.sell(data="S2", exectype=bt.Order.StopLimit, price=last.close[0] * 0.99, plimit=last.close[0] * 0.985)
        if len(self) % 6 == 3:
            above = self.sell(data=first, size=20, exectype=bt.Order.Limit, price=price * 1.02)
            self.sell(data=first, size=20, exectype=bt.Order.Stop, price=price * 0.98, oco=above)
        if len(self) % 11 == 0:
            for data in self.datas:
                self.close(data)


FAMILY = (Crossover, LimitEntryStopExit, Brackets, TargetPercent, LongShort, OtherKinds, RandomOrders)
ONE_SYMBOL = (LimitEntryStopExit, Brackets)


@pytest.mark.parametrize("cash", [100_000.0, 3_000.0], ids=["rich", "poor"])
@pytest.mark.parametrize("strategy", FAMILY)
@settings(max_examples=8)
@given(seed=SEEDS, cents=st.booleans())
def test_a_strategy_gets_the_fills_of_backtraders_own_broker(
    strategy: type[bt.Strategy], cash: float, seed: int, cents: bool
) -> None:
    panel = random_panel(seed, 60, 1 if strategy in ONE_SYMBOL else 3, holes=0.0, cents=cents)
    terms = Terms(cash, Costs(10))
    ours = run_ours(strategy, panel, terms)
    assert_same(ours, run_theirs(strategy, panel, terms))
    assert_books_balance(ours.result)


@pytest.mark.parametrize("strategy", FAMILY)
def test_these_strategies_do_trade(strategy: type[bt.Strategy]) -> None:
    ours = run_ours(strategy, random_panel(3, 60, 1 if strategy in ONE_SYMBOL else 3, holes=0.0))
    assert len(ours.result.trades) > 3


@settings(max_examples=60)
@given(seed=SEEDS, cash=st.sampled_from([2_000.0, 20_000.0, 1e6]))
def test_random_orders_of_all_kinds_get_the_same_fills(seed: int, cash: float) -> None:
    panel, terms = random_panel(seed, 40, 3, holes=0.0), Terms(cash, Costs(10))
    ours = run_ours(RandomOrders, panel, terms, seed=seed)
    assert_same(ours, run_theirs(RandomOrders, panel, terms, seed=seed))
    assert_books_balance(ours.result)


@settings(max_examples=40)
@given(seed=SEEDS, holes=st.sampled_from([0.1, 0.4]))
def test_market_orders_get_the_same_fills_when_symbols_start_late_pause_and_end(seed: int, holes: float) -> None:
    panel = random_panel(seed, 40, 3, holes)
    ours = run_ours(RandomOrders, panel, seed=seed, kinds=(0,))
    assert_same_but_for_empty_sessions(ours, run_theirs(RandomOrders, panel, seed=seed, kinds=(0,)))
    assert_books_balance(ours.result)


@settings(max_examples=40)
@given(seed=SEEDS)
def test_orders_that_fill_at_the_close_they_were_placed_at_get_the_same_fills(seed: int) -> None:
    # Enough cash, and no groups: what happens at a close comes before what happens later, in another order than there.
    panel, terms = random_panel(seed, 40, 3, holes=0.0), same_close(Terms(1e9, Costs(10)))
    kinds = (0, 0, 0, 1, 2, 3, 4, 5, 8, 9)
    ours = run_ours(RandomOrders, panel, terms, seed=seed, kinds=kinds)
    theirs = run_theirs(RandomOrders, panel, terms, seed=seed, kinds=kinds)
    pairs = [sorted(run.analyzers.diary.orders) for run in (ours.strategy, theirs)]
    assert [row[:4] for row in pairs[0]] == [row[:4] for row in pairs[1]]
    np.testing.assert_allclose([row[4:6] for row in pairs[0]], [row[4:6] for row in pairs[1]], rtol=1e-9)
    assert ours.result.equity[-1] == pytest.approx(theirs.broker.getvalue(), rel=1e-9)
    assert_books_balance(ours.result)


@settings(max_examples=40)
@given(seed=SEEDS)
def test_slippage_in_basis_points_is_backtraders_for_orders_without_a_limit(seed: int) -> None:
    panel, terms = random_panel(seed, 40, 3, holes=0.0), Terms(1e6, Costs(10, 25))
    kinds = (0, 0, 3, 5)
    ours = run_ours(RandomOrders, panel, terms, seed=seed, kinds=kinds)
    assert_same(ours, run_theirs(RandomOrders, panel, terms, slippage=0.0025, seed=seed, kinds=kinds))
    assert ours.result.trades.fills["slippage"].sum() > 0


def assert_same_but_for_empty_sessions(ours: Any, theirs: bt.Strategy) -> None:
    """Cerebro knows no session without a bar; our record has a row for it."""
    assert_same(ours, theirs)
    ticks = np.flatnonzero(ours.account.panel.has_bar.any(axis=1))
    values = np.array(ours.strategy.analyzers.diary.values)
    np.testing.assert_array_equal(ours.result.cash[ticks], values[:, 0])
    np.testing.assert_array_equal(ours.result.equity[ticks], values[:, 1])
    assert not np.isnan(ours.result.equity).any()
