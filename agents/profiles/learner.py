"""Gradient steps of actors, controller and critics through shadow portfolios.

The return of a portfolio is a differentiable function of its weights, so agents ascend the objective itself, not a
critic's guess of it. Critics predict what a risk officer asks for; nobody learns from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from agents.profiles.history import History, Stretches
from agents.profiles.networks import Profiles, States
from agents.profiles.settings import ProfileSettings
from agents.profiles.shadow import follow, net_returns, quality, smoother

QUANTILE = 0.05


class ProfileLearner:
    """Trains the parts of a `Profiles` on histories, one after the other; ``seed`` draws the stretches.

    Parameters
    ----------
    histories : the training window first; further markets may follow.
    """

    def __init__(self, profiles: Profiles, histories: Sequence[History], settings: ProfileSettings, seed: int) -> None:
        self._profiles, self._settings = profiles, settings
        self._stretches = Stretches(tuple(histories), settings.sessions)
        self._random = np.random.default_rng([seed, 1])
        self._smoother = smoother(self._stretches.length, settings.smoothing)
        self._tail = torch.tensor(settings.tail, dtype=torch.float32)
        self._dial = torch.tensor(settings.exposure, dtype=torch.float32)

    def actor_step(self, optimiser: Steps) -> dict[str, float]:
        """Take one step of all agents of all members; return means of Sharpe ratio, concentration and pin error."""
        settings = self._settings
        states, returns = self._stretches.draw(settings.members, settings.names, self._random)
        exposure, shares = self._profiles.actors.exposure(states), self._profiles.actors.shares(states)
        sharpe = self._sharpe(settings.budget * exposure[..., None] * shares, returns)
        held = states.ready.sum(dim=-1)[..., None, None].clamp(min=1)
        concentration = (shares * torch.log((shares * held).clamp(min=1e-9))).sum(dim=-1).mean(dim=1)
        pin = self._pin(exposure, self._dial)
        loss = settings.pin_weight * pin + settings.concentration_weight * concentration
        optimiser.step((loss - settings.sharpe_weight * sharpe).sum())
        return {"sharpe": _mean(sharpe), "concentration": _mean(concentration), "pin": _mean(pin)}

    def controller_step(self, optimiser: Steps, shadows: Sequence[Shadows]) -> dict[str, float]:
        """Take one step of the controller on what the agents' shadow portfolios have earned.

        What it costs to move from one agent to another is the change of exposure, as if they held the same symbols.

        Parameters
        ----------
        shadows : of each history, from `shadows`.
        """
        settings, length = self._settings, self._stretches.length
        parts = []
        for _ in range(settings.members):
            place = self._stretches.place(self._random)
            pair, rows = [0, place.variant], slice(place.first, place.first + length)
            market = self._stretches.histories[place.history].market
            shadow = shadows[place.history]
            parts.append([x[pair, rows].flatten(0, 1) for x in (market, shadow.returns, shadow.exposure)])
        market, returns, exposure = (torch.stack(x) for x in zip(*parts, strict=True))
        weights = torch.softmax(self._profiles.controller(market), dim=-1)
        moved = ((weights[:, 1:] - weights[:, :-1]) * exposure[:, 1:]).sum(dim=-1).abs()
        net = (weights * returns).sum(dim=-1) - settings.cost * nn.functional.pad(moved, (1, 0))
        sharpe = quality(net[..., None], torch.zeros(1)).sharpe[:, 0]
        uneven = (weights * torch.log((weights * settings.n_agents).clamp(min=1e-9))).sum(dim=-1).mean(dim=1)
        invested = (weights * exposure).sum(dim=-1, keepdim=True) / settings.budget
        pin = self._pin(invested, torch.tensor(settings.risk))[:, 0]
        loss = settings.pin_weight * pin + settings.controller_weight * uneven - settings.sharpe_weight * sharpe
        optimiser.step(loss.sum())
        return {"sharpe": _mean(sharpe), "concentration": _mean(uneven), "pin": _mean(pin)}

    def critic_step(self, optimiser: Steps, market: Tensor, outcomes: Tensor) -> float:
        """Take one step of the critics on all sessions.

        Parameters
        ----------
        market, outcomes : (1, T, M) states and (T, A, 2) net return and volatility of the sessions that followed.
        """
        k, a = self._settings.members, self._settings.n_agents
        found = self._profiles.critics(market).reshape(k, -1, a, 3)
        wanted, volatility = outcomes[..., 0], outcomes[..., 1]
        below = wanted - found[..., 2]
        pinball = torch.maximum(QUANTILE * below, (QUANTILE - 1.0) * below)
        # In units of what is to be predicted, so that one step size serves all three.
        scale = wanted.std(dim=0) + 1e-6
        loss = ((found[..., 0] - wanted) / scale).square() + (pinball / scale)
        loss = loss + ((found[..., 1] - volatility) / (volatility.std(dim=0) + 1e-6)).square()
        optimiser.step(loss.mean(dim=1).sum())
        return _mean(loss)

    @torch.no_grad()
    def shadows(self, history: History) -> Shadows:
        """Return what each agent's own portfolio would have earned and held in each session of a history."""
        self._profiles.eval()
        returns, exposure = [], []
        for k in range(history.market.shape[0]):
            states = States(history.assets[k : k + 1], history.market[k : k + 1], history.ready[k : k + 1])
            chunks = [
                self._profiles.agent_targets(States(*(part[:, at : at + 256] for part in states)))
                for at in range(0, len(history), 256)
            ]
            followed = follow(torch.cat(chunks), self._settings.smoothing)
            returns.append(net_returns(followed, history.returns[k][:, None, :], self._settings.cost))
            exposure.append(followed.sum(dim=-1))
        return Shadows(torch.stack(returns), torch.stack(exposure))

    def outcomes(self, shadows: Shadows) -> Tensor:
        """Return (T - horizon + 1, A, 2) net return and volatility of each agent's portfolio over what followed."""
        ahead = shadows.returns[0].unfold(0, self._settings.horizon, 1)
        return torch.stack([ahead.sum(dim=-1), ahead.std(dim=-1)], dim=-1)

    def _pin(self, exposure: Tensor, wanted: Tensor) -> Tensor:
        """Return (K, A) mean squared error of the mean exposure (K, 2 S, A) of each stretch.

        Each by itself: pinned together, agents would tell rising from falling stretches, and follow trends.
        """
        mean = exposure.reshape(len(exposure), 2, -1, exposure.shape[-1]).mean(dim=2)
        error: Tensor = (mean - wanted).square().mean(dim=1)
        return error

    def _sharpe(self, targets: Tensor, returns: Tensor) -> Tensor:
        """Return (K, A) annual Sharpe ratios of followed targets (K, 2 S, A, N), both stretches together."""
        k, _, a, n = targets.shape
        followed = torch.matmul(self._smoother, targets.reshape(k * 2, -1, a * n)).reshape(k, 2, -1, a, n)
        net = net_returns(followed, returns.reshape(k, 2, -1, 1, n), self._settings.cost)
        return quality(net.reshape(k, -1, a), self._tail).sharpe


class Shadows(NamedTuple):
    """The agents' own portfolios over a history: (V, T, A) net returns, and exposures."""

    returns: Tensor
    exposure: Tensor


class Steps:
    """AdamW with a one-cycle rate over a known number of steps, and each member's gradient clipped to norm 1."""

    def __init__(self, network: nn.Module, steps: int, settings: ProfileSettings) -> None:
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._optimiser = torch.optim.AdamW(self._parameters, lr=settings.rate, weight_decay=settings.decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, settings.rate, total_steps=max(steps, 2), cycle_momentum=False
        )

    def step(self, loss: Tensor) -> None:
        """Move against the gradient of a loss summed over members."""
        gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        known = [g if g is not None else torch.zeros_like(p) for g, p in zip(gradients, self._parameters, strict=True)]
        norm = torch.stack([g.flatten(1).square().sum(dim=1) for g in known]).sum(dim=0).sqrt()
        scale = 1.0 / norm.clamp(min=1.0)
        for parameter, gradient in zip(self._parameters, known, strict=True):
            parameter.grad = gradient * scale.reshape(-1, *(1 for _ in range(gradient.dim() - 1)))
        self._optimiser.step()
        self._schedule.step()


def _mean(values: Tensor) -> float:
    value = float(values.detach().mean())
    return value if math.isfinite(value) else math.nan
