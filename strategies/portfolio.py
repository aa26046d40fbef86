"""PortfolioStrategy: any policy as one backtrader strategy, the same object in a backtest and on paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import backtrader as bt

from engine.observation import Observation, feature_table
from engine.policy import Decision, Policy, StatelessPolicy
from engine.rebalancer import BasketBroker, Rebalancer, Schedule, Terms


class NoPolicy(StatelessPolicy):
    """Never rebalances: what stands in for a policy where a strategy decides itself."""

    def decide(self, observation: Observation) -> Decision | None:
        """Return None."""
        return None


class PortfolioStrategy(bt.Strategy):
    """Observes, decides, limits and sizes once a session, and hands its broker one basket.

    A subclass may override `decide` with a decision of its own, and then needs no policy. The strategy never waits
    and does not know whether its broker is simulated.

    Backtrader parameters
    ---------------------
    policy : maps an observation to target weights; says which features an observation has.
    terms : limits, sizing and costs.
    schedule : daily, weekly or monthly.
    """

    broker: BasketBroker
    params: Any = (("policy", None), ("terms", Terms()), ("schedule", Schedule.DAILY), ("initial_state", None))

    def __init__(self) -> None:
        self.policy: Policy = NoPolicy() if self.p.policy is None else self.p.policy
        panel, first, last = self.data.panel, self.data.first_row, self.data.last_row
        features = feature_table(panel, self.policy.features, self.policy.lookback_bars, first, last)
        self._rebalancer = Rebalancer(panel, features, self.p.terms, self.p.schedule)
        if self.p.initial_state is not None:
            self.restore(self.p.initial_state)

    def start(self) -> None:
        """Make sure that the broker trades on the terms that baskets are sized for."""
        self.broker.check_terms(self.p.terms)

    def decide(self, observation: Observation) -> Decision | None:
        """Return target weights, or None for no rebalance in this session."""
        return self.policy.decide(observation)

    def next(self) -> None:
        """Take one decision at the close of the session."""
        basket = self._rebalancer.next(self.data.row, self.broker.portfolio, self.decide)
        if basket is not None:
            self.broker.submit_basket(basket)

    def state(self) -> dict[str, Any]:
        """Return what the strategy carries from one session to the next, as JSON values."""
        return {"rebalancer": self._rebalancer.state(), "policy": self.policy.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state` returned."""
        self._rebalancer.restore(state["rebalancer"])
        self.policy.restore(state["policy"])


def watched(
    strategy: type[PortfolioStrategy],
    see: Callable[[Observation, Decision | None], None],
    before: Callable[[PortfolioStrategy, Observation], None] = lambda strategy, observation: None,
) -> type[PortfolioStrategy]:
    """Return the same strategy, which tells ``see`` of each decision before limits change it.

    Parameters
    ----------
    before : is shown the strategy before each decision, to look at its policy and its broker's portfolio.
    """

    class Watched(strategy):  # type: ignore[misc, valid-type]
        def decide(self, observation: Observation) -> Decision | None:
            before(self, observation)
            decision: Decision | None = super().decide(observation)
            see(observation, decision)
            return decision

    Watched.__name__ = strategy.__name__
    return Watched
