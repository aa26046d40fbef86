"""Backtests ready to run: of target weights, and of an ordinary strategy's orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from brokers.orders import OrderBroker
from brokers.simulated import SimulatedBroker
from data_feeds.feeds import clock_feed, panel_feeds
from engine.account import Account
from engine.arrays import FloatArray
from engine.backtest import run_policy, run_weights
from engine.cerebro import ran_in_one_go, run_cerebro, waited_for
from engine.errors import ConfigError
from engine.lookahead import Report, check_lookahead
from engine.observation import Observation
from engine.orders import OrderAccount
from engine.panel import MarketPanel
from engine.policy import Decision, Policy
from engine.rebalancer import Schedule, Terms
from engine.result import Result
from engine.trace import Trace
from strategies.loader import OwnStrategy, blaming
from strategies.portfolio import PortfolioStrategy, watched

ENGINES = ("cerebro", "kernel")


@dataclass(frozen=True)
class Plan:
    """One backtest of target weights, ready to run.

    Attributes
    ----------
    make_policy : returns a fresh policy; one that has run carries state.
    weights : (T, N) the policy's targets where all of them are known beforehand.
    strategy : the backtrader strategy that carries the policy out.
    first, last : rows of the panel.
    params : the strategy's parameters, beside those that every such strategy has.
    own : where policy or strategy come from, when they are the user's.
    """

    panel: MarketPanel
    make_policy: Callable[[], Policy]
    strategy: type[PortfolioStrategy]
    terms: Terms
    first: int
    last: int
    schedule: Schedule = Schedule.DAILY
    weights: FloatArray | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    own: OwnStrategy | None = None

    def run(self, engine: str = "cerebro") -> Result:
        """Run it in backtrader's Cerebro or, with the same fills, in the kernel alone.

        Raises
        ------
        ConfigError
            When the engine is unknown, or the kernel for a strategy with a decision of its own.
        UserCodeError
            When the user's own code raises an exception.
        """
        if engine not in ENGINES:
            raise ConfigError(f"engine must be {' or '.join(ENGINES)}, was {engine!r}")
        with _blaming(self.own):
            return self._run_cerebro() if engine == "cerebro" else self._run_kernel()

    def on(self, panel: MarketPanel, last: int) -> Plan:
        """Return the same backtest on other bars, up to the row ``last``."""
        make_policy = self.make_policy if self.own is None else partial(self.own.make_policy, panel)
        return replace(self, panel=panel, last=last, make_policy=make_policy)

    def trace(self, in_one_go: bool = True) -> Trace:
        """Run it in Cerebro and return what it decided, before limits too, and did."""
        asked = np.full((self.last - self.first + 1, self.panel.n_symbols), np.nan)

        def see(observation: Observation, decision: Decision | None) -> None:
            if decision is not None and np.shape(decision.weights) == asked[0].shape:
                asked[np.searchsorted(self.panel.sessions, observation.session) - self.first] = decision.weights

        result = replace(self, strategy=watched(self.strategy, see)).run()
        return Trace(result, asked, first=self.first)

    def _run_kernel(self) -> Result:
        if self.strategy.decide is not PortfolioStrategy.decide:
            raise ConfigError(
                f"--engine kernel runs policies without backtrader, and {self.strategy.__name__} decides in its own "
                "decide(): use --engine cerebro, or make a policy of it"
            )
        if self.weights is not None and self.schedule is Schedule.DAILY and self.panel.member is None:
            return run_weights(self.weights, self.panel, self.first, self.last, self.terms)
        return run_policy(self.make_policy(), self.panel, self.first, self.last, self.terms, self.schedule)

    def _run_cerebro(self) -> Result:
        feed = clock_feed(self.panel, self.first, self.last)
        broker = SimulatedBroker(Account(self.panel, self.first, self.last, self.terms), feed)
        params = {"policy": self.make_policy(), "terms": self.terms, "schedule": self.schedule, **self.params}
        run_cerebro(self.strategy, params, feed, broker)
        return broker.result()


@dataclass(frozen=True)
class OrderPlan:
    """One backtest of an ordinary backtrader strategy, which places single orders; ready to run.

    Attributes
    ----------
    strategy, params : the strategy and its parameters.
    first, last : rows of the panel.
    own : where the strategy comes from.
    """

    panel: MarketPanel
    strategy: type[Any]
    params: Mapping[str, Any]
    terms: Terms
    first: int
    last: int
    own: OwnStrategy | None = None

    def run(self, engine: str = "cerebro") -> Result:
        """Run it in backtrader's Cerebro.

        Raises
        ------
        ConfigError
            When the engine is another, or the terms have limits.
        UserCodeError
            When the user's own code raises an exception.
        """
        if engine != "cerebro":
            raise ConfigError(
                f"--engine must be cerebro for {self.strategy.__name__}: it is a strategy of single orders, and the "
                f"kernel knows target weights alone; was {engine}"
            )
        account = OrderAccount(self.panel, self.first, self.last, self.terms)
        broker = OrderBroker(account)
        strategy = self._play(broker, panel_feeds(self.panel.rows(0, self.last + 1)))
        result, late = broker.result(), waited_for(strategy)
        if late and not account.placed:
            result = replace(result, notes=(*result.notes, _never_called(late)))
        return result

    def on(self, panel: MarketPanel, last: int) -> OrderPlan:
        """Return the same backtest on other bars, up to the row ``last``."""
        return replace(self, panel=panel, last=last)

    def trace(self, in_one_go: bool = True) -> Trace:
        """Run it, with feeds that go on to the end of the panel, and return what it ordered and did."""
        account = OrderAccount(self.panel, self.first, self.last, self.terms)
        broker = OrderBroker(account)
        strategy = self._play(broker, panel_feeds(self.panel, allow_empty=True), in_one_go)
        return Trace(broker.result(), placed=tuple(account.placed), first=self.first, in_one_go=ran_in_one_go(strategy))

    def _play(self, broker: OrderBroker, feeds: list[Any], in_one_go: bool = True) -> Any:
        start = self.panel.sessions[self.first].item()
        with _blaming(self.own):
            return run_cerebro(self.strategy, self.params, feeds, broker, start=start, in_one_go=in_one_go)


AnyPlan = Plan | OrderPlan


def check_plan(
    plan: AnyPlan, dates: int, seed: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> Report:
    """Run a backtest again on other futures, see `engine.lookahead.check_lookahead`."""

    def run(panel: MarketPanel, last: int, in_one_go: bool = True) -> Trace:
        return plan.on(panel, last).trace(in_one_go)

    return check_lookahead(run, plan.panel, plan.first, plan.last, dates, seed, progress)


def _blaming(own: OwnStrategy | None) -> AbstractContextManager[None]:
    return nullcontext() if own is None else blaming(own.source, own.name.rpartition(":")[2])


def _never_called(late: list[str]) -> str:
    names = ", ".join(late[:5]) + (" ..." if len(late) > 5 else "")
    return (
        f"the strategy's next() was never called: backtrader waits until every symbol has the bars that its "
        f"indicators need, and {names} never had (choose --symbols, or define prenext)"
    )
