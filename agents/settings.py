"""The settings of a training run: the numbers of arXiv 2508.01173, with the published code's errors repaired."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from agents.profiles.settings import MARSFOLIO, PROFILE_ABLATIONS, ProfileSettings
from agents.single.settings import SINGLE_AGENTS, SingleSettings
from agents.tables import Tabled
from engine.arrays import FloatArray
from engine.environment import STEP_SIZE
from engine.errors import ConfigError, did_you_mean
from engine.indicators import LOOKBACK_BARS, MARS_FEATURES


@dataclass(frozen=True, slots=True)
class Settings(Tabled):
    """Everything that shapes a trained ensemble but data, windows and seed.

    The defaults are the `published` setting: the paper's numbers (agents, networks, profiles, gamma, reward and
    lambda_meta), and where it is silent the values of the authors' code (learning rates, batch, replay, tau, noise,
    episodes, patience, validation, refresh, and 150 shares a day, which ``step_size`` stands for).

    Attributes
    ----------
    theta_low, theta_high : safety thresholds of the most conservative and the most aggressive agent, on the scale of
        `engine.risk.risk_score`, where a fully invested portfolio scores 0.3 and more.
    lambda_low, lambda_high : safety penalties; the smallest threshold has the largest penalty.
    controller_updates : gradient steps of the controller each time it is trained: 3,000 in 300 episodes. The
        published code takes at most 60 in all, too few to matter. The objective is nearly linear in the
        weights, so that within 50 steps almost all weight lies on one agent per state: ``agents_in_use`` in
        the training history tells.
    controlled : False for equal weights of all agents; the controller is then neither used nor trained.
    refresh_sessions : the controller's weights are kept for this many sessions.
    update_every : environment steps per update of all agents (1 as published).
    precision : "float32", or "bf16" for matrix products of bfloat16 factors, for processors that have instructions
        for it.
    device : "auto" trains on a GPU where there is one, "cpu" or "cuda" on that alone.
    episodes, patience, validation_every : counted in episodes.
    """

    method: ClassVar[str] = "ensemble"
    fixed_universe: ClassVar[bool] = True
    wants_background: ClassVar[bool] = False

    name: str = "published"
    features: tuple[str, ...] = MARS_FEATURES
    lookback_bars: int = LOOKBACK_BARS
    n_agents: int = 10
    hidden: tuple[int, ...] = (256, 128, 64)
    controller_hidden: tuple[int, ...] = (128, 64)
    theta_low: float = 0.10
    theta_high: float = 0.55
    lambda_low: float = 1.0
    lambda_high: float = 5.5
    gamma: float = 0.99
    tau: float = 0.005
    actor_rate: float = 5e-5
    critic_rate: float = 2e-4
    controller_rate: float = 1e-3
    batch_size: int = 64
    replay_size: int = 100_000
    noise: float = 0.1
    step_size: float = STEP_SIZE
    volatility_weight: float = 0.5
    drawdown_weight: float = 2.0
    lambda_meta: float = 0.5
    controlled: bool = True
    controller_every: int = 5
    controller_updates: int = 50
    refresh_sessions: int = 5
    update_every: int = 1
    precision: str = "float32"
    device: str = "auto"
    episodes: int = 300
    patience: int = 150
    validation_every: int = 10

    def __post_init__(self) -> None:
        positive = ("n_agents", "batch_size", "replay_size", "controller_every", "refresh_sessions")
        for name in (*positive, "update_every", "episodes", "patience", "validation_every", "lookback_bars"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, was {getattr(self, name)}")
        if not 0 < self.step_size <= 1:
            raise ConfigError(f"step_size must be above 0 and at most 1, was {self.step_size}")
        for name, known in (("precision", ("float32", "bf16")), ("device", ("auto", "cpu", "cuda"))):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, was {getattr(self, name)!r}")

    @property
    def theta(self) -> FloatArray:
        """(A,) safety thresholds, most conservative agent first."""
        return np.linspace(self.theta_low, self.theta_high, self.n_agents)

    @property
    def penalty(self) -> FloatArray:
        """(A,) safety penalties lambda, most conservative agent first."""
        return np.linspace(self.lambda_high, self.lambda_low, self.n_agents)

    @property
    def agent_names(self) -> tuple[str, ...]:
        """A names, most conservative first."""
        return tuple(f"agent_{k + 1:02d}" for k in range(self.n_agents))


def _published(ablation: str, **changes: Any) -> Settings:
    return replace(Settings(), name=f"published/{ablation}", **changes)


PUBLISHED_ABLATIONS = {
    "static": _published("static", controlled=False),
    "homogeneous": _published("homogeneous", theta_low=0.325, theta_high=0.325, lambda_low=3.25, lambda_high=3.25),
    "div5": _published("div5", n_agents=5),
    "div15": _published("div15", n_agents=15),
}
"""The paper's ablations: equal weights; one risk profile for all, the middle of the ten; 5 agents; 15 agents."""


class AnySettings(Protocol):
    """What the settings of every method of training have.

    Attributes
    ----------
    method : how it is trained and what it becomes.
    fixed_universe : True when it trades the symbols it was trained on and no others.
    wants_background : True when it also learns from a market with a long history.
    name : of the setting, with its ablation.
    """

    @property
    def method(self) -> str: ...

    @property
    def fixed_universe(self) -> bool: ...

    @property
    def wants_background(self) -> bool: ...

    @property
    def name(self) -> str: ...

    @property
    def episodes(self) -> int: ...

    @property
    def agent_names(self) -> tuple[str, ...]: ...

    def to_dict(self) -> dict[str, Any]: ...


SETTINGS: dict[str, AnySettings] = {"marsfolio": MARSFOLIO, "published": Settings(), **SINGLE_AGENTS}
"""The named settings of ``--setting``."""

ABLATIONS: dict[str, Mapping[str, AnySettings]] = {"marsfolio": PROFILE_ABLATIONS, "published": PUBLISHED_ABLATIONS}
"""By setting, the variants of ``--ablation``."""

_METHODS: dict[str, Callable[[dict[str, Any]], AnySettings]] = {
    "ensemble": Settings.from_dict,
    "profiles": ProfileSettings.from_dict,
    "single": SingleSettings.from_dict,
}


def settings_of(setting: str, ablation: str | None = None) -> AnySettings:
    """Return named settings.

    Raises
    ------
    ConfigError
        When a name is unknown; says the nearest.
    """
    if setting not in SETTINGS:
        hint = did_you_mean(setting, tuple(SETTINGS))
        raise ConfigError(f"unknown setting {setting!r}{hint}: there are {', '.join(SETTINGS)}")
    if ablation is None:
        return SETTINGS[setting]
    known = ABLATIONS.get(setting, {})
    if ablation not in known:
        there = f"there are {', '.join(known)}" if known else "there are none"
        raise ConfigError(f"{setting} has no ablation {ablation!r}{did_you_mean(ablation, tuple(known))}: {there}")
    return known[ablation]


def settings_from(method: str, values: dict[str, Any]) -> AnySettings:
    """Return the settings that ``to_dict`` of a method's settings wrote.

    Raises
    ------
    ConfigError
        When the method is unknown, or a key is unknown or missing.
    """
    if method not in _METHODS:
        raise ConfigError(f"unknown method {method!r}: there are {', '.join(_METHODS)}")
    return _METHODS[method](values)
