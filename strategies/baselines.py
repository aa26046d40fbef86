"""Baselines every learned result is shown beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.observation import Observation
from engine.policy import Decision, StatelessPolicy


class EqualWeight(StatelessPolicy):
    """The same weight for every symbol that has a bar, at each rebalance."""

    def decide(self, observation: Observation) -> Decision | None:
        """Return 1/n for each of the n symbols with a bar, 0 for the others."""
        n = int(observation.tradable.sum())
        return Decision(np.where(observation.tradable, 1.0 / n, 0.0)) if n else None


class BuyAndHold(StatelessPolicy):
    """1/N once, at the first decision, over the symbols with a bar then; never a trade after that."""

    def __init__(self) -> None:
        self._bought = False

    def decide(self, observation: Observation) -> Decision | None:
        """Return equal weights the first time and None ever after."""
        if self._bought or not observation.tradable.any():
            return None
        self._bought = True
        return EqualWeight().decide(observation)

    def state(self) -> dict[str, Any]:
        """Return whether the purchase has been decided."""
        return {"bought": self._bought}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state` returned."""
        self._bought = bool(state["bought"])
