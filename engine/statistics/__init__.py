"""What a result is worth: intervals, Sharpe ratios that allow for luck and choice, and a no-skill null."""

from __future__ import annotations

import math
from typing import Any

from engine.metrics import simple_returns
from engine.panel import MarketPanel
from engine.result import Result
from engine.statistics.bootstrap import (
    Difference,
    Intervals,
    difference_intervals,
    mean_difference_intervals,
    metric_intervals,
)
from engine.statistics.null import Null, no_skill_null
from engine.statistics.resampling import mean_block
from engine.statistics.sharpe import deflated_sharpe, expected_max_sharpe, probabilistic_sharpe
from engine.statistics.timing import timing_percentile

__all__ = [
    "Difference",
    "Intervals",
    "Null",
    "deflated_sharpe",
    "difference_intervals",
    "expected_max_sharpe",
    "mean_block",
    "mean_difference_intervals",
    "metric_intervals",
    "no_skill_null",
    "probabilistic_sharpe",
    "statistics_table",
    "timing_percentile",
]


def statistics_table(
    result: Result,
    panel: MarketPanel,
    first: int,
    *,
    null_paths: int,
    n_trials: int = 1,
    trial_variance: float | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the statistics of a run as plain JSON values; None where undefined.

    Parameters
    ----------
    result : the run.
    panel, first : the bars it ran on and the row of its first session.
    null_paths : random policies in the no-skill null; with 0, or when the run decided nothing, there is none.
    n_trials, trial_variance : of the deflated Sharpe ratio, see `deflated_sharpe`.
    level, resamples : of the intervals, see `metric_intervals`.

    Returns
    -------
    The keys of `Intervals.as_json`, probabilistic_sharpe_ratio, deflated_sharpe_ratio, n_trials, and null (see
    `Null.as_json`).

    Raises
    ------
    InputError
        As the functions named.
    """
    returns = simple_returns(result.equity)
    intervals = metric_intervals(
        result.equity,
        result.traded,
        result.per_session("commission"),
        result.per_session("slippage"),
        level=level,
        resamples=resamples,
        seed=seed,
    )
    table = intervals.as_json()
    table["probabilistic_sharpe_ratio"] = _defined(probabilistic_sharpe(returns))
    table["deflated_sharpe_ratio"] = _defined(deflated_sharpe(returns, n_trials, trial_variance))
    table["n_trials"] = n_trials
    table["null"] = None
    if null_paths > 0 and result.decided.any():
        null = no_skill_null(result, panel, first, paths=null_paths, seed=seed)
        table["null"] = null.as_json(result.metrics())
    return table


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
