"""EnsemblePolicy: a trained (or untrained) ensemble as a policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.encoding import Encoder
from agents.ensemble import Ensemble
from agents.settings import Settings
from engine.environment import action_weights, ready_symbols
from engine.errors import PolicyError
from engine.observation import Observation
from engine.policy import Decision, Explanation


@dataclass(frozen=True, slots=True)
class LearnedEnsemble:
    """A trained ensemble with its encoder, and the seed of the weights it began with."""

    ensemble: Ensemble
    encoder: Encoder
    settings: Settings
    seed: int

    @classmethod
    def of(cls, settings: Settings, n_assets: int, seed: int, tensors: dict[str, Tensor]) -> LearnedEnsemble:
        """Return the ensemble of a model's tensors."""
        encoder = Encoder.of(tensors.pop("encoder.mean").numpy(), tensors.pop("encoder.std").numpy(), settings.features)
        ensemble = Ensemble(settings, encoder.size, n_assets, seed)
        ensemble.load_state_dict({name.removeprefix("ensemble."): tensor for name, tensor in tensors.items()})
        return cls(ensemble, encoder, settings, seed)

    def policy(self) -> EnsemblePolicy:
        """Return a fresh policy of the trained ensemble."""
        return EnsemblePolicy(self.ensemble, self.encoder, self.settings)

    def untrained_policy(self) -> EnsemblePolicy:
        """Return a policy of the same ensemble as it was before the first training step."""
        initial = Ensemble(self.settings, self.encoder.size, len(self.encoder.mean), self.seed)
        return EnsemblePolicy(initial, self.encoder, self.settings)

    def agent_policy(self, number: int) -> EnsemblePolicy:
        """Return a policy of one agent alone."""
        return EnsemblePolicy(self.ensemble, self.encoder, self.settings, only=number)


def model_tensors(ensemble: Ensemble, encoder: Encoder) -> dict[str, Tensor]:
    """Return the tensors of a model's weights file."""
    tensors = {f"ensemble.{name}": tensor.contiguous() for name, tensor in ensemble.state_dict().items()}
    tensors["encoder.mean"] = torch.from_numpy(encoder.mean.copy())
    tensors["encoder.std"] = torch.from_numpy(encoder.std.copy())
    return tensors


class EnsemblePolicy:
    """A_t = sum_i w_t^i pi_i(s_t); the target is the current weights plus step_size * A_t, before limits.

    The controller's weights w_t are refreshed every ``refresh_sessions`` sessions and kept in between; that is
    the state carried from session to session. It must be asked once a session, as MarsStrategy sees to.
    """

    def __init__(self, ensemble: Ensemble, encoder: Encoder, settings: Settings, only: int | None = None) -> None:
        self.agent_names = settings.agent_names
        self.features = settings.features
        self.lookback_bars = settings.lookback_bars
        self._ensemble = ensemble
        self._encoder = encoder
        self._settings = settings
        self._only = only
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
    def act(self, state: Tensor) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """Return the aggregated action (N,) for a (1, S) state and count one session."""
        if self._weights is None or self._age >= self._settings.refresh_sessions:
            self._weights = self._fresh_weights(state)
            self._age = 0
        self._age += 1
        state = state.to(self._ensemble.device)
        weights = torch.tensor(self._weights, device=state.device)
        action: np.ndarray[tuple[int], np.dtype[np.float32]] = (
            (weights[:, None] * self._ensemble.proposals(state)[:, 0]).sum(dim=0).cpu().numpy()
        )
        return action

    def _fresh_weights(self, state: Tensor) -> list[float]:
        if self._only is not None:
            return [float(k == self._only) for k in range(self._settings.n_agents)]
        if not self._settings.controlled:
            return [1.0 / self._settings.n_agents] * self._settings.n_agents
        weights: list[float] = self._ensemble.agent_weights(state.to(self._ensemble.device))[0].tolist()
        return weights

    @torch.inference_mode()
    def explain(self, observation: Observation) -> Explanation | None:
        """Return what each agent proposes, with its critic's and its safety critic's opinion of it."""
        if not ready_symbols(observation).any():
            return None
        state = torch.from_numpy(self._encoder(observation))[None]
        stale = self._weights is None or self._age >= self._settings.refresh_sessions
        weights = self._fresh_weights(state) if stale else self._weights
        actions = self._ensemble.proposals(state)
        taken = torch.cat([state.expand(self._settings.n_agents, -1, -1), actions], dim=-1)
        step = self._settings.step_size
        return Explanation(
            agents=self.agent_names,
            agent_weights=np.asarray(weights),
            proposals=np.stack([action_weights(observation, a.numpy().astype(float), step) for a in actions[:, 0]]),
            value=self._ensemble.critic(taken)[:, 0, 0].numpy().astype(float),
            risk=self._ensemble.safety(taken)[:, 0, 0].numpy().astype(float),
            value_means="Q_i(s, a): discounted sum of the rewards that the agent's critic expects",
            risk_means="C_i(s, a): risk score in [0, 1] that the agent's safety critic expects",
        )

    def state(self) -> dict[str, Any]:
        """Return the controller's weights in use and for how many sessions they have been."""
        return {"agent_weights": self._weights, "age": self._age}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state` returned."""
        self._weights = None if state["agent_weights"] is None else list(state["agent_weights"])
        self._age = int(state["age"])
