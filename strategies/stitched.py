"""StitchedPolicy: several policies in turn, each from its own session on, as one policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.arrays import SessionArray
from engine.errors import InputError
from engine.observation import Observation
from engine.policy import Decision, Policy


class StitchedPolicy:
    """Hands each session to the policy in charge; account and holdings go on from one to the next.

    Parameters
    ----------
    starts : (K,) first session of each policy, increasing; before the first there is no decision.
    policies : K policies that read the same features.

    Raises
    ------
    InputError
        When there are not as many starts as policies, they do not increase, or features differ.
    """

    def __init__(self, starts: SessionArray, policies: Sequence[Policy]) -> None:
        if len(starts) != len(policies) or not len(starts) or not (np.diff(starts.astype("int64")) > 0).all():
            raise InputError(f"{len(policies)} policies need as many increasing starts, were {starts}")
        if len({policy.features for policy in policies}) > 1:
            raise InputError("policies that are stitched together must read the same features")
        self._starts, self._policies = starts, tuple(policies)
        self.features = policies[0].features
        self.lookback_bars = max(policy.lookback_bars for policy in policies)

    def decide(self, observation: Observation) -> Decision | None:
        """Return the decision of the policy in charge of the session."""
        policy = self.in_charge(observation.session)
        return None if policy is None else policy.decide(observation)

    def in_charge(self, session: np.datetime64) -> Policy | None:
        """Return the policy that decides in a session; None before the first."""
        turn = int(np.searchsorted(self._starts, session, side="right")) - 1
        return None if turn < 0 else self._policies[turn]

    def state(self) -> dict[str, Any]:
        """Return the states of all policies."""
        return {"policies": [policy.state() for policy in self._policies]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state` returned."""
        for policy, of_policy in zip(self._policies, state["policies"], strict=True):
            policy.restore(of_policy)
