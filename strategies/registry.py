"""The names of ``--strategy``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from engine.errors import ConfigError, did_you_mean
from engine.policy import Policy
from strategies.baselines import BuyAndHold, EqualWeight, InverseVolatility, Momentum
from strategies.optimised import HierarchicalRiskParity, MeanVariance, MinVariance, Optimised, RiskParity
from strategies.timing import DipRule, TrendFilter, VolatilityTarget

OPTIMISED: dict[str, type[Optimised]] = {
    "min_variance": MinVariance,
    "mean_variance": MeanVariance,
    "risk_parity": RiskParity,
    "hrp": HierarchicalRiskParity,
}
BASELINES: dict[str, Callable[[], Policy]] = {
    "equal_weight": EqualWeight,
    "buy_and_hold": BuyAndHold,
    "inverse_volatility": InverseVolatility,
    **OPTIMISED,
    "momentum": Momentum,
    "vol_target": VolatilityTarget,
    "dip_rule": DipRule,
    "trend_filter": TrendFilter,
}
WEIGHTS = "weights"
STRATEGIES = (*BASELINES, WEIGHTS)


def baseline(name: str, cap: float = 1.0) -> Callable[[], Policy]:
    """Return what makes a fresh policy, by its name.

    Parameters
    ----------
    cap : largest weight of one symbol that the limits will allow. An optimiser takes it as a constraint and stays
        fully invested; what the limits cut from the weights of others goes to cash.

    Raises
    ------
    ConfigError
        When the name is unknown; says the nearest one.
    """
    if name in OPTIMISED:
        return partial(OPTIMISED[name], cap=cap)
    if name not in BASELINES:
        hint = did_you_mean(name, STRATEGIES)
        raise ConfigError(f"unknown strategy {name!r}{hint}: there are {', '.join(STRATEGIES)}")
    return BASELINES[name]
