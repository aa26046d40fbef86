"""Moving windows against pandas, empyrical and the plain functions."""

from __future__ import annotations

import empyrical
import numpy as np
import pandas as pd
import pytest

from engine.errors import InputError
from engine.metrics import max_drawdown, rolling_max_drawdown, rolling_volatility, simple_returns, volatility


def random_equity(seed: int, n: int = 200) -> np.ndarray:
    return 1e5 * np.cumprod(1.0 + np.random.default_rng(seed).normal(0.0004, 0.012, n))


@pytest.mark.parametrize("window", [2, 3, 30, 200])
def test_rolling_volatility_equals_that_of_pandas(window: int) -> None:
    returns = simple_returns(random_equity(1))
    expected = pd.Series(returns).rolling(window).std().to_numpy()
    # pandas keeps running sums; two neighbouring returns may nearly cancel.
    np.testing.assert_allclose(rolling_volatility(returns, window), expected, rtol=1e-9)


def test_rolling_volatility_by_hand_is_missing_before_the_first_full_window() -> None:
    rolled = rolling_volatility(np.array([0.0, 0.02, 0.02, 0.0]), 2)
    # The deviation of 0 and 0.02 with ddof=1 is 0.02 / sqrt 2; rounding of one square root.
    np.testing.assert_allclose(rolled, [np.nan, 0.02 / np.sqrt(2), 0.0, 0.02 / np.sqrt(2)], rtol=1e-15)


def test_rolling_drawdown_by_hand_counts_the_equity_before_the_window() -> None:
    rolled = rolling_max_drawdown(np.array([100.0, 75.0, 150.0, 120.0, 60.0]), 2)
    # A window of 2 sessions is 3 equities; rounding of one division.
    np.testing.assert_allclose(rolled, [np.nan, np.nan, 0.25, 0.2, 0.6], rtol=1e-15)


def test_a_window_of_one_session_is_the_loss_of_that_session() -> None:
    equity = random_equity(2)
    # (a - b) / a against b / a - 1: the second loses digits near 1.
    np.testing.assert_allclose(
        rolling_max_drawdown(equity, 1)[1:], np.maximum(-simple_returns(equity), 0.0), rtol=0.0, atol=1e-15
    )


def test_rolling_drawdown_equals_empyrical_window_by_window() -> None:
    equity = random_equity(3, 80)
    returns = pd.Series(simple_returns(equity))
    expected = -empyrical.roll_max_drawdown(returns, window=30)
    # empyrical multiplies (1 + r); 30 products near 1.
    np.testing.assert_allclose(rolling_max_drawdown(equity, 30)[30:], expected, rtol=1e-9)


def test_each_row_equals_the_plain_function_on_its_window_bit_for_bit() -> None:
    equity = random_equity(4, 60)
    returns = simple_returns(equity)
    deviations, falls = rolling_volatility(returns, 30), rolling_max_drawdown(equity, 30)
    assert all(deviations[t] == volatility(returns[t - 29 : t + 1]) for t in range(29, 59))
    assert all(falls[t] == max_drawdown(equity[t - 30 : t + 1]) for t in range(30, 60))


def test_rows_do_not_depend_on_where_the_data_starts() -> None:
    equity = random_equity(5)
    np.testing.assert_array_equal(rolling_max_drawdown(equity, 30)[130:], rolling_max_drawdown(equity[100:], 30)[30:])
    returns = simple_returns(equity)
    np.testing.assert_array_equal(rolling_volatility(returns, 30)[129:], rolling_volatility(returns[100:], 30)[29:])


@pytest.mark.parametrize("n", [0, 1, 5])
def test_data_shorter_than_the_window_gives_nan_alone(n: int) -> None:
    values = np.full(n, 100.0)
    for rolled in (rolling_volatility(values, 6), rolling_max_drawdown(values, 6)):
        assert rolled.shape == (n,)
        assert np.isnan(rolled).all()


def test_a_missing_value_is_felt_only_inside_its_window() -> None:
    values = np.array([1.0, 1.1, np.nan, 1.2, 1.3, 1.4])
    np.testing.assert_array_equal(np.isnan(rolling_volatility(values, 2)), [True, False, True, True, False, False])
    np.testing.assert_array_equal(np.isnan(rolling_max_drawdown(values, 1)), [True, False, True, True, False, False])


@pytest.mark.parametrize(("rolled", "window"), [(rolling_volatility, 1), (rolling_max_drawdown, 0)])
def test_a_window_too_short_to_mean_anything_is_refused(rolled: object, window: int) -> None:
    with pytest.raises(InputError, match="window must be at least"):
        rolled(np.ones(5), window)
