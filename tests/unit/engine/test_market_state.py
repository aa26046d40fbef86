from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from panels import as_raw, panel_of

from engine.arrays import FloatArray
from engine.market_state import (
    ASSET_FEATURES,
    LOOKBACK_BARS,
    MARKET_FEATURES,
    MIN_BARS,
    RANK_SCALE,
    MarketState,
    market_state,
)
from engine.panel import MarketPanel


def prices(n_rows: int, n: int, seed: int = 0, drift: float = 0.0) -> FloatArray:
    random = np.random.default_rng(seed)
    return np.asarray(50.0 * np.exp(np.cumsum(drift + 0.02 * random.standard_normal((n_rows, n)), axis=0)))


def panel(n_rows: int = 300, n: int = 5, seed: int = 0) -> MarketPanel:
    close = prices(n_rows, n, seed)
    opening = close * np.exp(0.005 * np.random.default_rng(seed + 1).standard_normal(close.shape))
    bars = panel_of(close, opening)
    return replace(bars, volume=1e6 * np.exp(np.random.default_rng(seed + 2).standard_normal(close.shape)))


def asset(state: MarketState, name: str) -> FloatArray:
    found: FloatArray = state.assets[:, ASSET_FEATURES.index(name)]
    return found


def assert_same(one: MarketState, other: MarketState) -> None:
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_state_is_that_of_the_last_bars_alone() -> None:
    whole = panel(400)
    row = 350
    assert_same(market_state(whole, row), market_state(whole.rows(row + 1 - LOOKBACK_BARS, row + 1), LOOKBACK_BARS - 1))


def test_a_price_level_changes_nothing() -> None:
    bars = panel()
    factor = np.array([1.0, 10.0, 0.1, 3.0, 7.0])
    scaled = replace(bars, **{name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")})
    np.testing.assert_allclose(market_state(scaled, 299).assets, market_state(bars, 299).assets, atol=1e-12)
    np.testing.assert_allclose(market_state(scaled, 299).market, market_state(bars, 299).market, atol=1e-9)


def test_raw_prices_give_the_state_of_adjusted_ones() -> None:
    raw = as_raw(panel(), seed=3)
    assert raw.growth is not None
    growth = np.cumprod(raw.growth, axis=0)
    prices_of = {name: getattr(raw, name) * growth for name in ("open", "high", "low", "close")}
    adjusted = replace(raw, **prices_of, split=None, dividend=None)
    assert raw.split is not None
    adjusted = replace(adjusted, volume=raw.volume / np.cumprod(raw.split, axis=0))
    np.testing.assert_allclose(market_state(raw, 299).market, market_state(adjusted, 299).market, atol=1e-9)
    np.testing.assert_allclose(market_state(raw, 299).assets, market_state(adjusted, 299).assets, atol=1e-9)


def test_the_order_of_symbols_is_the_order_of_the_rows_and_nothing_more() -> None:
    bars, order = panel(), [3, 1, 4, 0, 2]
    moved = bars.select([bars.symbols[i] for i in order])
    np.testing.assert_allclose(market_state(moved, 299).assets, market_state(bars, 299).assets[order], atol=1e-12)
    np.testing.assert_allclose(market_state(moved, 299).market, market_state(bars, 299).market, atol=1e-9)


def test_ranks_are_spread_evenly_in_the_order_of_the_feature() -> None:
    bars = panel()
    found = asset(market_state(bars, 299), "return_21")
    growth = bars.close[299] / bars.close[278]
    assert list(np.argsort(found)) == list(np.argsort(growth))
    np.testing.assert_allclose(np.sort(found), np.array([-0.8, -0.4, 0.0, 0.4, 0.8]) * RANK_SCALE, atol=1e-12)


def test_equal_values_share_a_rank() -> None:
    close = prices(300, 3)
    close[:, 1] = close[:, 0]
    found = asset(market_state(panel_of(close), 299), "return_63")
    assert found[0] == found[1] == -found[2] / 2


def test_a_symbol_is_ready_from_its_min_bars_on_and_its_unknown_features_are_in_the_middle() -> None:
    close = prices(300, 4)
    close[: 300 - MIN_BARS, 0] = np.nan  # has just enough bars
    close[: 301 - MIN_BARS, 1] = np.nan  # one too few
    close[299, 2] = np.nan  # no bar now
    state = market_state(panel_of(close), 299)
    assert state.ready.tolist() == [True, False, False, True]
    assert asset(state, "momentum_12_1")[0] == 0.0
    assert not state.assets[1:3].any()
    assert np.isfinite(state.assets).all()
    assert np.isfinite(state.market).all()


def test_a_short_history_has_no_market_and_nothing_is_ready() -> None:
    state = market_state(panel(MIN_BARS - 1), MIN_BARS - 2)
    assert not state.ready.any()
    assert not state.market.any()


@pytest.mark.parametrize(("drift", "sign"), [(0.005, 1.0), (-0.005, -1.0)])
def test_the_market_tells_rising_from_falling(drift: float, sign: float) -> None:
    market = dict(zip(MARKET_FEATURES, market_state(panel_of(prices(300, 30, drift=drift)), 299).market, strict=True))
    assert sign * market["return_252"] > 1.0
    assert sign * market["breadth_200"] > 1.0
    assert market["drawdown"] <= 0.0


def test_symbols_that_move_together_are_seen_as_correlated() -> None:
    together = np.repeat(prices(300, 1), 10, axis=1) * (1.0 + 0.001 * np.random.default_rng(0).random((300, 10)))
    k = MARKET_FEATURES.index("correlation_63")
    assert market_state(panel_of(together), 299).market[k] > 1.5
    assert market_state(panel_of(prices(300, 10)), 299).market[k] < 0.0


def test_constant_prices_are_no_error() -> None:
    state = market_state(panel_of(np.full((300, 3), 10.0)), 299)
    assert np.isfinite(state.assets).all()
    assert not state.market.any()
