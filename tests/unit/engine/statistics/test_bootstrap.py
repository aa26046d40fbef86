"""The stationary bootstrap against hand tables, the arch library, and the truth it should cover."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap, optimal_block_length

from engine.errors import InputError
from engine.statistics.bootstrap import difference_intervals, mean_difference_intervals, metric_intervals
from engine.statistics.paths import COST_METRICS, EQUITY_METRICS, PATH_METRICS
from engine.statistics.resampling import MIN_RETURNS, Run, _measure_resamples, mean_block


def autoregressive(seed: int, n: int, phi: float, mean: float = 0.0, deviation: float = 1.0) -> np.ndarray:
    """Return n values whose marginal mean and deviation are those given."""
    noise = np.random.default_rng(seed).normal(0.0, deviation * math.sqrt(1.0 - phi**2), n + 100)
    values = np.zeros(n + 100)
    for t in range(1, n + 100):
        values[t] = phi * values[t - 1] + noise[t]
    return mean + values[100:]


def equity_of(returns: np.ndarray, start: float = 1e6) -> np.ndarray:
    return start * np.cumprod(np.concatenate([[1.0], 1.0 + returns]))


def measured(run: Run, restart: float, *chance: float) -> dict[str, float]:
    found = np.empty((1, len(PATH_METRICS)))
    _measure_resamples(np.array([chance]), restart, run, found)
    return dict(zip(PATH_METRICS, found[0], strict=True))


def run_of(returns: np.ndarray, rates: np.ndarray | None = None) -> Run:
    n = len(returns)
    rates = np.zeros((3, n)) if rates is None else rates
    return Run(equity_of(returns, 100.0), returns, np.zeros((3, n + 1)), rates)


RETURNS = np.array([0.1, -0.2, 0.3, 0.4])


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6, 0.9, -0.5])
@pytest.mark.parametrize("seed", [1, 3])
def test_the_block_length_is_that_of_arch_but_at_least_one(phi: float, seed: int) -> None:
    values = autoregressive(seed, 500, phi)
    of_arch = float(optimal_block_length(values)["stationary"].iloc[0])
    # Sums of 500 products in another order. arch divides autocovariances by other sums than R(0), which decides where
    # a lag lies at the threshold of significance; with these seeds none does.
    assert mean_block(values) == pytest.approx(max(of_arch, 1.0), rel=1e-10)


def test_the_block_grows_with_autocorrelation_and_stays_below_its_bound() -> None:
    lengths = [mean_block(autoregressive(3, 1000, phi)) for phi in (0.0, 0.4, 0.8)]
    assert lengths == sorted(lengths)
    assert lengths[0] < 3 < lengths[1]
    seasons = np.sin(np.arange(400) * np.pi / 6) + 0.1 * np.random.default_rng(0).normal(size=400)
    assert mean_block(seasons) == 60.0  # 3 sqrt(400): nothing is left of the spectrum at zero


def test_a_constant_series_needs_no_blocks_and_a_short_one_has_no_length() -> None:
    assert mean_block(np.full(50, 0.1)) == 1.0
    assert math.isnan(mean_block(np.arange(MIN_RETURNS - 1.0)))


def test_a_resample_of_known_chances_can_be_checked_by_hand() -> None:
    # Start at floor(0.3 * 4) = 1; 0.9 goes on to 2; 0.1 restarts at floor(0.1 / 0.5 * 4) = 0; 0.7 goes on to 1.
    found = measured(run_of(RETURNS), 0.5, 0.3, 0.9, 0.1, 0.7)
    assert found["final_equity"] == pytest.approx(100 * 0.8 * 1.3 * 1.1 * 0.8, rel=1e-14)
    assert found["total_return"] == pytest.approx(0.8 * 1.3 * 1.1 * 0.8 - 1, rel=1e-13)
    assert found["max_drawdown"] == pytest.approx(0.2, rel=1e-14)


def test_a_block_goes_on_at_the_beginning_after_the_end() -> None:
    found = measured(run_of(RETURNS), 0.25, 0.99, 0.9, 0.9, 0.9)
    assert found["final_equity"] == pytest.approx(100 * 1.4 * 1.1 * 0.8 * 1.3, rel=1e-14)


def test_costs_are_drawn_with_their_sessions_as_fractions_of_the_equity_before() -> None:
    rates = np.array([[0.5, 0.0, 0.0, 0.0], [0.01, 0.0, 0.0, 0.0], [0.0, 0.02, 0.0, 0.0]])
    # Sessions 3, 0, 1, 2: equity 100, 140, 154, ... The first session trades half of 140, the second loses 2 % of 154.
    found = measured(run_of(RETURNS, rates), 0.25, 0.99, 0.9, 0.9, 0.9)
    equity = 100 * np.cumprod([1.0, 1.4, 1.1, 0.8, 1.3])
    assert found["total_commission"] == pytest.approx(1.4, rel=1e-14)
    assert found["total_slippage"] == pytest.approx(3.08, rel=1e-14)
    assert found["annual_turnover"] == pytest.approx(70 / 2 / equity.mean() * 252 / 4, rel=1e-14)


def test_a_resample_that_repeats_the_run_has_its_metrics() -> None:
    returns = autoregressive(1, 60, 0.2, 0.001, 0.01)
    random = np.random.default_rng(2)
    equity = equity_of(returns)
    costs = random.uniform(0, 1000, (3, 61))
    run = Run(equity, returns, costs, costs[:, 1:] / equity[:-1])
    found = measured(run, 0.1, 0.0, *[0.5] * 59)
    # Products of 60 returns in the order in which equity was made: rounding of each.
    assert found["final_equity"] == pytest.approx(equity[-1], rel=1e-12)
    assert found["total_commission"] == pytest.approx(costs[1].sum(), rel=1e-12)
    assert found["annual_turnover"] == pytest.approx(costs[0].sum() / 2 / equity.mean() * 252 / 60, rel=1e-12)


def test_the_intervals_are_those_of_arch_up_to_the_noise_of_resampling() -> None:
    returns = autoregressive(5, 400, 0.4, 0.0005, 0.01)
    ours = metric_intervals(equity_of(returns), resamples=4000)
    other = StationaryBootstrap(ours.mean_block_sessions, returns, seed=1)
    measures = {
        "annual_volatility": lambda r: r.std(ddof=1) * math.sqrt(252),
        "sharpe_ratio": lambda r: r.mean() / r.std(ddof=1) * math.sqrt(252),
    }
    for name, measure in measures.items():
        low, high = other.conf_int(measure, reps=4000, method="percentile").ravel()
        # The 2.5 % quantile of 4,000 draws has an error of about 1 % of the width; two of them, three deviations.
        width = high - low
        assert ours.low[name] == pytest.approx(low, abs=0.04 * width)
        assert ours.high[name] == pytest.approx(high, abs=0.04 * width)


@pytest.mark.parametrize("phi", [0.0, 0.3])
def test_intervals_hold_the_truth_about_as_often_as_they_say(phi: float) -> None:
    mean, deviation, n = 0.0005, 0.01, 250
    truth = {"sharpe_ratio": mean / deviation * math.sqrt(252), "annual_volatility": deviation * math.sqrt(252)}
    hits = dict.fromkeys(truth, 0)
    for seed in range(200):
        returns = autoregressive(seed, n, phi, mean, deviation)
        found = metric_intervals(equity_of(returns), resamples=400, seed=seed)
        for name, value in truth.items():
            hits[name] += found.low[name] <= value <= found.high[name]
    # Percentile intervals of 250 sessions lose two or three points to the nominal 95; 200 trials have an error of 1.5.
    for name, count in hits.items():
        assert 0.88 <= count / 200 <= 0.99, name


def test_clustered_volatility_lengthens_the_blocks_that_the_returns_alone_would_not() -> None:
    random = np.random.default_rng(4)
    calm = np.repeat(np.tile([0.004, 0.02], 10), 50)
    returns = random.normal(0, 1, 1000) * calm
    assert mean_block(returns) < 5
    assert metric_intervals(equity_of(returns), resamples=1).mean_block_sessions > 20


def test_a_wider_level_gives_wider_intervals() -> None:
    equity = equity_of(autoregressive(6, 300, 0.1, 0.0003, 0.01))
    narrow, wide = (metric_intervals(equity, level=level, resamples=500) for level in (0.5, 0.95))
    for name in EQUITY_METRICS:
        assert wide.low[name] <= narrow.low[name] <= narrow.high[name] <= wide.high[name]


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others() -> None:
    equity = equity_of(autoregressive(6, 100, 0.1, 0.0003, 0.01))
    one, same, other = (metric_intervals(equity, resamples=200, seed=seed) for seed in (3, 3, 4))
    assert one == same
    assert one.low["sharpe_ratio"] != other.low["sharpe_ratio"]


def test_a_metric_of_costs_is_there_when_its_sessions_are_given() -> None:
    equity = equity_of(autoregressive(6, 100, 0.1, 0.0003, 0.01))
    fees = np.full(101, 10.0)
    assert set(metric_intervals(equity, resamples=10).low) == set(EQUITY_METRICS)
    assert set(metric_intervals(equity, commission=fees, resamples=10).low) == {*EQUITY_METRICS, "total_commission"}
    assert set(metric_intervals(equity, fees, fees, fees, resamples=10).high) == {*EQUITY_METRICS, *COST_METRICS}


def test_too_few_sessions_give_no_interval() -> None:
    equity = equity_of(autoregressive(6, MIN_RETURNS - 1, 0.0, 0.0003, 0.01))
    for few in (equity, equity[:2], equity[:1], equity[:0]):
        found = metric_intervals(few, resamples=50)
        assert math.isnan(found.mean_block_sessions)
        assert all(math.isnan(value) for value in (*found.low.values(), *found.high.values()))
        as_json = found.as_json()
        assert as_json["mean_block_sessions"] is None
        assert set(as_json["intervals"].values()) == {None}


def test_a_metric_undefined_in_too_many_resamples_has_no_interval() -> None:
    # One losing session in 30: 1 / e of the resamples have none, and no Sortino or Calmar ratio.
    returns = np.full(30, 0.01)
    returns[11] = -0.01
    found = metric_intervals(equity_of(returns), resamples=500)
    assert math.isnan(found.low["sortino_ratio"])
    assert math.isnan(found.high["calmar_ratio"])
    assert found.low["total_return"] < found.high["total_return"]
    assert found.as_json()["intervals"]["sortino_ratio"] is None


def test_a_lost_account_has_no_intervals() -> None:
    equity = np.concatenate([np.linspace(100, 1, 40), np.zeros(5)])
    assert math.isnan(metric_intervals(equity, resamples=20).low["annual_volatility"])


def test_intervals_become_plain_json() -> None:
    equity = equity_of(autoregressive(6, 100, 0.1, 0.0003, 0.01))
    found = metric_intervals(equity, resamples=100, seed=np.random.default_rng(0).integers(9).item())
    as_json = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert list(as_json) == ["level", "resamples", "mean_block_sessions", "seed", "intervals"]
    assert as_json["intervals"]["max_drawdown"] == [found.low["max_drawdown"], found.high["max_drawdown"]]


def test_two_equal_runs_differ_in_nothing() -> None:
    equity = equity_of(autoregressive(6, 100, 0.1, 0.0003, 0.01))
    for difference in difference_intervals(equity, equity, resamples=100).values():
        assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)
        assert difference.share_not_positive == 1.0


def test_a_small_edge_shows_in_the_paired_difference_though_not_in_the_intervals() -> None:
    market = autoregressive(8, 500, 0.1, 0.0003, 0.01)
    better, plain = equity_of(market + 0.0002), equity_of(market)
    difference = difference_intervals(better, plain, resamples=500)["annual_return"]
    assert 0 < difference.low < difference.value < difference.high
    assert difference.share_not_positive == 0.0
    one, other = (metric_intervals(equity, resamples=500) for equity in (better, plain))
    assert one.low["annual_return"] < other.high["annual_return"]


def test_differences_turn_their_sign_when_the_runs_change_places() -> None:
    a, b = (equity_of(autoregressive(seed, 200, 0.1, 0.0003, 0.01)) for seed in (1, 2))
    there, back = difference_intervals(a, b, resamples=200), difference_intervals(b, a, resamples=200)
    for name, difference in there.items():
        # A quantile is interpolated from the other end: rounding.
        assert back[name].low == pytest.approx(-difference.high, rel=1e-9)
        assert back[name].value == -difference.value


def test_a_difference_of_short_runs_is_known_and_its_interval_is_not() -> None:
    difference = difference_intervals(np.array([1.0, 1.1, 1.2]), np.array([1.0, 1.0, 1.1]))["total_return"]
    assert difference.value == pytest.approx(0.1)
    assert math.isnan(difference.low)
    assert math.isnan(difference.share_not_positive)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"level": 1.0}, "level must be between 0 and 1, such as 0.95, was 1.0"),
        ({"resamples": 0}, "resamples must be at least 1, was 0"),
        ({"seed": -1}, "seed must not be negative, was -1"),
        ({"traded": np.zeros(3)}, r"traded must have one number a session, had shape \(3,\)"),
        ({"commission": np.full(30, np.nan)}, "commission must be finite, was nan in row 0"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        metric_intervals(np.linspace(1, 2, 30), **arguments)


def test_runs_of_different_length_are_not_compared() -> None:
    with pytest.raises(InputError, match="had 30 and 29"):
        difference_intervals(np.ones(30), np.ones(29))
    with pytest.raises(InputError, match="had none"):
        difference_intervals(np.ones(0), np.ones(0))


def test_the_mean_of_one_window_is_its_difference_and_of_several_their_mean() -> None:
    random = np.random.default_rng(5)
    pairs = [tuple(equity_of(random.normal(0.001, 0.01, n)) for _ in range(2)) for n in (60, 90)]
    apart = [difference_intervals(*pair, resamples=200) for pair in pairs]
    both = mean_difference_intervals(pairs, resamples=200)
    assert mean_difference_intervals(pairs[:1], resamples=200)["sharpe_ratio"] == apart[0]["sharpe_ratio"]
    assert both["sharpe_ratio"].value == pytest.approx(np.mean([one["sharpe_ratio"].value for one in apart]))
    width = [one["sharpe_ratio"].high - one["sharpe_ratio"].low for one in (*apart, both)]
    # Independent windows: the error of a mean of two is about that of one over the root of two.
    assert width[2] == pytest.approx(math.hypot(*width[:2]) / 2.0, rel=0.25)


def test_a_mean_over_windows_is_undefined_where_one_is_too_short() -> None:
    long, short = (equity_of(np.random.default_rng(n).normal(0.001, 0.01, n)) for n in (60, 5))
    found = mean_difference_intervals([(long, long[::-1].copy()), (short, short)], resamples=50)
    assert math.isnan(found["sharpe_ratio"].low)
    with pytest.raises(InputError, match="at least one window, had none"):
        mean_difference_intervals([])
