"""The one door from the evaluation to `agents`: settings by name, training, and what a model can be asked."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import CheckpointError
from engine.panel import MarketPanel
from engine.policy import Policy
from engine.rebalancer import Terms
from engine.walkforward import Fold

if TYPE_CHECKING:
    from agents.checkpoint import Model
    from agents.reporting import Reporter
    from agents.settings import AnySettings


def setting_names() -> tuple[str, ...]:
    """Return the names of all settings, ablations as ``setting/ablation``."""
    from agents.settings import ABLATIONS, SETTINGS

    return (*SETTINGS, *(f"{name}/{ablation}" for name, table in ABLATIONS.items() for ablation in table))


def settings_named(text: str, overrides: Mapping[str, Any]) -> AnySettings:
    """Return the settings called ``setting`` or ``setting/ablation``.

    Parameters
    ----------
    overrides : fields to replace, where the settings have them.

    Raises
    ------
    ConfigError
        When there are none of that name.
    """
    from agents.settings import settings_of

    name, _, ablation = text.partition("/")
    found: Any = settings_of(name, ablation or None)
    fields = {field.name for field in dataclasses.fields(found)}
    changed: AnySettings = dataclasses.replace(found, **{k: v for k, v in overrides.items() if k in fields})
    return changed


def identity(settings: AnySettings) -> dict[str, Any]:
    """Return all that settings say, as JSON values."""
    return {"method": settings.method, "settings": settings.to_dict()}


def train(
    panel: MarketPanel,
    fold: Fold,
    settings: AnySettings,
    terms: Terms,
    seed: int,
    out: Path,
    reporter: Reporter | None = None,
) -> Model:
    """Train on the bars up to the end of the validation window, going on where an interrupted training stopped."""
    from agents.training import use_threads
    from marsfolio.compose import trainer_of

    use_threads(1)
    assert fold.validation is not None
    known = panel.rows(0, fold.last_known + 1)  # what comes later cannot be looked at
    trainer = trainer_of(known, fold.train, fold.validation, settings, terms, seed, out)
    return trainer.run(resume=True, reporter=reporter)


def agents_alone(model: Model) -> dict[str, Callable[[], Policy]]:
    """Return what makes the policy of each agent alone, most cautious first; nothing for a single agent."""
    names = model.agent_names
    return {name: partial(model.agent_policy, name) for name in names} if len(names) > 1 else {}


def learning_curve(model: Model) -> list[tuple[int, float]]:
    """Return (episode, validation score) pairs of the training, oldest first; empty when it kept none.

    Raises
    ------
    CheckpointError
        When the history is damaged.
    """
    from agents.checkpoint import HISTORY

    path = model.path / HISTORY
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [(int(row["episode"]), float(row["score"])) for row in rows if row.get("episode") and row.get("score")]
    except ValueError as error:
        raise CheckpointError(
            f"{path} is damaged: {error}; remove the folder, and the model is trained again"
        ) from error
