"""Resampling a run: blocks of its sessions drawn with replacement, and how long they must be."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.arrays import FloatArray
from engine.compiled import compiled
from engine.errors import InputError
from engine.metrics.returns import simple_returns
from engine.statistics.paths import COST_METRICS, PATH_METRICS, path_metrics

MIN_RETURNS = 20
"""With fewer returns the 5 % tail is less than one of them, and no interval is given."""

_CHUNK = 64
_INSIGNIFICANT_LAGS = 5


class Run(NamedTuple):
    """A run as it is resampled."""

    equity: FloatArray  # (T,)
    returns: FloatArray  # (T - 1,)
    costs: FloatArray  # (3, T) traded, commission, slippage; account currency
    rates: FloatArray  # (3, T - 1) the same over the equity of the session before


def mean_block(values: FloatArray) -> float:
    """Return the expected block length at which the stationary bootstrap estimates the mean's variance best.

    Parameters
    ----------
    values : (n,) a stationary series, oldest first, finite.

    Returns
    -------
    Observations, at least 1 and at most ``min(3 sqrt(n), n / 3)`` rounded up; 1.0 for a constant series, NaN when
    n < 20.

    Notes
    -----
    Politis and White (2004), "Automatic Block-Length Selection for the Dependent Bootstrap", Econometric Reviews
    23(1), section 3.2, with the constant ``D = 2 g(0)^2`` of Patton, Politis and White (2009), Econometric Reviews
    28(4). As in the authors' program, the lag m is the first of five insignificant ones, and when there are no such
    five the largest lag looked at is used.
    """
    n = len(values)
    if n < MIN_RETURNS:
        return math.nan
    centred = values - values.mean()
    largest = math.ceil(math.sqrt(n)) + _INSIGNIFICANT_LAGS
    covariance = np.array([centred[k:] @ centred[: n - k] / n for k in range(largest + 1)])
    # The mean of equal numbers may differ from them in the last bit, and its square is all that is left.
    if not covariance[0] > (1e-15 * np.abs(values).max()) ** 2:
        return 1.0
    small = np.abs(covariance[1:]) < 2.0 * math.sqrt(math.log10(n) / n) * covariance[0]
    runs = np.lib.stride_tricks.sliding_window_view(small, _INSIGNIFICANT_LAGS).all(axis=1)
    bandwidth = min(2 * (int(np.argmax(runs)) + 1), largest) if runs.any() else largest
    lags = np.arange(1, bandwidth + 1)
    taper = np.minimum(1.0, 2.0 * (1.0 - lags / bandwidth)) * covariance[1 : bandwidth + 1]
    spectrum, slope = covariance[0] + 2.0 * taper.sum(), 2.0 * (lags * taper).sum()
    length = math.inf if spectrum == 0.0 else (n * (slope / spectrum) ** 2) ** (1 / 3)
    return float(min(max(length, 1.0), math.ceil(min(3.0 * math.sqrt(n), n / 3.0))))


def check_settings(level: float, resamples: int, seed: int) -> None:
    """Refuse settings out of range.

    Raises
    ------
    InputError
        Naming the setting.
    """
    if not 0.0 < level < 1.0:
        raise InputError(f"level must be between 0 and 1, such as 0.95, was {level}")
    if resamples < 1:
        raise InputError(f"resamples must be at least 1, was {resamples}")
    if seed < 0:
        raise InputError(f"seed must not be negative, was {seed}")


def run_of(equity: FloatArray, *costs: FloatArray | None) -> Run:
    """Return a run as it is resampled.

    Parameters
    ----------
    equity : (T,) account value at each close, account currency.
    costs : (T,) traded, commission and slippage, account currency; 0 when None or left out.

    Raises
    ------
    InputError
        When an array is not (T,) and finite.
    """
    values = _series("equity", equity, None)
    money = np.zeros((len(COST_METRICS), len(values)))
    for k, cost in enumerate(costs):
        if cost is not None:
            money[k] = _series(("traded", "commission", "slippage")[k], cost, len(values))
    before = np.where(values[:-1] > 0.0, values[:-1], np.nan)
    return Run(values, simple_returns(values), money, money[:, 1:] / before)


def _series(name: str, values: FloatArray, length: int | None) -> FloatArray:
    array = np.array(values, dtype=np.float64, order="C")
    if array.ndim != 1 or (length is not None and len(array) != length):
        raise InputError(f"{name} must have one number a session, had shape {array.shape}")
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array)))
        raise InputError(f"{name} must be finite, was {array[row]} in row {row}")
    return array


def common_block(run: Run) -> float:
    """Return the larger block length of returns and squared returns; NaN when the run is too short or was lost."""
    # A lost account has no returns after its end: nothing is resampled.
    if len(run.returns) < MIN_RETURNS or not np.isfinite(run.returns).all():
        return math.nan
    return max(mean_block(run.returns), mean_block(run.returns**2))


def resampled(runs: list[Run], block: float, resamples: int, seed: list[int]) -> list[FloatArray]:
    """Return the (resamples, K) metrics of each run, drawn with the same sessions; NaN without a block length."""
    drawn = [np.full((resamples, len(PATH_METRICS)), np.nan) for _ in runs]
    if math.isnan(block):
        return drawn
    random = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        # Rows are drawn in order: a resample is the same whatever their number.
        chance = random.random((min(_CHUNK, resamples - start), len(runs[0].returns)))
        for run, found in zip(runs, drawn, strict=True):
            _measure_resamples(chance, 1.0 / block, run, found[start : start + _CHUNK])
    return drawn


@compiled
def _measure_resamples(chance: FloatArray, restart: float, run: Run, found: FloatArray) -> None:
    """Resample a run once for each row of uniform numbers (B, n) and measure it into ``found`` (B, K)."""
    n = run.returns.shape[0]
    equity = np.empty(n + 1)
    traded = np.empty(n + 1)
    for b in range(chance.shape[0]):
        equity[0], traded[0] = run.equity[0], run.costs[0, 0]
        commission, slippage = run.costs[1, 0], run.costs[2, 0]
        at = int(chance[b, 0] * n)
        for t in range(n):
            if t > 0:
                # Given that a block begins here, the number over the chance of that is uniform again.
                at = min(int(chance[b, t] / restart * n), n - 1) if chance[b, t] < restart else (at + 1) % n
            traded[t + 1] = run.rates[0, at] * equity[t]
            commission += run.rates[1, at] * equity[t]
            slippage += run.rates[2, at] * equity[t]
            equity[t + 1] = equity[t] * (1.0 + run.returns[at])
        measured = path_metrics(equity, traded, commission, slippage)
        for k in range(measured.shape[0]):
            found[b, k] = measured[k]


def interval(drawn: FloatArray, level: float) -> tuple[float, float]:
    """Return the ends of a percentile interval; NaN when more than ``1 - level`` of the draws are undefined."""
    known = drawn[~np.isnan(drawn)]
    if len(known) < level * len(drawn) or not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)
