"""Workload W1: 50 symbols x 1,760 sessions, rebalanced daily to given weights, whole shares, 10 basis points.

Runs plain backtrader (one market order per change), our Cerebro path, the kernel and a plain numpy loop in one
process, checks that all end with the same equity, and prints CPU seconds and ratios:

    .venv/bin/python benchmarks/w1.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import backtrader as bt
import numpy as np

from data_feeds.feeds import panel_feeds
from engine.panel import MarketPanel
from engine.rebalancer import Schedule, Terms
from marsfolio.compose import Plan
from strategies.portfolio import PortfolioStrategy
from strategies.weights_file import WeightsPolicy

T, N, CASH, FEE = 1760, 50, 1_000_000.0, 0.001


def generated_panel(seed: int = 0) -> MarketPanel:
    """Return random walks without gaps that a 95 % portfolio could not pay for."""
    random = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.01, (T, N)), axis=0))
    open_ = close * np.exp(random.normal(0, 0.003, (T, N)))
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    sessions = np.datetime64("2018-01-01") + np.arange(T)
    return MarketPanel(sessions, tuple(f"S{i:02d}" for i in range(N)), open_, high, low, close, np.full((T, N), 1e6))


class PlainStrategy(bt.Strategy):
    """The same rebalance as a backtrader user would write it: market orders, sells first."""

    params = (("weights", None),)

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


def plain_backtrader(panel: MarketPanel, weights: np.ndarray) -> float:
    """Run plain backtrader on preloaded feeds and return the final equity."""
    cerebro = bt.Cerebro(stdstats=False)
    for feed in panel_feeds(panel):
        cerebro.adddata(feed)
    cerebro.broker.setcash(CASH)
    cerebro.broker.setcommission(FEE)
    cerebro.broker.set_checksubmit(False)
    cerebro.addstrategy(PlainStrategy, weights=weights)
    cerebro.run()
    return float(cerebro.broker.getvalue())


def numpy_loop(panel: MarketPanel, weights: np.ndarray) -> float:
    """Run a plain numpy loop that keeps its fills and return the final equity."""
    cash, quantity, target, fills = CASH, np.zeros(N), np.zeros(N), []
    for t in range(T):
        delta = target - quantity
        traded = np.flatnonzero(delta)
        paid = delta * panel.open[t]
        cash -= paid.sum() + FEE * np.abs(paid).sum()
        quantity = target
        fills.append((np.full(len(traded), t), traded, delta[traded], panel.open[t, traded]))
        target = np.floor(weights[t] * (cash + quantity @ panel.close[t]) / panel.close[t])
    return float(cash + quantity @ panel.close[-1])


def cpu_seconds(run: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Return the median CPU time of ``repeats`` runs and the last result."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = run()
        times.append(time.process_time() - start)
    return float(np.median(times)), result


def main() -> None:
    """Measure and print."""
    panel = generated_panel()
    weights = 0.95 * np.random.default_rng(1).dirichlet(np.full(N, 50.0), T)
    plan = Plan(
        panel,
        lambda: WeightsPolicy(panel.sessions, weights),
        PortfolioStrategy,
        Terms(CASH),
        0,
        T - 1,
        Schedule.DAILY,
        weights,
    )
    for engine in ("cerebro", "kernel"):
        plan.run(engine)  # compiles
    kernel = cpu_seconds(lambda: float(plan.run("kernel").equity[-1]), 9)
    loop = cpu_seconds(lambda: numpy_loop(panel, weights), 9)
    cerebro = cpu_seconds(lambda: float(plan.run("cerebro").equity[-1]), 5)
    plain = cpu_seconds(lambda: plain_backtrader(panel, weights), 1)
    print(f"{len(plan.run('kernel').trades):,} fills; final equity {kernel[1]:,.2f}")
    for name, (_, equity) in {"numpy loop": loop, "cerebro": cerebro, "plain backtrader": plain}.items():
        if abs(equity / kernel[1] - 1) > 1e-9:
            raise SystemExit(f"{name} ends with {equity}, the kernel with {kernel[1]}")
    print(
        f"plain backtrader {plain[0]:.2f} s; Cerebro path {cerebro[0]:.3f} s, {plain[0] / cerebro[0]:.0f} times faster"
    )
    print(f"numpy loop {loop[0]:.4f} s; kernel {kernel[0]:.4f} s, {loop[0] / kernel[0]:.1f} times faster")


if __name__ == "__main__":
    main()
