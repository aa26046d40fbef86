"""EnsemblePolicy: a trained (or untrained) ensemble as a policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from agents.encoding import Encoder
from agents.ensemble import Ensemble
from agents.settings import Settings
from engine.environment import action_weights, ready_symbols
from engine.errors import PolicyError
from engine.observation import Observation
from engine.policy import Decision


class EnsemblePolicy:
    """A_t = sum_i w_t^i pi_i(s_t); the target is the current weights plus step_size * A_t, before limits.

    The controller's weights w_t are refreshed every ``refresh_sessions`` sessions and kept in between; that is
    the state carried from session to session. It must be asked once a session, as MarsStrategy sees to.
    """

    def __init__(self, ensemble: Ensemble, encoder: Encoder, settings: Settings) -> None:
        self.features = settings.features
        self.lookback_bars = settings.lookback_bars
        self._ensemble = ensemble
        self._encoder = encoder
        self._settings = settings
        self._weights: list[float] | None = None
        self._age = 0

    def decide(self, observation: Observation) -> Decision | None:
        """Return the ensemble's targets; None while no symbol has enough history."""
        if not ready_symbols(observation).any():
            self._age += self._weights is not None  # the weights grow old in sessions without a decision, too
            return None
        action = self.act(torch.from_numpy(self._encoder(observation))[None])
        assert self._weights is not None
        if not np.isfinite(action).all():
            raise PolicyError(f"the ensemble's action of {observation.session} is not finite: its weights are unusable")
        weights = action_weights(observation, action.astype(np.float64), self._settings.step_size)
        return Decision(weights, dict(zip(self._settings.agent_names, self._weights, strict=True)))

    @property
    def entropy(self) -> float:
        """Entropy of the controller's weights in use, in nats; 0 before the first decision."""
        return -sum(weight * math.log(weight) for weight in self._weights or () if weight > 0)

    @torch.inference_mode()
    def act(self, state: torch.Tensor) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """Return the aggregated action (N,) for a (1, S) state and count one session."""
        if self._weights is None or self._age >= self._settings.refresh_sessions:
            self._weights = self._ensemble.agent_weights(state)[0].tolist()
            self._age = 0
        self._age += 1
        weights = torch.tensor(self._weights)
        action: np.ndarray[tuple[int], np.dtype[np.float32]] = (
            (weights[:, None] * self._ensemble.proposals(state)[:, 0]).sum(dim=0).numpy()
        )
        return action

    def state(self) -> dict[str, Any]:
        """Return the controller's weights in use and for how many sessions they have been."""
        return {"agent_weights": self._weights, "age": self._age}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state` returned."""
        self._weights = None if state["agent_weights"] is None else list(state["agent_weights"])
        self._age = int(state["age"])
