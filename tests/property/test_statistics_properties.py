"""Statistics see nothing after the run they describe; random policies obey its limits and are a fair opponent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import SEEDS, Case, cases, random_panel, random_weights, run_targets

from engine.backtest import run_weights
from engine.costs import Costs
from engine.limits import Limits
from engine.lookahead import CHANGES, changed_after
from engine.rebalancer import Terms
from engine.result import Result
from engine.simulator import FillTiming
from engine.statistics import difference_intervals, metric_intervals, no_skill_null, statistics_table, timing_percentile
from engine.statistics.decisions import Decisions
from engine.statistics.random_weights import RandomWeights

HOW = st.sampled_from(CHANGES)
EQUITIES = st.lists(st.floats(1, 1e6), min_size=22, max_size=60).map(np.array)
ROUNDING = 1e-12
"""A sum of a few weights."""


def random_run(seed: int, terms: Terms, last: int, holes: float = 0.05) -> tuple[Result, Case]:
    """Return a run of random targets over the rows 0 to ``last`` of a panel that goes on after it."""
    panel = random_panel(seed, 60, 4, holes)
    weights = random_weights(seed + 1, 60, 4, True, 0.05, 0.2)
    weights[0] = 0.25
    return run_targets("weights", weights, panel, terms, last=last), Case(panel, weights, terms)


@settings(max_examples=15)
@given(seed=SEEDS, row=st.integers(0, 58), how=HOW, timing=st.sampled_from(FillTiming))
def test_the_statistics_of_a_run_do_not_depend_on_later_bars(seed: int, row: int, how: str, timing: FillTiming) -> None:
    terms = Terms(timing=timing, costs=Costs(10, 5))
    result, case = random_run(seed, terms, row)
    other = changed_after(case.panel, row, how, seed)
    again = run_targets("weights", case.weights[: len(other)], other, terms, last=row)
    tables = [
        statistics_table(run, panel, 0, null_paths=3, resamples=20)
        for run, panel in ((result, case.panel), (again, other))
    ]
    assert tables[0] == tables[1]


@settings(max_examples=15)
@given(seed=SEEDS, row=st.integers(20, 58), how=HOW)
def test_the_timing_of_a_run_is_not_judged_by_later_bars(seed: int, row: int, how: str) -> None:
    result, case = random_run(seed, Terms(), row)
    other = changed_after(case.panel, row, how, seed)
    np.testing.assert_equal(timing_percentile(result, other, 0), timing_percentile(result, case.panel, 0))


@settings(max_examples=15)
@given(seed=SEEDS, row=st.integers(1, 58), how=HOW)
def test_random_weights_up_to_a_session_do_not_depend_on_later_bars(seed: int, row: int, how: str) -> None:
    terms = Terms(limits=Limits(cap=0.4, cash_buffer=0.05))
    result, case = random_run(seed, terms, 59)
    other = changed_after(case.panel, row, how, seed)
    again = run_targets("weights", case.weights[: len(other)], other, terms)
    drawn = []
    for run, panel in ((result, case.panel), (again, other)):
        decisions = Decisions.of(run, panel, 0)
        # What is carried from one decision to the next; shape and chance describe the whole run, like its metrics.
        drawn.append((decisions.rows, RandomWeights(decisions, 0.5, 0.3).draw(0, 0)))
    known = int((drawn[0][0] <= row).sum())
    np.testing.assert_array_equal(drawn[0][0][:known], drawn[1][0][:known])
    np.testing.assert_array_equal(drawn[0][1][:known], drawn[1][1][:known])


@settings(max_examples=15)
@given(past=EQUITIES, future=st.lists(st.floats(1, 1e6), max_size=20))
def test_the_intervals_of_the_first_sessions_are_what_they_were_before_more_came(
    past: np.ndarray, future: list[float]
) -> None:
    curve = np.array([*past, *future])
    at_the_time = metric_intervals(past, resamples=30)
    assert metric_intervals(curve[: len(past)], resamples=30).as_json() == at_the_time.as_json()
    both = [difference_intervals(values, values[::-1], resamples=30) for values in (past, curve[: len(past)])]
    assert str(both[0]) == str(both[1])  # as text, because NaN is not NaN


@settings(max_examples=30)
@given(
    case=cases(),
    cap=st.sampled_from([0.1, 0.4, 1.0]),
    buffer=st.sampled_from([0.0, 0.05, 0.5]),
    first=st.integers(0, 3),
)
def test_random_policies_obey_cap_buffer_and_cash_on_any_market(
    case: Case, cap: float, buffer: float, first: int
) -> None:
    first = min(first, len(case.panel) - 1)
    terms = Terms(case.terms.cash, case.terms.costs, Limits(cap, buffer), case.terms.timing, case.terms.fractional)
    result = run_weights(case.weights, case.panel, first, len(case.panel) - 1, terms)
    if not result.decided.any():
        return
    weights = RandomWeights.like(Decisions.of(result, case.panel, first), 0)
    rows = weights.decisions.rows
    for path in range(2):
        drawn = weights.draw(0, path)
        assert np.array_equal(np.isnan(drawn), ~case.panel.has_bar[rows])
        assert np.nanmin(drawn, initial=0.0) >= 0.0
        assert np.nanmax(drawn, initial=0.0) <= cap
        assert (np.nansum(drawn, axis=1) <= 1.0 - buffer + ROUNDING).all()
        targets = np.full(case.panel.close.shape, np.nan)
        targets[rows] = drawn
        run = run_weights(targets, case.panel, first, len(case.panel) - 1, terms)
        assert (run.cash >= 0.0).all()
        assert np.nanmax(run.target_weight, initial=0.0) <= cap
        assert (np.nansum(run.target_weight, axis=1) <= 1.0 - buffer + ROUNDING).all()


@settings(max_examples=30)
@given(case=cases())
def test_random_policies_without_limits_are_lawful_and_decide_when_the_run_does(case: Case) -> None:
    result = run_weights(case.weights, case.panel, 0, len(case.panel) - 1, case.terms)
    if not result.decided.any():
        return
    weights = RandomWeights.like(Decisions.of(result, case.panel, 0), 0)
    drawn = weights.draw(0, 0)
    for row, exposure in zip(drawn, weights.decisions.exposure, strict=True):
        assert sum(weight for weight in row if not np.isnan(weight)) <= exposure
    targets = np.full(case.panel.close.shape, np.nan)
    targets[weights.decisions.rows] = drawn
    run = run_weights(targets, case.panel, 0, len(case.panel) - 1, case.terms)  # refuses unlawful weights
    assert (run.cash >= 0.0).all()
    traded_bars = result.decided & case.panel.has_bar.any(axis=1)
    np.testing.assert_array_equal(run.decided, traded_bars)


@pytest.mark.parametrize("replaced", [1.0, 0.1])
def test_a_random_result_has_any_percentile_alike(replaced: float) -> None:
    n_rows, n, n_results = 60, 8, 40
    panel = random_panel(21, n_rows, n, holes=0.0)
    ranks: dict[str, list[float]] = {"total_return": [], "sharpe_ratio": [], "max_drawdown": []}
    for seed in range(n_results):
        random = np.random.default_rng([seed, 77])
        size, weights = random.gamma(0.5, size=n), np.empty((n_rows, n))
        for t in range(n_rows):
            size = np.where(random.random(n) < replaced, random.gamma(0.5, size=n), size)
            weights[t] = 0.9 * size / size.sum()
        result = run_targets("weights", weights, panel, Terms())
        percentile = no_skill_null(result, panel, 0, paths=100).percentile(result.metrics())
        for name, values in ranks.items():
            values.append(percentile[name])
    for name, values in ranks.items():
        steps, ordered = np.arange(n_results + 1) / n_results, np.sort(values)
        distance = max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max())
        # Kolmogorov-Smirnov: 40 uniform numbers lie farther than 0.21 from their distribution once in twenty times.
        assert distance < 1.36 / np.sqrt(n_results), name
