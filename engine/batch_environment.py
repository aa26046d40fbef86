"""BatchPortfolioEnv: many accounts over one window as a gymnasium vector environment, in compiled code."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from engine.arrays import BoolArray, Float32Array, FloatArray, IntArray
from engine.batch import Outcome, begin_batch, empty_batch, market_of, scheme_of, step_batch
from engine.environment import STEP_SIZE, Reward
from engine.errors import ConfigError, InputError
from engine.observation import FeatureTable
from engine.panel import MarketPanel, Window
from engine.rebalancer import Terms

Encode = Callable[[FloatArray], Float32Array]
_REWARD = Reward()


def flat_features(values: FloatArray) -> Float32Array:
    """Return features as float32 with 0 for NaN, as `flat_observation` does."""
    return np.nan_to_num(values, nan=0.0).astype(np.float32)


class BatchPortfolioEnv(VectorEnv[Float32Array, Float32Array, np.ndarray[Any, Any]]):
    """``size`` copies of `PortfolioEnv`, each with an account and a session of its own, stepped by compiled code.

    Observations, rewards and risk scores are those of `PortfolioEnv`, bit for bit. Where an episode ends, the step
    returns the first observation of the next (autoreset SAME_STEP) and puts the last one into ``final_obs``.

    Parameters
    ----------
    panel, features, terms, reward, step_size : as of `PortfolioEnv`; the terms must have limits.
    window : rows of the panel; an episode ends with its last.
    size : B, the number of environments.
    starts : (B,) rows of the panel where the episodes after `reset` begin; the window's first when None. Those that
        follow begin at the window's first, so that environments that start apart stay apart.
    encode : features (T, N, F) -> float32 of the same shape.
    weight_scale : what weights are multiplied with in observations.
    threads : how many to use; the results do not depend on it.

    Raises
    ------
    ConfigError
        When the window has fewer than two sessions, the terms have no limits (an action would ask for negative
        weights), a start is outside, or ``size`` or ``threads`` is not positive.
    InputError
        When the features do not cover the window, or costs read volumes that the panel lacks.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        panel: MarketPanel,
        features: FeatureTable,
        window: Window,
        terms: Terms,
        size: int,
        starts: Sequence[int] | IntArray | None = None,
        reward: Reward = _REWARD,
        step_size: float = STEP_SIZE,
        encode: Encode = flat_features,
        weight_scale: float = 1.0,
        threads: int = 1,
    ) -> None:
        _check(window, terms, size, threads)
        for row in window:
            features.at(row)
        self._first, self._last = window
        self._starts = np.full(size, self._first) if starts is None else np.asarray(starts, dtype=np.int64)
        if self._starts.shape != (size,) or self._starts.min() < self._first or self._starts.max() >= self._last:
            raise ConfigError(f"starts must be {size} rows from {self._first} to {self._last - 1}, were {starts}")
        table = features.values[self._first - features.first : self._last + 1 - features.first]
        self._market = market_of(panel, window, table, encode(table), terms)
        self._scheme = scheme_of(step_size, weight_scale, reward)
        self._rules, self._cash = terms.rules, float(terms.cash)
        n = panel.n_symbols
        self.num_envs = size
        self._state_size = 1 + n + self._market.encoded.shape[1]
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self._state_size,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (n,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, size)
        self.action_space = batch_space(self.single_action_space, size)
        bounds = np.linspace(0, size, min(threads, size) + 1).astype(int)
        self._parts = [slice(*pair) for pair in itertools.pairwise(bounds.tolist())]
        self._batches = [empty_batch(panel, self._last + 1 - self._first, p.stop - p.start) for p in self._parts]
        self._pool = ThreadPoolExecutor(len(self._parts) - 1) if len(self._parts) > 1 else None
        self._begun = False

    @property
    def rows(self) -> IntArray:
        """(B,) rows of the panel whose closes were last observed."""
        return np.concatenate([batch.row for batch in self._batches]) + self._first

    @property
    def equity(self) -> FloatArray:
        """(B,) account values at the last close."""
        return np.concatenate([batch.equity[np.arange(len(batch.row)), batch.row] for batch in self._batches])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Start all again with cash alone, each at its own start. Nothing here is random."""
        super().reset(seed=seed)
        observation = np.empty((self.num_envs, self._state_size), np.float32)
        for part, batch in zip(self._parts, self._batches, strict=True):
            rows = self._starts[part] - self._first
            begin_batch(rows, self._cash, batch, self._market, self._scheme, observation[part])
        self._begun = True
        return observation, {}

    def step(self, actions: Float32Array) -> tuple[Float32Array, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """Decide at each close, trade as the terms say, and observe the next close.

        Returns
        -------
        observations (B, S), rewards (B,), terminated (B,), truncated (B,) and infos: ``risk_score`` (B,) of the
        targets just decided, ``equity`` (B,) at the close just observed, and where an episode has ended ``final_obs``
        with its last observation.

        Raises
        ------
        InputError
            When there was no reset, the actions have the wrong shape or are not finite, or an equity is not.
        """
        actions = np.ascontiguousarray(actions, dtype=np.float32)
        if not self._begun:
            raise InputError("the environments have not begun: call reset first")
        if actions.shape != self.action_space.shape:
            raise InputError(f"actions must have the shape {self.action_space.shape}, had {actions.shape}")
        if not np.isfinite(actions).all():
            raise InputError("actions must be finite, had NaN or infinity")
        outcome = self._outcome()
        self._step_all(actions, outcome)
        if not np.isfinite(outcome.reward).all():
            raise InputError("an equity is not finite: look for a missing price or absurd prices in the data")
        every = np.ones(self.num_envs, np.bool_)
        infos: dict[str, Any] = {"risk_score": outcome.score, "_risk_score": every}
        infos.update(equity=outcome.equity, _equity=every)
        ended = outcome.terminated | outcome.truncated
        if ended.any():
            infos["final_obs"] = np.full(self.num_envs, None, dtype=object)
            for b in np.flatnonzero(ended):
                infos["final_obs"][b] = outcome.final[b]
            infos["_final_obs"] = ended
        return outcome.observation, outcome.reward, outcome.terminated, outcome.truncated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _outcome(self) -> Outcome:
        size, width = self.num_envs, self._state_size
        return Outcome(
            observation=np.empty((size, width), np.float32),
            final=np.empty((size, width), np.float32),
            reward=np.empty(size),
            score=np.empty(size),
            equity=np.empty(size),
            terminated=np.empty(size, np.bool_),
            truncated=np.empty(size, np.bool_),
        )

    def _step_all(self, actions: Float32Array, outcome: Outcome) -> None:
        others: list[Future[None]] = []
        if self._pool is not None:
            others = [self._pool.submit(self._step_part, k, actions, outcome) for k in range(1, len(self._parts))]
        self._step_part(0, actions, outcome)
        for other in others:
            other.result()

    def _step_part(self, k: int, actions: Float32Array, outcome: Outcome) -> None:
        part, batch = self._parts[k], self._batches[k]
        mine: Any = [values[part] for values in outcome]
        step_batch(actions[part], self._cash, batch, self._market, self._rules, self._scheme, Outcome(*mine))


def _check(window: Window, terms: Terms, size: int, threads: int) -> None:
    if window.last <= window.first:
        raise ConfigError(f"an episode needs at least two sessions, the window has {window.last - window.first + 1}")
    if terms.limits is None:
        raise ConfigError("the terms need limits: actions can ask for negative weights, which limits make 0")
    if size < 1 or threads < 1:
        raise ConfigError(f"size and threads must be at least 1, were {size} and {threads}")
