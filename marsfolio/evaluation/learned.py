"""The one door from the evaluation to `agents`: settings by name, training, and what a model can be asked."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError, did_you_mean
from engine.panel import MarketPanel
from engine.policy import Policy
from engine.rebalancer import Terms
from engine.walkforward import Fold

if TYPE_CHECKING:
    from agents.checkpoint import Model
    from agents.training import Reporter


def setting_names() -> tuple[str, ...]:
    """Return the names of all settings, ablations as ``setting/ablation``."""
    from agents import settings

    ablations: Mapping[str, Mapping[str, Any]] = getattr(settings, "ABLATIONS", {})
    parts = [f"{name}/{ablation}" for name, table in ablations.items() for ablation in table]
    return (*settings.SETTINGS, *parts)


def settings_named(text: str, overrides: Mapping[str, Any]) -> Any:
    """Return the settings called ``setting`` or ``setting/ablation``.

    Parameters
    ----------
    overrides : fields to replace, where the settings have them.

    Raises
    ------
    ConfigError
        When there are none of that name.
    """
    from agents import settings

    name, _, ablation = text.partition("/")
    if text not in setting_names():
        known = setting_names()
        raise ConfigError(f"unknown setting {text!r}{did_you_mean(text, known)}: there are {', '.join(known)}")
    found: Any = settings.ABLATIONS[name][ablation] if ablation else settings.SETTINGS[name]  # type: ignore[attr-defined]
    fields = {field.name for field in dataclasses.fields(found)}
    return dataclasses.replace(found, **{key: value for key, value in overrides.items() if key in fields})


def train(
    panel: MarketPanel, fold: Fold, settings: Any, terms: Terms, seed: int, out: Path, reporter: Reporter | None
) -> Model:
    """Train on the bars up to the end of the validation window, going on where an interrupted training stopped."""
    from agents.training import Trainer, use_threads

    use_threads(1)
    assert fold.validation is not None
    known = panel.rows(0, fold.last_known + 1)  # what comes later cannot be looked at
    return Trainer(known, fold.train, fold.validation, settings, terms, seed, out).run(resume=True, reporter=reporter)


def agents_alone(model: Model) -> dict[str, Callable[[], Policy]]:
    """Return what makes the policy of each agent alone, most cautious first; nothing for a single agent."""
    names: tuple[str, ...] = getattr(model, "agent_names", ())
    if len(names) < 2:
        return {}
    return {name: lambda name=name: model.agent_policy(name) for name in names}  # type: ignore[misc,attr-defined]


def learning_curve(model: Model) -> list[tuple[int, float]]:
    """Return (episode, validation score) pairs of the training, oldest first; empty when it kept none."""
    path = model.path / "history.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [(int(row["episode"]), float(row["score"])) for row in rows if row.get("score")]


def as_dict(settings: Any) -> dict[str, Any]:
    """Return settings as JSON values."""
    found: dict[str, Any] = settings.to_dict() if hasattr(settings, "to_dict") else dataclasses.asdict(settings)
    return found

