"""Rolling and tail metrics on 10,000 bootstrap paths against pandas and empyrical, and the statistics of a run.

Checks that both sides agree and prints CPU seconds and ratios:

    .venv/bin/python benchmarks/metrics.py
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import empyrical
import numpy as np
import pandas as pd

from engine.backtest import run_weights
from engine.limits import MODEL_LIMITS
from engine.metrics import (
    conditional_value_at_risk,
    max_drawdown,
    rolling_max_drawdown,
    rolling_volatility,
    sharpe_ratio,
    value_at_risk,
)
from engine.panel import MarketPanel
from engine.rebalancer import Terms
from engine.statistics import metric_intervals, no_skill_null

PATHS, SESSIONS = 10_000, 260
"""With 260 returns the 5 % tail is 13 whole ones, and every definition of CVaR agrees."""
SLOW_PATHS = 100
"""pandas calls Python for each window of a rolling drawdown: it is timed on a hundredth of the paths."""
VOLATILITY_WINDOW, DRAWDOWN_WINDOW = 21, 63


@dataclass(frozen=True)
class Row:
    """One line of the table: CPU seconds of ours and of what it is measured against; None without."""

    name: str
    ours: float
    other: float | None = None
    against: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is."""
        return None if self.other is None else self.other / self.ours


def bootstrap_returns(seed: int = 0) -> np.ndarray:
    """Return (PATHS, SESSIONS) returns drawn with replacement from heavy-tailed ones."""
    random = np.random.default_rng(seed)
    history = 0.0004 + 0.008 * random.standard_t(4, 1760)
    return random.choice(history, (PATHS, SESSIONS))


def cpu_seconds(run: Callable[[], np.ndarray], repeats: int = 3) -> tuple[float, np.ndarray]:
    """Return the least CPU time of ``repeats`` runs and the last result."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = run()
        times.append(time.process_time() - start)
    return min(times), result


def of_each(function: Callable[..., object], paths: np.ndarray, *arguments: float) -> np.ndarray:
    """Return what a function says of each path."""
    return np.array([function(path, *arguments) for path in paths])


def largest_fall(window: np.ndarray) -> float:
    """Return the maximum drawdown of a window, as a pandas user would write it."""
    return float((1.0 - window / np.maximum.accumulate(window)).max())


def compared(
    name: str, against: str, ours: Callable[[], np.ndarray], other: Callable[[], np.ndarray], share: int = 1
) -> Row:
    """Time both, check that they agree, and return the line; the other's time counts ``share`` times."""
    ours()  # compiles
    our_time, mine = cpu_seconds(ours)
    other_time, theirs = cpu_seconds(other, 1 if share > 1 else 3)
    # Sums of a few hundred numbers in another order; running sums, which pandas uses, drift a little more.
    np.testing.assert_allclose(mine[: len(theirs)], theirs, rtol=1e-7, atol=1e-12, err_msg=name)
    return Row(name, our_time, other_time * share, against)


def metric_rows() -> list[Row]:
    """Measure rolling and tail metrics on all paths."""
    returns = bootstrap_returns()
    equity = np.cumprod(np.hstack([np.ones((PATHS, 1)), 1.0 + returns]), axis=1)
    columns = returns.T.copy()  # both libraries want time down the rows
    frame, few = pd.DataFrame(columns), pd.DataFrame(equity[:SLOW_PATHS].T)
    return [
        compared(
            f"rolling volatility, {VOLATILITY_WINDOW} sessions",
            "pandas",
            lambda: of_each(rolling_volatility, returns, VOLATILITY_WINDOW),
            lambda: frame.rolling(VOLATILITY_WINDOW).std().to_numpy().T,
        ),
        compared(
            f"rolling maximum drawdown, {DRAWDOWN_WINDOW} sessions",
            "pandas",
            lambda: of_each(rolling_max_drawdown, equity, DRAWDOWN_WINDOW),
            lambda: few.rolling(DRAWDOWN_WINDOW + 1).apply(largest_fall, raw=True).to_numpy().T,
            PATHS // SLOW_PATHS,
        ),
        compared(
            "maximum drawdown",
            "empyrical",
            lambda: of_each(max_drawdown, equity),
            lambda: -empyrical.max_drawdown(columns),
        ),
        compared(
            "Sharpe ratio",
            "empyrical",
            lambda: of_each(sharpe_ratio, returns, 0.0, 252.0),
            lambda: empyrical.sharpe_ratio(columns, annualization=252),
        ),
        compared(
            "value at risk, 95 %",
            "pandas",
            lambda: of_each(value_at_risk, returns, 0.95),
            lambda: -frame.quantile(0.05, interpolation="higher").to_numpy(),
        ),
        compared(
            "conditional value at risk, 95 %",
            "empyrical",
            lambda: of_each(conditional_value_at_risk, returns, 0.95),
            lambda: -of_each(empyrical.conditional_value_at_risk, returns, 0.05),
        ),
    ]


def statistics_rows() -> list[Row]:
    """Measure the no-skill null of 50 symbols x 252 sessions and the intervals of 1,760 sessions."""
    random = np.random.default_rng(0)
    shape = (252, 50)
    close = 50.0 * np.exp(np.cumsum(random.normal(0, 0.01, shape), axis=0))
    open_ = close * np.exp(random.normal(0, 0.003, shape))
    panel = MarketPanel(
        np.datetime64("2023-01-01") + np.arange(shape[0]),
        tuple(f"S{i:02d}" for i in range(shape[1])),
        open_,
        np.maximum(open_, close),
        np.minimum(open_, close),
        close,
        np.full(shape, 1e6),
    )
    weights = 0.95 * random.dirichlet(np.full(shape[1], 0.5), shape[0])
    result = run_weights(weights, panel, 0, shape[0] - 1, Terms(limits=MODEL_LIMITS))
    equity = np.cumprod(1.0 + np.concatenate([[0.0], random.normal(0.0004, 0.01, 1759)]))
    no_skill_null(result, panel, 0, paths=1)  # compiles
    null = cpu_seconds(lambda: no_skill_null(result, panel, 0, paths=1000).values["sharpe_ratio"])
    metric_intervals(equity, resamples=1)
    intervals = cpu_seconds(lambda: np.array([metric_intervals(equity).low["sharpe_ratio"]]))
    return [
        Row("no-skill null, 1,000 paths of 50 symbols x 252 sessions, rebalanced daily", null[0]),
        Row("bootstrap intervals, 2,000 resamples of 1,760 sessions", intervals[0]),
    ]


def rows() -> list[Row]:
    """Measure everything."""
    return [*metric_rows(), *statistics_rows()]


HEADER = ("", "ours, CPU s", "other, CPU s", "x faster", "other")
WORDS = (
    f"Metrics of {PATHS:,} bootstrap paths of {SESSIONS} sessions, the same numbers on both sides. pandas' rolling "
    f"maximum drawdown is timed on {SLOW_PATHS} paths and scaled. Below them, the statistics of one run."
)


def cells(row: Row) -> list[str]:
    """Return a row of the table as text."""
    other = "" if row.other is None else f"{row.other:.3f}"
    ratio = "" if row.ratio is None else f"{row.ratio:.1f}"
    return [row.name, f"{row.ours:.3f}", other, ratio, row.against]


def main() -> None:
    """Measure and print a table; with --json, the header, the rows and the words of docs/benchmarks.md."""
    table = [cells(row) for row in rows()]
    if "--json" in sys.argv[1:]:
        print(json.dumps({"words": WORDS, "header": HEADER, "rows": table}))
        return
    print(WORDS)
    for name, ours, other, ratio, against in [HEADER, *table]:
        print(f"{name:74}{ours:>12}{other:>14}{ratio:>10}  {against}")


if __name__ == "__main__":
    main()
