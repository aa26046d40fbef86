"""SinglePolicy: one trained agent as a policy. It needs torch, but not the library that trained it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.encoding import Encoder
from agents.networks import Activation, EnsembleMLP, identity
from agents.single.settings import SingleSettings
from engine.environment import action_weights, ready_symbols
from engine.errors import PolicyError
from engine.observation import Observation
from engine.policy import Decision, Explanation

VALUE_MEANS = {
    "ppo": "V(s): discounted sum of rewards that the agent expects from here on, whatever it proposes",
    "sac": "Q(s, a): discounted sum of rewards, and of its own entropy, that the agent's critic expects",
}
_Q_MEANS = "Q(s, a): discounted sum of the rewards that the agent's critic expects"


@dataclass(frozen=True, slots=True)
class LearnedSingle:
    """A trained agent with its critic, the actor it began with, and its encoder."""

    actor: EnsembleMLP
    initial: EnsembleMLP
    critic: EnsembleMLP
    encoder: Encoder
    settings: SingleSettings

    @classmethod
    def of(cls, settings: SingleSettings, tensors: Mapping[str, Tensor]) -> LearnedSingle:
        """Return the agent of the tensors of `model_tensors`.

        Raises
        ------
        KeyError, RuntimeError
            When the tensors are not those of the settings.
        """
        encoder = Encoder.of(tensors["encoder.mean"].numpy(), tensors["encoder.std"].numpy(), settings.features)
        n = len(encoder.mean)
        bounded = identity if settings.algorithm == "ppo" else torch.tanh  # ppo's mean is clipped by action_weights
        judged = encoder.size if settings.algorithm == "ppo" else encoder.size + n

        def network(prefix: str, size: int, width: int, output: Activation) -> EnsembleMLP:
            part = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            layers = EnsembleMLP(1, (size, *settings.hidden, width), torch.Generator(), output)
            layers.load_state_dict(part)
            return layers

        return cls(
            network("actor.", encoder.size, n, bounded),
            network("initial.", encoder.size, n, bounded),
            network("critic.", judged, 1, identity),
            encoder,
            settings,
        )

    def policy(self) -> SinglePolicy:
        """Return a fresh policy of the trained agent."""
        return SinglePolicy(self, self.actor)

    def untrained_policy(self) -> SinglePolicy:
        """Return a policy of the agent as it was before the first training step; its critic is the trained one."""
        return SinglePolicy(self, self.initial)

    def agent_policy(self, number: int) -> SinglePolicy:
        """Return the policy of the only agent there is."""
        return self.policy()


def model_tensors(trained: Mapping[str, Tensor], initial: Mapping[str, Tensor], encoder: Encoder) -> dict[str, Tensor]:
    """Return the tensors of a model's weights file.

    Parameters
    ----------
    trained, initial : ``actor.*`` and ``critic.*`` as `agents.single.sb3.Learner.tensors` gives them.
    """
    first = {name.replace("actor.", "initial."): value for name, value in initial.items() if name.startswith("actor.")}
    statistics = {"encoder.mean": encoder.mean, "encoder.std": encoder.std}
    return {**trained, **first, **{name: torch.from_numpy(values.copy()) for name, values in statistics.items()}}


class SinglePolicy:
    """The target is the current weights plus step_size times the agent's most likely action, before limits.

    It carries nothing from session to session.
    """

    def __init__(self, learned: LearnedSingle, actor: EnsembleMLP) -> None:
        settings = learned.settings
        self.agent_names = settings.agent_names
        self.features = settings.features
        self.lookback_bars = settings.lookback_bars
        self._learned = learned
        self._actor = actor

    def decide(self, observation: Observation) -> Decision | None:
        """Return the agent's targets; None while no symbol has enough history.

        Raises
        ------
        PolicyError
            When the networks say NaN or infinity.
        """
        if not ready_symbols(observation).any():
            return None
        action = self._act(observation)[1]
        if not np.isfinite(action).all():
            raise PolicyError(f"the agent's action of {observation.session} is not finite: its weights are unusable")
        return Decision(action_weights(observation, action, self._learned.settings.step_size), {"agent": 1.0})

    def explain(self, observation: Observation) -> Explanation | None:
        """Return what the agent proposes, with its critic's opinion of it."""
        if not ready_symbols(observation).any():
            return None
        state, action = self._act(observation)
        settings = self._learned.settings
        return Explanation(
            agents=self.agent_names,
            agent_weights=np.ones(1),
            proposals=action_weights(observation, action, settings.step_size)[None],
            value=np.array([self._value(state, action)]),
            risk=np.full(1, np.nan),
            value_means=VALUE_MEANS.get(settings.algorithm, _Q_MEANS),
            risk_means="nothing predicts the risk of a single agent's proposals",
        )

    @torch.inference_mode()
    def _act(self, observation: Observation) -> tuple[Tensor, np.ndarray[tuple[int], np.dtype[np.float64]]]:
        state = torch.from_numpy(self._learned.encoder(observation))[None, None]
        action: np.ndarray[tuple[int], np.dtype[np.float64]] = self._actor(state)[0, 0].numpy().astype(np.float64)
        return state, action

    @torch.inference_mode()
    def _value(self, state: Tensor, action: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        if self._learned.settings.algorithm != "ppo":
            state = torch.cat([state, torch.from_numpy(action.astype(np.float32))[None, None]], dim=-1)
        return float(self._learned.critic(state))

    def state(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Do nothing: there is no state."""
