"""What the name of a method means: a setting to train, an ablation of one, or a baseline on a schedule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError, did_you_mean
from engine.rebalancer import Schedule
from marsfolio.evaluation import learned
from strategies.registry import BASELINES

if TYPE_CHECKING:
    from agents.settings import AnySettings

REFERENCE = "equal_weight:monthly"
"""What every method is compared with: everything equally, restored once a month."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method to evaluate.

    Attributes
    ----------
    name : as the user writes it.
    settings : what is trained; None for a baseline.
    schedule : how often a baseline may rebalance; a learned method decides every session.
    """

    name: str
    settings: AnySettings | None = field(default=None, compare=False)
    schedule: Schedule = Schedule.DAILY

    @property
    def is_learned(self) -> bool:
        """True when it is trained, once a seed."""
        return self.settings is not None

    def identity(self) -> dict[str, Any]:
        """Return all that determines what it does, as JSON values; the name is not part of it for a learned one."""
        if self.settings is not None:
            return learned.identity(self.settings)
        return {"baseline": self.name.partition(":")[0], "schedule": self.schedule.value}


def parse_methods(texts: Iterable[str], overrides: Mapping[str, Any]) -> tuple[Method, ...]:
    """Return the methods of these names, without repetition, the reference among them.

    Parameters
    ----------
    texts : ``setting``, ``setting/ablation``, ``baseline`` or ``baseline:schedule``.
    overrides : fields of the settings to replace, where they have them.

    Raises
    ------
    ConfigError
        When a name is unknown (says the nearest), or none is given.
    """
    names = list(dict.fromkeys(texts))
    if not names:
        raise ConfigError("--methods must name at least one method, such as marsfolio or equal_weight:monthly")
    if REFERENCE not in names:
        names.append(REFERENCE)
    return tuple(_parse(name, overrides) for name in names)


def _parse(text: str, overrides: Mapping[str, Any]) -> Method:
    name, separator, schedule = text.partition(":")
    if name in BASELINES:
        return Method(text, schedule=_schedule(schedule, text) if separator else Schedule.DAILY)
    if separator:
        near = did_you_mean(name, BASELINES)
        raise ConfigError(f"--methods {text}: {name!r} is no baseline{near}; there are {', '.join(BASELINES)}")
    settings = learned.setting_names()
    if text not in settings:
        known = [*settings, *BASELINES]
        raise ConfigError(
            f"--methods: unknown method {text!r}{did_you_mean(text, known)}; there are {', '.join(known)}"
        )
    return Method(text, learned.settings_named(text, overrides))


def _schedule(text: str, method: str) -> Schedule:
    try:
        return Schedule(text)
    except ValueError:
        known = ", ".join(Schedule)
        raise ConfigError(f"--methods {method}: the schedule must be one of {known}, was {text!r}") from None
