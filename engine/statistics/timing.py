"""The timing null: what a run's exposure would have earned, had it come at another time of the same window."""

from __future__ import annotations

import math

import numpy as np

from engine.arrays import FloatArray
from engine.backtest import run_weights
from engine.errors import InputError
from engine.metrics import return_metrics
from engine.panel import MarketPanel
from engine.result import Result

MIN_SESSIONS = 20


def timing_percentile(result: Result, panel: MarketPanel, first: int, *, step: int = 2) -> float:
    """Return the share of shifts of a run's exposure in time whose Sharpe ratio is at most that without a shift.

    The exposure at each close is held in equal parts of the symbols with a bar, on the run's terms, and then once more
    for each shift of the whole path by a multiple of ``step`` sessions, what leaves at the end coming in at the
    beginning. All have the same exposures and see the same prices, so that only the timing differs: near 1, the run
    was invested at the right times; around 0.5, any other time would have done. What the run chose is not judged here
    but by `no_skill_null`.

    Parameters
    ----------
    result : the run.
    panel, first : the bars it ran on and the row of its first session.
    step : sessions between two shifts.

    Returns
    -------
    Fraction; NaN with fewer than 20 sessions, or when the exposure never changes by more than 5 % of equity.

    Raises
    ------
    InputError
        When the run is not of these bars, or ``step`` is not positive.
    """
    n_rows = len(result.sessions)
    if step < 1:
        raise InputError(f"step must be at least 1, was {step}")
    if not np.array_equal(panel.sessions[first : first + n_rows], result.sessions):
        raise InputError(f"the run begins on {result.sessions[0]}, which is not row {first} of {panel.source}")
    # The first close is before the first purchase.
    exposure = np.clip(1.0 - result.cash / result.equity, 0.0, 1.0)[1:]
    if n_rows < MIN_SESSIONS or np.ptp(exposure) < 0.05:
        return math.nan
    own = _sharpe(exposure, result, panel, first)
    shifted = [_sharpe(np.roll(exposure, k), result, panel, first) for k in range(step, len(exposure), step)]
    return float(np.mean(np.asarray(shifted) <= own))


def _sharpe(exposure: FloatArray, result: Result, panel: MarketPanel, first: int) -> float:
    rows = slice(first, first + len(exposure))
    has_bar = panel.has_bar[rows]
    targets = np.full(panel.close.shape, np.nan)
    targets[rows] = np.where(has_bar, (exposure / np.maximum(has_bar.sum(axis=1), 1))[:, None], np.nan)
    run = run_weights(targets, panel, first, first + len(exposure), result.terms)
    sharpe = return_metrics(run.equity, run.sessions)["sharpe_ratio"]
    return math.nan if sharpe is None else float(sharpe)
