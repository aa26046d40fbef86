"""How sure a metric is: intervals from the stationary bootstrap, for one run and for the difference of two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import FloatArray
from engine.errors import InputError
from engine.statistics.paths import COST_METRICS, EQUITY_METRICS, PATH_METRICS, path_metrics
from engine.statistics.resampling import check_settings, common_block, interval, resampled, run_of


@dataclass(frozen=True, slots=True)
class Intervals:
    """Percentile intervals of the metrics of one run.

    Attributes
    ----------
    level : share of the resamples inside an interval.
    mean_block_sessions : expected length of a resampled block; NaN when the run is too short.
    low, high : ends by metric, losses positive; NaN where undefined.
    """

    level: float
    resamples: int
    mean_block_sessions: float
    seed: int
    low: dict[str, float]
    high: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values; None where undefined."""
        pairs = {name: (self.low[name], self.high[name]) for name in self.low}
        return {
            "level": self.level,
            "resamples": self.resamples,
            "mean_block_sessions": None if math.isnan(self.mean_block_sessions) else self.mean_block_sessions,
            "seed": self.seed,
            "intervals": {name: None if math.isnan(low) else [low, high] for name, (low, high) in pairs.items()},
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference a - b of one metric of two runs; NaN where undefined.

    Attributes
    ----------
    value : the difference of the runs themselves.
    low, high : its percentile interval.
    share_not_positive : share of the resamples in which the difference is at most 0.
    """

    value: float
    low: float
    high: float
    share_not_positive: float


def metric_intervals(
    equity: FloatArray,
    traded: FloatArray | None = None,
    commission: FloatArray | None = None,
    slippage: FloatArray | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Intervals:
    """Return percentile intervals of the metrics of a run, by the stationary bootstrap.

    Blocks of sessions of geometric length are drawn with replacement, wrapping around the end, and each resample is
    measured like a run: 252 sessions a year, no risk-free rate. The expected length of a block is the larger of the
    two that `mean_block` gives for the returns and for their squares, since volatility, drawdown and tail losses
    depend on how calm and rough sessions follow one another, which the returns alone do not show.

    An interval says how far another history of the same kind may lie from this one; it knows no market that the run
    has not seen. Of 95 % intervals from 1,000 sessions, 92 to 95 in a hundred held the truth on independent and on
    autocorrelated returns; on returns whose volatility comes in waves (GARCH 0.08, 0.90) 96 did for the Sharpe ratio,
    but only 69 for volatility and 66 for CVaR (32 and 49 with the block length of the returns alone). The interval of
    a drawdown describes resampled paths and is not centred on the drawdown measured.

    Parameters
    ----------
    equity : (T,) account value at each close, account currency, oldest first.
    traded, commission, slippage : (T,) notional traded and money paid or lost in each session; drawn together with
        the returns, as fractions of the equity before. Their metrics are left out without them.
    level : share of the resamples inside, between 0 and 1.

    Returns
    -------
    Undefined (NaN) with fewer than 20 returns, and where the metric is undefined in more than ``1 - level`` of the
    resamples; otherwise these are left out.

    Raises
    ------
    InputError
        When an array is not (T,) and finite, or a setting is out of range.

    Notes
    -----
    Politis and Romano (1994), "The Stationary Bootstrap", Journal of the American Statistical Association 89(428).
    """
    check_settings(level, resamples, seed)
    run = run_of(equity, traded, commission, slippage)
    given = dict(zip(COST_METRICS, (traded, commission, slippage), strict=True))
    names = [*EQUITY_METRICS, *(name for name, values in given.items() if values is not None)]
    block = common_block(run)
    drawn = resampled([run], block, resamples, [seed, 0])[0]
    ends = {name: interval(drawn[:, PATH_METRICS.index(name)], level) for name in names}
    low, high = ({name: pair[side] for name, pair in ends.items()} for side in (0, 1))
    return Intervals(level, resamples, block, seed, low, high)


def difference_intervals(
    equity_a: FloatArray,
    equity_b: FloatArray,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Return the differences a - b of the metrics of two runs over the same sessions, with intervals.

    Both runs are resampled with the same sessions, so what moves both cancels. The expected length of a block is
    the larger of the two runs'.

    Parameters
    ----------
    equity_a, equity_b : (T,) account values at the same closes, account currency, oldest first.
    level : share of the resamples inside, between 0 and 1.

    Returns
    -------
    By metric; undefined values as in `metric_intervals`.

    Raises
    ------
    InputError
        As `metric_intervals`, and when the lengths differ.
    """
    return mean_difference_intervals([(equity_a, equity_b)], level=level, resamples=resamples, seed=seed)


def mean_difference_intervals(
    pairs: Sequence[tuple[FloatArray, FloatArray]],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Return the mean over several windows of the differences a - b of two runs, with intervals.

    Each window is resampled by itself, as in `difference_intervals`, and the differences of a resample are averaged
    over the windows: no block joins two windows, and what differs between them is not taken for noise within one.

    Parameters
    ----------
    pairs : for each window, two (T,) account values at the same closes, account currency, oldest first.

    Returns
    -------
    By metric; undefined when it is undefined in one of the windows.

    Raises
    ------
    InputError
        As `difference_intervals`, and when there is no pair.
    """
    check_settings(level, resamples, seed)
    if not pairs:
        raise InputError("two runs are compared in at least one window, had none")
    found = [_differences(*pair, resamples, [seed, stream]) for stream, pair in enumerate(pairs)]
    values = np.mean([value for value, _ in found], axis=0)
    drawn = np.mean([draws for _, draws in found], axis=0)
    differences: dict[str, Difference] = {}
    for k, name in enumerate(EQUITY_METRICS):
        low, high = interval(drawn[:, k], level)
        known = drawn[~np.isnan(drawn[:, k]), k]
        share = math.nan if math.isnan(low) else float(np.mean(known <= 0.0))
        differences[name] = Difference(float(values[k]), low, high, share)
    return differences


def _differences(a: FloatArray, b: FloatArray, resamples: int, seed: list[int]) -> tuple[FloatArray, FloatArray]:
    """Return (K,) the differences of two runs' metrics, and (resamples, K) of their resamples."""
    runs = [run_of(a), run_of(b)]
    if len(runs[0].equity) != len(runs[1].equity):
        lengths = " and ".join(str(len(run.equity)) for run in runs)
        raise InputError(f"two runs are compared over the same sessions, had {lengths}: clip both to one window")
    if len(runs[0].equity) == 0:
        raise InputError("two runs are compared over the same sessions, had none")
    block = float(np.max([common_block(run) for run in runs]))  # NaN when either is
    drawn = resampled(runs, block, resamples, seed)
    measured = [path_metrics(run.equity, run.costs[0], 0.0, 0.0) for run in runs]
    return measured[0] - measured[1], drawn[0] - drawn[1]
