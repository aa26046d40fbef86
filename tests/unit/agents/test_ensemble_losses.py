from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from toys import SMALL

from agents.ensemble import Ensemble, Learner, Targets
from agents.networks import EnsembleMLP
from agents.replay import Batch
from agents.settings import PUBLISHED_ABLATIONS, Settings, settings_of
from engine.errors import ConfigError

N_AGENTS, BATCH, N_INPUTS, N_ASSETS = 10, 16, 9, 2
NETWORKS = ("actor", "critic", "safety", "controller")
# A batched product may add up its terms in another order than a plain one: some ulps (1e-7) a layer.
ROUNDING = {"rtol": 1e-4, "atol": 1e-6}


def make_learner(seed: int = 0, targets_seed: int = 1, **changes: Any) -> Learner:
    """Return a learner whose targets differ from its networks, so that a mix-up shows."""
    settings = replace(SMALL, **changes)
    return Learner(
        Ensemble(settings, N_INPUTS, N_ASSETS, seed),
        Targets(Ensemble(settings, N_INPUTS, N_ASSETS, targets_seed)),
        settings,
    )


def make_batch(seed: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn((N_AGENTS, BATCH, *size), generator=generator)

    alive = (torch.rand((N_AGENTS, BATCH, 1), generator=generator) > 0.3).float()
    risk = torch.rand((N_AGENTS, BATCH, 1), generator=generator)
    return Batch(normal(N_INPUTS), torch.tanh(normal(N_ASSETS)), normal(1), normal(N_INPUTS), alive, risk)


def apply(network: EnsembleMLP, agent: int, x: Tensor, output: str = "") -> Tensor:
    """Compute one agent's network on (B, in) from its own weights, layer by layer."""
    last = len(network.weights) - 1
    for k in range(last + 1):
        x = functional.linear(x, network.weights[k][agent].T, network.biases[k][agent, 0])
        if k < last:
            x = functional.relu(x)
    return {"": x, "tanh": torch.tanh(x), "sigmoid": torch.sigmoid(x)}[output]


def actor(ensemble: Ensemble, agent: int, state: Tensor) -> Tensor:
    return apply(ensemble.actor, agent, state, "tanh")


def critic(ensemble: Ensemble, agent: int, state: Tensor, action: Tensor) -> Tensor:
    return apply(ensemble.critic, agent, torch.cat([state, action], dim=1))


def safety(ensemble: Ensemble, agent: int, state: Tensor, action: Tensor) -> Tensor:
    return apply(ensemble.safety, agent, torch.cat([state, action], dim=1), "sigmoid")


def naive_critic_loss(learner: Learner, batch: Batch, agent: int) -> Tensor:
    total = torch.zeros(())
    for b in range(BATCH):
        state, action = batch.state[agent, b : b + 1], batch.action[agent, b : b + 1]
        following = batch.next_state[agent, b : b + 1]
        wanted = batch.reward[agent, b, 0]
        if batch.alive[agent, b, 0]:
            ahead = critic(learner.targets, agent, following, actor(learner.targets, agent, following))
            wanted = wanted + 0.99 * ahead[0, 0].detach()
        total = total + (critic(learner.ensemble, agent, state, action)[0, 0] - wanted) ** 2
    return total / BATCH


def naive_safety_loss(learner: Learner, batch: Batch, agent: int) -> Tensor:
    predicted = safety(learner.ensemble, agent, batch.state[agent], batch.action[agent])
    return ((predicted - batch.risk[agent]) ** 2).mean()


def naive_actor_loss(learner: Learner, batch: Batch, agent: int, theta: float, penalty: float) -> Tensor:
    state = batch.state[agent]
    action = actor(learner.ensemble, agent, state)
    objective = torch.zeros(())
    for b in range(BATCH):
        one, act = state[b : b + 1], action[b : b + 1]
        danger = safety(learner.ensemble, agent, one, act)[0, 0]
        over = danger - theta if danger > theta else torch.zeros(())
        objective = objective + critic(learner.ensemble, agent, one, act)[0, 0] - penalty * over
    return -objective / BATCH


def weights_of(network: torch.nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def agents_changed(before: list[Tensor], after: list[Tensor]) -> list[bool]:
    """Return for each agent whether any of its weights changed."""
    return [any(not torch.equal(b[i], a[i]) for b, a in zip(before, after, strict=True)) for i in range(len(before[0]))]


def gradients_of(network: torch.nn.Module) -> list[Tensor]:
    gradients = [parameter.grad for parameter in network.parameters()]
    return [gradient for gradient in gradients if gradient is not None]


def assert_gradients(stepped: EnsembleMLP, original: EnsembleMLP, agent: int, loss: Tensor) -> None:
    """Check the gradients that a step used against those of one agent's own loss before it."""
    wanted = torch.autograd.grad(loss, list(original.parameters()))
    for found, expected in zip(gradients_of(stepped), wanted, strict=True):
        torch.testing.assert_close(found[agent], expected[agent], **ROUNDING)


def test_the_critic_loss_is_the_td_error_against_the_targets_that_stops_at_termination() -> None:
    learner, original, batch = make_learner(), make_learner(), make_batch()
    loss = learner.update(batch).critic
    naive = [naive_critic_loss(original, batch, agent) for agent in range(N_AGENTS)]
    assert loss == pytest.approx(float(torch.stack(naive).mean().detach()), rel=1e-5)  # float32 sums
    for agent in range(N_AGENTS):
        loss_of_agent = naive_critic_loss(original, batch, agent)
        assert_gradients(learner.ensemble.critic, original.ensemble.critic, agent, loss_of_agent)


def test_a_terminated_transition_has_no_value_after_it() -> None:
    batch = make_batch()
    ended = batch._replace(alive=torch.zeros_like(batch.alive))
    elsewhere = ended._replace(next_state=ended.next_state + 1.0)
    losses = [make_learner().update(each).critic for each in (batch, ended, elsewhere)]
    assert losses[1] == losses[2]
    assert losses[0] != losses[1]


def test_the_safety_loss_is_the_squared_error_to_the_risk_score() -> None:
    learner, original, batch = make_learner(), make_learner(), make_batch()
    naive = [float(naive_safety_loss(original, batch, agent).detach()) for agent in range(N_AGENTS)]
    assert learner.update(batch).safety == pytest.approx(np.mean(naive), rel=1e-5)  # float32 sums
    for agent in range(N_AGENTS):
        loss_of_agent = naive_safety_loss(original, batch, agent)
        assert_gradients(learner.ensemble.safety, original.ensemble.safety, agent, loss_of_agent)


def test_the_actor_loss_penalises_only_risk_above_the_agents_threshold() -> None:
    # Untrained safety critics say about 0.5: the thresholds below put some agents on either side of it. The
    # actors' step comes after the critics', which here stay what they were.
    changes = {"theta_low": 0.30, "theta_high": 0.70, "critic_rate": 0.0}
    learner, original, batch = make_learner(**changes), make_learner(**changes), make_batch()
    thetas, penalties = np.linspace(0.30, 0.70, N_AGENTS), np.linspace(5.5, 1.0, N_AGENTS)
    profile = list(zip(thetas, penalties, strict=True))
    naive = [float(naive_actor_loss(original, batch, k, *profile[k]).detach()) for k in range(N_AGENTS)]
    assert learner.update(batch).actor == pytest.approx(np.mean(naive), rel=1e-5, abs=1e-6)  # float32 sums
    for agent in range(N_AGENTS):
        loss_of_agent = naive_actor_loss(original, batch, agent, *profile[agent])
        assert_gradients(learner.ensemble.actor, original.ensemble.actor, agent, loss_of_agent)


def test_below_every_threshold_the_safety_critic_has_no_say() -> None:
    high = {"theta_low": 0.99, "theta_high": 0.99}
    batch = make_batch()
    careful = make_learner(lambda_low=1.0, lambda_high=5.5, **high)
    careless = make_learner(lambda_low=0.0, lambda_high=0.0, **high)
    assert careful.update(batch).actor == careless.update(batch).actor
    pairs = zip(gradients_of(careful.ensemble.actor), gradients_of(careless.ensemble.actor), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("shift", [3.0, -3.0], ids=["positive mean", "negative mean"])
def test_the_controller_loss_is_the_modified_sharpe_ratio_less_the_risk(shift: float) -> None:
    learner, original = make_learner(), make_learner()
    for each in (learner, original):
        with torch.no_grad():
            # Values spread by about 1: a small spread would magnify the rounding of float32.
            each.ensemble.critic.weights[-1].mul_(30.0)
            each.ensemble.critic.biases[-1].add_(shift)
    ensemble = original.ensemble
    state = make_batch().state[:1]
    logits = apply(ensemble.controller, 0, state[0])
    weights = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    value, risk = torch.zeros(BATCH), torch.zeros(BATCH)
    for agent in range(N_AGENTS):
        action = actor(ensemble, agent, state[0])
        value = value + weights[:, agent] * critic(ensemble, agent, state[0], action)[:, 0].detach()
        risk = risk + weights[:, agent] * safety(ensemble, agent, state[0], action)[:, 0].detach()
    mean, spread = value.mean(), value.std(correction=1)
    assert (float(mean.detach()) > 0) == (shift > 0)
    # The value is the ratio either way; with a negative mean the spread's gradient has its sign turned.
    quality = mean / spread if shift > 0 else mean * spread / spread.detach() ** 2
    loss = -(quality - 0.5 * risk.mean())
    assert learner.update_controller(state) == pytest.approx(float(loss.detach()), rel=1e-5)  # float32 sums
    wanted = torch.autograd.grad(loss, list(ensemble.controller.parameters()))
    for found, expected in zip(gradients_of(learner.ensemble.controller), wanted, strict=True):
        torch.testing.assert_close(found, expected, **ROUNDING)


def test_with_a_negative_mean_a_smaller_spread_is_better() -> None:
    learner = make_learner(lambda_meta=0.0, controller_rate=1e-2)
    state, ensemble = make_batch().state[:1], learner.ensemble
    states = state.expand(N_AGENTS, -1, -1)
    with torch.no_grad():
        proposed = torch.cat([states, ensemble.actor(states)], dim=-1)
        # Every agent's values have the mean -5; those of agent 0 are the same in all states, the others' spread.
        ensemble.critic.weights[-1].mul_(30.0)
        ensemble.critic.weights[-1][0].zero_()
        ensemble.critic.biases[-1].sub_(ensemble.critic(proposed).mean(dim=1, keepdim=True) + 5.0)
        before = ensemble.agent_weights(state[0])[:, 0].mean()
        for _ in range(60):
            with torch.enable_grad():
                learner.update_controller(state)
        assert ensemble.agent_weights(state[0])[:, 0].mean() > before + 0.3


def test_an_update_moves_actors_critics_and_safety_critics_and_never_the_controller() -> None:
    learner = make_learner()
    before = {name: weights_of(getattr(learner.ensemble, name)) for name in NETWORKS}
    learner.update(make_batch())
    changed = {name: agents_changed(before[name], weights_of(getattr(learner.ensemble, name))) for name in NETWORKS}
    assert changed == {
        "actor": [True] * N_AGENTS,
        "critic": [True] * N_AGENTS,
        "safety": [True] * N_AGENTS,
        "controller": [False],
    }


def test_the_actor_step_moves_nothing_but_actors() -> None:
    # Critics that are not allowed to move must not be moved by the actor's loss, which runs through them.
    learner, batch = make_learner(critic_rate=0.0), make_batch()
    before = {name: weights_of(getattr(learner.ensemble, name)) for name in NETWORKS}
    learner.update(batch)
    for name in NETWORKS:
        moved = agents_changed(before[name], weights_of(getattr(learner.ensemble, name)))
        assert all(moved) if name == "actor" else not any(moved), name


def test_the_controllers_step_moves_nothing_but_the_controller() -> None:
    learner = make_learner()
    before = {name: weights_of(getattr(learner.ensemble, name)) for name in NETWORKS}
    learner.update_controller(make_batch().state[:1])
    for name in NETWORKS:
        moved = agents_changed(before[name], weights_of(getattr(learner.ensemble, name)))
        assert all(moved) if name == "controller" else not any(moved), name


def test_the_targets_of_actor_and_critic_follow_by_tau_after_the_update() -> None:
    learner = make_learner(tau=0.25)
    before = {name: weights_of(getattr(learner.targets, name)) for name in ("actor", "critic")}
    learner.update(make_batch())
    for name in before:
        now, source = weights_of(getattr(learner.targets, name)), weights_of(getattr(learner.ensemble, name))
        for old, new, towards in zip(before[name], now, source, strict=True):
            # Two orders of computing one lerp of weights below 1.
            torch.testing.assert_close(new, 0.75 * old + 0.25 * towards, rtol=0, atol=1e-6)


def test_each_network_learns_at_its_own_rate() -> None:
    learner = make_learner(actor_rate=1e-3, critic_rate=2e-3, controller_rate=3e-3)
    before = {name: weights_of(getattr(learner.ensemble, name)) for name in NETWORKS}
    batch = make_batch()
    learner.update(batch)
    learner.update_controller(batch.state[:1])
    for name, rate in {"actor": 1e-3, "critic": 2e-3, "safety": 2e-3, "controller": 3e-3}.items():
        after = weights_of(getattr(learner.ensemble, name))
        step = max(float((a - b).abs().max()) for a, b in zip(after, before[name], strict=True))
        # Adam's first step is the rate for every weight with a gradient.
        assert step == pytest.approx(rate, rel=1e-2)


def test_changing_one_agents_batch_changes_no_other_agents_update() -> None:
    batch, other = make_batch(), make_batch()
    for part in (other.state, other.action, other.reward, other.next_state, other.risk):
        part[4] *= 0.5
    learners = make_learner(), make_learner()
    learners[0].update(batch)
    learners[1].update(other)
    for name in ("actor", "critic", "safety"):
        first, second = (weights_of(getattr(learner.ensemble, name)) for learner in learners)
        assert [k for k, differs in enumerate(agents_changed(first, second)) if differs] == [4], name


def test_changing_one_agents_weights_changes_no_other_agents_update() -> None:
    learners = make_learner(), make_learner()
    with torch.no_grad():
        for name in ("actor", "critic", "safety"):
            for parameter in getattr(learners[1].ensemble, name).parameters():
                parameter[7] *= 1.5
    for learner in learners:
        learner.update(make_batch())
        learner.update(make_batch(3))
    for name in ("actor", "critic", "safety"):
        first, second = (weights_of(getattr(learner.ensemble, name)) for learner in learners)
        assert [k for k, differs in enumerate(agents_changed(first, second)) if differs] == [7], name


def test_the_most_conservative_agent_has_the_smallest_threshold_and_the_largest_penalty() -> None:
    settings = Settings()
    assert settings.theta.tolist() == pytest.approx([0.05 * k for k in range(2, 12)])
    assert settings.penalty.tolist() == pytest.approx([5.5 - 0.5 * k for k in range(10)])
    assert settings.agent_names[0] == "agent_01"
    assert settings.agent_names[-1] == "agent_10"


def test_the_published_settings_are_those_of_the_paper_and_its_code() -> None:
    settings = Settings()
    assert (settings.n_agents, settings.hidden, settings.controller_hidden) == (10, (256, 128, 64), (128, 64))
    assert (settings.gamma, settings.tau, settings.noise, settings.lambda_meta) == (0.99, 0.005, 0.1, 0.5)
    assert (settings.actor_rate, settings.critic_rate, settings.controller_rate) == (5e-5, 2e-4, 1e-3)
    assert (settings.batch_size, settings.replay_size, settings.refresh_sessions) == (64, 100_000, 5)
    assert (settings.episodes, settings.patience, settings.validation_every, settings.controller_every) == (
        300,
        150,
        10,
        5,
    )
    assert (settings.volatility_weight, settings.drawdown_weight, settings.step_size) == (0.5, 2.0, 0.025)
    assert settings.features == ("price", "macd", "rsi", "cci", "adx")


@pytest.mark.parametrize(
    "name",
    [
        "n_agents",
        "batch_size",
        "replay_size",
        "controller_every",
        "refresh_sessions",
        "update_every",
        "episodes",
        "patience",
        "validation_every",
        "lookback_bars",
    ],
)
def test_settings_that_count_something_must_be_at_least_1(name: str) -> None:
    assert getattr(replace(Settings(), **{name: 1}), name) == 1
    with pytest.raises(ConfigError, match=rf"^{name} must be at least 1, was 0$"):
        Settings(**{name: 0})


@pytest.mark.parametrize("value", [0.0, -0.1, 1.1, float("nan")])
def test_a_step_size_outside_0_to_1_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=f"step_size must be above 0 and at most 1, was {value}"):
        Settings(step_size=value)


def test_settings_come_back_from_their_dictionary() -> None:
    assert Settings.from_dict(SMALL.to_dict()) == SMALL


def test_unknown_and_mistyped_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^settings: .*'gama'"):
        Settings.from_dict({"gama": 0.9})
    with pytest.raises(ConfigError, match="settings: "):
        Settings.from_dict({"n_agents": "ten"})


def test_the_losses_leave_no_tensor_on_another_device() -> None:
    # "meta" stands for a GPU: a product of its tensors with one left on the processor fails.
    ensemble = Ensemble(SMALL, N_INPUTS, N_ASSETS, 0).to("meta")
    learner = Learner(ensemble, Targets(ensemble), SMALL)
    assert ensemble.device.type == "meta"
    assert {loss.device.type for loss in learner.losses(make_batch().to(ensemble.device))} == {"meta"}
    with pytest.raises(RuntimeError, match="device"):
        learner.losses(make_batch())


@pytest.mark.parametrize("name", ["precision", "device"])
def test_a_precision_or_device_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} must be one of .*, was 'fast'$"):
        Settings(**{name: "fast"})


def test_the_ablations_change_what_their_names_say_and_nothing_else() -> None:
    published = Settings().to_dict()
    changes = {
        name: {key: value for key, value in settings.to_dict().items() if value != published[key]}
        for name, settings in PUBLISHED_ABLATIONS.items()
    }
    assert changes == {
        "static": {"name": "published/static", "controlled": False},
        "homogeneous": {
            "name": "published/homogeneous",
            "theta_low": 0.325,
            "theta_high": 0.325,
            "lambda_low": 3.25,
            "lambda_high": 3.25,
        },
        "div5": {"name": "published/div5", "n_agents": 5},
        "div15": {"name": "published/div15", "n_agents": 15},
    }
    # One profile for all is the middle one, and fewer or more agents span the same range.
    one_profile = PUBLISHED_ABLATIONS["homogeneous"]
    assert one_profile.theta.tolist() == pytest.approx([np.mean(Settings().theta)] * 10)
    assert one_profile.penalty.tolist() == pytest.approx([np.mean(Settings().penalty)] * 10)
    assert PUBLISHED_ABLATIONS["div5"].theta[[0, -1]].tolist() == pytest.approx([0.10, 0.55])
    assert all(settings_of("published", name) is settings for name, settings in PUBLISHED_ABLATIONS.items())
