from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from panels import panel_of

from engine.arrays import FloatArray
from engine.backtest import run_weights
from engine.errors import InputError
from engine.ledger import FillTiming
from engine.panel import MarketPanel
from engine.rebalancer import Terms
from engine.result import Result
from engine.statistics import timing_percentile

TERMS = Terms(timing=FillTiming.NEXT_CLOSE)


def swinging(n_rows: int = 100) -> MarketPanel:
    random = np.random.default_rng(0)
    swing = 0.2 * np.sin(2 * np.pi * np.arange(n_rows) / n_rows)[:, None]
    return panel_of(np.asarray(50.0 * np.exp(swing + np.cumsum(0.002 * random.standard_normal((n_rows, 3)), axis=0))))


def run(panel: MarketPanel, exposure: Callable[[FloatArray], FloatArray]) -> Result:
    rising = np.diff(panel.close.mean(axis=1), prepend=50.0, append=50.0)[1:] > 0
    held = np.repeat(exposure(rising.astype(float))[:, None] / 3, 3, axis=1)
    return run_weights(held, panel, 0, len(panel) - 1, TERMS)


def test_who_is_invested_when_prices_rise_is_at_the_top_and_the_opposite_at_the_bottom() -> None:
    panel = swinging()
    assert timing_percentile(run(panel, lambda rising: 0.2 + 0.6 * rising), panel, 0) > 0.9
    assert timing_percentile(run(panel, lambda rising: 0.8 - 0.6 * rising), panel, 0) < 0.1


def test_a_constant_exposure_has_no_timing() -> None:
    panel = swinging()
    assert math.isnan(timing_percentile(run(panel, lambda rising: 0.5 + 0.001 * rising), panel, 0))


def test_a_short_run_has_none_and_another_panel_is_refused() -> None:
    panel = swinging()
    short = panel.rows(0, 15)
    assert math.isnan(timing_percentile(run(short, lambda rising: 0.2 + 0.6 * rising), short, 0))
    with pytest.raises(InputError, match="is not row 3"):
        timing_percentile(run(panel, lambda rising: rising), panel, 3)
