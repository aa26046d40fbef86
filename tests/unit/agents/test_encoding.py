from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from toys import TRAIN, VALIDATION, make_panel, make_trainer, with_rows

from agents.encoding import MIN_SESSIONS, Encoder
from agents.settings import Settings
from engine.arrays import FloatArray
from engine.metrics.tracker import RiskTracker
from engine.observation import FeatureTable, Observation
from engine.panel import FIELDS


def make_table(values: Any) -> FeatureTable:
    return FeatureTable(("price", "rsi"), 0, np.asarray(values, dtype=float))


def make_observation(features: FloatArray, weights: list[float], cash_weight: float) -> Observation:
    panel = make_panel(3, drifts=[0.0] * len(weights))
    return Observation(
        session=panel.sessions[2],
        symbols=panel.symbols,
        tradable=panel.has_bar[2],
        features=features,
        weights=np.array(weights),
        cash_weight=cash_weight,
        equity=1.0,
        risk=RiskTracker().update(1.0),
        _panel=panel,
        _row=2,
    )


# Three sessions, two assets, two features, repeated until there are enough sessions for statistics.
TABLE = [[[1.0, 30.0], [5.0, 50.0]], [[2.0, 50.0], [5.0, 60.0]], [[3.0, 70.0], [5.0, 100.0]]] * (MIN_SESSIONS // 3)


def test_mean_and_deviation_are_taken_per_asset_and_feature() -> None:
    encoder = Encoder.fit(make_table(TABLE))
    assert encoder.mean.tolist() == [[2.0, 50.0], [5.0, 70.0]]
    expected = [[(2 / 3) ** 0.5, (800 / 3) ** 0.5], [1.0, (1400 / 3) ** 0.5]]
    np.testing.assert_allclose(encoder.std, expected, rtol=1e-12)  # two orders of adding float64


def test_a_constant_feature_becomes_0_instead_of_dividing_by_0() -> None:
    values = np.full((50, 1, 2), [[0.1, 70.3]])
    encoder = Encoder.fit(make_table(values))
    assert encoder.std.tolist() == [[1.0, 1.0]]
    np.testing.assert_allclose(encoder.features(values), 0.0, atol=1e-7)  # rounding of the mean


def test_missing_features_do_not_count_in_the_statistics() -> None:
    values = np.array([*TABLE, [[np.nan, np.nan], [np.nan, np.nan]]])
    known, padded = Encoder.fit(make_table(TABLE)), Encoder.fit(make_table(values))
    assert np.array_equal(known.mean, padded.mean)
    assert np.array_equal(known.std, padded.std)


@pytest.mark.parametrize("known", [0, MIN_SESSIONS - 1])
def test_an_asset_hardly_seen_in_training_is_always_the_mean(known: int) -> None:
    values = np.array(TABLE)
    values[known:, 1] = np.nan
    encoder = Encoder.fit(make_table(values))
    assert encoder.features(np.array([[2.0, 50.0], [5.0, 99.0]])).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert encoder.features(np.array([[3.0, 70.0], [5.0, 99.0]]))[0].min() > 1.0


def test_a_feature_that_is_not_known_becomes_0() -> None:
    encoder = Encoder.fit(make_table(TABLE))
    encoded = encoder.features(np.array([[np.nan, 70.0], [5.0, np.nan]]))
    assert encoded[0, 0] == encoded[1, 1] == 0.0
    assert encoded[0, 1] > 1.0


def test_features_are_clipped_at_5_deviations() -> None:
    encoder = Encoder(np.array([[10.0, 10.0]]), np.array([[2.0, 2.0]]))
    assert encoder.features(np.array([[100.0, -100.0]])).tolist() == [[5.0, -5.0]]
    assert encoder.features(np.array([[19.0, 1.0]])).tolist() == [[4.5, -4.5]]
    assert encoder.features(np.array([[np.inf, -np.inf]])).tolist() == [[5.0, -5.0]]


def test_the_vector_is_cash_then_holdings_then_features_asset_by_asset() -> None:
    encoder = Encoder(np.zeros((2, 2)), np.ones((2, 2)))
    observation = make_observation(np.array([[1.0, 2.0], [3.0, 4.0]]), [0.5, 0.125], 0.375)
    vector = encoder(observation)
    assert vector.dtype == np.float32
    # A holding is its weight times N: 1 is an equal share.
    assert vector.tolist() == [0.375, 1.0, 0.25, 1.0, 2.0, 3.0, 4.0]


def test_the_published_state_of_50_assets_has_301_inputs() -> None:
    table = FeatureTable(Settings().features, 0, np.zeros((3, 50, 5)))
    encoder = Encoder.fit(table)
    assert encoder.size == 301
    assert encoder(make_observation(np.zeros((50, 5)), [0.0] * 50, 1.0)).shape == (301,)


def test_statistics_know_nothing_of_the_bars_outside_the_training_window(tmp_path: Any) -> None:
    panel = make_panel()
    later = with_rows(panel, slice(TRAIN.last + 1, None), 1.7)
    encoders = [make_trainer(tmp_path / "m", each)._encoder for each in (panel, later)]
    assert np.array_equal(encoders[0].mean, encoders[1].mean)
    assert np.array_equal(encoders[0].std, encoders[1].std)
    inside = with_rows(panel, slice(TRAIN.last, TRAIN.last + 1), 1.7)
    assert not np.array_equal(encoders[0].mean, make_trainer(tmp_path / "m", inside)._encoder.mean)
    assert VALIDATION.first == TRAIN.last + 1


def test_the_scale_of_prices_does_not_matter(tmp_path: Any) -> None:
    panel = make_panel()
    scaled = with_rows(panel, slice(None), 1024.0)
    assert all(np.array_equal(getattr(scaled, name), 1024.0 * getattr(panel, name)) for name in FIELDS)
    encoders = [make_trainer(tmp_path / "m", each)._encoder for each in (panel, scaled)]
    # A factor of 2^10 is exact; TA-Lib compares with absolute bounds only around zero.
    np.testing.assert_allclose(encoders[0].mean, encoders[1].mean, rtol=1e-9)
