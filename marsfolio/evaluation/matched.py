"""Equal weight with a constant share of cash: the yardstick for methods that hold less than everything."""

from __future__ import annotations

from dataclasses import replace

from engine.observation import Observation
from engine.policy import Decision, StatelessPolicy
from strategies.baselines import EqualWeight


class ConstantExposure(StatelessPolicy):
    """The same weight for every symbol that has a bar, and the rest in cash.

    Parameters
    ----------
    exposure : share of the account in stocks, in [0, 1].
    """

    def __init__(self, exposure: float) -> None:
        self._exposure = exposure

    def decide(self, observation: Observation) -> Decision | None:
        """Return exposure/n for each of the n symbols with a bar, 0 for the others."""
        decision = EqualWeight().decide(observation)
        return None if decision is None else replace(decision, weights=self._exposure * decision.weights)
