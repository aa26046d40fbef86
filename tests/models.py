"""A small trained ensemble, and a market that it can decide on: for tests above the agents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from agents.checkpoint import MANIFEST
from agents.settings import Settings
from agents.training import Trainer, Window
from engine.limits import MODEL_LIMITS
from engine.panel import MarketPanel
from engine.rebalancer import Terms

SMALL = Settings(
    name="small",
    lookback_bars=40,
    hidden=(8,),
    controller_hidden=(8,),
    batch_size=8,
    controller_every=2,
    controller_updates=1,
    episodes=1,
    patience=100,
    validation_every=1,
)


def small_market(n_sessions: int = 60) -> MarketPanel:
    """Return random walks of S0, S1 and S2 around 50, from Wednesday 2020-01-01 on, on every weekday."""
    random = np.random.default_rng(0)
    shape = (n_sessions, 3)
    close = np.round(50.0 * np.exp(np.cumsum(0.01 * random.standard_normal(shape), axis=0)), 2)
    opening = np.vstack([close[:1], close[:-1]])
    high, low = np.maximum(opening, close) + 0.25, np.minimum(opening, close) - 0.25
    sessions = np.busday_offset("2020-01-01", np.arange(n_sessions))
    return MarketPanel(sessions, ("S0", "S1", "S2"), opening, high, low, close, np.full(shape, 1e6))


def small_model(out: Path) -> Path:
    """Train one episode on that market, and return the model's folder."""
    terms = Terms(limits=MODEL_LIMITS)
    return Trainer(small_market(), Window(40, 49), Window(50, 57), SMALL, terms, 0, out).run().path


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the values of a model's manifest."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def forge(folder: Path, name: str, data: bytes) -> None:
    """Replace a file of a model, and its hash in the manifest."""
    (folder / name).write_bytes(data)
    edit_manifest(folder, lambda manifest: manifest["files"].update({name: hashlib.sha256(data).hexdigest()}))
