"""The indicators on series whose answer is known, and free of the price level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import SEEDS, panel_of, random_panel

from engine.arrays import FloatArray
from engine.errors import InputError
from engine.indicators import FEATURES, LOOKBACK_BARS, MARS_FEATURES, MIN_BARS, BarWindow, adx, cci, macd, price, rsi
from engine.observation import feature_table

N_BARS = 60


def straight(step: float, start: float = 100.0, n: int = N_BARS) -> BarWindow:
    close = start + step * np.arange(n)
    return BarWindow(close + 0.5, close - 0.5, close)


def random_window(seed: int, n: int = N_BARS) -> BarWindow:
    panel = random_panel(seed, n, 1, holes=0.0, cents=False)
    return BarWindow(panel.high[:, 0].copy(), panel.low[:, 0].copy(), panel.close[:, 0].copy())


def exponential_mean(values: FloatArray, bars: int, start: int) -> FloatArray:
    """Start with a simple mean that ends at ``start`` and go on with alpha = 2 / (bars + 1)."""
    mean = values[start - bars + 1 : start + 1].mean()
    means = [mean]
    for value in values[start + 1 :]:
        mean += 2 / (bars + 1) * (value - mean)
        means.append(mean)
    return np.array(means)


def wilder_mean(values: FloatArray, bars: int = 14) -> float:
    mean = values[:bars].mean()
    for value in values[bars:]:
        mean = (mean * (bars - 1) + value) / bars
    return float(mean)


def wilder_sums(values: FloatArray, bars: int = 14) -> FloatArray:
    """A sum over 13 bars to start with, then less a fourteenth of itself plus the next bar."""
    total = values[: bars - 1].sum()
    sums = []
    for value in values[bars - 1 :]:
        total += value - total / bars
        sums.append(total)
    return np.array(sums)


def plain_adx(window: BarWindow) -> float:
    up, down = np.diff(window.high), -np.diff(window.low)
    plus = wilder_sums(np.where((up > down) & (up > 0), up, 0.0))
    minus = wilder_sums(np.where((down > up) & (down > 0), down, 0.0))
    return wilder_mean(100 * np.abs(plus - minus) / (plus + minus))


@pytest.mark.parametrize(("step", "expected"), [(1.0, 100.0), (-1.0, 0.0)])
def test_rsi_is_100_when_every_bar_rises_and_0_when_every_bar_falls(step: float, expected: float) -> None:
    assert rsi(straight(step)) == pytest.approx(expected)


def test_rsi_is_50_when_rises_and_falls_are_equal() -> None:
    close = np.where(np.arange(N_BARS) % 2 == 0, 100.0, 101.0)
    # Wilder's averages lean to the last bar, by a 14th at most.
    assert rsi(BarWindow(close, close, close)) == pytest.approx(50, abs=100 / 14 / 2)


@settings(max_examples=15)
@given(seed=SEEDS)
def test_rsi_is_wilders(seed: int) -> None:
    window = random_window(seed)
    moves = np.diff(window.close)
    gain, loss = wilder_mean(np.maximum(moves, 0)), wilder_mean(np.maximum(-moves, 0))
    assert rsi(window) == pytest.approx(100 * gain / (gain + loss), rel=1e-9)


@pytest.mark.parametrize(("step", "sign"), [(1.0, 1), (0.2, 1), (-1.0, -1)])
def test_cci_of_a_straight_line_is_133_less_a_twentieth(step: float, sign: int) -> None:
    # The last bar is 9.5 steps above the mean of 20, the mean deviation 5 steps: 9.5 / (0.015 * 5).
    assert cci(straight(step)) == pytest.approx(sign * 9.5 / (0.015 * 5), rel=1e-6)


@settings(max_examples=15)
@given(seed=SEEDS)
def test_cci_is_the_deviation_from_the_mean_over_015_mean_deviations(seed: int) -> None:
    window = random_window(seed)
    typical = ((window.high + window.low + window.close) / 3)[-20:]
    expected = (typical[-1] - typical.mean()) / (0.015 * np.abs(typical - typical.mean()).mean())
    assert cci(window) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("step", [1.0, -1.0])
def test_adx_is_100_when_the_market_moves_one_way_only(step: float) -> None:
    assert adx(straight(step)) == pytest.approx(100)


@settings(max_examples=15)
@given(seed=SEEDS)
def test_adx_is_wilders(seed: int) -> None:
    window = random_window(seed)
    assert adx(window) == pytest.approx(plain_adx(window), rel=1e-9)


@pytest.mark.parametrize("step", [1.0, -0.5])
def test_macd_of_a_straight_line_is_seven_steps(step: float) -> None:
    window = straight(step)
    # An average over n bars lags (n - 1) / 2 steps: 12.5 - 5.5 = 7.
    assert macd(window) == pytest.approx(7 * step / window.close[-1], rel=1e-9)


@settings(max_examples=15)
@given(seed=SEEDS)
def test_macd_is_the_gap_between_two_exponential_means(seed: int) -> None:
    window = random_window(seed)
    fast, slow = (exponential_mean(window.close, bars, 25) for bars in (12, 26))
    assert macd(window) == pytest.approx((fast[-1] - slow[-1]) / window.close[-1], rel=1e-9, abs=1e-12)


def test_price_is_the_last_close_over_the_mean_close() -> None:
    close = np.full(N_BARS, 100.0)
    close[-1] = 160.0
    assert price(BarWindow(close, close, close)) == pytest.approx(160 / 101 - 1)


@pytest.mark.parametrize("name", FEATURES)
@settings(max_examples=15)
@given(seed=SEEDS, scale=st.sampled_from([3.0, 0.01, 1000.0]))
def test_no_feature_depends_on_the_level_of_prices(name: str, seed: int, scale: float) -> None:
    window = random_window(seed)
    scaled = BarWindow(*(scale * values for values in window))
    # Rounding only: the prices are not multiples of a power of two.
    assert FEATURES[name](scaled) == pytest.approx(FEATURES[name](window), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("n", [MIN_BARS, LOOKBACK_BARS])
@pytest.mark.parametrize("level", [0.01, 100.0, 123_456.78])
def test_flat_prices_give_finite_features(name: str, n: int, level: float) -> None:
    flat = np.full(n, level)
    assert np.isfinite(FEATURES[name](BarWindow(flat, flat, flat)))


@pytest.mark.parametrize("name", FEATURES)
def test_the_fewest_bars_are_enough_for_every_feature(name: str) -> None:
    assert np.isfinite(FEATURES[name](random_window(1, MIN_BARS)))


@pytest.mark.parametrize("name", ["rsi", "adx"])
@given(seed=SEEDS)
def test_bounded_indicators_stay_between_0_and_100(name: str, seed: int) -> None:
    assert 0 <= FEATURES[name](random_window(seed)) <= 100


def test_a_symbol_has_no_features_before_it_has_enough_bars_or_on_a_session_without_one() -> None:
    close = random_panel(1, 60, 2, holes=0.0).close.copy()
    close[:10, 1] = np.nan
    close[55, 1] = np.nan
    values = feature_table(panel_of(close), MARS_FEATURES, LOOKBACK_BARS, 0, 59).values
    known = ~np.isnan(values).any(axis=2)
    assert np.array_equal(known, ~np.isnan(values).all(axis=2))
    assert np.flatnonzero(known[:, 0]).tolist() == list(range(MIN_BARS - 1, 60))
    assert np.flatnonzero(known[:, 1]).tolist() == [t for t in range(10 + MIN_BARS - 1, 60) if t != 55]


def test_bars_older_than_the_look_back_do_not_count() -> None:
    panel = random_panel(1, 60, 1, holes=0.0)
    other = panel.close.copy()
    other[:10] *= 2
    tables = [feature_table(panel_of(close), MARS_FEATURES, 50, 59, 59).values for close in (panel.close, other)]
    np.testing.assert_array_equal(*tables)


def test_an_unknown_feature_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="unknown feature 'atr'; there are price, macd, rsi, cci, adx"):
        feature_table(random_panel(1, 50, 1), ("rsi", "atr"), 50, 0, 49)
