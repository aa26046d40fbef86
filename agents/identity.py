"""What must be equal for two trainings to be the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents.settings import AnySettings
from engine.errors import CheckpointError
from engine.panel import MarketPanel, Window
from engine.rebalancer import Terms


def identity_of(
    panel: MarketPanel, train: Window, validation: Window, settings: AnySettings, seed: int, terms: Terms
) -> dict[str, Any]:
    """Return data, windows, settings, seed and terms of a training as JSON values; a model's manifest repeats them."""
    limits = terms.limits
    return {
        "symbols": list(panel.symbols),
        "data_hash": panel.rows(0, validation.last + 1).content_hash,
        "closes_only": panel.closes_only,
        "train": _dates(panel, train),
        "validation": _dates(panel, validation),
        "settings": settings.to_dict(),
        "seed": seed,
        "terms": {
            "cash": terms.cash,
            **terms.costs.table(),
            "cap": limits.cap if limits else None,
            "cash_buffer": limits.cash_buffer if limits else None,
            "fill": terms.timing.name.lower(),
            "fractional": terms.fractional,
        },
    }


def check_identity(out: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to go on with a training that was started differently.

    Raises
    ------
    CheckpointError
        Naming the first entry of ``wanted`` that differs in ``saved``, and both values.
    """
    wanted = json.loads(json.dumps(wanted))
    for key, new in wanted.items():
        old, name = saved.get(key), key
        if old == new:
            continue
        if isinstance(new, dict) and isinstance(old, dict):
            part = next(k for k in {**new, **old} if k not in old or k not in new or old[k] != new[k])
            old, new, name = old.get(part), new.get(part), f"{key}.{part}"
        raise CheckpointError(
            f"{out} was started with {name} = {old}, this command says {new}: resume with the same arguments, "
            "or train into another --out"
        )


def _dates(panel: MarketPanel, window: Window) -> list[str]:
    return [str(panel.sessions[window.first]), str(panel.sessions[window.last])]
