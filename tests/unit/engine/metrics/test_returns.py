"""Returns, ratios, tail losses and turnover against hand tables, empyrical and skfolio."""

from __future__ import annotations

import empyrical
import numpy as np
import pytest
import skfolio.measures

from engine.errors import InputError
from engine.metrics import (
    annual_return,
    annual_turnover,
    annual_volatility,
    conditional_value_at_risk,
    sharpe_ratio,
    simple_returns,
    sortino_ratio,
    total_return,
    value_at_risk,
    volatility,
)

# Both sides add the same few hundred numbers of similar size in another order: a few hundred units of 2e-16.
SUMMED = 1e-12
# empyrical multiplies (1 + r) where we divide two equities, and a small return loses digits when 1 is taken
# away.
COMPOUNDED = 1e-9

# +10 %, -10 %, +10 %: the mean is 1/30, the deviation 2/(10 sqrt 3), the downside deviation 1/(10 sqrt 3).
EQUITY = np.array([100.0, 110.0, 99.0, 108.9])


def random_returns(seed: int, n: int = 300) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0004, 0.012, n)


def equity_of(returns: np.ndarray) -> np.ndarray:
    return 1e5 * np.cumprod(np.concatenate([[1.0], 1.0 + returns]))


def test_measures_of_three_returns_can_be_checked_by_hand() -> None:
    returns = simple_returns(EQUITY)
    # The tolerance is rounding: each value is one or two operations on numbers near 1.
    assert returns == pytest.approx([0.1, -0.1, 0.1], rel=1e-14)
    assert total_return(EQUITY) == pytest.approx(0.089, rel=1e-14)
    assert annual_return(EQUITY, 3.0) == pytest.approx(0.089, rel=1e-14)
    assert annual_return(EQUITY, 6.0) == pytest.approx(1.089**2 - 1.0, rel=1e-14)
    assert annual_volatility(returns, 3.0) == pytest.approx(0.2, rel=1e-14)
    assert sharpe_ratio(returns, 0.0, 3.0) == pytest.approx(0.5, rel=1e-13)
    assert sortino_ratio(returns, 0.0, 3.0) == pytest.approx(1.0, rel=1e-13)


def test_turnover_is_one_when_the_mean_equity_is_bought_and_sold_within_a_year() -> None:
    mean = EQUITY.mean()
    # Rounding of one division and one multiplication.
    assert annual_turnover(np.array([mean, -mean]), EQUITY, 3.0) == pytest.approx(1.0, rel=1e-15)
    assert annual_turnover(np.array([mean, mean]), EQUITY, 6.0) == pytest.approx(2.0, rel=1e-15)
    assert annual_turnover(np.empty(0), EQUITY, 252.0) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_ratios_equal_those_of_empyrical(seed: int) -> None:
    returns = random_returns(seed)
    free = 0.0001
    per_year = {"annualization": 252}
    assert annual_volatility(returns, 252.0) == pytest.approx(
        empyrical.annual_volatility(returns, **per_year), rel=SUMMED
    )
    assert sharpe_ratio(returns, free, 252.0) == pytest.approx(
        empyrical.sharpe_ratio(returns, free, **per_year), rel=SUMMED
    )
    assert sortino_ratio(returns, free, 252.0) == pytest.approx(
        empyrical.sortino_ratio(returns, free, **per_year), rel=SUMMED
    )


@pytest.mark.parametrize("seed", range(5))
def test_total_and_annual_return_equal_those_of_empyrical(seed: int) -> None:
    returns = random_returns(seed)
    equity = equity_of(returns)
    assert simple_returns(equity) == pytest.approx(returns, rel=COMPOUNDED, abs=1e-15)
    assert total_return(equity) == pytest.approx(empyrical.cum_returns_final(returns), rel=COMPOUNDED)
    assert annual_return(equity, 252.0) == pytest.approx(
        empyrical.annual_return(returns, annualization=252), rel=COMPOUNDED
    )


@pytest.mark.parametrize("level", [0.0, 0.5, 0.9, 0.95, 0.99, 1.0])
@pytest.mark.parametrize("n", [1, 2, 10, 19, 20, 21, 100, 252, 253])
def test_tail_losses_equal_those_of_skfolio(n: int, level: float) -> None:
    returns = random_returns(n, n)
    # A quantile is one of the returns: no tolerance.
    assert value_at_risk(returns, level) == skfolio.measures.value_at_risk(returns, beta=level)
    # The absolute part is for a tail that nearly cancels: losses are about 0.01.
    assert conditional_value_at_risk(returns, level) == pytest.approx(
        skfolio.measures.cvar(returns, beta=level), rel=SUMMED, abs=1e-14
    )


def test_value_at_risk_of_a_hundred_losses_is_the_sixth_largest() -> None:
    returns = np.random.default_rng(0).permutation(-np.arange(1.0, 101.0) / 1000.0)
    assert value_at_risk(returns, 0.95) == 0.095
    # Sum of five numbers; the tail size (1 - 0.95) * 100 is 5 within a few units of rounding.
    assert conditional_value_at_risk(returns, 0.95) == pytest.approx(0.098, rel=1e-13)


@pytest.mark.parametrize("n", [20, 40, 260])
def test_conditional_value_at_risk_equals_empyrical_where_the_tail_is_whole(n: int) -> None:
    # Elsewhere the definitions differ: empyrical takes a whole number of losses and, for value at risk,
    # interpolates between two; ours weighs the last loss of the tail by its fraction and interpolates
    # nothing.
    returns = random_returns(n, n)
    assert conditional_value_at_risk(returns, 0.95) == pytest.approx(
        -empyrical.conditional_value_at_risk(returns, 0.05), rel=SUMMED
    )


def test_value_at_risk_equals_empyrical_where_no_interpolation_happens() -> None:
    # With n = 101 empyrical's position (n - 1) * 0.05 is the whole number 5, up to its rounding.
    returns = random_returns(1, 101)
    assert value_at_risk(returns, 0.95) == pytest.approx(-empyrical.value_at_risk(returns, 0.05), rel=SUMMED)


def test_a_tail_that_still_gains_is_a_negative_loss() -> None:
    returns = np.linspace(0.01, 0.02, 40)
    assert value_at_risk(returns, 0.95) < 0.0
    assert conditional_value_at_risk(returns, 0.95) < 0.0


def test_tail_losses_leave_their_input_as_it_was() -> None:
    returns = random_returns(3)
    before = returns.copy()
    value_at_risk(returns, 0.95)
    conditional_value_at_risk(returns, 0.95)
    np.testing.assert_array_equal(returns, before)


@pytest.mark.parametrize("measure", [value_at_risk, conditional_value_at_risk])
@pytest.mark.parametrize("level", [-0.01, 1.01, 95.0, float("nan")])
def test_a_level_that_is_no_fraction_is_refused(measure: object, level: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        measure(random_returns(0), level)


def test_one_equity_has_no_return_and_every_measure_of_it_is_undefined() -> None:
    one = np.array([100.0])
    none = simple_returns(one)
    assert none.shape == (0,)
    undefined = [
        total_return(one),
        annual_return(one, 252.0),
        annual_turnover(np.array([50.0]), one, 252.0),
        annual_volatility(none, 252.0),
        sharpe_ratio(none, 0.0, 252.0),
        sortino_ratio(none, 0.0, 252.0),
        value_at_risk(none, 0.95),
        conditional_value_at_risk(none, 0.95),
    ]
    assert np.isnan(undefined).all()


def test_no_equity_has_no_returns() -> None:
    assert simple_returns(np.empty(0)).shape == (0,)


def test_one_return_has_tail_losses_but_no_deviation() -> None:
    one = np.array([-0.02])
    assert np.isnan([volatility(one), sharpe_ratio(one, 0.0, 252.0), sortino_ratio(one, 0.0, 252.0)]).all()
    assert value_at_risk(one, 0.95) == conditional_value_at_risk(one, 0.95) == 0.02


def test_constant_equity_has_zero_volatility_and_undefined_ratios() -> None:
    returns = simple_returns(np.full(50, 1000.0))
    assert volatility(returns) == 0.0
    assert value_at_risk(returns, 0.95) == conditional_value_at_risk(returns, 0.95) == 0.0
    assert np.isnan([sharpe_ratio(returns, 0.0, 252.0), sortino_ratio(returns, 0.0, 252.0)]).all()


def test_the_deviation_of_equal_returns_is_exactly_zero() -> None:
    # 0.1 added three times and divided by 3 is not 0.1, so the naive deviation is 1e-17.
    assert volatility(np.full(3, 0.1)) == 0.0


@pytest.mark.parametrize("rate", [0.0001, 0.003, -0.01])
def test_a_steady_rate_has_no_sharpe_ratio_although_its_returns_differ_by_rounding(rate: float) -> None:
    returns = simple_returns(1e6 * (1.0 + rate) ** np.arange(500))
    assert len(np.unique(returns)) > 1
    assert np.isnan(sharpe_ratio(returns, 0.0, 252.0))
    assert np.isnan(sortino_ratio(returns, rate, 252.0))


def test_gains_alone_have_a_sharpe_ratio_but_no_sortino_ratio() -> None:
    returns = np.array([0.01, 0.02, 0.03])
    assert sharpe_ratio(returns, 0.0, 252.0) > 0.0
    assert np.isnan(sortino_ratio(returns, 0.0, 252.0))


def test_losses_alone_have_negative_ratios_and_positive_tail_losses() -> None:
    returns = np.array([-0.01, -0.02, -0.03])
    assert sharpe_ratio(returns, 0.0, 252.0) < 0.0
    assert sortino_ratio(returns, 0.0, 252.0) < 0.0
    assert value_at_risk(returns, 0.95) == conditional_value_at_risk(returns, 0.95) == 0.03


def test_a_total_loss_is_minus_one_and_what_follows_it_is_undefined() -> None:
    ruined = np.array([100.0, 0.0, 0.0])
    assert total_return(ruined) == annual_return(ruined, 252.0) == -1.0
    np.testing.assert_array_equal(simple_returns(ruined), [-1.0, np.nan])
    assert np.isnan(annual_return(np.array([100.0, -1.0]), 252.0))
    assert np.isnan(total_return(np.array([0.0, 100.0])))


def test_a_missing_return_makes_every_measure_undefined() -> None:
    returns = np.array([0.01, np.nan, -0.02, 0.03])
    assert np.isnan(
        [
            volatility(returns),
            sharpe_ratio(returns, 0.0, 252.0),
            sortino_ratio(returns, 0.0, 252.0),
            value_at_risk(returns, 0.95),
            conditional_value_at_risk(returns, 0.95),
        ]
    ).all()


def test_noise_around_a_gain_lowers_the_sharpe_ratio() -> None:
    noise = np.random.default_rng(7).normal(0.0, 1.0, 1000)
    noise -= noise.mean()
    quiet, loud = (sharpe_ratio(0.001 + scale * noise, 0.0, 252.0) for scale in (0.01, 0.02))
    # The same noise twice as large halves the ratio; the tolerance is that of sums.
    assert quiet == pytest.approx(2.0 * loud, rel=SUMMED)
