"""The sequence of one decision: observe, decide, limit, size. It is the same in training's validation,
in both backtest engines and on paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from engine.arrays import BoolArray, FloatArray
from engine.costs import Costs
from engine.errors import ConfigError, PolicyError
from engine.ledger import FillTiming, OutcomeArray, Rules
from engine.limits import WEIGHT_TOLERANCE, Limits
from engine.metrics.tracker import RiskTracker
from engine.observation import FeatureTable, Observation
from engine.panel import MarketPanel
from engine.policy import Decide, Decision
from engine.simulator import current_weights, plan_basket


class Schedule(StrEnum):
    """How often a strategy may rebalance: in each day, ISO week or month, the first session it decides in."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"

    def period(self, session: np.datetime64) -> int:
        """Return a number that is the same for two sessions exactly when they share a period."""
        day = session.astype("datetime64[D]")
        if self is Schedule.MONTHLY:
            return int(day.astype("datetime64[M]").astype(int))
        # 1970-01-01 was a Thursday: adding 3 makes the weeks start on Monday.
        return int(day.astype(int)) if self is Schedule.DAILY else (int(day.astype(int)) + 3) // 7


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms on which a strategy trades.

    Attributes
    ----------
    cash : initial cash, account currency.
    limits : None for a strategy with its own constraints: its weights are checked, not changed.
    """

    cash: float = 1_000_000.0
    costs: Costs = field(default_factory=Costs)
    limits: Limits | None = None
    timing: FillTiming = FillTiming.NEXT_OPEN
    fractional: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.cash) and self.cash > 0):
            raise ConfigError(f"cash must be positive and finite, was {self.cash}")

    @property
    def rules(self) -> Rules:
        """The same as the compiled functions read them."""
        limits = self.limits or Limits()
        return Rules(
            rates=self.costs.rates,
            cap=limits.cap,
            budget=limits.budget,
            limited=self.limits is not None,
            fractional=self.fractional,
            timing=int(self.timing),
        )


@dataclass(frozen=True, slots=True)
class Basket:
    """One decision as orders: what a broker receives.

    Attributes
    ----------
    row : row of the panel at whose close it was decided.
    weights : (N,) target weights after limits; NaN: the symbol's shares are kept.
    quantity : (N,) shares wanted.
    outcome : (N,) bits of engine.limits.
    agent_weights : weight of each agent by name.
    """

    row: int
    weights: FloatArray
    quantity: FloatArray
    outcome: OutcomeArray
    agent_weights: Mapping[str, float]


class Portfolio(Protocol):
    """What a decision needs to know of an account."""

    @property
    def cash(self) -> float:
        """Cash, account currency."""
        ...

    @property
    def equity(self) -> float:
        """Account value at the last close."""
        ...

    @property
    def quantity(self) -> FloatArray:
        """(N,) shares held."""
        ...

    @property
    def mark(self) -> FloatArray:
        """(N,) prices the holdings are valued at."""
        ...


class BasketBroker(Protocol):
    """A backtrader broker that takes one basket per decision and owns what cash allows."""

    @property
    def portfolio(self) -> Portfolio:
        """Cash, holdings and marks at the last close."""
        ...

    def check_terms(self, terms: Terms) -> None:
        """Refuse terms that this broker does not trade on."""
        ...

    def submit_basket(self, basket: Basket) -> None:
        """Take the orders of one decision."""
        ...


class Rebalancer:
    """Carries out one decision a session, and holds all that a strategy carries between sessions but its policy's.

    Parameters
    ----------
    panel : the bars; only rows up to the one being decided are ever shown to the policy.
    features : the features the policy asked for, computed once.
    terms : limits, sizing and costs.
    schedule : which sessions may rebalance.
    """

    def __init__(
        self, panel: MarketPanel, features: FeatureTable, terms: Terms, schedule: Schedule = Schedule.DAILY
    ) -> None:
        self._panel = panel
        self._features = features
        self._rules = terms.rules
        self._schedule = schedule
        self._tracker = RiskTracker()
        self._last_period: int | None = None

    def next(self, row: int, portfolio: Portfolio, decide: Decide) -> Basket | None:
        """Observe, decide and size at the close of a row of the panel; None when there is no rebalance.

        What is no member of a universe that changes is sold whatever is decided, and when nothing is.

        Raises
        ------
        PolicyError
            As `basket` does.
        """
        observation = self.observe(row, portfolio)
        period = self._schedule.period(observation.session)
        decision = None if period == self._last_period else decide(observation)
        if decision is not None and np.isnan(decision.weights).all():
            decision = None
        if decision is not None:
            self._last_period = period
        if self._panel.member is not None:
            decision = _sell_leavers(decision, portfolio.quantity, self._panel.member[row])
        return None if decision is None else self.basket(decision, row, portfolio)

    def observe(self, row: int, portfolio: Portfolio) -> Observation:
        """Return what is known at the close of a row; call it once a session, in order."""
        panel, equity = self._panel, portfolio.equity
        return Observation(
            session=panel.sessions[row],
            symbols=panel.symbols,
            tradable=panel.investable[row],
            features=self._features.at(row),
            weights=current_weights(equity, portfolio.quantity, portfolio.mark),
            cash_weight=portfolio.cash / equity,
            equity=equity,
            risk=self._tracker.update(equity),
            _panel=panel,
            _row=row,
        )

    def basket(self, decision: Decision, row: int, portfolio: Portfolio) -> Basket:
        """Apply the limits to a decision and size it at the close of a row.

        Raises
        ------
        PolicyError
            When the weights have the wrong shape, are infinite, or (without limits) are negative or sum
            to more than 1.
        """
        panel = self._panel
        weights, quantity, outcome = plan_basket(
            self._checked(decision, row),
            portfolio.equity,
            portfolio.quantity,
            portfolio.mark,
            panel.close[row],
            panel.has_bar[row],
            self._rules,
        )
        return Basket(row, weights, quantity, outcome, decision.agent_weights)

    def state(self) -> dict[str, Any]:
        """Return what is carried to the next session, as JSON values."""
        return {"risk": self._tracker.state(), "last_period": self._last_period}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state` returned."""
        self._tracker.restore(state["risk"])
        self._last_period = state["last_period"]

    def _checked(self, decision: Decision, row: int) -> FloatArray:
        weights = np.asarray(decision.weights, dtype=np.float64)
        session = self._panel.sessions[row]
        if weights.shape != (self._panel.n_symbols,):
            raise PolicyError(
                f"target weights of {session}: shape must be ({self._panel.n_symbols},), was {weights.shape}"
            )
        check_weights(weights, session, self._rules.limited)
        return weights


def _sell_leavers(decision: Decision | None, quantity: FloatArray, member: BoolArray) -> Decision | None:
    """Return the decision with 0 for all that are no members; one that keeps the others where there is none."""
    if decision is not None:
        weights = np.asarray(decision.weights, dtype=np.float64)
        # Of another shape, it is refused later on.
        return replace(decision, weights=np.where(member, weights, 0.0)) if weights.shape == member.shape else decision
    if not (quantity[~member] != 0).any():
        return None
    return Decision(np.where(member, np.nan, 0.0))


def check_weights(weights: FloatArray, session: np.datetime64, limited: bool) -> None:
    """Refuse target weights (N,) that are infinite or, without limits, negative or sum to more than 1; NaN is fine.

    Raises
    ------
    PolicyError
        Naming the session and the value.
    """
    where = f"target weights of {session}"
    if np.isinf(weights).any():
        raise PolicyError(f"{where}: must be finite (NaN keeps a symbol's shares)")
    if limited:
        return
    if (weights < 0).any():
        raise PolicyError(f"{where}: must not be negative, was {np.nanmin(weights)}")
    total = float(np.nansum(weights))
    if total > 1 + WEIGHT_TOLERANCE:
        raise PolicyError(f"{where}: must sum to at most 1, the rest being cash; was {total}")
