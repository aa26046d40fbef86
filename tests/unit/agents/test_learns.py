from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import SMALL, TERMS, make_panel, train_model

from agents import training
from agents.checkpoint import Model
from agents.ensemble import Ensemble, Learner, Targets
from agents.policy import EnsemblePolicy
from agents.training import Window
from engine.backtest import run_policy
from engine.environment import PortfolioEnv
from engine.result import Result

GOOD = 0
CAP = 0.20
TEST = Window(170, 239)
# Hardly any noise: 1 % a session up for one asset, and down or nowhere for the others.
PANEL = make_panel(240, drifts=(0.01, -0.005, -0.005, 0.0), noise=0.003, seed=1)


def train(out: Path, seed: int) -> Model:
    """Train for 500 updates; the only validation comes last, so that no choice by its score stands in for learning."""
    return train_model(
        out,
        panel=PANEL,
        seed=seed,
        train=Window(40, 139),
        validation=Window(140, 169),
        episodes=20,
        validation_every=20,
        batch_size=64,
        actor_rate=1e-3,
        critic_rate=3e-3,
        tau=0.02,
        gamma=0.9,
        noise=0.5,
        step_size=0.05,
        update_every=4,
        controller_updates=30,
    )


def on_test(policy: EnsemblePolicy) -> Result:
    return run_policy(policy, PANEL, TEST.first, TEST.last, TERMS)


def share_of_good(result: Result) -> float:
    """Return the mean weight in the good asset, once there was time to get there from cash."""
    return float(np.nanmean(result.target_weight[10:-1, GOOD]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_training_finds_the_one_asset_that_rises(tmp_path: Path, seed: int) -> None:
    model = train(tmp_path / "model", seed)
    untrained, trained = on_test(model.untrained_policy()), on_test(model.policy())
    # Six seeds end within 1 % of the cap; the bounds leave room for other processors' rounding.
    assert share_of_good(untrained) < 0.25 * CAP
    assert share_of_good(trained) > 0.75 * CAP
    assert trained.equity[-1] > 1.05 * untrained.equity[-1]


def test_training_with_the_sign_of_the_reward_flipped_avoids_the_asset_that_rises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Upside(PortfolioEnv):
        def step(self, action: Any) -> Any:
            observation, reward, *rest = super().step(action)
            return observation, -reward, *rest

    monkeypatch.setattr(training, "PortfolioEnv", Upside)
    model = train(tmp_path / "model", seed=0)
    trained = on_test(model.policy())
    assert share_of_good(trained) < 0.25 * CAP
    assert trained.equity[-1] < on_test(model.untrained_policy()).equity[-1]


def controlled(best: int) -> Learner:
    """Return a learner whose critics give one agent the highest value, at a risk that is the same for all."""
    learner = Learner(Ensemble(SMALL, 9, 2, seed=0), Targets(Ensemble(SMALL, 9, 2, seed=0)), SMALL)
    with torch.no_grad():
        for network in (learner.ensemble.critic, learner.ensemble.safety):
            # One network for all agents, so that they differ by the bias below alone.
            for parameter in network.parameters():
                parameter.copy_(parameter[:1].expand_as(parameter).clone())
        for parameter in learner.ensemble.actor.parameters():
            parameter.copy_(parameter[:1].expand_as(parameter).clone())
        # Values that spread by about 1 over the states, the same for all agents: what counts then is their mean.
        learner.ensemble.critic.weights[-1].mul_(30.0)
        learner.ensemble.critic.biases[-1].fill_(1.0)
        learner.ensemble.critic.biases[-1][best].add_(1.0)
    return learner


@pytest.mark.parametrize("best", [0, 4, 9])
def test_the_controller_gives_its_weight_to_the_agent_of_the_highest_value(best: int) -> None:
    learner = controlled(best)
    states = torch.randn((1, 64, 9), generator=torch.Generator().manual_seed(1))
    before = learner.ensemble.agent_weights(states[0]).detach().mean(dim=0)
    assert float(before.max()) < 0.2
    for _ in range(400):
        learner.update_controller(states)
    after = learner.ensemble.agent_weights(states[0]).detach().mean(dim=0)
    assert float(after[best]) > 0.5


@pytest.mark.parametrize("safest", [0, 9])
def test_the_controller_gives_its_weight_to_the_agent_of_the_lowest_risk_at_equal_values(safest: int) -> None:
    learner = controlled(best=0)
    with torch.no_grad():
        learner.ensemble.critic.weights[-1].zero_()
        learner.ensemble.critic.biases[-1].fill_(0.0)
        learner.ensemble.safety.biases[-1][safest].sub_(4.0)
    states = torch.randn((1, 64, 9), generator=torch.Generator().manual_seed(1))
    for _ in range(400):
        learner.update_controller(states)
    after = learner.ensemble.agent_weights(states[0]).detach().mean(dim=0)
    assert int(after.argmax()) == safest
    assert float(after[safest]) > 0.5
