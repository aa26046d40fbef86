"""The workloads, and the ways to run them that are measured against each other.

W1 is 50 symbols x 1,760 sessions and W2 500 x 1,260, both rebalanced daily to given weights in whole shares at 10 basis
points. Each way returns the number of fills and the final equity, which must be the same for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import backtrader as bt
import numpy as np

from data_feeds.feeds import panel_feeds
from engine.arrays import FloatArray
from engine.observation import Observation
from engine.panel import MarketPanel
from engine.policy import Decision
from engine.rebalancer import Schedule, Terms
from engine.result import Result
from marsfolio.plans import Plan
from strategies.portfolio import PortfolioStrategy
from strategies.weights_file import WeightsPolicy

FEE = 0.001
INVESTED = 0.95  # of equity: a gap up overnight never makes the buys cost more than the cash
WORKLOADS = {"W1": (50, 1760), "W2": (500, 1260)}


class Outcome(NamedTuple):
    """What a run ends with."""

    fills: int
    equity: float


@dataclass(frozen=True)
class Workload:
    """Bars, the weights to trade them to, and the initial cash."""

    panel: MarketPanel
    weights: FloatArray
    cash: float

    def plan(self, strategy: type[PortfolioStrategy] = PortfolioStrategy) -> Plan:
        """Return the backtest."""
        panel, weights = self.panel, self.weights
        return Plan(
            panel,
            lambda: WeightsPolicy(panel.sessions, weights),
            strategy,
            Terms(self.cash),
            0,
            len(panel) - 1,
            Schedule.DAILY,
            weights,
        )


def generated(n_symbols: int, n_sessions: int, seed: int = 0) -> Workload:
    """Return random walks without gaps, and Dirichlet weights."""
    random = np.random.default_rng(seed)
    shape = (n_sessions, n_symbols)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.01, shape), axis=0))
    open_ = close * np.exp(random.normal(0, 0.003, shape))
    panel = MarketPanel(
        np.datetime64("2010-01-01") + np.arange(n_sessions),
        tuple(f"S{i:04d}" for i in range(n_symbols)),
        open_,
        np.maximum(open_, close),
        np.minimum(open_, close),
        close,
        np.full(shape, 1e6),
    )
    weights = random.standard_gamma(50.0, shape)
    weights *= INVESTED / weights.sum(axis=1, keepdims=True)
    return Workload(panel, weights, 20_000.0 * n_symbols)


class PathDependent(PortfolioStrategy):
    """A decision in Python that depends on the path: half the weights while equity is 10 % below its peak."""

    def __init__(self) -> None:
        super().__init__()
        self._peak = 0.0

    def decide(self, observation: Observation) -> Decision | None:
        """Return the given weights, or half of them."""
        self._peak = max(self._peak, observation.equity)
        decision = super().decide(observation)
        if decision is None or observation.equity > 0.9 * self._peak:
            return decision
        return Decision(0.5 * decision.weights)


def kernel(work: Workload) -> Outcome:
    """Run the compiled loop over known weights; the trade log stays as records."""
    return _outcome(work.plan().run("kernel"))


def cerebro(work: Workload) -> Outcome:
    """Run backtrader's Cerebro with our feed, broker and strategy, and build the trade log's table."""
    return _with_log(work.plan().run("cerebro"))


def cerebro_without_table(work: Workload) -> Outcome:
    """Run the same and leave the trade log as records."""
    return _outcome(work.plan().run("cerebro"))


def path_dependent(work: Workload) -> Outcome:
    """Run `PathDependent` through Cerebro, trade log included; its fills are its own."""
    return _with_log(work.plan(PathDependent).run("cerebro"))


def plain_backtrader(work: Workload) -> Outcome:
    """Run plain backtrader: preloaded array feeds, a market order for each change, sells first."""
    engine = bt.Cerebro(stdstats=False)
    for feed in panel_feeds(work.panel):
        engine.adddata(feed)
    engine.broker.setcash(work.cash)
    engine.broker.setcommission(FEE)
    engine.broker.set_checksubmit(False)
    engine.addstrategy(PlainStrategy, weights=work.weights)
    (strategy,) = engine.run()
    return Outcome(strategy.fills, float(engine.broker.getvalue()))


class PlainStrategy(bt.Strategy):
    """The same rebalance as a backtrader user would write it."""

    params = (("weights", None),)

    def __init__(self) -> None:
        self.fills = 0

    def notify_order(self, order: bt.Order) -> None:
        """Count what has executed: the least of a trade log."""
        if order.status == order.Completed:
            self.fills += 1

    def next(self) -> None:
        """Order the difference to floor(weight * equity / close) of every symbol."""
        equity, row = self.broker.getvalue(), len(self) - 1
        changes = []
        for i, data in enumerate(self.datas):
            wanted = np.floor(self.p.weights[row, i] * equity / data.close[0])
            changes.append((wanted - self.getposition(data).size, data))
        for size, data in sorted(changes, key=lambda change: change[0]):
            if size < 0:
                self.sell(data, size=-size)
            elif size > 0:
                self.buy(data, size=size)


def numpy_loop(work: Workload) -> Outcome:
    """Run a plain numpy loop, a session at a time, that keeps the same trade log: no shrinking, no missing bars."""
    panel, weights = work.panel, work.weights
    n_sessions, n_symbols = panel.close.shape
    cash, quantity, target = work.cash, np.zeros(n_symbols), np.zeros(n_symbols)
    log: list[tuple[FloatArray, ...]] = []
    equity = np.empty(n_sessions)
    for t in range(n_sessions):
        delta = target - quantity
        traded = np.concatenate([np.flatnonzero(delta < 0), np.flatnonzero(delta > 0)])
        size, price = delta[traded], panel.open[t, traded]
        fee = FEE * np.abs(size) * price
        cash_after = cash - np.cumsum(size * price + fee)
        if len(traded):
            cash = float(cash_after[-1])
        quantity = target
        log.append((np.full(len(traded), t), traded, size, price, fee, cash_after, quantity[traded]))
        equity[t] = cash + quantity @ panel.close[t]
        target = np.floor(weights[t] * equity[t] / panel.close[t])
    columns = [np.concatenate(column) for column in zip(*log, strict=True)]
    return Outcome(len(columns[0]), float(equity[-1]))


WAYS: dict[str, Callable[[Workload], Outcome]] = {
    "plain backtrader": plain_backtrader,
    "Cerebro path": cerebro,
    "Cerebro path, path-dependent strategy": path_dependent,
    "numpy loop": numpy_loop,
    "kernel path": kernel,
}


def cpu_seconds(run: Callable[[], Outcome], repeats: int) -> tuple[float, Outcome]:
    """Return the median CPU time of ``repeats`` runs, and the outcome of the last."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        outcome = run()
        times.append(time.process_time() - start)
    return float(np.median(times)), outcome


def _outcome(result: Result) -> Outcome:
    return Outcome(len(result.trades), float(result.equity[-1]))


def _with_log(result: Result) -> Outcome:
    return Outcome(len(result.trades.table()), float(result.equity[-1]))
