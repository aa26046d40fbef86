"""The numbers of the `marsfolio` setting, and its ablations: each departure from it is one named switch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from agents.tables import Tabled
from engine.arrays import FloatArray
from engine.errors import ConfigError
from engine.market_state import LOOKBACK_BARS, MARKET_FEATURES


@dataclass(frozen=True, slots=True)
class ProfileSettings(Tabled):
    """Everything that shapes the agents but data, windows and seed.

    Attributes
    ----------
    exposure_low, exposure_high : mean exposure, over the session's budget, to which the most cautious and the most
        aggressive agent are held: the risk dial.
    tail_high, tail_low : weight of CVaR against the standard deviation in the risk that the most cautious and the most
        aggressive agent divide by.
    risk : mean exposure to which the controller's mixture is held.
    budget : exposure of an agent that is fully invested.
    members : networks that are trained side by side, each on its own stretches, and whose targets are averaged.
    tilts, timing : whether agents choose between symbols, and when to be invested.
    controlled : False for equal weights of all agents.
    episodes, controller_episodes : gradient steps; each sees one stretch of the training window for each member as it
        was, and once again with a bear market imposed.
    sessions, names : length of a stretch, and at most how many symbols, drawn at random, are in it.
    background : whether a market with a long history is learned from beside the training window.
    bear_drifts : what an imposed bear market takes from every symbol in a session, a fraction; one is drawn each time.
    smoothing : how far the followed weights move towards the targets in a session.
    band : a symbol is traded when it is off by more than this part of an equal share.
    horizon : sessions ahead that the critics predict.
    """

    method: ClassVar[str] = "profiles"
    fixed_universe: ClassVar[bool] = False

    name: str = "marsfolio"
    lookback_bars: int = LOOKBACK_BARS
    n_agents: int = 10
    exposure_low: float = 0.30
    exposure_high: float = 0.95
    tail_high: float = 1.0
    tail_low: float = 0.0
    risk: float = 0.5
    budget: float = 0.95
    members: int = 2
    market_features: tuple[str, ...] = MARKET_FEATURES
    encoder: int = 8
    market_encoder: int = 16
    score_bound: float = 2.0
    dropout: float = 0.1
    tilts: bool = True
    timing: bool = True
    controlled: bool = True
    episodes: int = 150
    controller_episodes: int = 150
    critic_episodes: int = 300
    sessions: int = 252
    names: int = 20
    background: bool = True
    bear_drifts: tuple[float, ...] = (0.0004, 0.0008, 0.0012)
    sharpe_weight: float = 0.3
    concentration_weight: float = 0.1
    controller_weight: float = 0.05
    pin_weight: float = 3.0
    rate: float = 3e-3
    decay: float = 1e-3
    cost: float = 0.001
    smoothing: float = 0.05
    band: float = 0.05
    horizon: int = 21

    def __post_init__(self) -> None:
        for name in ("n_agents", "members", "episodes", "controller_episodes", "sessions", "names", "horizon"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, was {getattr(self, name)}")
        for name in ("exposure_low", "exposure_high", "risk", "budget", "smoothing"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be above 0 and at most 1, was {getattr(self, name)}")

    @property
    def wants_background(self) -> bool:
        """Whether a market with a long history is learned from."""
        return self.background

    @property
    def exposure(self) -> FloatArray:
        """(A,) mean exposure of each agent, most cautious first."""
        return np.linspace(self.exposure_low, self.exposure_high, self.n_agents)

    @property
    def tail(self) -> FloatArray:
        """(A,) weight of CVaR in each agent's risk."""
        return np.linspace(self.tail_high, self.tail_low, self.n_agents)

    @property
    def agent_names(self) -> tuple[str, ...]:
        """A names, most cautious first."""
        return tuple(f"agent_{k + 1:02d}" for k in range(self.n_agents))


MARSFOLIO = ProfileSettings()


def _without(ablation: str, **changes: Any) -> ProfileSettings:
    return replace(MARSFOLIO, name=f"{MARSFOLIO.name}/{ablation}", **changes)


PROFILE_ABLATIONS = {
    "static": _without("static", controlled=False),
    "no_tilts": _without("no_tilts", tilts=False),
    "no_timing": _without("no_timing", timing=False),
    "no_background": _without("no_background", background=False),
    "no_bear": _without("no_bear", bear_drifts=(0.0,)),
    "mild_bear": _without("mild_bear", bear_drifts=(0.0004,)),
    "no_tail": _without("no_tail", tail_high=0.0),
    "one_network": _without("one_network", members=1),
    "no_smoothing": _without("no_smoothing", smoothing=1.0),
    "no_band": _without("no_band", band=0.0),
    "risk_75": _without("risk_75", risk=0.75),
    "wide": _without("wide", encoder=32, market_encoder=32, episodes=300),
}
"""The `marsfolio` setting with one part changed, by what is changed."""
