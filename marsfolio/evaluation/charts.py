"""What the page of an evaluation draws: accounts, who decides over time, and learning curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from engine.arrays import FloatArray
from marsfolio.evaluation.behaviour import halves
from marsfolio.evaluation.cells import MAIN, Cell, Outcome
from marsfolio.evaluation.table import together
from marsfolio.report.formats import SHARE_DECIMALS, rounded


def charts_of(computed: Sequence[tuple[Cell, Outcome]]) -> list[dict[str, Any]]:
    """Return for each window its sessions, each method's account (all seeds in equal parts, 1 at the start), and the
    weights of the cautious and the bold half of each ensemble (means over the seeds), as JSON values.
    """
    windows = dict.fromkeys(cell.periods.name for cell, _ in computed)
    return [_window(name, [pair for pair in computed if pair[0].periods.name == name]) for name in windows]


def learning_curves(computed: Sequence[tuple[Cell, Outcome]]) -> list[dict[str, Any]]:
    """Return for each learned method and window the validation score by episode over the seeds: median and range.

    A seed that stopped early is left out from then on.
    """
    scores: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for cell, outcome in computed:
        if outcome.curve:
            scores.setdefault((cell.method.name, cell.periods.name), []).extend(outcome.curve)
    return [{"method": method, "window": window, **_quantiles(points)} for (method, window), points in scores.items()]


def _quantiles(points: Iterable[tuple[int, float]]) -> dict[str, list[Any]]:
    by_episode = pd.DataFrame(points, columns=["episode", "score"]).groupby("episode")["score"]
    table = by_episode.agg(["median", "min", "max"])
    found: dict[str, list[Any]] = {"episodes": [int(episode) for episode in table.index]}
    return {**found, **{name: rounded(table[name].to_numpy(), SHARE_DECIMALS) for name in ("median", "min", "max")}}


def _window(name: str, computed: Sequence[tuple[Cell, Outcome]]) -> dict[str, Any]:
    tracks: dict[str, list[Any]] = {}
    for cell, outcome in computed:
        tracks.setdefault(cell.method.name, []).append(outcome.tracks[MAIN])
    sessions = computed[0][1].tracks[MAIN].sessions
    return {
        "name": name,
        "sessions": np.datetime_as_string(sessions, unit="D").tolist(),
        "equity": {method: rounded(together(of), SHARE_DECIMALS) for method, of in tracks.items()},
        "halves": {
            method: dict(zip(("cautious", "bold"), _halves([track.agent_weights for track in of]), strict=True))
            for method, of in tracks.items()
            if of[0].agent_weights.shape[1] > 1
        },
    }


def _halves(weights: Sequence[FloatArray]) -> list[list[float | None]]:
    pairs = [halves(of_seed) for of_seed in weights]
    return [rounded(np.mean([pair[side] for pair in pairs], axis=0), SHARE_DECIMALS) for side in (0, 1)]
