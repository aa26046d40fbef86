"""The row of path metrics has the names, order and values of metrics.json."""

from __future__ import annotations

import numpy as np
import pytest
from panels import random_panel, random_weights, run_targets

from engine.costs import Costs
from engine.rebalancer import Terms
from engine.simulator import FillTiming
from engine.statistics.null import result_metrics
from engine.statistics.paths import PATH_METRICS, path_metrics

# n_fills and the sessions are no measures of a path; a run of another seed has the same.
NOT_OF_A_PATH = {"n_fills", "n_sessions", "start", "end", "initial_equity"}


@pytest.mark.parametrize("timing", list(FillTiming))
def test_the_metrics_of_a_run_are_those_of_its_table(timing: FillTiming) -> None:
    panel = random_panel(1, 40, 3)
    result = run_targets("weights", random_weights(2, 40, 3, True, 0.1, 0.3), panel, Terms(timing=timing))
    found = dict(zip(PATH_METRICS, result_metrics(result), strict=True))
    table = result.metrics()
    assert set(table) - NOT_OF_A_PATH == set(PATH_METRICS)
    for name, value in found.items():
        assert value == table[name], name


def test_an_undefined_metric_is_nan_where_the_table_has_null() -> None:
    panel = random_panel(1, 10, 2)
    result = run_targets("weights", np.full((10, 2), np.nan), panel, Terms(costs=Costs(0.0, 0.0)))
    found = dict(zip(PATH_METRICS, result_metrics(result), strict=True))
    undefined = {name for name in PATH_METRICS if result.metrics()[name] is None}
    assert {name for name, value in found.items() if np.isnan(value)} == undefined
    assert "sharpe_ratio" in undefined


def test_growth_beyond_all_numbers_is_undefined() -> None:
    found = path_metrics(np.array([1.0, 1e9]), np.zeros(2), 0.0, 0.0)
    assert np.isnan(found[PATH_METRICS.index("annual_return")])
    assert found[PATH_METRICS.index("final_equity")] == 1e9
