"""The long table of an evaluation: window, method, seed, metric, value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from engine.arrays import FloatArray
from engine.metrics import annual_volatility, max_drawdown, sharpe_ratio, simple_returns, total_return
from engine.statistics import Difference, deflated_sharpe, difference_intervals, mean_difference_intervals
from marsfolio.evaluation.behaviour import controller_metrics, dial_metrics
from marsfolio.evaluation.cells import AGENT, MAIN, SAME_EXPOSURE, SAME_VOLATILITY, UNTRAINED, Cell, Outcome
from marsfolio.evaluation.longtable import COLUMNS, HIGH_QUARTER, LEVEL, LOW_QUARTER, MEDIAN, TOGETHER, Row
from marsfolio.evaluation.methods import REFERENCE
from marsfolio.evaluation.paper import paper_metrics, stretch
from marsfolio.evaluation.periods import ALL, Periods
from marsfolio.evaluation.tracks import Track

_YEAR = 252.0
_DIFFERENCES = {"sharpe": "sharpe_ratio", "return": "annual_return"}


class Pair(NamedTuple):
    """A path and the reference's, over the same sessions."""

    path: FloatArray
    reference: FloatArray


@dataclass(frozen=True)
class Counting:
    """What the statistics need to know beside the tracks.

    Attributes
    ----------
    resamples : of the bootstrap.
    trials : for each window, how many strategies were tried, for the deflated Sharpe ratio.
    progress : is told how much is done, and how much there is.
    """

    resamples: int
    trials: Mapping[str, int]
    progress: Callable[[int, int], None] = field(default=lambda done, total: None)


@dataclass
class Group:
    """The tracks of one method in one window, by seed."""

    periods: Periods
    method: str
    tracks: dict[int, Track] = field(default_factory=dict)
    extra: dict[int, dict[str, float]] = field(default_factory=dict)
    is_agent: bool = False


def name_of(method: str, track: str) -> str:
    """Return what the table calls a track of a method's cells."""
    names = {
        MAIN: method,
        UNTRAINED: f"{method} untrained",
        SAME_VOLATILITY: f"equal weight at the volatility of {method}",
        SAME_EXPOSURE: f"equal weight at the exposure of {method}",
    }
    return names[track] if track in names else f"{method} {track.removeprefix(AGENT)}"


def tabulate(computed: Sequence[tuple[Cell, Outcome]], counting: Counting) -> pd.DataFrame:
    """Return the long table of all cells.

    Parameters
    ----------
    computed : the cells with what was computed of them; the reference is among them in every window.

    Returns
    -------
    Columns `COLUMNS`; NaN where undefined. Seeds are text: a number, or what `MEDIAN` and its neighbours stand for.
    Windows are those of the cells, and `ALL`, for means over the windows.
    """
    groups = _groups(computed)
    reference = {group.periods.name: group.tracks[0] for group in groups if group.method == REFERENCE}
    variance = {name: _trial_variance(groups, name) for name in reference}
    rows: list[Row] = []
    for done, group in enumerate(groups, 1):
        window = group.periods.name
        rows += _group_rows(group, reference[window], counting, variance[window])
        counting.progress(done, len(groups))
    rows += _all_windows(groups, reference, counting)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def together(tracks: Iterable[Track]) -> FloatArray:
    """Return (T,) the value of one account that gives each track the same money at the start and moves none later."""
    account: FloatArray = np.mean([track.equity / track.equity[0] for track in tracks], axis=0)
    return account


def _groups(computed: Sequence[tuple[Cell, Outcome]]) -> list[Group]:
    found: dict[tuple[str, str], Group] = {}
    for cell, outcome in computed:
        for name, track in outcome.tracks.items():
            method = name_of(cell.method.name, name)
            group = found.setdefault((cell.periods.name, method), Group(cell.periods, method))
            group.tracks[cell.seed] = track
            group.is_agent = name.startswith(AGENT)
            if name == MAIN:
                group.extra[cell.seed] = {**outcome.null, **_behaviour(outcome)}
    return list(found.values())


def _behaviour(outcome: Outcome) -> dict[str, float]:
    agents = [track.metrics for name, track in outcome.tracks.items() if name.startswith(AGENT)]
    volatility, drawdown = ([one[name] for one in agents] for name in ("annual_volatility", "max_drawdown"))
    return {**controller_metrics(outcome.tracks[MAIN].agent_weights), **dial_metrics(volatility, drawdown)}


def _group_rows(group: Group, reference: Track, counting: Counting, variance: float | None) -> Iterator[Row]:
    window, method = group.periods.name, group.method
    of_seed = {
        seed: {
            **track.metrics,
            **_against(track.metrics, reference.metrics),
            **paper_metrics(track.equity[stretch(track.sessions, group.periods)]),
            **group.extra.get(seed, {}),
            **({} if group.is_agent else _sure(Pair(track.equity, reference.equity), group, counting, variance)),
        }
        for seed, track in sorted(group.tracks.items())
    }
    for seed, metrics in of_seed.items():
        yield from ((window, method, str(seed), name, value) for name, value in metrics.items())
    for name in dict.fromkeys(name for metrics in of_seed.values() for name in metrics):
        yield from _quantiles(window, method, name, [metrics.get(name, math.nan) for metrics in of_seed.values()])
    if not group.is_agent:
        account = together(group.tracks.values())
        together_ = {
            **_measured(account),
            **_sure(Pair(account, reference.equity), group, counting, variance),
            **_against(_measured(account), reference.metrics),
        }
        yield from ((window, method, TOGETHER, name, value) for name, value in together_.items())


def _sure(pair: Pair, group: Group, counting: Counting, variance: float | None) -> dict[str, float]:
    """Return the differences to the reference with intervals, and the deflated Sharpe ratio."""
    found = {} if group.method == REFERENCE else difference_intervals(*pair, level=LEVEL, resamples=counting.resamples)
    trials = counting.trials[group.periods.name]
    deflated = deflated_sharpe(simple_returns(pair.path), trials, variance)
    return {**_differences(found), "deflated_sharpe_ratio": deflated, "n_trials": float(trials)}


def _differences(found: Mapping[str, Difference]) -> dict[str, float]:
    rows = {}
    for name, metric in _DIFFERENCES.items():
        if metric in found:
            rows[f"{name}_difference"] = found[metric].value
            rows[f"{name}_difference_low"] = found[metric].low
            rows[f"{name}_difference_high"] = found[metric].high
    return rows


def _against(metrics: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float]:
    ratios = {
        "volatility_ratio": _ratio(metrics["annual_volatility"], reference["annual_volatility"]),
        "drawdown_ratio": _ratio(metrics["max_drawdown"], reference["max_drawdown"]),
    }
    return {**ratios, "drawdown_less_volatility_ratio": ratios["drawdown_ratio"] - ratios["volatility_ratio"]}


def _ratio(value: float, of: float) -> float:
    return value / of if of > 0.0 else math.nan


def _measured(equity: FloatArray) -> dict[str, float]:
    returns = simple_returns(equity)
    return {
        "total_return": float(total_return(equity)),
        "annual_volatility": float(annual_volatility(returns, _YEAR)),
        "sharpe_ratio": float(sharpe_ratio(returns, 0.0, _YEAR)),
        "max_drawdown": float(max_drawdown(equity)),
    }


def _quantiles(window: str, method: str, name: str, values: Sequence[float]) -> Iterator[Row]:
    known = np.array([value for value in values if not math.isnan(value)])
    shares = {MEDIAN: 0.5, LOW_QUARTER: 0.25, HIGH_QUARTER: 0.75}
    for label, share in shares.items():
        yield window, method, label, name, float(np.quantile(known, share)) if len(known) else math.nan


def _trial_variance(groups: Sequence[Group], window: str) -> float | None:
    """Return the variance of the Sharpe ratios of one session of a window's methods; None for fewer than two."""
    found = [
        float(np.median([track.metrics["sharpe_ratio"] for track in group.tracks.values()])) / math.sqrt(_YEAR)
        for group in groups
        if group.periods.name == window and group.extra
    ]
    known = [value for value in found if not math.isnan(value)]
    return float(np.var(known, ddof=1)) if len(known) > 1 else None


def _all_windows(groups: Sequence[Group], reference: Mapping[str, Track], counting: Counting) -> Iterator[Row]:
    """Return means over the windows of the methods that were run in all of them."""
    for method in dict.fromkeys(group.method for group in groups if not group.is_agent):
        parts = [group for group in groups if group.method == method]
        seeds = set.intersection(*(set(part.tracks) for part in parts))
        if len(parts) < len(reference) or not seeds:
            continue
        for name in ("sharpe_ratio", "annual_return", "annual_volatility", "max_drawdown", "annual_traded"):
            means = [float(np.mean([part.tracks[seed].metrics[name] for part in parts])) for seed in sorted(seeds)]
            yield from _quantiles(ALL, method, name, means)
        if method != REFERENCE:
            yield from _gains(parts, sorted(seeds), reference, counting)


def _gains(
    parts: Sequence[Group], seeds: Sequence[int], reference: Mapping[str, Track], counting: Counting
) -> Iterator[Row]:
    method = parts[0].method
    for name, metric in _DIFFERENCES.items():
        gains = [
            [part.tracks[seed].metrics[metric] - reference[part.periods.name].metrics[metric] for part in parts]
            for seed in seeds
        ]
        yield from _quantiles(ALL, method, f"{name}_difference", [float(np.mean(of_seed)) for of_seed in gains])
    pairs = [Pair(together(part.tracks.values()), reference[part.periods.name].equity) for part in parts]
    found = mean_difference_intervals(pairs, level=LEVEL, resamples=counting.resamples)
    yield from ((ALL, method, TOGETHER, name, value) for name, value in _differences(found).items())
