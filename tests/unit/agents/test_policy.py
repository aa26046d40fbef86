from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from toys import SMALL, TERMS, make_panel

from agents.encoding import Encoder
from agents.ensemble import Ensemble
from agents.policy import EnsemblePolicy
from engine.backtest import run_policy
from engine.errors import PolicyError
from engine.metrics.tracker import RiskTracker
from engine.observation import Observation, feature_table
from engine.panel import FIELDS, MarketPanel
from engine.policy import Policy

N, FIRST, LAST = 3, 40, 80


class World:
    """One market, and policies of one ensemble in it."""

    def __init__(self, panel: MarketPanel | None = None, **changes: Any) -> None:
        self.panel = make_panel() if panel is None else panel
        self.settings = replace(SMALL, **changes)
        table = feature_table(self.panel, self.settings.features, self.settings.lookback_bars, FIRST, LAST)
        self._table, self.encoder = table, Encoder.fit(table)
        self.ensemble = Ensemble(self.settings, self.encoder.size, N, seed=3)
        with torch.no_grad():
            # Agents far apart, so that a change of their weights shows.
            self.ensemble.controller.weights[-1].mul_(20.0)
            self.ensemble.actor.weights[-1].mul_(5.0)

    def policy(self) -> EnsemblePolicy:
        return EnsemblePolicy(self.ensemble, self.encoder, self.settings)

    def observation(self, row: int, weights: tuple[float, ...] = (0.1, 0.0, 0.2)) -> Observation:
        return Observation(
            session=self.panel.sessions[row],
            symbols=self.panel.symbols,
            tradable=self.panel.has_bar[row],
            features=self._table.at(row),
            weights=np.array(weights),
            cash_weight=1.0 - sum(weights),
            equity=1e6,
            risk=RiskTracker().update(1e6),
            _panel=self.panel,
            _row=row,
        )


def agent_weights(policy: EnsemblePolicy, observation: Observation) -> tuple[float, ...]:
    decision = policy.decide(observation)
    assert decision is not None
    return tuple(decision.agent_weights.values())


def without_bars(panel: MarketPanel, rows: slice, symbol: int) -> MarketPanel:
    bars = {name: getattr(panel, name).copy() for name in FIELDS}
    for values in bars.values():
        values[rows, symbol] = np.nan
    return MarketPanel(panel.sessions, panel.symbols, **bars)


def test_an_ensemble_policy_is_a_policy() -> None:
    policy = World().policy()
    assert isinstance(policy, Policy)
    assert policy.features == SMALL.features
    assert policy.lookback_bars == SMALL.lookback_bars


def test_targets_are_current_weights_plus_step_size_times_the_weighted_proposals() -> None:
    world = World(step_size=0.04)
    observation = world.observation(50)
    decision = world.policy().decide(observation)
    state = torch.from_numpy(world.encoder(observation))[None]
    with torch.no_grad():
        proposals, weights = world.ensemble.proposals(state)[:, 0], world.ensemble.agent_weights(state)[0]
    action = sum(float(w) * p.numpy().astype(float) for w, p in zip(weights, proposals, strict=True))
    assert decision is not None
    # The ensemble adds ten float32 actions of at most 1: errors of 1e-6, times the step.
    np.testing.assert_allclose(decision.weights, observation.weights + 0.04 * action, rtol=0, atol=1e-7)
    assert tuple(decision.agent_weights) == SMALL.agent_names
    assert list(decision.agent_weights.values()) == pytest.approx(weights.tolist(), abs=1e-7)  # the same float32


def test_the_weights_of_the_agents_sum_to_1_and_none_is_negative() -> None:
    world = World()
    policy = world.policy()
    for row in range(FIRST, FIRST + 12):
        weights = agent_weights(policy, world.observation(row))
        assert sum(weights) == pytest.approx(1.0, abs=1e-6)  # ten float32 numbers
        assert min(weights) >= 0.0


def test_the_controllers_weights_are_refreshed_every_5_sessions() -> None:
    world = World()
    policy = world.policy()
    seen = [agent_weights(policy, world.observation(row)) for row in range(FIRST, FIRST + 15)]
    fresh = [agent_weights(world.policy(), world.observation(row)) for row in range(FIRST, FIRST + 15)]
    assert len(set(fresh)) == 15
    assert seen == [fresh[k - k % 5] for k in range(15)]


def test_a_refresh_every_session_follows_the_controller() -> None:
    world = World(refresh_sessions=1)
    policy = world.policy()
    assert len({agent_weights(policy, world.observation(row)) for row in range(FIRST, FIRST + 6)}) == 6


@pytest.mark.parametrize("sessions_before", [0, 1, 4, 5, 7])
def test_a_policy_restored_through_json_goes_on_as_if_not_interrupted(sessions_before: int) -> None:
    world = World()
    policy = world.policy()
    for row in range(FIRST, FIRST + sessions_before):
        policy.decide(world.observation(row))
    again = world.policy()
    again.restore(json.loads(json.dumps(policy.state())))
    for row in range(FIRST + sessions_before, FIRST + sessions_before + 7):
        kept, restored = (each.decide(world.observation(row)) for each in (policy, again))
        assert kept is not None
        assert restored is not None
        assert np.array_equal(kept.weights, restored.weights)
        assert kept.agent_weights == restored.agent_weights


def test_a_state_does_not_follow_later_sessions() -> None:
    world = World(refresh_sessions=1)
    policy = world.policy()
    policy.decide(world.observation(FIRST))
    state = policy.state()
    before = json.dumps(state)
    again = world.policy()
    again.restore(state)
    for each in (policy, again):
        each.decide(world.observation(FIRST + 1))
    assert json.dumps(state) == before


def test_two_policies_decide_the_same_bit_by_bit() -> None:
    world = World()
    first, again = (run_policy(world.policy(), world.panel, FIRST, LAST, TERMS) for _ in range(2))
    assert np.array_equal(first.equity, again.equity)
    assert np.array_equal(first.target_weight, again.target_weight, equal_nan=True)


def test_a_symbol_without_features_keeps_its_shares() -> None:
    # 25 bars are too few for features; the others have all of theirs.
    world = World(without_bars(make_panel(), slice(0, 40), 1))
    decision = world.policy().decide(world.observation(64))
    assert decision is not None
    assert np.isnan(decision.weights).tolist() == [False, True, False]


def test_a_symbol_without_a_bar_today_keeps_its_shares() -> None:
    # 41 bars of look-back, so that one missing bar leaves the 40 that features need.
    world = World(without_bars(make_panel(), slice(60, 61), 2), lookback_bars=41)
    decisions = [world.policy().decide(world.observation(row)) for row in (59, 60, 61)]
    gaps = [np.isnan(decision.weights).tolist() for decision in decisions if decision is not None]
    assert gaps == [[False] * 3, [False, False, True], [False] * 3]


def test_there_is_no_decision_while_no_symbol_has_features() -> None:
    panel = make_panel()
    table = feature_table(panel, SMALL.features, 40, 37, LAST)
    world = World(panel)
    world._table = table
    policy = world.policy()
    assert [policy.decide(world.observation(row)) is None for row in range(37, 41)] == [True, True, False, False]


def test_sessions_without_a_decision_do_not_age_the_controllers_weights() -> None:
    world = World()
    world._table = feature_table(world.panel, SMALL.features, 40, 37, LAST)
    policy = world.policy()
    seen = [policy.decide(world.observation(row)) for row in range(37, 46)]
    weights = [tuple(decision.agent_weights.values()) for decision in seen if decision is not None]
    assert [weight == weights[0] for weight in weights] == [True] * 5 + [False] * 2


def test_the_future_does_not_change_a_decision() -> None:
    panel = make_panel()
    bars = {name: getattr(panel, name).copy() for name in FIELDS}
    for values in bars.values():
        values[61:] *= 2.0
    changed = MarketPanel(panel.sessions, panel.symbols, **bars)
    world = World(panel)
    results = [run_policy(world.policy(), each, FIRST, LAST, TERMS) for each in (panel, changed)]
    past = 61 - FIRST
    assert np.array_equal(results[0].target_weight[:past], results[1].target_weight[:past], equal_nan=True)
    assert not np.array_equal(results[0].target_weight[past:], results[1].target_weight[past:], equal_nan=True)


def test_an_ensemble_whose_weights_are_not_finite_is_refused_not_taken_for_keep() -> None:
    world = World()
    with torch.no_grad():
        world.ensemble.actor.weights[0].fill_(math.nan)
    with pytest.raises(PolicyError, match="is not finite"):
        world.policy().decide(world.observation(FIRST))


def test_one_agent_alone_decides_what_it_proposes_in_the_explanation() -> None:
    world = World(step_size=0.04)
    observation = world.observation(50)
    why = world.policy().explain(observation)
    assert why is not None
    assert why.agents == SMALL.agent_names
    for number in range(SMALL.n_agents):
        alone = EnsemblePolicy(world.ensemble, world.encoder, world.settings, only=number)
        decision = alone.decide(observation)
        assert decision is not None
        assert [name for name, weight in decision.agent_weights.items() if weight] == [SMALL.agent_names[number]]
        # The weighted sum of float32 actions, of which one has the weight 1.
        np.testing.assert_allclose(decision.weights, why.proposals[number], rtol=0, atol=1e-7)


def test_an_explanation_says_the_weights_of_the_decision_that_follows_and_changes_nothing() -> None:
    world = World()
    policy, silent = world.policy(), world.policy()
    for row in range(FIRST, FIRST + 12):
        observation, before = world.observation(row), json.dumps(policy.state())
        why = policy.explain(observation)
        assert json.dumps(policy.state()) == before
        assert why is not None
        decision, same = policy.decide(observation), silent.decide(observation)
        assert decision is not None
        assert same is not None
        assert why.agent_weights.tolist() == list(decision.agent_weights.values()) == list(same.agent_weights.values())
        assert np.array_equal(decision.weights, same.weights)


def test_an_explanation_has_each_agents_own_value_and_risk() -> None:
    world = World()
    observation = world.observation(50)
    why = world.policy().explain(observation)
    state = torch.from_numpy(world.encoder(observation))[None]
    assert why is not None
    with torch.no_grad():
        actions = world.ensemble.proposals(state)
        taken = torch.cat([state.expand(SMALL.n_agents, -1, -1), actions], dim=-1)
        value, risk = world.ensemble.critic(taken)[:, 0, 0], world.ensemble.safety(taken)[:, 0, 0]
    assert why.value.tolist() == value.tolist()
    assert why.risk.tolist() == risk.tolist()
    assert len(set(why.value)) == SMALL.n_agents


def test_uniform_weights_are_those_of_no_controller() -> None:
    policy = World(controlled=False).policy()
    assert agent_weights(policy, World().observation(50)) == (0.1,) * 10
