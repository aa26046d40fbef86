"""Random policies beside a run: how they are drawn, on what terms they trade, and what the comparison means."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from panels import as_raw, market, panel_of, random_panel, random_weights, run_strategy, run_targets, targets

from engine.costs import Costs
from engine.errors import InputError
from engine.limits import MODEL_LIMITS, Limits
from engine.panel import MarketPanel
from engine.rebalancer import Schedule, Terms
from engine.result import Result
from engine.statistics.decisions import Decisions
from engine.statistics.null import Null, no_skill_null
from engine.statistics.paths import PATH_METRICS
from engine.statistics.random_weights import RandomWeights
from strategies.baselines import BuyAndHold, EqualWeight

T, N = 120, 10


def calm_panel(seed: int, n_rows: int = T, n: int = N) -> MarketPanel:
    """Return random walks without drift, gaps or holes: no symbol is better than another."""
    random = np.random.default_rng(seed)
    close = 50.0 * np.exp(np.cumsum(random.normal(0, 0.015, (n_rows, n)), axis=0))
    return panel_of(close, close * np.exp(random.normal(0, 0.003, (n_rows, n))))


def changing_weights(seed: int, shape: float, replaced: float, exposure: float = 0.9) -> np.ndarray:
    """Return (T, N) weights of which a share is drawn anew each session, written in plain numpy."""
    random = np.random.default_rng(seed)
    size, weights = random.gamma(shape, size=N), np.empty((T, N))
    for t in range(T):
        new = random.random(N) < replaced
        size = np.where(new, random.gamma(shape, size=N), size)
        weights[t] = exposure * size / size.sum()
    return weights


def with_foresight(panel: MarketPanel, sign: float) -> np.ndarray:
    """Return weights on the three symbols that rise most (or least) from the next open to the one after."""
    ahead = np.zeros(panel.close.shape)
    ahead[:-2] = panel.open[2:] / panel.open[1:-1]
    rank = np.argsort(np.argsort(-sign * ahead, axis=1), axis=1)
    return np.where(rank < 3, 0.3, 0.0)


def null_of(result: Result, panel: MarketPanel, paths: int = 200) -> Null:
    return no_skill_null(result, panel, 0, paths=paths)


def drawn(result: Result, panel: MarketPanel, paths: int = 1) -> np.ndarray:
    """Return (paths, D, N) random targets."""
    random = RandomWeights.like(Decisions.of(result, panel, 0), 0)
    return np.array([random.draw(0, path) for path in range(paths)])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_foresight_stands_above_all_random_policies_and_its_contrary_below(sign: float) -> None:
    panel = calm_panel(1)
    result = run_targets("weights", with_foresight(panel, sign), panel, Terms())
    percentile = null_of(result, panel).percentile(result.metrics())
    for name in ("total_return", "sharpe_ratio", "final_equity"):
        assert percentile[name] == (1.0 if sign > 0 else 0.0)


def test_foresight_of_when_to_be_invested_is_not_rewarded() -> None:
    panel = calm_panel(2)
    rises = np.zeros(T, bool)
    rises[:-2] = panel.open[2:].mean(axis=1) > panel.open[1:-1].mean(axis=1)
    weights = changing_weights(4, 0.5, 0.5) * rises[:, None]
    result = run_targets("weights", weights, panel, Terms(costs=Costs(0.0, 0.0)))
    null = null_of(result, panel)
    assert null.range()["total_return"][0] > 0.05
    assert 0.05 < null.percentile(result.metrics())["total_return"] < 0.95


@pytest.mark.parametrize(("shape", "replaced"), [(0.3, 1.0), (0.3, 0.2), (1.0, 0.02), (5.0, 0.5)])
@pytest.mark.parametrize("limits", [None, Limits(cap=0.25, cash_buffer=0.05)])
def test_random_policies_have_the_exposure_the_concentration_and_the_turnover_of_the_run(
    shape: float, replaced: float, limits: Limits | None
) -> None:
    panel = calm_panel(4)
    result = run_targets("weights", changing_weights(5, shape, replaced), panel, Terms(limits=limits))
    decisions = Decisions.of(result, panel, 0)
    paths = drawn(result, panel, 60)
    np.testing.assert_allclose(paths.sum(axis=2), np.broadcast_to(decisions.exposure, (60, T)), rtol=1e-12)
    concentration = np.mean((paths / paths.sum(axis=2, keepdims=True)) ** 2, axis=(0, 1)).sum()
    assert decisions.concentration == pytest.approx(
        np.mean(np.sum(result.target_weight**2, axis=1) / result.target_weight.sum(axis=1) ** 2), rel=1e-12
    )
    # Pilots and paths are some tens of draws that change slowly: 10 % is three of their errors in the worst case.
    assert concentration == pytest.approx(decisions.concentration, rel=0.1)
    null = null_of(result, panel, 60)
    assert null.turnover == pytest.approx(null.result_turnover, rel=0.1)
    assert null.result_turnover == result.metrics()["annual_turnover"]


def test_a_run_that_turns_over_less_than_rebalancing_does_is_matched_by_weights_that_drift() -> None:
    panel = calm_panel(4)
    weights = np.full((T, N), np.nan)
    weights[0] = 0.9 * random_weights(6, 1, N, True, 0.0, 0.0)[0]
    weights[1:, 0] = weights[0, 0]  # one symbol is set each session, the others are kept
    # With whole shares, each of the others would trade one now and then to come closest to a weight that drifts.
    result = run_targets("weights", weights, panel, Terms(fractional=True))
    null = null_of(result, panel, 50)
    rebalanced = run_targets("weights", np.full((T, N), 0.1), panel, Terms()).metrics()["annual_turnover"]
    assert null.result_turnover < 0.75 * rebalanced
    assert null.turnover == pytest.approx(null.result_turnover, rel=0.1)


def test_random_policies_decide_when_the_run_does_and_buy_once_what_it_buys_once() -> None:
    panel = calm_panel(7)
    held = run_strategy("policy", BuyAndHold(), panel, Terms(costs=Costs(0.0)))
    weights = np.full((T, N), np.nan)
    weights[3] = random_weights(8, 1, N, True, 0.0, 0.0)[0]
    result = run_targets("weights", weights, panel, Terms())
    decisions = Decisions.of(result, panel, 0)
    assert decisions.rows.tolist() == [3]
    assert drawn(result, panel).shape == (1, 1, N)
    assert Decisions.of(held, panel, 0).rows.tolist() == [0]
    # Whole shares leave a few out of a hundred thousand.
    null = null_of(result, panel, 20)
    assert null.turnover == pytest.approx(null.result_turnover, rel=0.01)


def test_what_a_run_asks_beyond_its_cash_counts_as_what_it_can_hold() -> None:
    panel = market("A B", "10 10", "10 10", "10 10")
    result = run_targets("weights", targets("0.8 0", "keep 0.9", ""), panel, Terms())
    decisions = Decisions.of(result, panel, 0)
    assert decisions.exposure.tolist() == pytest.approx([0.8, 1.0])
    assert decisions.turnover == pytest.approx(0.4 + 0.1)
    assert decisions.concentration == pytest.approx((1.0 + 0.8**2 + 0.2**2) / 2)


def test_only_symbols_with_a_bar_get_weight_and_a_kept_one_keeps_its_share() -> None:
    panel = market("A B C", "10 10 -", "10 - 10", "10 10 10", "10 10 10")
    result = run_targets("weights", targets("0.5 0.3 0", "0.5 0.3 0", "0.5 0.3 0", "0.5 0.3 0"), panel, Terms())
    for weights in drawn(result, panel, 20):
        assert np.array_equal(np.isnan(weights), ~panel.has_bar)
        assert np.nansum(weights[0]) == pytest.approx(0.8)
        # The second has no bar in the second session and keeps what it was given in the first; prices do not move.
        assert np.nansum(weights[1]) == pytest.approx(0.8 - weights[0, 1])
        assert np.nansum(weights[2]) == pytest.approx(0.8)
        assert weights[1, 2] > 0.0


def test_new_weights_do_not_lose_to_a_market_that_rises() -> None:
    weights, rising = changing_weights(5, 0.3, 0.1), np.exp(0.02 * np.arange(T))[:, None]
    paths = []
    for panel in (panel_of(np.ones((T, N))), panel_of(rising * np.ones((T, N)))):
        result = run_targets("weights", weights, panel, Terms())
        paths.append(RandomWeights(Decisions.of(result, panel, 0), 0.3, 0.1).draw(0, 0))
    # A tenth of the weights is new in each session, and the others are no larger for what the market has done.
    np.testing.assert_allclose(*paths, rtol=1e-9, atol=1e-12)


def test_a_split_moves_no_weight_of_a_random_policy() -> None:
    panel = random_panel(14, 60, 5, holes=0.1)
    raw = as_raw(panel, 15, often=0.2, dividends=False)
    weights = random_weights(16, 60, 5, True, 0.1, 0.2)
    growth = [
        Decisions.of(run_targets("weights", weights, bars, Terms(fractional=True)), bars, 0).growth
        for bars in (panel, raw)
    ]
    # Products of up to 60 ratios.
    np.testing.assert_allclose(growth[1], growth[0], rtol=1e-12)


def test_a_run_that_holds_one_symbol_meets_policies_that_hold_one() -> None:
    panel = calm_panel(9)
    weights = np.eye(N)[np.random.default_rng(1).integers(0, N, T)]
    result = run_targets("weights", weights, panel, Terms())
    largest = drawn(result, panel)[0].max(axis=1)
    assert np.mean(largest > 0.99) > 0.9


def test_what_the_cap_cuts_goes_to_the_others() -> None:
    panel = calm_panel(9)
    weights = np.zeros((T, N))
    weights[:, :5] = 0.19
    result = run_targets("weights", weights, panel, Terms(limits=MODEL_LIMITS))
    random = drawn(result, panel, 5)
    assert random.max() <= 0.2
    np.testing.assert_allclose(random.sum(axis=2), 0.95, rtol=1e-12)


def test_equal_weights_choose_nothing_and_have_no_percentile() -> None:
    panel = calm_panel(10)
    result = run_strategy("policy", EqualWeight(), panel, Terms(), schedule=Schedule.WEEKLY)
    null = null_of(result, panel, 20)
    assert all(math.isnan(value) for value in null.percentile(result.metrics()).values())
    as_json = null.as_json(result.metrics())
    assert set(as_json["percentile"].values()) == {None}
    assert as_json["median"]["annual_turnover"] == pytest.approx(null.result_turnover, rel=0.01)


def test_a_run_that_holds_only_cash_has_no_percentile() -> None:
    panel = calm_panel(10)
    result = run_targets("weights", np.zeros((T, N)), panel, Terms())
    null = null_of(result, panel, 5)
    assert null.values["final_equity"].tolist() == [1e6] * 5
    assert math.isnan(null.percentile(result.metrics())["final_equity"])
    assert math.isnan(null.median()["sharpe_ratio"])
    assert null.as_json(result.metrics())["range"]["sharpe_ratio"] is None


def test_a_path_is_the_same_whatever_their_number_and_another_with_another_seed() -> None:
    panel = calm_panel(11)
    result = run_targets("weights", changing_weights(5, 0.5, 0.5), panel, Terms())
    few, many = null_of(result, panel, 3), null_of(result, panel, 12)
    for name in PATH_METRICS:
        np.testing.assert_array_equal(few.values[name], many.values[name][:3])
    other = no_skill_null(result, panel, 0, paths=3, seed=1)
    assert not np.array_equal(other.values["total_return"], few.values["total_return"])
    assert len(set(many.values["total_return"])) == 12


def test_costs_and_sizing_are_those_of_the_run() -> None:
    panel = calm_panel(12)
    weights = changing_weights(5, 0.5, 0.5)
    free, dear = (run_targets("weights", weights, panel, Terms(costs=Costs(bps, bps))) for bps in (0.0, 50.0))
    nulls = [null_of(result, panel, 20) for result in (free, dear)]
    assert set(nulls[0].values["total_commission"]) == {0.0}
    for own, value in (("total_commission", dear), ("total_slippage", dear)):
        assert nulls[1].median()[own] == pytest.approx(value.metrics()[own], rel=0.2)
    assert nulls[1].median()["total_return"] < nulls[0].median()["total_return"] - 0.1


def test_a_run_inside_a_longer_panel_is_met_on_its_own_sessions() -> None:
    panel = calm_panel(13)
    weights = changing_weights(5, 0.5, 0.5)
    result = run_targets("weights", weights, panel, Terms(), first=30, last=80)
    alone = panel.rows(30, 81)
    same = run_targets("weights", weights[30:81], alone, Terms())
    inside, by_itself = no_skill_null(result, panel, 30, paths=4), no_skill_null(same, alone, 0, paths=4)
    np.testing.assert_array_equal(inside.values["final_equity"], by_itself.values["final_equity"])
    assert inside.weights.decisions.rows.tolist() == list(range(30, 81))


def test_quantiles_and_shares_leave_undefined_paths_out() -> None:
    panel = calm_panel(13)
    result = run_targets("weights", changing_weights(5, 0.5, 0.5), panel, Terms())
    null = null_of(result, panel, 2)
    values = {"sharpe_ratio": np.array([1.0, 2.0, np.nan, 3.0, 4.0])}
    null = Null(5, 0, values, null.result_turnover, null.turnover, null.weights)
    assert null.median() == {"sharpe_ratio": 2.5}
    assert null.range()["sharpe_ratio"] == pytest.approx((1.15, 3.85))
    assert null.percentile({"sharpe_ratio": 2.0}) == {"sharpe_ratio": 0.5}
    assert math.isnan(null.percentile({"sharpe_ratio": None})["sharpe_ratio"])
    json.dumps(null.as_json({"sharpe_ratio": None}), allow_nan=False)


@pytest.mark.parametrize("first", [-1, 1, 200])
def test_bars_that_are_not_the_runs_are_refused(first: int) -> None:
    panel = calm_panel(13)
    result = run_targets("weights", changing_weights(5, 0.5, 0.5), panel, Terms())
    with pytest.raises(InputError, match="not of these bars"):
        no_skill_null(result, panel, first)


def test_settings_out_of_range_and_a_run_without_decisions_are_refused() -> None:
    panel = random_panel(1, 20, 3)
    idle = run_targets("weights", np.full((20, 3), np.nan), panel, Terms())
    result = run_targets("weights", random_weights(2, 20, 3, True, 0.0, 0.0), panel, Terms())
    with pytest.raises(InputError, match="no decisions"):
        no_skill_null(idle, panel, 0)
    with pytest.raises(InputError, match="paths must be at least 1, was 0"):
        no_skill_null(result, panel, 0, paths=0)
    with pytest.raises(InputError, match="seed must not be negative, was -2"):
        no_skill_null(result, panel, 0, seed=-2)
