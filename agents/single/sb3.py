"""The only module that knows stable-baselines3: its algorithms on our environments, their networks as our tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3 import DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from agents.single.settings import SingleSettings
from engine.arrays import BoolArray, Float32Array, FloatArray
from engine.batch_environment import BatchPortfolioEnv

OnStep = Callable[[FloatArray, FloatArray, BoolArray], bool]
"""Hears of each step of all environments: rewards (B,), equities (B,), which episodes ended (B,); False stops."""


class LibraryEnv(VecEnv):
    """`BatchPortfolioEnv` in the words of stable-baselines3."""

    def __init__(self, env: BatchPortfolioEnv) -> None:
        self._env = env
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self._actions: Float32Array = np.zeros(env.action_space.shape or (), np.float32)
        self.equity: FloatArray = np.zeros(env.num_envs)
        self.rewards: FloatArray = np.zeros(env.num_envs)
        self.dones: BoolArray = np.zeros(env.num_envs, np.bool_)

    def reset(self) -> Float32Array:
        return self._env.reset()[0]

    def step_async(self, actions: np.ndarray[Any, Any]) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[Float32Array, Float32Array, BoolArray, list[dict[str, Any]]]:
        observation, self.rewards, terminated, truncated, infos = self._env.step(self._actions)
        self.equity, self.dones = infos["equity"], np.asarray(terminated | truncated)
        words: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for b in np.flatnonzero(self.dones):
            words[b] = {"terminal_observation": infos["final_obs"][b], "TimeLimit.truncated": bool(truncated[b])}
        return observation, self.rewards.astype(np.float32), self.dones, words

    def close(self) -> None:
        self._env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self._env, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self._env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [getattr(self._env, method_name)(*args, **kwargs)] * self.num_envs

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class _Listener(BaseCallback):
    def __init__(self, env: LibraryEnv, on_step: OnStep) -> None:
        super().__init__()
        self._env, self._hear = env, on_step

    def _on_step(self) -> bool:
        return self._hear(self._env.rewards, self._env.equity, self._env.dones)


class Learner:
    """One of the library's algorithms on a batch of environments.

    Parameters
    ----------
    steps : environment steps of the whole training.
    seed : of the networks and of all that is drawn; the library seeds the random numbers of the whole process with it.
    """

    def __init__(self, settings: SingleSettings, env: BatchPortfolioEnv, steps: int, seed: int) -> None:
        self._settings, self._steps = settings, steps
        self._env = LibraryEnv(env)
        self._algorithm = _algorithm(settings, self._env, steps, seed)

    def learn(self, on_step: OnStep) -> None:
        """Train to the end, or until ``on_step`` returns False."""
        self._algorithm.learn(self._steps, callback=_Listener(self._env, on_step))

    def losses(self) -> tuple[float, float]:
        """Return the actor's and the critic's loss of the last update; NaN before the first."""
        values = self._algorithm.logger.name_to_value
        names = (
            ("policy_gradient_loss", "value_loss")
            if self._settings.algorithm == "ppo"
            else ("actor_loss", "critic_loss")
        )
        actor, critic = (float(values.get(f"train/{name}", math.nan)) for name in names)
        return actor, critic

    def tensors(self) -> dict[str, Tensor]:
        """Return copies of the weights of actor and critic under the names of an `EnsembleMLP` of one agent."""
        policy: Any = self._algorithm.policy
        actor: Sequence[nn.Module]
        critic: Sequence[nn.Module]
        if self._settings.algorithm == "ppo":
            layers = policy.mlp_extractor
            actor, critic = (layers.policy_net, policy.action_net), (layers.value_net, policy.value_net)
        elif self._settings.algorithm == "sac":
            actor, critic = (policy.actor.latent_pi, policy.actor.mu), (policy.critic.q_networks[0],)
        else:
            actor, critic = (policy.actor.mu,), (policy.critic.q_networks[0],)
        return {**_weights("actor", actor), **_weights("critic", critic)}


def _algorithm(settings: SingleSettings, env: LibraryEnv, steps: int, seed: int) -> BaseAlgorithm:
    network = {"net_arch": list(settings.hidden), "activation_fn": nn.ReLU}
    common: dict[str, Any] = {
        "learning_rate": settings.learning_rate,
        "batch_size": settings.batch_size,
        "gamma": settings.gamma,
        "policy_kwargs": network,
        "seed": seed,
        "device": "cpu",  # networks so small are slower on a GPU, a sample at a time
    }
    if settings.algorithm == "ppo":
        return PPO("MlpPolicy", env, n_steps=settings.rollout // settings.environments, **common)
    common.update(
        buffer_size=min(settings.replay_size, steps),
        learning_starts=settings.learning_starts,
        train_freq=settings.update_every,
    )
    if settings.algorithm == "sac":
        return SAC("MlpPolicy", env, ent_coef=f"auto_{settings.entropy}", **common)
    shape = env.action_space.shape or ()
    noise = NormalActionNoise(np.zeros(shape), np.full(shape, settings.noise))
    kind = DDPG if settings.algorithm == "ddpg" else TD3
    return kind("MlpPolicy", env, action_noise=noise, **common)


def _weights(name: str, modules: Iterable[nn.Module]) -> dict[str, Tensor]:
    linear = [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Linear)]
    weights = {f"{name}.weights.{k}": layer.weight.detach().t()[None] for k, layer in enumerate(linear)}
    biases = {f"{name}.biases.{k}": layer.bias.detach()[None, None] for k, layer in enumerate(linear)}
    return {key: value.clone(memory_format=torch.contiguous_format) for key, value in {**weights, **biases}.items()}
