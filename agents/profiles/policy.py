"""ProfilePolicy: what the ten profiles and their controller hold, followed slowly and traded rarely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.profiles.networks import Profiles, States
from agents.profiles.settings import ProfileSettings
from engine.arrays import FloatArray
from engine.errors import PolicyError
from engine.market_state import LOOKBACK_BARS, MarketState, state_of_bars
from engine.observation import Observation
from engine.panel import FIELDS
from engine.policy import Decision, Explanation


@dataclass(frozen=True, slots=True)
class LearnedProfiles:
    """Trained profiles, and the seed of the weights they began with."""

    profiles: Profiles
    settings: ProfileSettings
    seed: int

    @classmethod
    def of(cls, settings: ProfileSettings, seed: int, tensors: dict[str, Tensor]) -> LearnedProfiles:
        """Return the profiles of a model's tensors."""
        profiles = Profiles(settings, seed)
        profiles.load_state_dict(tensors)
        return cls(profiles, settings, seed)

    def policy(self) -> ProfilePolicy:
        """Return a fresh policy of all agents."""
        return ProfilePolicy(self.profiles, self.settings)

    def untrained_policy(self) -> ProfilePolicy:
        """Return a policy of the same profiles before training: equal weights at the mean exposure of all agents."""
        return ProfilePolicy(Profiles(self.settings, self.seed), self.settings)

    def agent_policy(self, number: int) -> ProfilePolicy:
        """Return a policy of one agent alone."""
        return ProfilePolicy(self.profiles, self.settings, only=number)


class ProfilePolicy:
    """Target weights = sum_i c_i(market) w_i(state), followed by ``smoothing`` a session from one decision to the next.

    A symbol is traded when its weight is off what is followed by more than ``band`` of an equal share; the others keep
    their shares. What is followed is the state carried from session to session, by symbol.
    """

    features: tuple[str, ...] = ()

    def __init__(self, profiles: Profiles, settings: ProfileSettings, only: int | None = None) -> None:
        self.agent_names = settings.agent_names
        self.lookback_bars = settings.lookback_bars
        self._profiles = profiles.eval()
        self._settings = settings
        self._only = only
        self._followed: dict[str, float] = {}

    def decide(self, observation: Observation) -> Decision | None:
        """Return what to trade; None while no symbol has enough history, and when nothing is off by enough."""
        state = _state_of(observation)
        if not state.ready.any():
            return None
        agent_weights, proposals = self._agents(state)
        followed = self._follow(observation.symbols, agent_weights @ proposals)
        if not np.isfinite(followed).all():
            raise PolicyError(f"the agents' weights of {observation.session} are not finite: the model is unusable")
        tolerance = self._settings.band / state.ready.sum()
        off = np.abs(followed - observation.weights) > tolerance
        keep = ~observation.tradable | ~(off | ((followed == 0.0) & (observation.weights > 0.0)))
        weights = np.where(keep, np.nan, followed)
        return Decision(weights, dict(zip(self.agent_names, agent_weights.tolist(), strict=True)))

    def explain(self, observation: Observation) -> Explanation | None:
        """Return what each agent would hold, and what its critic expects of that."""
        state = _state_of(observation)
        if not state.ready.any():
            return None
        agent_weights, proposals = self._agents(state)
        with torch.inference_mode():
            outlook = self._profiles.outlook(_tensors(state).market)[0].numpy().astype(np.float64)
        proposals[:, ~observation.tradable] = np.nan
        horizon = self._settings.horizon
        return Explanation(
            agents=self.agent_names,
            agent_weights=agent_weights,
            proposals=proposals,
            value=outlook[:, 0],
            risk=-outlook[:, 2],
            value_means=f"net return over {horizon} sessions that the critic expects, a fraction",
            risk_means=f"loss over {horizon} sessions that the critic expects once in twenty, a fraction",
        )

    def state(self) -> dict[str, Any]:
        """Return the weights that are followed, by symbol."""
        return {"followed": dict(self._followed)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state` returned."""
        self._followed = {str(symbol): float(weight) for symbol, weight in state["followed"].items()}

    @torch.inference_mode()
    def _agents(self, state: MarketState) -> tuple[FloatArray, FloatArray]:
        """Return (A,) weights of the agents and (A, N) what each would hold."""
        states = _tensors(state)
        weights = self._profiles.agent_weights(states.market)[0].numpy().astype(np.float64)
        if self._only is not None:
            weights = np.eye(len(weights))[self._only]
        return weights / weights.sum(), self._profiles.agent_targets(states)[0].numpy().astype(np.float64)

    def _follow(self, symbols: tuple[str, ...], targets: FloatArray) -> FloatArray:
        if self._followed:
            before = np.array([self._followed.get(symbol, 0.0) for symbol in symbols])
            targets = before + self._settings.smoothing * (targets - before)
        targets = np.where(targets > 1e-7, targets, 0.0)  # what is sold slowly is sold in the end
        self._followed = {symbol: weight for symbol, weight in zip(symbols, targets.tolist(), strict=True) if weight}
        return targets


def _state_of(observation: Observation) -> MarketState:
    return state_of_bars(*(observation.window(name, LOOKBACK_BARS) for name in FIELDS))


def _tensors(state: MarketState) -> States:
    assets, market = (torch.from_numpy(part.astype(np.float32))[None, None] for part in state[:2])
    return States(assets, market, torch.from_numpy(state.ready)[None, None])
