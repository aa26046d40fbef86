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


class Overrides:
    """Fields of settings to replace, for all of them or for those of one name and its ablations.

    Parameters
    ----------
    fields : by field, texts ``NUMBER`` (for every setting that has the field) or ``SETTING=NUMBER``, which wins.

    Raises
    ------
    ConfigError
        When a text is neither, a number is not above 0, or there is no such setting.
    """

    def __init__(self, fields: Mapping[str, Iterable[str]]) -> None:
        self._values: dict[str, dict[str, int]] = {}
        for name, texts in fields.items():
            for text in texts:
                setting, number = _override(name, text)
                self._values.setdefault(setting, {})[name] = number

    def of(self, text: str) -> dict[str, int]:
        """Return what to replace in the settings of a method."""
        return {**self._values.get("", {}), **self._values.get(text.partition("/")[0], {})}


def _override(name: str, text: str) -> tuple[str, int]:
    flag = "--" + name.replace("_", "-")
    setting, _, number = text.rpartition("=")
    if not number.strip().isdecimal() or int(number) < 1:
        raise ConfigError(f"{flag} must be a number from 1 on, or SETTING=NUMBER such as published=30, was {text!r}")
    known = [one for one in learned.setting_names() if "/" not in one]
    if setting and setting not in known:
        raise ConfigError(f"{flag} {text}: unknown setting {setting!r}{did_you_mean(setting, known)}")
    return setting, int(number)


def parse_methods(texts: Iterable[str], overrides: Overrides | None = None) -> tuple[Method, ...]:
    """Return the methods of these names, without repetition, the reference among them.

    Parameters
    ----------
    texts : ``setting``, ``setting/ablation``, ``baseline`` or ``baseline:schedule``.

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
    return tuple(_parse(name, overrides or Overrides({})) for name in names)


def _parse(text: str, overrides: Overrides) -> Method:
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
    return Method(text, learned.settings_named(text, overrides.of(text)))


def _schedule(text: str, method: str) -> Schedule:
    try:
        return Schedule(text)
    except ValueError:
        known = ", ".join(Schedule)
        raise ConfigError(f"--methods {method}: the schedule must be one of {known}, was {text!r}") from None
