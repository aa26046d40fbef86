"""One decision of the strategy that was backtested: the same object, run in Cerebro over a single session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from brokers.collecting import CollectingBroker, Snapshot
from data_feeds.feeds import clock_feed
from engine.arrays import FloatArray
from engine.cerebro import run_cerebro
from engine.panel import MarketPanel
from engine.policy import Policy
from engine.rebalancer import Schedule, Terms
from live.plan import Plan
from live.records import Ledger


def no_check() -> None:
    """Find nothing wrong: some strategies have no files that could change."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which strategy a paper account runs.

    Attributes
    ----------
    name : what people call it.
    identity : a hash that changes when the strategy does: of the model, of a strategy's file, or its name.
    strategy, params : the backtrader strategy and its further parameters.
    make_policy : returns a fresh policy for a panel.
    symbols : the universe, in the order the policy knows.
    lookback_bars : sessions that a decision reads.
    check : raises `TradingStopped` when the strategy's files are not what they were.
    """

    name: str
    identity: str
    strategy: type[Any]
    make_policy: Callable[[MarketPanel], Policy]
    symbols: tuple[str, ...]
    lookback_bars: int
    terms: Terms
    schedule: Schedule = Schedule.DAILY
    params: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[], None] = no_check

    @property
    def n_bars(self) -> int:
        """Sessions of bars that a decision is shown: a panel has at least two."""
        return max(self.lookback_bars, 2)


def last_marks(panel: MarketPanel) -> FloatArray:
    """Return (N,) the last known close of each symbol, NaN for none."""
    marks = np.full(panel.n_symbols, np.nan)
    for i in range(panel.n_symbols):
        rows = np.flatnonzero(panel.has_bar[:, i])
        if rows.size:
            marks[i] = panel.close[rows[-1], i]
    return marks


def equity_of(cash: float, quantity: FloatArray, mark: FloatArray) -> float:
    """Return cash and holdings, summed in the order of the simulation kernel."""
    equity = cash
    for shares, price in zip(quantity.tolist(), mark.tolist(), strict=True):
        if shares != 0.0:
            equity += shares * price
    return equity


def decide(
    recipe: Recipe, panel: MarketPanel, ledger: Ledger, marks: Mapping[str, float], state: Any, session: date
) -> Plan:
    """Run the strategy at the close of the panel's last session and return its plan for ``session``.

    Parameters
    ----------
    marks : price to value a holding at that has no bar in the panel.
    state : the strategy's state after the decision before; None for the first.
    """
    row = len(panel) - 1
    held = np.array([ledger.positions.get(symbol, 0.0) for symbol in panel.symbols])
    known = np.array([marks.get(symbol, np.nan) for symbol in panel.symbols])
    mark = last_marks(panel)
    mark = np.where(np.isnan(mark), known, mark)
    equity = equity_of(ledger.cash, held, mark)
    broker = CollectingBroker(Snapshot(panel.symbols, ledger.cash, equity, held, mark))
    params = {
        "policy": recipe.make_policy(panel),
        "terms": recipe.terms,
        "schedule": recipe.schedule,
        "initial_state": state,
        **recipe.params,
    }
    strategy: Any = run_cerebro(recipe.strategy, params, clock_feed(panel, row, row), broker)
    basket = broker.basket
    nothing = np.full(panel.n_symbols, np.nan)
    return Plan(
        session=session,
        decided=panel.sessions[row].item(),
        symbols=panel.symbols,
        cash=ledger.cash,
        equity=equity,
        held=held,
        target=None if basket is None else basket.quantity,
        weights=nothing if basket is None else basket.weights,
        outcome=() if basket is None else tuple(basket.outcome.tolist()),
        close=mark,
        agent_weights={} if basket is None else {name: float(w) for name, w in basket.agent_weights.items()},
        state=strategy.state(),
        data_hash=panel.content_hash,
    )
