"""The names of ``--strategy``."""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import ConfigError, did_you_mean
from engine.policy import Policy
from strategies.baselines import BuyAndHold, EqualWeight

BASELINES: dict[str, type[EqualWeight] | type[BuyAndHold]] = {
    "equal_weight": EqualWeight,
    "buy_and_hold": BuyAndHold,
}
WEIGHTS = "weights"
STRATEGIES = (*BASELINES, WEIGHTS)


def baseline(name: str) -> Callable[[], Policy]:
    """Return what makes a fresh policy, by its name.

    Raises
    ------
    ConfigError
        When the name is unknown; says the nearest one.
    """
    if name not in BASELINES:
        hint = did_you_mean(name, STRATEGIES)
        raise ConfigError(f"unknown strategy {name!r}{hint}: there are {', '.join(STRATEGIES)}")
    return BASELINES[name]
