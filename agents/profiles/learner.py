"""Gradient steps of actors, controller and critics through shadow portfolios.

The return of a portfolio is a differentiable function of its weights, so agents ascend the objective itself, not a
critic's guess of it. Critics predict what a risk officer asks for; nobody learns from them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from agents.profiles.history import History
from agents.profiles.networks import Profiles, States
from agents.profiles.settings import ProfileSettings
from agents.profiles.shadow import net_returns, quality, smoother

QUANTILE = 0.05


class ProfileLearner:
    """Trains the parts of a `Profiles` on a `History`, one after the other; ``random`` draws the stretches."""

    def __init__(self, profiles: Profiles, history: History, settings: ProfileSettings, seed: int) -> None:
        self._profiles, self._history, self._settings = profiles, history, settings
        self._random = np.random.default_rng([seed, 1])
        self._smoother = smoother(min(settings.sessions, len(history)), settings.training_smoothing)
        self._tail = torch.tensor(settings.tail, dtype=torch.float32)
        self._dial = torch.tensor(settings.exposure, dtype=torch.float32)

    def actor_step(self, optimiser: Steps) -> dict[str, float]:
        """Take one step of all agents of all members; return means of Sharpe ratio, concentration and pin error."""
        settings = self._settings
        states, returns, _ = self._history.stretches(settings.members, settings.sessions, settings.names, self._random)
        exposure, shares = self._profiles.actors.exposure(states), self._profiles.actors.shares(states)
        targets = settings.budget * exposure[..., None] * shares
        sharpe = self._sharpe(targets, returns, self._tail)
        held = states.ready.sum(dim=-1)[..., None, None].clamp(min=1)
        concentration = (shares * torch.log((shares * held).clamp(min=1e-9))).sum(dim=-1).mean(dim=1)
        pin = self._pin(exposure, self._dial)
        loss = settings.pin_weight * pin + settings.concentration_weight * concentration
        optimiser.step((loss - settings.sharpe_weight * sharpe).sum())
        return {"sharpe": _mean(sharpe), "concentration": _mean(concentration), "pin": _mean(pin)}

    def controller_step(self, optimiser: Steps, targets: Tensor) -> dict[str, float]:
        """Take one step of the controller on what the agents' targets would have earned together.

        Parameters
        ----------
        targets : (V, T, A, N) from `agent_targets`.
        """
        settings, k = self._settings, self._settings.members
        n = self._history.returns.shape[-1]
        states, returns, places = self._history.stretches(k, settings.sessions, n, self._random)
        proposed = torch.stack([targets[[0, v], at : at + length].flatten(0, 1) for at, length, v in places])
        weights = torch.softmax(self._profiles.controller(states.market), dim=-1)
        combined = (weights[..., None] * proposed).sum(dim=-2, keepdim=True)
        sharpe = self._sharpe(combined, returns, torch.zeros(1))[:, 0]
        uneven = (weights * torch.log((weights * settings.n_agents).clamp(min=1e-9))).sum(dim=-1).mean(dim=1)
        invested = combined.sum(dim=-1) / settings.budget
        pin = self._pin(invested, torch.tensor(settings.risk))
        loss = settings.pin_weight * pin[:, 0] + settings.controller_weight * uneven - settings.sharpe_weight * sharpe
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
    def agent_targets(self) -> Tensor:
        """Return (V, T, A, N) target weights of each agent in every session of the history, the mean over members."""
        self._profiles.eval()
        found = []
        for assets, market, ready in zip(*self._history.states, strict=True):
            parts = [
                self._profiles.agent_targets(States(*(x[None, at : at + 256] for x in (assets, market, ready))))
                for at in range(0, len(self._history), 256)
            ]
            found.append(torch.cat(parts))
        return torch.stack(found)

    @torch.no_grad()
    def outcomes(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (1, T, M) market states of the sessions whose horizon lies in the history, and (T, A, 2) outcomes.

        Parameters
        ----------
        targets : (T, A, N) of the history as it was.
        """
        horizon = self._settings.horizon
        followed = (smoother(len(targets), self._settings.smoothing) @ targets.flatten(1)).reshape(targets.shape)
        net = net_returns(followed, self._history.returns[0][:, None, :], self._settings.cost)
        ahead = net.unfold(0, horizon, 1)
        outcomes = torch.stack([ahead.sum(dim=-1), ahead.std(dim=-1)], dim=-1)
        return self._history.market[:1, : len(ahead)], outcomes

    def _pin(self, exposure: Tensor, wanted: Tensor) -> Tensor:
        """Return (K, A) mean squared error of the mean exposure (K, 2 S, A) of each stretch.

        Each by itself: pinned together, agents would tell rising from falling stretches, and follow trends.
        """
        mean = exposure.reshape(len(exposure), 2, -1, exposure.shape[-1]).mean(dim=2)
        error: Tensor = (mean - wanted).square().mean(dim=1)
        return error

    def _sharpe(self, targets: Tensor, returns: Tensor, tail: Tensor) -> Tensor:
        """Return (K, A) annual Sharpe ratios of followed targets (K, 2 S, A, N), both stretches together."""
        k, _, a, n = targets.shape
        twice = targets.reshape(k * 2, -1, a * n)
        followed = torch.matmul(self._smoother, twice).reshape(k, 2, -1, a, n)
        net = net_returns(followed, returns.reshape(k, 2, -1, 1, n), self._settings.cost)
        return quality(net.reshape(k, -1, a), tail).sharpe


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
