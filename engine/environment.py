"""PortfolioEnv: the simulation kernel as a gymnasium environment with the reward of arXiv 2508.01173."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from engine.account import Account
from engine.arrays import BoolArray, Float32Array, FloatArray
from engine.compiled import compiled
from engine.errors import ConfigError, InputError
from engine.observation import FeatureTable, Observation
from engine.panel import MarketPanel
from engine.policy import Decision
from engine.rebalancer import Rebalancer, Terms
from engine.risk import RISK_WINDOW, risk_score, trailing_returns

STEP_SIZE = 0.025
"""Largest change of one weight in a session: what the published code's 150 shares are for a typical name."""


@dataclass(frozen=True, slots=True)
class Reward:
    """R_t = (V_{t+1} - V_t) / V_t - C_t - rho_t, rho_t = w_vol * sigma_30d + w_dd * DD_30d (arXiv 2508.01173).

    The return is before costs and C_t the costs as a fraction of V_t, so that costs count once; sigma_30d is
    the daily deviation of the portfolio's last 30 returns and DD_30d its largest fall within 30 sessions, both
    with t + 1 included and 0 while undefined.
    """

    volatility_weight: float = 0.5
    drawdown_weight: float = 2.0


def ready_symbols(observation: Observation) -> BoolArray:
    """Return (N,) True where a symbol has a bar and all its features."""
    return np.asarray(observation.tradable & ~np.isnan(observation.features).any(axis=1))


def action_weights(observation: Observation, action: FloatArray, step_size: float) -> FloatArray:
    """Return the (N,) targets of an action in [-1, 1]^N: current weights + step_size * action, before limits.

    NaN (keep the shares) for symbols that are not ready and where the action is exactly 0: asking for the
    weight held now could sell a share, since sizes are floored. Actions outside the range are clipped.
    """
    return step_targets(observation.weights, np.asarray(action, np.float64), ready_symbols(observation), step_size)


@compiled
def step_targets(weights: FloatArray, action: FloatArray, ready: BoolArray, step_size: float) -> FloatArray:
    """Return the (N,) targets of `action_weights` from the weights held and the symbols that are ready."""
    target = np.full(weights.shape[0], np.nan)
    for i in range(weights.shape[0]):
        if ready[i] and action[i] != 0.0:
            target[i] = weights[i] + step_size * min(max(action[i], -1.0), 1.0)
    return target


@compiled
def held_targets(targets: FloatArray, weights: FloatArray) -> FloatArray:
    """Return (N,) targets with the weights held where the shares are kept (NaN)."""
    held = targets.copy()
    for i in range(targets.shape[0]):
        if targets[i] != targets[i]:
            held[i] = weights[i]
    return held


@compiled
def reward_of(
    before: float, after: float, volatility: float, drawdown: float, volatility_weight: float, drawdown_weight: float
) -> float:
    """Return the reward of `Reward` for an account that went from ``before`` to ``after``; NaN risk counts as 0."""
    # (V' - V) / V before costs, minus costs / V, is the return after costs.
    reward = after / before - 1.0
    if volatility == volatility:
        reward -= volatility_weight * volatility
    if drawdown == drawdown:
        reward -= drawdown_weight * drawdown
    return reward


def flat_observation(observation: Observation) -> Float32Array:
    """Return [cash weight, N weights, N * F features] as float32; features that are NaN become 0."""
    features = np.nan_to_num(observation.features, nan=0.0).ravel()
    return np.concatenate([[observation.cash_weight], observation.weights, features]).astype(np.float32)


class PortfolioEnv(gymnasium.Env[Float32Array, Float32Array]):
    """One account over a window of a panel; an episode is the whole window.

    Parameters
    ----------
    panel : the bars.
    features : features of the rows ``first`` to ``last``.
    terms : cash, costs, limits, timing.
    reward : weights of the reward's penalties.
    step_size : largest change of one weight in a session.
    encode : observation -> float32 vector of size 1 + N + N * F.

    Raises
    ------
    ConfigError
        When the window has fewer than two sessions.
    InputError
        When the features do not cover the window.
    """

    metadata = {"render_modes": []}

    def __init__(
        self,
        panel: MarketPanel,
        features: FeatureTable,
        first: int,
        last: int,
        terms: Terms,
        reward: Reward = Reward(),
        step_size: float = STEP_SIZE,
        encode: Callable[[Observation], Float32Array] = flat_observation,
    ) -> None:
        if last <= first:
            raise ConfigError(f"an episode needs at least two sessions, the window has {last - first + 1}")
        for row in (first, last):
            features.at(row)
        n = panel.n_symbols
        size = 1 + n + n * len(features.names)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (n,), np.float32)
        self._panel = panel
        self._features = features
        self._first = first
        self._last = last
        self._terms = terms
        self._reward = reward
        self._step_size = step_size
        self._encode = encode
        self._returns = trailing_returns(panel)
        self._begin()

    @property
    def row(self) -> int:
        """Row of the panel whose close was last observed."""
        return self._row

    @property
    def account(self) -> Account:
        """The account of this episode."""
        return self._account

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Start again with cash alone at the window's first close."""
        super().reset(seed=seed)
        self._begin()
        return self._encode(self._observation), {}

    def step(self, action: Float32Array) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Decide at the close, trade as the terms say, and observe the next close.

        Returns
        -------
        observation, reward, terminated (the account is worth nothing), truncated (end of the window), and
        info with ``risk_score`` (C_env of the targets, kept shares included).

        Raises
        ------
        InputError
            When the episode is over, or the action is not finite.
        """
        if self._row == self._last:  # the compiled code would write behind its arrays
            raise InputError("the episode is over at the window's last session: call reset")
        if not np.isfinite(action).all():
            raise InputError("an action must be finite, had NaN or infinity")
        decision = Decision(action_weights(self._observation, np.asarray(action, np.float64), self._step_size))
        basket = self._rebalancer.basket(decision, self._row, self._account)
        start = max(0, self._row + 1 - RISK_WINDOW)
        targets = held_targets(basket.weights, self._observation.weights)
        score = risk_score(targets, self._returns[start : self._row + 1])
        before = self._account.equity
        self._account.submit(basket)
        self._settle(self._row + 1)
        after = self._account.equity
        risk, weigh = self._observation.risk, self._reward
        reward = reward_of(
            before, after, risk.volatility_30, risk.drawdown_30, weigh.volatility_weight, weigh.drawdown_weight
        )
        terminated = not after > 0.0
        truncated = self._row == self._last and not terminated
        return self._encode(self._observation), reward, terminated, truncated, {"risk_score": score}

    def _begin(self) -> None:
        self._account = Account(self._panel, self._first, self._last, self._terms)
        self._rebalancer = Rebalancer(self._panel, self._features, self._terms)
        self._settle(self._first)

    def _settle(self, row: int) -> None:
        self._row = row
        self._account.settle(row)
        self._observation = self._rebalancer.observe(row, self._account)
