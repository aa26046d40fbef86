"""How sure a result is: what statistics.json of a run says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.panel import MarketPanel
from engine.result import Result

if TYPE_CHECKING:
    from agents.checkpoint import Model

NULL_PATHS = 100
"""Random portfolios of the no-skill null when nothing is said: percentiles to one percent in a second or so."""

_YEAR = 252


def statistics_of(
    result: Result,
    panel: MarketPanel,
    first: int,
    null_paths: int,
    trials: int | None = None,
    model: Model | None = None,
) -> dict[str, Any]:
    """Return the statistics of a run.

    Parameters
    ----------
    panel, first : the bars it ran on and the row of its first session.
    null_paths : random portfolios of the no-skill null; runs without target weights have none.
    trials : strategies tried before this one was shown, if the user says so.
    model : whose log of looks at test windows, this run's included, counts the trials otherwise.
    """
    from engine.statistics import statistics_table

    looks = [] if model is None else sharpe_ratios_of_looks(model)
    number = max(1, len(looks)) if trials is None else trials
    variance = float(np.var(looks, ddof=1)) / _YEAR if len(looks) > 1 else None
    has_targets = bool((~np.isnan(result.target_weight)).any())
    return statistics_table(
        result,
        panel,
        first,
        null_paths=null_paths if has_targets else 0,
        n_trials=number,
        trial_variance=variance,
    )


def sharpe_ratios_of_looks(model: Model) -> list[float]:
    """Return the annual Sharpe ratios in a model's log of looks; looking twice at the same result is one trial."""
    from agents.checkpoint import read_looks

    seen = {
        (look["model_hash"], look["data_hash"], look["start"], look["end"], look["total_return"]): look["sharpe_ratio"]
        for look in read_looks(model.path)
    }
    return [float(sharpe) for sharpe in seen.values() if sharpe is not None]
