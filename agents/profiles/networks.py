"""The networks of the `marsfolio` setting: K members side by side, A agents a member, any number of symbols.

| network    | input                       | hidden            | output                               |
|------------|-----------------------------|-------------------|--------------------------------------|
| scores     | ranks (F), market (M)       | 8-8, SiLU         | (N, A) how much more than an equal share |
| exposure   | market (M)                  | 16, tanh          | (A) in (0, 1)                        |
| controller | market (M)                  | 16, tanh          | (A) weights of the agents, sum 1     |
| critic     | market (M)                  | 16, tanh          | (A, 3) return, volatility, quantile  |

The score network reads one symbol at a time and has one set of weights for all of them, so that it serves symbols it
has never seen and any number of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from agents.profiles.settings import ProfileSettings
from engine.market_state import ASSET_FEATURES, MARKET_FEATURES


class States(NamedTuple):
    """Market states over S sessions, for K members or for all alike."""

    assets: Tensor  # (K or 1, S, N, F)
    market: Tensor  # (K or 1, S, M)
    ready: Tensor  # (K or 1, S, N) bool


class MarketHead(nn.Module):
    """Market state -> ``size`` numbers, one hidden layer of tanh; the output layer starts at zero weights."""

    def __init__(
        self, members: int, hidden: int, size: int, features: tuple[str, ...], generator: torch.Generator
    ) -> None:
        super().__init__()
        self._columns = [MARKET_FEATURES.index(name) for name in features]
        m = len(features)
        self.first = _uniform((members, m, hidden), generator)
        self.first_bias = nn.Parameter(torch.zeros(members, 1, hidden))
        self.last = nn.Parameter(torch.zeros(members, hidden, size))
        self.last_bias = nn.Parameter(torch.zeros(members, 1, size))

    def forward(self, market: Tensor) -> Tensor:
        """Map (K or 1, S, M) to (K, S, size)."""
        hidden = torch.tanh(torch.matmul(market[..., self._columns], self.first) + self.first_bias)
        found: Tensor = torch.matmul(hidden, self.last) + self.last_bias
        return found


class Actors(nn.Module):
    """What each agent of each member holds: weights = budget * exposure_i * softmax(score_i)."""

    def __init__(self, settings: ProfileSettings, generator: torch.Generator) -> None:
        super().__init__()
        k, a, h = settings.members, settings.n_agents, settings.encoder
        self._settings = settings
        self.of_assets = _uniform((k, len(ASSET_FEATURES), h), generator)
        self.of_market = _uniform((k, len(MARKET_FEATURES), h), generator)
        self.first_bias = nn.Parameter(torch.zeros(k, 1, h))
        self.second = _uniform((k, h, h), generator)
        self.second_bias = nn.Parameter(torch.zeros(k, 1, h))
        self.score = nn.Parameter(torch.zeros(k, h, a))
        self.timing = MarketHead(k, settings.market_encoder, a, settings.market_features, generator)
        with torch.no_grad():  # before training, each agent holds its mean exposure all the time
            dial = torch.tensor(settings.exposure, dtype=torch.float32).clamp(0.01, 0.99)
            self.timing.last_bias.copy_(torch.logit(dial).expand(k, 1, a))

    def exposure(self, states: States) -> Tensor:
        """Return (K, S, A) exposures in (0, 1)."""
        raw = self.timing(states.market)
        return torch.sigmoid(raw if self._settings.timing else self.timing.last_bias.expand_as(raw))

    def shares(self, states: States) -> Tensor:
        """Return (K, S, A, N) shares of the symbols in what is invested; sum 1, or 0 where no symbol is ready."""
        ready = states.ready[:, :, None, :]
        if not self._settings.tilts:
            scores = torch.zeros(1)
        else:
            bound = self._settings.score_bound
            scores = bound * torch.tanh(self._scores(states) / bound)
        shape = (self.score.shape[0], ready.shape[1], self.score.shape[-1], ready.shape[-1])
        masked = torch.where(ready, scores, -1e9).expand(shape)
        return torch.softmax(masked, dim=-1) * ready

    def forward(self, states: States) -> Tensor:
        """Return (K, S, A, N) target weights."""
        return self._settings.budget * self.exposure(states)[..., None] * self.shares(states)

    def _scores(self, states: States) -> Tensor:
        """Return (K, S, A, N) scores; sessions and symbols are one axis in the products, or they would be tiny."""
        s, n = states.assets.shape[1:3]
        from_market = torch.matmul(states.market, self.of_market) + self.first_bias
        x = torch.matmul(states.assets.flatten(1, 2), self.of_assets)
        x = x.reshape(x.shape[0], s, n, -1) + from_market[:, :, None, :]
        x = self._dropout(nn.functional.silu(x)).flatten(1, 2)
        x = self._dropout(nn.functional.silu(torch.matmul(x, self.second) + self.second_bias))
        return torch.matmul(x, self.score).reshape(x.shape[0], s, n, -1).transpose(-1, -2)

    def _dropout(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, self._settings.dropout, self.training)


class Profiles(nn.Module):
    """Actors, controller and critics of the `marsfolio` setting.

    Parameters
    ----------
    seed : source of all initial weights.
    """

    def __init__(self, settings: ProfileSettings, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        k, a, hidden = settings.members, settings.n_agents, settings.market_encoder
        self.actors = Actors(settings, generator)
        self.controller = MarketHead(k, hidden, a, settings.market_features, generator)
        self.critics = MarketHead(k, hidden, 3 * a, MARKET_FEATURES, generator)
        self._settings = settings

    def agent_targets(self, states: States) -> Tensor:
        """Return (S, A, N) target weights of each agent, the mean over members."""
        found: Tensor = self.actors(states).mean(dim=0)
        return found

    def agent_weights(self, market: Tensor) -> Tensor:
        """Return (S, A) the controller's weights of (1, S, M) states, the mean over members; sum 1."""
        if not self._settings.controlled:
            return torch.full((market.shape[1], self._settings.n_agents), 1.0 / self._settings.n_agents)
        return torch.softmax(self.controller(market), dim=-1).mean(dim=0)

    def outlook(self, market: Tensor) -> Tensor:
        """Return (S, A, 3) predicted return, volatility and 5 % quantile over the horizon, the mean over members."""
        found: Tensor = self.critics(market).mean(dim=0)
        return found.reshape(*found.shape[:-1], self._settings.n_agents, 3)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> nn.Parameter:
    bound = 1.0 / math.sqrt(shape[-2])
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))
