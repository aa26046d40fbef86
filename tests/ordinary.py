"""Ordinary backtrader strategies, run on backtrader's own feeds and broker and on ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from panels import market

from brokers.orders import OrderBroker
from data_feeds.feeds import panel_feeds
from engine.cerebro import run_cerebro
from engine.costs import Costs
from engine.ledger import FillTiming, Reason
from engine.orders import OrderAccount
from engine.panel import FIELDS, MarketPanel
from engine.rebalancer import Terms
from engine.result import Result
from strategies.analyzers import RiskAnalyzer

TERMS = Terms(cash=100_000.0, costs=Costs(10))


class Diary(bt.Analyzer):
    """Writes down everything that a strategy is notified of."""

    def __init__(self) -> None:
        self.first_ref: int | None = None
        self.orders: list[tuple[Any, ...]] = []
        self.trades: list[tuple[Any, ...]] = []
        self.values: list[tuple[float, float]] = []

    def notify_order(self, order: bt.Order) -> None:
        self.first_ref = order.ref if self.first_ref is None else self.first_ref
        done = order.executed
        when = bt.num2date(self.strategy.datetime[0]).date()
        self.orders.append(
            (
                *(order.ref - self.first_ref, order.getstatusname(), order.data._name, when.isoformat()),
                *(done.size, done.price, done.comm, done.pnl, done.remsize),
            )
        )

    def notify_trade(self, trade: bt.Trade) -> None:
        self.trades.append((trade.data._name, trade.size, trade.price, trade.pnl, trade.pnlcomm, trade.isclosed))

    def notify_cashvalue(self, cash: float, value: float) -> None:
        self.values.append((cash, value))


class RandomOrders(bt.Strategy):
    """Places orders of every kind, brackets and groups, and cancels some, all drawn from a seed."""

    params = (("seed", 0), ("kinds", tuple(range(10))), ("largest", 400))

    def __init__(self) -> None:
        self.rng = np.random.default_rng(self.p.seed)
        self.open_orders: list[bt.Order] = []

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        for data in self.datas:
            if len(data) and self.rng.random() < 0.5:
                self.place(data, int(self.rng.choice(self.p.kinds)))
        if self.open_orders and self.rng.random() < 0.2:
            self.cancel(self.open_orders.pop(int(self.rng.integers(len(self.open_orders)))))

    def place(self, data: Any, kind: int) -> None:
        price, size = data.close[0], int(self.rng.integers(1, self.p.largest))
        side = self.buy if self.rng.random() < 0.55 else self.sell
        near, far = price * self.rng.uniform(0.97, 1.03), price * self.rng.uniform(0.97, 1.03)
        valid = None if self.rng.random() < 0.5 else timedelta(days=int(self.rng.integers(1, 9)))
        common: dict[str, Any] = {"data": data, "size": size, "valid": valid}
        if kind == 0:
            order = side(data=data, size=size)
        elif kind == 1:
            order = side(**common, exectype=bt.Order.Close)
        elif kind == 2:
            order = side(**common, exectype=bt.Order.Limit, price=near)
        elif kind == 3:
            order = side(**common, exectype=bt.Order.Stop, price=near)
        elif kind == 4:
            order = side(**common, exectype=bt.Order.StopLimit, price=near, plimit=far)
        elif kind == 5:
            order = side(**common, exectype=bt.Order.StopTrail, trailpercent=self.rng.uniform(0.005, 0.05))
        elif kind == 6:
            trail = {"trailamount": price * 0.02, "price": price, "plimit": price * 0.995}
            order = side(**common, exectype=bt.Order.StopTrailLimit, **trail)
        elif kind == 7:
            first = side(**common, exectype=bt.Order.Limit, price=near)
            order = side(**common, exectype=bt.Order.Stop, price=far, oco=first)
        else:
            edges = {"stopprice": price * 0.96, "limitprice": price * 1.04}
            kind_of_entry = bt.Order.Limit if kind == 8 else bt.Order.Market
            order = self.buy_bracket(data=data, size=size, price=near, exectype=kind_of_entry, **edges)[0]
        self.open_orders.append(order)


ANALYZERS: dict[str, type[bt.Analyzer]] = {
    "diary": Diary,
    "trades": bt.analyzers.TradeAnalyzer,
    "drawdown": bt.analyzers.DrawDown,
    "risk": RiskAnalyzer,
}


def pandas_feeds(panel: MarketPanel) -> list[Any]:
    feeds = []
    for column, name in enumerate(panel.symbols):
        has_bar = panel.has_bar[:, column]
        bars = {field: getattr(panel, field)[has_bar, column] for field in FIELDS}
        index = pd.DatetimeIndex(panel.sessions[has_bar].astype("datetime64[ns]"))
        frame = pd.DataFrame(bars, index=index).fillna({"volume": 0.0})
        feeds.append(bt.feeds.PandasData(dataname=frame, name=name))
    return feeds


def run_theirs(
    strategy: type[bt.Strategy], panel: MarketPanel, terms: Terms = TERMS, slippage: float = 0.0, **params: Any
) -> bt.Strategy:
    """Run on backtrader's own feeds and broker; ``slippage`` is a fraction, and prices may leave the bar's range."""
    cerebro = bt.Cerebro(stdstats=False)
    for feed in pandas_feeds(panel):
        cerebro.adddata(feed)
    cerebro.addstrategy(strategy, **params)
    for name, analyzer in ANALYZERS.items():
        cerebro.addanalyzer(analyzer, _name=name)
    cerebro.broker.setcash(terms.cash)
    cerebro.broker.setcommission(commission=terms.costs.commission_bps * 1e-4)
    cerebro.broker.set_coc(terms.timing is FillTiming.SAME_CLOSE)
    if slippage:
        cerebro.broker.set_slippage_perc(slippage, slip_out=True)
    return cerebro.run()[0]


@dataclass(frozen=True)
class Ours:
    strategy: bt.Strategy
    result: Result
    account: OrderAccount


def run_ours(
    strategy: type[bt.Strategy],
    panel: MarketPanel,
    terms: Terms = TERMS,
    first: int = 0,
    last: int | None = None,
    **params: Any,
) -> Ours:
    """Run on our feeds and broker."""
    last = len(panel) - 1 if last is None else last
    account = OrderAccount(panel, first, last, terms)
    broker = OrderBroker(account)
    start = panel.sessions[first].item()
    feeds = panel_feeds(panel.rows(0, last + 1), allow_empty=True)
    run = run_cerebro(strategy, params, feeds, broker, ANALYZERS, start)
    return Ours(run, broker.result(), account)


def same_close(terms: Terms) -> Terms:
    return replace(terms, timing=FillTiming.SAME_CLOSE)


def assert_same(ours: Ours, theirs: bt.Strategy) -> None:
    """Compare what both strategies were notified of, in order, and what analyzers made of it.

    1e-9 relative, and 1e-7 of a currency unit where profits cancel: backtrader books cash in more steps.
    """
    mine, other = ours.strategy.analyzers.diary, theirs.analyzers.diary
    for name in ("orders", "trades", "values"):
        _assert_close(getattr(mine, name), getattr(other, name), name)
    for name in ("trades", "drawdown"):
        pair = [run.analyzers.getbyname(name).get_analysis() for run in (ours.strategy, theirs)]
        _assert_close(*(_flat(analysis) for analysis in pair), name)
    pair = [run.analyzers.risk.get_analysis() for run in (ours.strategy, theirs)]
    series = [analysis.pop("series") for analysis in pair]
    _assert_close(list(pair[0].items()), list(pair[1].items()), "risk")
    for name in ("volatility_30", "drawdown"):
        np.testing.assert_allclose(series[0][name], series[1][name], rtol=1e-7, atol=1e-11)
    assert ours.result.equity[-1] == _near(theirs.broker.getvalue())


def assert_books_balance(result: Result) -> None:
    """Rebuild cash and positions of every session from fills and flows alone."""
    fills, flows = result.trades.fills, result.trades.flows
    cash, held = result.terms.cash, np.zeros(len(result.symbols))
    for t in range(len(result.sessions)):
        for flow in flows[flows["row"] == t]:
            cash += flow["amount"]
            held[flow["symbol"]] += flow["quantity_change"]
        shown = cash
        for fill in fills[fills["row"] == t]:
            cash = cash - fill["quantity"] * fill["price"] - fill["commission"]
            held[fill["symbol"]] += fill["quantity"]
            assert fill["cash_after"] == _near(cash)
            assert fill["position_after"] == _near(held[fill["symbol"]])
            shown = shown if fill["reason"] == Reason.SAME_CLOSE else cash
        assert result.cash[t] == _near(shown)
    np.testing.assert_allclose(held, result.final_quantity, rtol=1e-12, atol=1e-12)


def _near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-7)


def _flat(analysis: Any, above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in analysis.items():
        found += _flat(value, f"{above}{name}.") if hasattr(value, "items") else [(f"{above}{name}", value)]
    return found


def _assert_close(mine: list[Any], other: list[Any], name: str) -> None:
    assert len(mine) == len(other), name
    for left, right in zip(mine, other, strict=True):
        for a, b in zip(left, right, strict=True):
            assert a == (_near(b) if isinstance(b, float) else b), f"{name}: {left} and {right}"


Script = dict[int, Callable[[bt.Strategy], Any]]
FREE = Terms(cash=10_000.0, costs=Costs(0))


class Scripted(bt.Strategy):
    """Does at each close what a script says for that row of the panel."""

    params = (("script", None), ("prepare", None))

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.told: list[tuple[int, str, float]] = []
        self.closed: list[tuple[float, float]] = []
        if self.p.prepare is not None:
            self.p.prepare(self)

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        row = len(self) - 1
        self.rows.append(row)
        self.p.script.get(row, lambda _: None)(self)

    def notify_order(self, order: bt.Order) -> None:
        self.told.append((len(self) - 1, order.getstatusname(), order.executed.size))

    def notify_trade(self, trade: bt.Trade) -> None:
        if trade.isclosed:
            self.closed.append((trade.pnl, trade.pnlcomm))


def play(panel: MarketPanel, script: Script, terms: Terms = FREE, **others: Any) -> Ours:
    ours = run_ours(Scripted, panel, terms, script=script, **others)
    assert_books_balance(ours.result)
    return ours


def fills(ours: Ours) -> list[tuple[int, float, float, float]]:
    """Return row, quantity, price and commission of each fill."""
    names = ["row", "quantity", "price", "commission"]
    return [tuple(round(value, 9) for value in fill) for fill in ours.result.trades.fills[names].tolist()]


def costing(**costs: Any) -> Terms:
    return replace(FREE, costs=Costs(**{"commission_bps": 0.0, **costs}))


def with_actions(
    panel: MarketPanel, split: dict[int, float] | None = None, dividend: dict[int, float] | None = None
) -> MarketPanel:
    """Return the panel as one of raw prices; keys are rows, for its only symbol."""
    ratios, amounts = np.ones_like(panel.close), np.zeros_like(panel.close)
    for row, ratio in (split or {}).items():
        ratios[row] = ratio
    for row, amount in (dividend or {}).items():
        amounts[row] = amount
    return replace(panel, split=ratios, dividend=amounts)


BUY_100: Script = {0: lambda s: s.buy(size=100)}
FLAT = market("A", "10", "10", "10", "10", "10")
