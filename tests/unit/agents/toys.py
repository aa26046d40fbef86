"""Small markets, settings and models for the tests of the agents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.checkpoint import Model
from agents.policy import model_tensors
from agents.reporting import Reporter
from agents.settings import Settings
from agents.training import Trainer, Window
from engine.limits import MODEL_LIMITS
from engine.panel import FIELDS, MarketPanel
from engine.rebalancer import Terms

# 40 bars are the fewest that give features: rows 39 and later have them.
SMALL = Settings(
    name="small",
    lookback_bars=40,
    hidden=(32, 16),
    controller_hidden=(16,),
    batch_size=16,
    controller_every=2,
    controller_updates=3,
    episodes=3,
    patience=100,
    validation_every=1,
)
TERMS = Terms(limits=MODEL_LIMITS)
TRAIN = Window(40, 69)
VALIDATION = Window(70, 84)


def make_panel(
    n_sessions: int = 90, drifts: Sequence[float] = (0.001, 0.0, -0.001), noise: float = 0.01, seed: int = 0
) -> MarketPanel:
    """Return bars of one symbol a drift; drift and noise are those of a session's log return."""
    random = np.random.default_rng(seed)
    shape = (n_sessions, len(drifts))
    close = 50.0 * np.exp(np.cumsum(np.asarray(drifts) + noise * random.standard_normal(shape), axis=0))
    opening = close * np.exp(0.3 * noise * random.standard_normal(shape))
    wide = np.exp(0.3 * noise * np.abs(random.standard_normal(shape)))
    return MarketPanel(
        np.busday_offset("2020-01-01", np.arange(n_sessions)),
        tuple(f"S{i}" for i in range(len(drifts))),
        opening,
        np.maximum(opening, close) * wide,
        np.minimum(opening, close) / wide,
        close,
        np.full(shape, 1e6),
    )


def with_rows(panel: MarketPanel, rows: slice, factor: float) -> MarketPanel:
    """Return the panel with all bars of some rows multiplied by a factor."""
    bars = {name: getattr(panel, name).copy() for name in FIELDS}
    for values in bars.values():
        values[rows] *= factor
    return MarketPanel(panel.sessions, panel.symbols, **bars)


def make_trainer(out: Path, panel: MarketPanel | None = None, seed: int = 0, **changes: Any) -> Trainer:
    """Return a trainer of the small ensemble; changes are of windows, terms and settings."""
    train, validation = changes.pop("train", TRAIN), changes.pop("validation", VALIDATION)
    terms = changes.pop("terms", TERMS)
    settings = replace(SMALL, **changes)
    return Trainer(make_panel() if panel is None else panel, train, validation, settings, terms, seed, out)


def train_model(out: Path, reporter: Reporter | None = None, resume: bool = False, **changes: Any) -> Model:
    """Train the small ensemble to the end."""
    return make_trainer(out, **changes).run(resume, reporter)


def tensors_of(model: Model) -> dict[str, torch.Tensor]:
    return model_tensors(model.learned.ensemble, model.learned.encoder)


def same_weights(first: Model, second: Model) -> bool:
    a, b = tensors_of(first), tensors_of(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
