"""A decision's sequence, what it refuses, and that a stop between two sessions changes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import SEEDS, assert_same_run, market, random_panel, random_weights, run_strategy

from agents.encoding import Encoder
from agents.ensemble import Ensemble
from agents.policy import EnsemblePolicy
from agents.settings import Settings
from brokers.simulated import SimulatedBroker
from data_feeds.feeds import clock_feed
from engine.account import Account
from engine.arrays import FloatArray
from engine.backtest import run_weights
from engine.cerebro import run_cerebro
from engine.costs import Costs
from engine.errors import PolicyError
from engine.limits import MODEL_LIMITS, Limits
from engine.observation import Observation, feature_table
from engine.panel import MarketPanel
from engine.policy import Decision, Policy, StatelessPolicy
from engine.rebalancer import Rebalancer, Schedule, Terms
from strategies.baselines import BuyAndHold, EqualWeight
from strategies.portfolio import PortfolioStrategy
from strategies.weights_file import WeightsPolicy

SETTINGS = Settings(hidden=(16, 8), controller_hidden=(8,), lookback_bars=42, refresh_sessions=4)
FIRST = 45
PANEL = random_panel(21, FIRST + 20, 3, holes=0.03)

Make = Callable[[MarketPanel], Policy]


def ensemble(panel: MarketPanel) -> Policy:
    table = feature_table(panel, SETTINGS.features, SETTINGS.lookback_bars, 41, FIRST - 1)
    encoder = Encoder.fit(table)
    return EnsemblePolicy(Ensemble(SETTINGS, encoder.size, panel.n_symbols, seed=1), encoder, SETTINGS)


def known_weights(panel: MarketPanel) -> Policy:
    return WeightsPolicy(panel.sessions, random_weights(2, len(panel), panel.n_symbols, False, 0.1, 0.3))


POLICIES: dict[str, Make] = {
    "ensemble": ensemble,
    "equal_weight": lambda _: EqualWeight(),
    "buy_and_hold": lambda _: BuyAndHold(),
    "weights": known_weights,
}
TERMS = {"ensemble": Terms(limits=MODEL_LIMITS)}


class Fixed(StatelessPolicy):
    def __init__(self, weights: Any) -> None:
        self._weights = weights

    def decide(self, observation: Observation) -> Decision | None:
        return Decision(self._weights)


class CollectingBroker(SimulatedBroker):
    """A broker as on paper: the account is settled by others, between the runs."""

    def next(self) -> None:
        pass


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    restored: dict[str, Any] = json.loads(json.dumps(state, allow_nan=False))
    return restored


def rebalancer_for(policy: Policy, panel: MarketPanel, terms: Terms, schedule: Schedule) -> Rebalancer:
    features = feature_table(panel, policy.features, policy.lookback_bars, FIRST, len(panel) - 1)
    return Rebalancer(panel, features, terms, schedule)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("schedule", Schedule)
@pytest.mark.parametrize("stop", [FIRST + 1, FIRST + 3, FIRST + 11])
def test_a_stop_and_a_restore_through_json_change_nothing(name: str, schedule: Schedule, stop: int) -> None:
    make, terms = POLICIES[name], TERMS.get(name, Terms())
    whole = run_strategy("policy", make(PANEL), PANEL, terms, FIRST, schedule=schedule)
    account = Account(PANEL, FIRST, len(PANEL) - 1, terms)
    policy = make(PANEL)
    rebalancer = rebalancer_for(policy, PANEL, terms, schedule)
    for row in range(FIRST, len(PANEL)):
        if row == stop:
            kept = through_json({"rebalancer": rebalancer.state(), "policy": policy.state()})
            policy = make(PANEL)
            rebalancer = rebalancer_for(policy, PANEL, terms, schedule)
            policy.restore(kept["policy"])
            rebalancer.restore(kept["rebalancer"])
        account.settle(row)
        basket = rebalancer.next(row, account, policy.decide)
        if basket is not None:
            account.submit(basket)
    assert_same_run(account.result(), whole)


def test_without_the_restore_the_stop_would_show() -> None:
    whole = run_strategy("policy", BuyAndHold(), PANEL, Terms(), FIRST)
    forgetful = [run_strategy("policy", BuyAndHold(), PANEL, Terms(), row) for row in (FIRST, FIRST + 5)]
    assert [int(result.decided.sum()) for result in (whole, *forgetful)] == [1, 1, 1]
    refreshed, kept = ensemble(PANEL), ensemble(PANEL)
    run_strategy("policy", kept, PANEL, TERMS["ensemble"], FIRST, FIRST + 2)
    assert kept.state() != refreshed.state()


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("schedule", [Schedule.DAILY, Schedule.WEEKLY])
def test_a_run_for_each_session_alone_is_one_long_run(name: str, schedule: Schedule) -> None:
    make, terms = POLICIES[name], TERMS.get(name, Terms())
    whole = run_strategy("cerebro", make(PANEL), PANEL, terms, FIRST, schedule=schedule)
    account = Account(PANEL, FIRST, len(PANEL) - 1, terms)
    state: dict[str, Any] | None = None
    for row in range(FIRST, len(PANEL)):
        account.settle(row)
        feed = clock_feed(PANEL, row, row)
        params = {"policy": make(PANEL), "terms": terms, "schedule": schedule, "initial_state": state}
        strategy = run_cerebro(PortfolioStrategy, params, feed, CollectingBroker(account, feed))
        state = through_json(strategy.state())
    assert_same_run(account.result(), whole)


def test_the_state_of_a_strategy_holds_its_policys_and_its_rebalancers() -> None:
    feed = clock_feed(PANEL, FIRST, FIRST + 3)
    broker = SimulatedBroker(Account(PANEL, FIRST, FIRST + 3, Terms()), feed)
    strategy = run_cerebro(PortfolioStrategy, {"policy": BuyAndHold(), "schedule": Schedule.MONTHLY}, feed, broker)
    state = through_json(strategy.state())
    assert state["policy"] == {"bought": True}
    assert set(state["rebalancer"]) == {"risk", "last_period"}
    assert len(state["rebalancer"]["risk"]["equity"]) == 4


def test_a_subclass_may_decide_for_itself() -> None:
    class AllInTheFirst(PortfolioStrategy):
        def decide(self, observation: Observation) -> Decision | None:
            return Decision(np.array([1.0, 0.0, 0.0]))

    panel = random_panel(2, 6, 3, holes=0.0)
    feed = clock_feed(panel, 0, 5)
    broker = SimulatedBroker(Account(panel, 0, 5, Terms()), feed)
    run_cerebro(AllInTheFirst, {"policy": EqualWeight()}, feed, broker)
    assert set(broker.result().trades.table()["symbol"]) == {"S0"}


BAD = [
    ([0.5], r"shape must be \(2,\), was \(1,\)"),
    ([[0.5, 0.5]], r"shape must be \(2,\), was \(1, 2\)"),
    ([math.inf, 0.0], "must be finite"),
    ([-math.inf, 0.0], "must be finite"),
    ([0.5, -0.25], r"must not be negative, was -0.25"),
    ([math.nan, -1e-12], r"must not be negative, was -1e-12"),
    ([0.75, 0.5], r"must sum to at most 1, the rest being cash; was 1.25"),
    ([1.0 + 2e-9, math.nan], r"must sum to at most 1, .* was 1.000000002"),
]


@pytest.mark.parametrize("engine", ["policy", "cerebro"])
@pytest.mark.parametrize(("weights", "message"), BAD)
def test_wrong_weights_stop_the_run_and_are_named(engine: str, weights: list[float], message: str) -> None:
    panel = market("A B", "10 20", "10 20")
    with pytest.raises(PolicyError, match=f"^target weights of 2024-01-01: {message}"):
        run_strategy(engine, Fixed(weights), panel, Terms())


@pytest.mark.parametrize("weights", [[0.5, -0.25], [0.75, 0.5], [1e300, 1e300]])
def test_limits_mend_finite_weights_instead_of_refusing_them(weights: list[float]) -> None:
    result = run_strategy("policy", Fixed(weights), market("A B", "10 20", "10 20"), Terms(limits=Limits(0.6, 0.1)))
    assert (result.target_weight >= 0).all()
    assert (result.target_weight <= 0.6).all()
    assert (result.target_weight.sum(axis=1) <= 0.9).all()


@pytest.mark.parametrize("weights", [[math.inf, 0.0], [0.5]])
def test_limits_do_not_excuse_infinite_weights_or_a_wrong_shape(weights: list[float]) -> None:
    with pytest.raises(PolicyError):
        run_strategy("policy", Fixed(weights), market("A B", "10 20", "10 20"), Terms(limits=MODEL_LIMITS))


@pytest.mark.parametrize("weights", [[1.0, 0.0], [1.0 + 1e-9, 0.0], [math.nan, math.nan], [0, 1]])
def test_a_sum_of_one_up_to_rounding_is_accepted(weights: list[float]) -> None:
    result = run_strategy("policy", Fixed(weights), market("A B", "10 20", "10 20"), Terms())
    assert (result.cash >= 0).all()


def test_the_observation_tells_a_policy_what_it_holds() -> None:
    seen: list[Observation] = []

    class Half(StatelessPolicy):
        def decide(self, observation: Observation) -> Decision | None:
            seen.append(observation)
            return Decision(np.array([0.5, 0.0])) if len(seen) == 1 else None

    run_strategy("policy", Half(), market("A B", "10 20", "10 20", "20 -"), Terms(1000.0, Costs(0)))
    # 50 shares at 10 of 1,000; at 20 they are 1,000 of 1,500.
    assert [observation.weights.tolist() for observation in seen] == [[0, 0], [0.5, 0], [1000 / 1500, 0]]
    assert [observation.cash_weight for observation in seen] == [1, 0.5, 500 / 1500]
    assert [observation.equity for observation in seen] == [1000, 1000, 1500]
    assert seen[2].risk.peak == 1500
    assert seen[2].tradable.tolist() == [True, False]


@given(day=st.dates(date(1960, 1, 1), date(2060, 12, 31)), step=st.integers(0, 400))
@settings(max_examples=200)
def test_a_period_is_the_iso_week_or_the_calendar_month(day: date, step: int) -> None:
    other = date.fromordinal(day.toordinal() + step)
    one, two = np.datetime64(day, "D"), np.datetime64(other, "D")
    week, month, daily = Schedule.WEEKLY.period, Schedule.MONTHLY.period, Schedule.DAILY.period
    assert (week(one) == week(two)) == (day.isocalendar()[:2] == other.isocalendar()[:2])
    assert (month(one) == month(two)) == ((day.year, day.month) == (other.year, other.month))
    assert (daily(one) == daily(two)) == (day == other)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2024-12-30", "2025-01-03", True),  # week 1 of 2025 begins in 2024
        ("2024-12-29", "2024-12-30", False),
        ("2020-12-31", "2021-01-01", True),  # week 53 of 2020 ends in 2021
        ("2021-01-03", "2021-01-04", False),
        ("1969-12-29", "1970-01-04", True),
        ("2024-01-01", "2024-12-30", False),  # both are called week 1
    ],
)
def test_weeks_run_from_monday_to_sunday_across_the_turn_of_the_year(one: str, other: str, same: bool) -> None:
    period = Schedule.WEEKLY.period
    assert (period(np.datetime64(one)) == period(np.datetime64(other))) is same


@given(seed=SEEDS, schedule=st.sampled_from(Schedule))
def test_there_is_at_most_one_decision_a_period(seed: int, schedule: Schedule) -> None:
    panel = random_panel(seed, 40, 2)
    weights: FloatArray = random_weights(seed, 40, 2, True, 0.0, 0.5)
    result = run_strategy("policy", WeightsPolicy(panel.sessions, weights), panel, Terms(), schedule=schedule)
    periods = [schedule.period(session) for session in result.sessions[result.decided]]
    assert len(set(periods)) == len(periods)
    wanted = {schedule.period(s) for s, row in zip(panel.sessions, weights, strict=True) if not np.isnan(row).all()}
    assert set(periods) == wanted


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([-0.5, 0.2], "must not be negative, was -0.5"),
        ([0.7, 0.7], "must sum to at most 1, the rest being cash; was 1.4"),
        ([np.inf, 0.0], "must be finite"),
    ],
)
def test_weights_known_beforehand_are_checked_like_a_policys(row: list[float], message: str) -> None:
    panel = random_panel(3, 4, 2)
    weights = np.full((4, 2), np.nan)
    weights[2] = row
    with pytest.raises(PolicyError, match=f"target weights of {panel.sessions[2]}: {message}"):
        run_weights(weights, panel, 0, 3, Terms())
    with pytest.raises(PolicyError, match="shape"):
        run_weights(weights[:3], panel, 0, 3, Terms())
