"""The settings of single agents: DDPG, TD3, SAC and PPO with the defaults of stable-baselines3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agents.tables import Tabled
from engine.environment import STEP_SIZE
from engine.errors import ConfigError
from engine.indicators import LOOKBACK_BARS, MARS_FEATURES

ALGORITHMS = ("ddpg", "td3", "sac", "ppo")


@dataclass(frozen=True, slots=True)
class SingleSettings(Tabled):
    """Everything that shapes a single agent but data, windows and seed.

    Learning rates and all that is not here are the library's defaults. Features, step, reward, discount, hidden layers,
    batch, replay and exploration noise are those of the `published` setting, so that one agent differs from ten by its
    algorithm alone.

    Attributes
    ----------
    algorithm : one of ALGORITHMS.
    episodes, patience, validation_every : counted in episodes, of as many environment steps as the training window
        has, in all environments together.
    environments : that run side by side, spread over the training window.
    update_every : environment steps per update; ddpg, td3, sac.
    learning_starts : steps of random actions before the first update; ddpg, td3, sac.
    noise : deviation of the exploration noise of an action; ddpg, td3.
    entropy : initial weight of the entropy, which is then learnt; sac. The library's 1 dwarfs rewards of a hundredth
        a step for tens of thousands of steps.
    rollout : steps of all environments together between two updates; ppo.
    """

    method: ClassVar[str] = "single"
    fixed_universe: ClassVar[bool] = True
    wants_background: ClassVar[bool] = False
    agent_names: ClassVar[tuple[str, ...]] = ("agent",)

    name: str
    algorithm: str
    features: tuple[str, ...] = MARS_FEATURES
    lookback_bars: int = LOOKBACK_BARS
    hidden: tuple[int, ...] = (256, 128, 64)
    gamma: float = 0.99
    learning_rate: float = 3e-4
    batch_size: int = 64
    environments: int = 1
    update_every: int = 1
    learning_starts: int = 100
    replay_size: int = 100_000
    noise: float = 0.1
    entropy: float = 0.01
    rollout: int = 2048
    step_size: float = STEP_SIZE
    volatility_weight: float = 0.5
    drawdown_weight: float = 2.0
    episodes: int = 30
    patience: int = 30
    validation_every: int = 1

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ConfigError(f"algorithm must be one of {', '.join(ALGORITHMS)}, was {self.algorithm!r}")
        positive = ("environments", "update_every", "replay_size", "episodes", "patience", "validation_every")
        for name in (*positive, "lookback_bars"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, was {getattr(self, name)}")
        if self.batch_size < 2:
            raise ConfigError(f"batch_size must be at least 2, was {self.batch_size}")
        if self.rollout < 2 * self.environments:
            raise ConfigError(f"rollout must be at least 2 steps an environment, was {self.rollout}")
        if not 0 < self.step_size <= 1:
            raise ConfigError(f"step_size must be above 0 and at most 1, was {self.step_size}")


SINGLE_AGENTS = {
    "ddpg": SingleSettings("ddpg", "ddpg", learning_rate=1e-3),
    "td3": SingleSettings("td3", "td3", learning_rate=1e-3),
    "sac": SingleSettings("sac", "sac"),
    "ppo": SingleSettings("ppo", "ppo", environments=8, episodes=100, patience=100, validation_every=3),
}
"""The settings of single agents by name."""
