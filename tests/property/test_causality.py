"""Changing the future must leave the past as it was, bit for bit; a policy that peeks must be caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import (
    ENGINES,
    SEEDS,
    all_costs,
    as_raw,
    random_panel,
    random_weights,
    run_strategy,
    run_targets,
    with_volumes,
)

from agents.encoding import Encoder
from agents.ensemble import Ensemble
from agents.networks import EnsembleMLP
from agents.policy import EnsemblePolicy
from agents.profiles.networks import Profiles
from agents.profiles.policy import ProfilePolicy
from agents.profiles.settings import MARSFOLIO
from agents.settings import Settings
from agents.single.policy import LearnedSingle, SinglePolicy
from agents.single.settings import SingleSettings
from engine.costs import Costs
from engine.indicators import MARS_FEATURES
from engine.ledger import FillTiming
from engine.limits import MODEL_LIMITS
from engine.lookahead import CHANGES, changed_after
from engine.metrics import RiskTracker
from engine.observation import Observation, feature_table
from engine.panel import FIELDS, MarketPanel
from engine.policy import Decision, Policy, StatelessPolicy
from engine.rebalancer import Schedule, Terms
from engine.result import Result
from engine.risk import RISK_WINDOW, risk_score, trailing_returns
from engine.trace import Trace, first_difference
from strategies.baselines import BuyAndHold, ConstantExposure, EqualWeight, InverseVolatility, Momentum
from strategies.registry import BASELINES as NAMES
from strategies.registry import OPTIMISED
from strategies.timing import DipRule, TrendFilter, VolatilityTarget
from strategies.weights_file import WeightsPolicy

MakePolicy = Callable[[MarketPanel], Policy]
HOW = st.sampled_from(CHANGES)
TIMINGS = st.sampled_from(FillTiming)

SETTINGS = Settings(hidden=(16, 8), controller_hidden=(8,), lookback_bars=48)
TRAINING = (44, 89)


@dataclass
class Cheat(StatelessPolicy):
    """Buys whatever closes highest tomorrow, which it reads from the panel behind the observation's back."""

    panel: MarketPanel

    def decide(self, observation: Observation) -> Decision | None:
        row = int(np.searchsorted(self.panel.sessions, observation.session))
        ahead = self.panel.close[min(row + 1, len(self.panel) - 1)] / self.panel.close[row]
        weights = np.zeros(self.panel.n_symbols)
        weights[np.argmax(np.nan_to_num(ahead))] = 1.0
        return Decision(weights)


class FiveDays(StatelessPolicy):
    """Reads prices through the observation's window, as a user's policy would."""

    lookback_bars = 5

    def decide(self, observation: Observation) -> Decision | None:
        close = observation.window("close", 5)
        score = np.where(observation.tradable, np.nan_to_num(close[-1] / close[0]), 0.0)
        return Decision(score / score.sum()) if score.sum() > 0 else None


def random_targets(panel: MarketPanel) -> Policy:
    sessions = np.arange("2024-01-01", "2025-01-01", dtype="datetime64[D]")
    return WeightsPolicy(sessions, random_weights(7, len(sessions), panel.n_symbols, False, 0.1, 0.2))


def raw_panel(seed: int, n_rows: int, holes: float = 0.1) -> MarketPanel:
    return as_raw(with_volumes(random_panel(seed, n_rows, 3, holes), seed), seed)


def ensemble(panel: MarketPanel) -> EnsemblePolicy:
    """An ensemble with random weights and an encoder fitted to the training window of the same panel."""
    table = feature_table(panel, SETTINGS.features, SETTINGS.lookback_bars, *TRAINING)
    encoder = Encoder.fit(table)
    return EnsemblePolicy(Ensemble(SETTINGS, encoder.size, panel.n_symbols, seed=3), encoder, SETTINGS)


def single_agent(panel: MarketPanel) -> SinglePolicy:
    """A single agent with random weights and an encoder fitted to the training window of the same panel."""
    settings = SingleSettings("sac", "sac", lookback_bars=SETTINGS.lookback_bars, hidden=(16,))
    encoder = Encoder.fit(feature_table(panel, settings.features, settings.lookback_bars, *TRAINING))
    random = torch.Generator().manual_seed(5)
    actor = EnsembleMLP(1, (encoder.size, 16, panel.n_symbols), random, torch.tanh)
    critic = EnsembleMLP(1, (encoder.size + panel.n_symbols, 16, 1), random)
    return LearnedSingle(actor, actor, critic, encoder, settings).policy()


BASELINES: dict[str, MakePolicy] = {
    "equal_weight": lambda _: EqualWeight(),
    "buy_and_hold": lambda _: BuyAndHold(),
    "constant_exposure": lambda _: ConstantExposure(0.4),
    "inverse_volatility": lambda _: InverseVolatility(4),
    "momentum": lambda _: Momentum(2, 4, 1),
    "vol_target": lambda _: VolatilityTarget(n_returns=5),
    "dip_rule": lambda _: DipRule(3, 5),
    "trend_filter": lambda _: TrendFilter(6),
    "weights": random_targets,
    "five_days": lambda _: FiveDays(),
}


def assert_same_past(before: Result, after: Result, t: int) -> None:
    """Compare all that is known when session ``t`` has closed."""
    difference = first_difference(Trace(before), Trace(after), t)
    assert difference is None, difference


def check_future(
    make_policy: MakePolicy, engine: str, panel: MarketPanel, first: int, row: int, how: str, terms: Terms, seed: int
) -> None:
    """Run twice, the second time with other bars after ``row``, and compare the past."""
    other = changed_after(panel, row, how, seed)
    before = run_strategy(engine, make_policy(panel), panel, terms, first)
    after = run_strategy(engine, make_policy(other), other, terms, first)
    assert_same_past(before, after, row - first)


@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize("name", BASELINES)
@settings(max_examples=25)
@given(seed=SEEDS, data=st.data(), how=HOW, timing=TIMINGS)
def test_a_baseline_cannot_see_the_future(
    name: str, engine: str, seed: int, data: st.DataObject, how: str, timing: FillTiming
) -> None:
    panel = random_panel(seed, 20, 3)
    row = data.draw(st.integers(0, 18))
    first = data.draw(st.integers(0, row))
    check_future(BASELINES[name], engine, panel, first, row, how, Terms(timing=timing, costs=Costs(10, 5)), seed)


@pytest.mark.parametrize("name", OPTIMISED)
@settings(max_examples=4)
@given(seed=SEEDS, row=st.integers(8, 11), how=HOW, timing=TIMINGS)
def test_an_optimiser_cannot_see_the_future(name: str, seed: int, row: int, how: str, timing: FillTiming) -> None:
    panel = random_panel(seed, 13, 3, holes=0.02)
    terms = Terms(timing=timing, costs=Costs(10, 5))
    check_future(lambda _: OPTIMISED[name](6), "policy", panel, 5, row, how, terms, seed)


@pytest.mark.parametrize("name", [*BASELINES, *OPTIMISED])
def test_the_baselines_do_trade_in_these_checks(name: str) -> None:
    policy = OPTIMISED[name](6) if name in OPTIMISED else BASELINES[name](random_panel(1, 20, 3))
    assert len(run_strategy("policy", policy, random_panel(1, 20, 3, holes=0.0), Terms()).trades) > 1


def test_every_baseline_has_a_name_in_these_checks() -> None:
    assert not NAMES.keys() - BASELINES.keys() - OPTIMISED.keys()


@settings(max_examples=25)
@given(seed=SEEDS, row=st.integers(0, 18), how=HOW, timing=TIMINGS)
def test_known_weights_in_the_compiled_loop_cannot_see_the_future(
    seed: int, row: int, how: str, timing: FillTiming
) -> None:
    panel = random_panel(seed, 20, 3)
    weights = random_weights(seed, 20, 3, True, 0.1, 0.1)
    other = changed_after(panel, row, how, seed)
    terms = Terms(timing=timing, costs=Costs(10, 5))
    before = run_targets("weights", weights, panel, terms)
    after = run_targets("weights", weights[: len(other)], other, terms)
    assert_same_past(before, after, row)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=25)
@given(seed=SEEDS, row=st.integers(0, 18), how=HOW, timing=TIMINGS, costs=all_costs(), fractional=st.booleans())
def test_volumes_splits_dividends_and_all_costs_let_nothing_of_the_future_through(
    engine: str, seed: int, row: int, how: str, timing: FillTiming, costs: Costs, fractional: bool
) -> None:
    panel = raw_panel(seed, 20)
    other = changed_after(panel, row, how, seed)
    terms = Terms(timing=timing, costs=costs, fractional=fractional)
    if engine == "weights":
        weights = random_weights(seed, 20, 3, True, 0.1, 0.1)
        runs = [run_targets(engine, weights[: len(bars)], bars, terms) for bars in (panel, other)]
    else:
        runs = [run_strategy(engine, FiveDays(), bars, terms) for bars in (panel, other)]
    assert_same_past(*runs, row)


@pytest.mark.parametrize("make_policy", [ensemble, single_agent])
@pytest.mark.parametrize("engine", ENGINES[1:])
@settings(max_examples=8)
@given(seed=SEEDS, row=st.integers(90, 101), how=HOW, timing=TIMINGS)
def test_trained_agents_and_their_encoder_cannot_see_the_future(
    make_policy: MakePolicy, engine: str, seed: int, row: int, how: str, timing: FillTiming
) -> None:
    panel = random_panel(seed, 103, 3, holes=0.02)
    terms = Terms(timing=timing, limits=MODEL_LIMITS)
    check_future(make_policy, engine, panel, 90, row, how, terms, seed)


def profiles(panel: MarketPanel) -> ProfilePolicy:
    """Ten profiles with random weights in every layer, so that all that they read matters."""
    network = Profiles(MARSFOLIO, seed=4)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    return ProfilePolicy(network, MARSFOLIO)


@pytest.mark.parametrize("engine", ENGINES[1:])
@settings(max_examples=8)
@given(seed=SEEDS, row=st.integers(90, 101), how=HOW, timing=TIMINGS, raw=st.booleans())
def test_the_profiles_cannot_see_the_future(
    engine: str, seed: int, row: int, how: str, timing: FillTiming, raw: bool
) -> None:
    panel = raw_panel(seed, 103, 0.02) if raw else random_panel(seed, 103, 3, holes=0.02)
    check_future(profiles, engine, panel, 90, row, how, Terms(timing=timing, limits=MODEL_LIMITS), seed)


@pytest.mark.parametrize("policy", [ensemble, profiles])
def test_learned_policies_do_trade_in_these_checks(policy: MakePolicy) -> None:
    panel = random_panel(1, 103, 3, holes=0.0)
    result = run_strategy("policy", policy(panel), panel, Terms(limits=MODEL_LIMITS), 90)
    assert len(result.trades) > 10
    assert result.agent_weights.shape == (13, 10)


def test_a_single_agent_does_trade_in_these_checks() -> None:
    panel = random_panel(1, 103, 3, holes=0.0)
    assert len(run_strategy("policy", single_agent(panel), panel, Terms(limits=MODEL_LIMITS), 90).trades) > 10


@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize("how", ["multiply", "shuffle", "cut"])
def test_the_check_catches_a_policy_that_peeks(engine: str, how: str) -> None:
    panel = random_panel(5, 20, 3, holes=0.0)

    def check_every_row() -> None:
        for row in range(5, 15):
            check_future(Cheat, engine, panel, 0, row, how, Terms(), seed=2)

    with pytest.raises(AssertionError, match="decision after limits"):
        check_every_row()


def test_the_check_catches_an_encoder_fitted_to_the_test_window() -> None:
    def peeking(panel: MarketPanel) -> Policy:
        table = feature_table(panel, SETTINGS.features, SETTINGS.lookback_bars, 44, len(panel) - 1)
        encoder = Encoder.fit(table)
        return EnsemblePolicy(Ensemble(SETTINGS, encoder.size, panel.n_symbols, seed=3), encoder, SETTINGS)

    panel = random_panel(5, 103, 3, holes=0.0)
    with pytest.raises(AssertionError):
        check_future(peeking, "policy", panel, 90, 96, "multiply", Terms(limits=MODEL_LIMITS), seed=2)


@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize("schedule", [Schedule.WEEKLY, Schedule.MONTHLY])
def test_a_schedule_does_not_look_ahead_for_the_last_session_of_a_period(engine: str, schedule: Schedule) -> None:
    panel = random_panel(9, 30, 3)
    for row in range(29):
        other = changed_after(panel, row, "cut", 0)
        runs = [run_strategy(engine, EqualWeight(), p, Terms(), schedule=schedule) for p in (panel, other)]
        assert_same_past(*runs, row)


@settings(max_examples=15)
@given(seed=SEEDS, row=st.integers(80, 108), how=HOW, raw=st.booleans())
def test_features_and_the_fitted_encoder_do_not_depend_on_later_bars(seed: int, row: int, how: str, raw: bool) -> None:
    panel = raw_panel(seed, 110, 0.05) if raw else random_panel(seed, 110, 3, holes=0.05)
    tables = [feature_table(p, MARS_FEATURES, 48, 40, row) for p in (panel, changed_after(panel, row, how, seed))]
    np.testing.assert_array_equal(tables[0].values, tables[1].values)
    one, other = (Encoder.fit(table) for table in tables)
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.std, other.std)


@settings(max_examples=15)
@given(
    seed=SEEDS,
    row=st.integers(48, 69),
    lookback=st.integers(40, 48),
    holes=st.sampled_from([0.0, 0.05]),
    raw=st.booleans(),
)
def test_a_history_of_exactly_the_look_back_gives_the_features_of_a_longer_one(
    seed: int, row: int, lookback: int, holes: float, raw: bool
) -> None:
    panel = raw_panel(seed, 70, holes) if raw else random_panel(seed, 70, 3, holes)
    long = feature_table(panel, MARS_FEATURES, lookback, row, row)
    short = feature_table(panel.rows(row + 1 - lookback, row + 1), MARS_FEATURES, lookback, lookback - 1, lookback - 1)
    np.testing.assert_array_equal(long.values, short.values)
    if not holes:
        assert not np.isnan(long.values).any()


@given(seed=SEEDS, row=st.integers(0, 38), how=HOW)
def test_the_risk_score_and_the_past_returns_do_not_depend_on_later_bars(seed: int, row: int, how: str) -> None:
    panel = random_panel(seed, 40, 3)
    weights = random_weights(seed, 1, 3, True, 0.2, 0.0)[0]
    past = [trailing_returns(p)[: row + 1] for p in (panel, changed_after(panel, row, how, seed))]
    np.testing.assert_array_equal(past[0], past[1])
    assert risk_score(weights, past[0][-RISK_WINDOW:]) == risk_score(weights, past[1][-RISK_WINDOW:])


@given(past=st.lists(st.floats(1, 1e6), min_size=1, max_size=40), future=st.lists(st.floats(1, 1e6), max_size=10))
def test_the_risk_of_a_portfolio_is_what_it_was_before_more_sessions_came(
    past: list[float], future: list[float]
) -> None:
    short, long = RiskTracker(), RiskTracker()
    at_the_time = [short.update(equity) for equity in past]
    with_future = [long.update(equity) for equity in [*past, *future]]
    np.testing.assert_array_equal([r.drawdown for r in at_the_time], [r.drawdown for r in with_future[: len(past)]])
    np.testing.assert_array_equal(
        [r.volatility_30 for r in at_the_time], [r.volatility_30 for r in with_future[: len(past)]]
    )


class Watch(StatelessPolicy):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []

    def decide(self, observation: Observation) -> Decision | None:
        self.seen.append(observation)
        return None


def observed(panel: MarketPanel, row: int) -> Observation:
    """Return the observation at the close of a row."""
    policy = Watch()
    run_strategy("policy", policy, panel, Terms(), row, row)
    return policy.seen[0]


@given(seed=SEEDS, row=st.integers(9, 28), lookback=st.integers(1, 10), how=HOW)
def test_a_window_of_restated_prices_knows_neither_the_future_nor_what_stands_before_it(
    seed: int, row: int, lookback: int, how: str
) -> None:
    panel = raw_panel(seed, 30)
    panels = (panel, changed_after(panel, row, how, seed), panel.rows(row + 1 - lookback, row + 1))
    whole, other, short = (observed(bars, min(row, len(bars) - 1)) for bars in panels)
    for name in FIELDS:
        shown = whole.window(name, lookback)
        np.testing.assert_array_equal(shown[-1], getattr(panel, name)[row])
        np.testing.assert_array_equal(other.window(name, lookback), shown)
        np.testing.assert_array_equal(short.window(name, lookback), shown)


def test_an_observation_shows_no_bar_after_its_session() -> None:
    panel = random_panel(3, 10, 2, holes=0.0)
    policy = Watch()
    run_strategy("policy", policy, panel, Terms())
    for row, observation in enumerate(policy.seen):
        assert observation.session == panel.sessions[row]
        for name in ("open", "close", "volume"):
            np.testing.assert_array_equal(observation.window(name, 100), getattr(panel, name)[: row + 1])
        assert observation.window("close", 3).shape == (min(3, row + 1), 2)
