"""The no-skill null: what random policies earn in the same sessions, on the same terms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import FloatArray
from engine.backtest import run_weights
from engine.errors import InputError
from engine.panel import MarketPanel
from engine.result import Result
from engine.statistics.decisions import Decisions
from engine.statistics.paths import PATH_METRICS, path_metrics
from engine.statistics.random_weights import RandomWeights


@dataclass(frozen=True, slots=True, eq=False)
class Null:
    """The metrics of random policies beside those of a run.

    Attributes
    ----------
    values : (paths,) by metric, NaN where undefined; losses are positive.
    result_turnover, turnover : a year, of the run and the median of the random policies. They should be alike; where
        they are not, one side pays more costs than the other.
    weights : how the random targets were drawn.
    """

    paths: int
    seed: int
    values: dict[str, FloatArray]
    result_turnover: float
    turnover: float
    weights: RandomWeights

    def median(self) -> dict[str, float]:
        """Return the median of each metric; NaN where no path defines it."""
        return {name: _quantiles(values, [0.5])[0] for name, values in self.values.items()}

    def range(self) -> dict[str, tuple[float, float]]:
        """Return the 5 % and 95 % quantiles of each metric; NaN where no path defines it."""
        pairs = {name: _quantiles(values, [0.05, 0.95]) for name, values in self.values.items()}
        return {name: (low, high) for name, (low, high) in pairs.items()}

    def percentile(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """Return the share of the paths with a value at most the run's, for each metric.

        For returns, ratios and final equity near 1 is good: few random policies did better. For volatility,
        drawdown, its sessions, VaR, CVaR and costs near 0 is good: few lost less or paid less. Anything between 0.05
        and 0.95 is what luck gives. Turnover is made alike, so its percentile says only which side paid for a little
        more of it.

        Parameters
        ----------
        metrics : the run's, as in metrics.json; None is undefined.

        Returns
        -------
        Fractions; NaN where the run's metric is undefined, and where all paths have one value: a run that holds all
        symbols alike chooses nothing, and there is nothing to compare.
        """
        found = {}
        for name, values in self.values.items():
            known, value = values[~np.isnan(values)], metrics.get(name)
            alike = not len(known) or known.min() == known.max()
            found[name] = math.nan if alike or value is None else float(np.mean(known <= value))
        return found

    def as_json(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Return plain JSON values, with the percentiles of a run's metrics; None where undefined."""
        return {
            "paths": self.paths,
            "seed": self.seed,
            "percentile": {name: _defined(value) for name, value in self.percentile(metrics).items()},
            "median": {name: _defined(value) for name, value in self.median().items()},
            "range": {name: None if math.isnan(low) else [low, high] for name, (low, high) in self.range().items()},
        }


def no_skill_null(result: Result, panel: MarketPanel, first: int, *, paths: int = 1000, seed: int = 0) -> Null:
    """Run random policies beside a run: same sessions, same terms, same exposure, no skill.

    Each path decides in the sessions in which the run decided and gives its weights to the symbols at random, with
    the run's exposure at that decision, its mean concentration and about its turnover (`RandomWeights`), under its
    limits, costs, fill timing and sizing. So the comparison shows what the choice of symbols was worth; when to be
    invested is the run's own on both sides and neither rewarded nor punished.

    Parameters
    ----------
    result : the run.
    panel, first : the bars it ran on and the row of its first session.

    Returns
    -------
    The metrics of the paths. Path k is the same whatever their number.

    Raises
    ------
    InputError
        When the run is not of these bars or decided nothing, or a setting is out of range.
    """
    if paths < 1:
        raise InputError(f"paths must be at least 1, was {paths}")
    if seed < 0:
        raise InputError(f"seed must not be negative, was {seed}")
    weights = RandomWeights.like(Decisions.of(result, panel, first), seed)
    last = first + len(result.sessions) - 1
    targets = np.full(panel.close.shape, np.nan)
    measured = np.empty((paths, len(PATH_METRICS)))
    for path in range(paths):
        targets[weights.decisions.rows] = weights.draw(seed, path)
        measured[path] = result_metrics(run_weights(targets, panel, first, last, result.terms))
    values = {name: measured[:, k] for k, name in enumerate(PATH_METRICS)}
    own = dict(zip(PATH_METRICS, result_metrics(result), strict=True))
    return Null(
        paths=paths,
        seed=seed,
        values=values,
        result_turnover=float(own["annual_turnover"]),
        turnover=_quantiles(values["annual_turnover"], [0.5])[0],
        weights=weights,
    )


def result_metrics(result: Result) -> FloatArray:
    """Return the `PATH_METRICS` of a run, as its metrics.json has them."""
    fills = result.trades.fills
    return path_metrics(result.equity, result.traded, float(fills["commission"].sum()), float(fills["slippage"].sum()))


def _quantiles(values: FloatArray, shares: list[float]) -> list[float]:
    known = values[~np.isnan(values)]
    if not len(known):
        return [math.nan] * len(shares)
    return [float(value) for value in np.quantile(known, shares)]


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
