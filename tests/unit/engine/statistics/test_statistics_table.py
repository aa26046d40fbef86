"""The table of statistics: its exact shape, its numbers, and what is undefined in it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from panels import random_panel, random_weights, run_targets

from engine.costs import Costs
from engine.metrics import simple_returns
from engine.panel import MarketPanel
from engine.rebalancer import Terms
from engine.result import Result
from engine.simulator import FillTiming
from engine.statistics import (
    deflated_sharpe,
    metric_intervals,
    no_skill_null,
    probabilistic_sharpe,
    statistics_table,
)
from engine.statistics.paths import PATH_METRICS


def a_run(timing: FillTiming = FillTiming.NEXT_OPEN, n_rows: int = 60) -> tuple[Result, MarketPanel]:
    panel = random_panel(1, n_rows, 4, holes=0.0)
    weights = random_weights(2, n_rows, 4, False, 0.0, 0.0)
    return run_targets("weights", weights, panel, Terms(costs=Costs(10, 5), timing=timing)), panel


def test_the_table_has_the_keys_and_numbers_of_its_parts_and_is_plain_json() -> None:
    result, panel = a_run()
    table = statistics_table(result, panel, 0, null_paths=8, n_trials=5, trial_variance=0.01, resamples=100, seed=3)
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert list(table) == [
        "level",
        "resamples",
        "mean_block_sessions",
        "seed",
        "intervals",
        "probabilistic_sharpe_ratio",
        "deflated_sharpe_ratio",
        "n_trials",
        "null",
    ]
    assert set(table["intervals"]) == set(PATH_METRICS)
    returns = simple_returns(result.equity)
    assert table["probabilistic_sharpe_ratio"] == probabilistic_sharpe(returns)
    assert table["deflated_sharpe_ratio"] == deflated_sharpe(returns, 5, 0.01)
    assert (table["level"], table["resamples"], table["seed"], table["n_trials"]) == (0.95, 100, 3, 5)
    assert table["null"] == no_skill_null(result, panel, 0, paths=8, seed=3).as_json(result.metrics())
    assert list(table["null"]) == ["paths", "seed", "percentile", "median", "range"]
    alone = metric_intervals(result.equity, resamples=100, seed=3)
    assert table["intervals"]["sharpe_ratio"] == [alone.low["sharpe_ratio"], alone.high["sharpe_ratio"]]


@pytest.mark.parametrize("timing", list(FillTiming))
def test_costs_stand_in_the_session_in_which_their_fills_are_booked(timing: FillTiming) -> None:
    result, _ = a_run(timing)
    commission = result.per_session("commission")
    assert commission.sum() == pytest.approx(result.metrics()["total_commission"], rel=1e-12)
    # 10 basis points of what was traded; the sums of a session are of at most four fills.
    np.testing.assert_allclose(commission, result.traded * 1e-3, rtol=1e-12)


def test_the_intervals_of_costs_hold_what_was_paid() -> None:
    result, panel = a_run()
    table = statistics_table(result, panel, 0, null_paths=0, resamples=200)
    for name in ("annual_turnover", "total_commission", "total_slippage"):
        low, high = table["intervals"][name]
        assert low < result.metrics()[name] < high


def test_without_paths_or_decisions_there_is_no_null() -> None:
    result, panel = a_run()
    assert statistics_table(result, panel, 0, null_paths=0, resamples=10)["null"] is None
    idle = run_targets("weights", np.full(panel.close.shape, np.nan), panel, Terms())
    table = statistics_table(idle, panel, 0, null_paths=10, resamples=10)
    assert table["null"] is None
    assert table["probabilistic_sharpe_ratio"] is None
    assert table["deflated_sharpe_ratio"] is None
    assert table["intervals"]["sharpe_ratio"] is None
    assert table["intervals"]["total_return"] == [0.0, 0.0]


@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_a_run_of_few_sessions_has_a_table_of_nulls(n_rows: int) -> None:
    result, panel = a_run(n_rows=n_rows)
    table = statistics_table(result, panel, 0, null_paths=3, resamples=10)
    json.dumps(table, allow_nan=False)
    assert table["mean_block_sessions"] is None
    assert set(table["intervals"].values()) == {None}
