"""The heterogeneous agent ensemble of arXiv 2508.01173: actors, critics and safety critics of ten DDPG agents."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from agents.networks import EnsembleMLP, follow
from agents.replay import Batch
from agents.reporting import Losses
from agents.settings import Settings


class Ensemble(nn.Module):
    """Actors pi_i, critics Q_i, safety critics C_i and the controller M_omega, for all agents at once.

    Parameters
    ----------
    settings : sizes and number of agents.
    n_inputs : S, length of the encoded state.
    n_assets : N.
    seed : source of all initial weights.
    """

    def __init__(self, settings: Settings, n_inputs: int, n_assets: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        a, hidden = settings.n_agents, settings.hidden
        self.actor = EnsembleMLP(a, (n_inputs, *hidden, n_assets), generator, torch.tanh)
        self.critic = EnsembleMLP(a, (n_inputs + n_assets, *hidden, 1), generator)
        self.safety = EnsembleMLP(a, (n_inputs + n_assets, *hidden, 1), generator, torch.sigmoid)
        self.controller = EnsembleMLP(1, (n_inputs, *settings.controller_hidden, a), generator)
        self.n_agents = a

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.actor.weights[0].device
        return device

    def proposals(self, state: Tensor) -> Tensor:
        """Return what each agent proposes, pi_i(s): (B, S) -> (A, B, N) in [-1, 1]."""
        actions: Tensor = self.actor(state.expand(self.n_agents, *state.shape))
        return actions

    def agent_weights(self, state: Tensor) -> Tensor:
        """Return w_t = softmax(M_omega(s_t)): (B, S) -> (B, A)."""
        return torch.softmax(self.controller(state[None])[0], dim=-1)


class Targets(nn.Module):
    """Slow copies of an ensemble's actors and critics, pi'_i and Q'_i."""

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        self.actor = copy.deepcopy(ensemble.actor)
        self.critic = copy.deepcopy(ensemble.critic)


class Learner:
    """Updates an ensemble: one gradient step of every agent's three networks, and of the controller.

    The losses are those of arXiv 2508.01173, sections on the heterogeneous agent ensemble and the
    meta-adaptive controller; the rates are the authors' code's.
    """

    def __init__(self, ensemble: Ensemble, targets: Targets, settings: Settings) -> None:
        self.ensemble = ensemble
        self.targets = targets
        self._settings = settings
        self._theta = torch.tensor(settings.theta).float()[:, None, None].to(ensemble.device)
        self._penalty = torch.tensor(settings.penalty).float()[:, None, None].to(ensemble.device)
        self.optimisers = {
            "actor": _adam(ensemble.actor, settings.actor_rate),
            "critic": _adam(ensemble.critic, settings.critic_rate),
            "safety": _adam(ensemble.safety, settings.critic_rate),
            "controller": _adam(ensemble.controller, settings.controller_rate),
        }

    def update(self, batch: Batch) -> Losses:
        """Take one step of critics, safety critics and actors, and move the target networks.

        The three gradients are taken at the same weights, and then all networks move.
        """
        losses = self.losses(batch.to(self.ensemble.device))
        self._step(("actor", "critic", "safety"), torch.stack(losses).sum())
        follow(self.targets.actor, self.ensemble.actor, self._settings.tau)
        follow(self.targets.critic, self.ensemble.critic, self._settings.tau)
        return Losses(*(torch.stack(losses).detach() / self.ensemble.n_agents).tolist())

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses of actors, critics and safety critics, each summed over the agents.

        The gradient of their sum by any network is that of its own loss.
        """
        taken = torch.cat([batch.state, batch.action], dim=-1)
        change = self.ensemble.actor(batch.state) - batch.action
        value, proposed_value = _both(self.ensemble.critic, taken, change)
        risk, proposed_risk = _both(self.ensemble.safety, taken, change)
        # J = E[Q_i(s, pi_i(s)) - lambda_i * ReLU(C_i(s, pi_i(s)) - theta_i)], ascended
        actor = _agent_mean(self._penalty * torch.relu(proposed_risk - self._theta) - proposed_value)
        # L_Q = E[(Q_i(s, a) - y)^2]
        critic = _agent_mean((value - self._wanted(batch)).square())
        # L_C = E[(C_i(s, a) - C_env(s, a))^2]
        safety = _agent_mean((risk - batch.risk).square())
        return actor, critic, safety

    def update_controller(self, state: Tensor) -> float:
        """Take one step of the controller on (1, B, S) states and return its loss.

        L(omega) = -(E[Qbar] / (Std[Qbar] + eps) - lambda_meta * E[Cbar]). With a negative mean, which the
        penalties of the reward make the rule, that ratio would reward a larger spread. The gradient by the
        spread then has its sign turned, as in the modified Sharpe ratio (Israelsen 2005), while the value and
        the gradient by the mean stay those of the ratio, so that lambda_meta keeps its unit.
        """
        state = state.to(self.ensemble.device)
        states = state.expand(self.ensemble.n_agents, -1, -1)
        with torch.no_grad():
            proposed = torch.cat([states, self.ensemble.actor(states)], dim=-1)
            value, risk = self.ensemble.critic(proposed)[..., 0].T, self.ensemble.safety(proposed)[..., 0].T
        weights = self.ensemble.agent_weights(state[0])
        mean_value, mean_risk = (weights * value).sum(-1), (weights * risk).sum(-1).mean()
        mean, spread = mean_value.mean(), mean_value.std() + 1e-8
        quality = mean / spread if mean >= 0 else mean * spread / spread.detach().square()
        loss = -(quality - self._settings.lambda_meta * mean_risk)
        self._step(("controller",), loss)
        return float(loss.detach())

    @torch.no_grad()
    def _wanted(self, batch: Batch) -> Tensor:
        # y = r + gamma * (1 - terminated) * Q'_i(s', pi'_i(s'))
        next_action = self.targets.actor(batch.next_state)
        next_value: Tensor = self.targets.critic(torch.cat([batch.next_state, next_action], dim=-1))
        return batch.reward + self._settings.gamma * batch.alive * next_value

    def _step(self, names: Sequence[str], loss: Tensor) -> None:
        parameters = [p for name in names for p in getattr(self.ensemble, name).parameters()]
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        for name in names:
            self.optimisers[name].step()


def _both(network: EnsembleMLP, taken: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """Return a critic's opinion of states and actions, and of the same states and changed actions.

    The first layer is linear, so its product with the states, most of the work, serves both. The second opinion
    passes gradients to ``change`` alone.
    """
    first = network.first(taken)
    of_action = network.weights[0][:, -change.shape[-1] :].detach()
    changed = torch.baddbmm(first.detach(), change, of_action)
    return network.rest(first), network.rest(changed, frozen=True)


def _agent_mean(loss: Tensor) -> Tensor:
    # Mean over each agent's batch, summed over agents: every agent gets the gradient of its own mean.
    return loss.mean(dim=(1, 2)).sum()


def _adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=rate, fused=True)
