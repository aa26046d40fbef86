"""What must be equal for two trainings to be the same."""

from __future__ import annotations

from typing import Any

from agents.settings import AnySettings
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


def _dates(panel: MarketPanel, window: Window) -> list[str]:
    return [str(panel.sessions[window.first]), str(panel.sessions[window.last])]
