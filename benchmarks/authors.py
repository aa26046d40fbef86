"""Ten agents one after another, as the authors of arXiv 2508.01173 train them; written anew, without waste.

What is theirs: a torch module for each network of each agent, a deque of transitions for each agent, the risk score
computed in Python for each sample, an Adam for each network, and targets moved parameter by parameter.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections import deque

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from agents.settings import Settings


def mlp(sizes: tuple[int, ...], *output: nn.Module) -> nn.Sequential:
    """Return layers with ReLU between them."""
    layers: list[nn.Module] = []
    for k, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        layers += [nn.ReLU()] * (k > 0) + [nn.Linear(fan_in, fan_out)]
    return nn.Sequential(*layers, *output)


def risk_score(weights: np.ndarray, returns: np.ndarray) -> float:
    """Return 0.4 * volatility + 0.3 * concentration + 0.3 * leverage of one portfolio."""
    volatility = np.std(returns @ weights, ddof=1) * np.sqrt(252) / 0.4
    concentration = np.sum(weights**2)
    leverage = np.sum(np.abs(weights))
    return float(0.4 * min(volatility, 1.0) + 0.3 * min(concentration, 1.0) + 0.3 * min(leverage, 1.0))


class Agent:
    """One agent with its networks, targets, optimisers and transitions."""

    def __init__(self, settings: Settings, n_inputs: int, n_assets: int, theta: float, penalty: float) -> None:
        self._settings, self._theta, self._penalty, self._n = settings, theta, penalty, n_assets
        self._actor = mlp((n_inputs, *settings.hidden, n_assets), nn.Tanh())
        self._critic = mlp((n_inputs + n_assets, *settings.hidden, 1))
        self._safety = mlp((n_inputs + n_assets, *settings.hidden, 1), nn.Sigmoid())
        self._targets = copy.deepcopy(self._actor), copy.deepcopy(self._critic)
        self._actor_adam = torch.optim.Adam(self._actor.parameters(), settings.actor_rate)
        self._critic_adam = torch.optim.Adam(self._critic.parameters(), settings.critic_rate)
        self._safety_adam = torch.optim.Adam(self._safety.parameters(), settings.critic_rate)
        self.memory: deque[tuple[np.ndarray, np.ndarray, float, np.ndarray, float]] = deque(maxlen=settings.replay_size)

    def update(self, returns: np.ndarray) -> None:
        """Take one step of the three networks and move the targets."""
        columns = zip(*random.sample(self.memory, self._settings.batch_size), strict=True)
        state, action, reward, following, done = (torch.from_numpy(np.array(c, dtype=np.float32)) for c in columns)
        taken = torch.cat([state, action], 1)
        with torch.no_grad():
            ahead = self._targets[1](torch.cat([following, self._targets[0](following)], 1))
            wanted = reward[:, None] + self._settings.gamma * (1 - done[:, None]) * ahead
        self._learn(self._critic_adam, functional.mse_loss(self._critic(taken), wanted))
        weights = (state[:, 1 : self._n + 1] / self._n + 0.025 * action).clamp(0, 0.2).numpy()
        risk = torch.tensor([risk_score(each, returns) for each in weights], dtype=torch.float32)
        self._learn(self._safety_adam, functional.mse_loss(self._safety(taken), risk[:, None]))
        proposed = torch.cat([state, self._actor(state)], 1)
        danger = torch.relu(self._safety(proposed) - self._theta)
        self._learn(self._actor_adam, (self._penalty * danger - self._critic(proposed)).mean())
        for target, network in zip(self._targets, (self._actor, self._critic), strict=True):
            for old, new in zip(target.parameters(), network.parameters(), strict=True):
                old.data.mul_(1 - self._settings.tau).add_(self._settings.tau * new.data)

    def _learn(self, adam: torch.optim.Adam, loss: torch.Tensor) -> None:
        adam.zero_grad()
        loss.backward()
        adam.step()


class Loop:
    """The ten agents with made-up transitions in their memories."""

    def __init__(self, settings: Settings, n_inputs: int, n_assets: int, transitions: int = 1000) -> None:
        profiles = zip(settings.theta, settings.penalty, strict=True)
        self._agents = [Agent(settings, n_inputs, n_assets, *map(float, profile)) for profile in profiles]
        made_up = np.random.default_rng(0)
        self._returns = 0.01 * made_up.standard_normal((30, n_assets))
        for _ in range(transitions):
            before, after = made_up.standard_normal((2, n_inputs)).astype(np.float32)
            action = made_up.uniform(-1, 1, n_assets).astype(np.float32)
            for agent in self._agents:
                agent.memory.append((before, action, 0.01 * float(made_up.standard_normal()), after, 0.0))

    def update(self) -> None:
        """Update each agent."""
        for agent in self._agents:
            agent.update(self._returns)
