"""Single agents of stable-baselines3: they learn, are the same for the same seed, and trade without the library."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import TERMS, TRAIN, VALIDATION, make_panel

from agents.checkpoint import Model, load_model
from agents.encoding import Encoder
from agents.methods import make_trainer
from agents.reporting import EpisodeReport, Silence, checkpoint_score
from agents.settings import settings_of
from agents.single.policy import LearnedSingle, model_tensors
from agents.single.sb3 import Learner
from agents.single.settings import ALGORITHMS, SingleSettings
from agents.single.training import SingleTrainer
from engine.backtest import run_policy
from engine.batch_environment import BatchPortfolioEnv
from engine.environment import action_weights
from engine.errors import CheckpointError, ConfigError
from engine.observation import Observation, feature_table
from engine.panel import MarketPanel, Window
from engine.policy import Decision, LearnedPolicy
from engine.result import Result

SMALL: dict[str, Any] = {
    "lookback_bars": 40,
    "hidden": (16, 8),
    "batch_size": 16,
    "learning_starts": 10,
    "update_every": 4,
    "environments": 1,
    "rollout": 16,
    "episodes": 2,
    "validation_every": 1,
}


def small(setting: str, **changes: Any) -> SingleSettings:
    settings = settings_of(setting)
    assert isinstance(settings, SingleSettings)
    return replace(settings, **{**SMALL, **changes})


def train(
    out: Path,
    algorithm: str,
    panel: MarketPanel | None = None,
    windows: tuple[Window, Window] = (TRAIN, VALIDATION),
    seed: int = 0,
    resume: bool = False,
    reporter: Silence | None = None,
    **changes: Any,
) -> Model:
    panel = make_panel() if panel is None else panel
    return make_trainer(panel, *windows, small(algorithm, **changes), TERMS, seed, out).run(resume, reporter)


RISING = make_panel(240, drifts=(0.01, -0.005, -0.005, 0.0), noise=0.003, seed=1)
QUICK: dict[str, Any] = {"hidden": (32, 16), "learning_rate": 3e-3, "gamma": 0.9, "step_size": 0.05}
OWN: dict[str, dict[str, Any]] = {
    "sac": {"episodes": 20, "validation_every": 20, "batch_size": 64, "learning_starts": 100},
    "ppo": {"episodes": 40, "validation_every": 40, "batch_size": 50, "environments": 4, "rollout": 200},
}
"""One that learns from a replay, and the one that does not."""


def on_test(policy: LearnedPolicy) -> Result:
    return run_policy(policy, RISING, 170, 239, TERMS)


def share_of_good(result: Result) -> float:
    return float(np.nanmean(result.target_weight[10:-1, 0]))


@pytest.mark.parametrize("algorithm", OWN)
def test_training_finds_the_one_asset_that_rises(tmp_path: Path, algorithm: str) -> None:
    windows = (Window(40, 139), Window(140, 169))  # the only validation comes last: nothing is chosen by its score
    model = train(tmp_path / "model", algorithm, RISING, windows, **QUICK, **OWN[algorithm])
    untrained, trained = on_test(model.untrained_policy()), on_test(model.policy())
    assert share_of_good(untrained) < 0.25 * 0.20
    assert share_of_good(trained) > 0.5 * 0.20
    assert trained.equity[-1] > untrained.equity[-1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_gives_the_same_model_and_another_seed_another(tmp_path: Path, algorithm: str) -> None:
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    hashes = [train(tmp_path / str(k), algorithm, seed=seed).hash for k, seed in enumerate((0, 0, 1))]
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]
    # The library seeds the random numbers of the whole process; they are put back.
    np.testing.assert_array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_our_networks_say_what_the_library_s_say(algorithm: str) -> None:
    panel, settings = make_panel(), small(algorithm)
    table = feature_table(panel, settings.features, 40, *TRAIN)
    encoder = Encoder.fit(table)
    env = BatchPortfolioEnv(panel, table, TRAIN, TERMS, 1, encode=encoder.features, weight_scale=3.0)
    learner = Learner(settings, env, 60, seed=3)
    learner.learn(lambda *_: True)
    tensors = learner.tensors()
    learned = LearnedSingle.of(settings, model_tensors(tensors, tensors, encoder))
    state = np.random.default_rng(0).normal(size=(1, encoder.size)).astype(np.float32)
    with torch.no_grad():
        ours = np.clip(learned.actor(torch.from_numpy(state)[None])[0].numpy(), -1, 1)
    theirs, _ = learner._algorithm.predict(state, deterministic=True)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)  # another order of float32 sums


class Watch(Silence):
    def __init__(self) -> None:
        self.steps: list[tuple[int, int, int]] = []
        self.reports: list[EpisodeReport] = []

    def step(self, episode: int, done: int, total: int, losses: Any) -> None:
        self.steps.append((episode, done, total))

    def episode(self, report: EpisodeReport) -> None:
        self.reports.append(report)


@pytest.mark.parametrize("algorithm", ["td3", "ppo"])
def test_training_tells_how_it_goes_and_keeps_the_best(tmp_path: Path, algorithm: str) -> None:
    watch = Watch()
    model = train(tmp_path / "model", algorithm, episodes=3, reporter=watch)
    total = TRAIN.last - TRAIN.first
    assert watch.steps[0] == (1, 1, total)
    assert len(watch.steps) == 3 * total
    assert [report.episode for report in watch.reports] == [1, 2, 3]
    best = max(watch.reports, key=lambda report: report.score)
    assert model.manifest["best_score"] == best.score == watch.reports[-1].best
    assert model.manifest["best_episode"] == best.episode
    result = run_policy(model.policy(), make_panel(), *VALIDATION, TERMS)
    assert best.score == checkpoint_score(result.metrics())
    assert watch.reports[0].equity == pytest.approx(1.0, abs=0.2)


def test_patience_ends_a_training(tmp_path: Path) -> None:
    model = train(tmp_path / "model", "ppo", episodes=40, patience=2, rollout=64, learning_rate=1e-9)
    assert model.manifest["episodes_trained"] < 40


def test_a_finished_model_is_not_trained_again_and_other_arguments_are_refused(tmp_path: Path) -> None:
    model = train(tmp_path / "model", "ppo")
    watch = Watch()
    assert train(tmp_path / "model", "ppo", resume=True, reporter=watch).hash == model.hash
    assert not watch.steps
    with pytest.raises(CheckpointError, match="seed = 0, this command says 1"):
        train(tmp_path / "model", "ppo", seed=1, resume=True)


def observed(panel: MarketPanel, row: int) -> Observation:
    seen: list[Observation] = []

    class Look:
        features, lookback_bars = small("ppo").features, 40

        def decide(self, observation: Observation) -> Decision | None:
            seen.append(observation)
            return None

        def state(self) -> dict[str, Any]:
            return {}

        def restore(self, state: Any) -> None:
            return None

    run_policy(Look(), panel, row, row, TERMS)
    return seen[0]


@pytest.mark.parametrize("algorithm", ["sac", "ppo"])
def test_a_loaded_policy_explains_what_it_decides(tmp_path: Path, algorithm: str) -> None:
    train(tmp_path / "model", algorithm)
    model = load_model(tmp_path / "model")
    policy = model.agent_policy("agent")
    assert isinstance(policy, LearnedPolicy)
    assert model.symbols == ("S0", "S1", "S2")
    observation = observed(make_panel(), 80)
    explanation, decision = policy.explain(observation), policy.decide(observation)
    assert explanation is not None
    assert decision is not None
    assert decision.agent_weights == {"agent": 1.0}
    assert explanation.agents == policy.agent_names == ("agent",)
    np.testing.assert_array_equal(explanation.proposals[0], decision.weights)
    np.testing.assert_array_equal(explanation.agent_weights, [1.0])
    assert np.isfinite(explanation.value).all()
    assert np.isnan(explanation.risk).all()
    assert explanation.value_means.startswith("V(s)" if algorithm == "ppo" else "Q(s, a)")
    assert np.abs(decision.weights - observation.weights).max() <= model.settings.to_dict()["step_size"]
    early = observed(make_panel(), 5)
    assert policy.explain(early) is None
    assert policy.decide(early) is None


def test_a_damaged_network_is_refused(tmp_path: Path) -> None:
    model = train(tmp_path / "model", "ppo")
    learned = model.learned
    assert isinstance(learned, LearnedSingle)
    with torch.no_grad():
        learned.actor.biases[-1][0, 0, 0] = float("nan")
    with pytest.raises(Exception, match="is not finite: its weights are unusable"):
        learned.policy().decide(observed(make_panel(), 80))


def test_a_model_trades_where_the_library_is_not_installed_and_training_says_what_to_install(tmp_path: Path) -> None:
    model = train(tmp_path / "model", "ppo")
    program = f"""
import sys
sys.modules["stable_baselines3"] = None
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from toys import TERMS, TRAIN, VALIDATION, make_panel
from agents.checkpoint import load_model
from agents.methods import make_trainer
from engine.backtest import run_policy
from engine.errors import ConfigError
model = load_model(Path({str(model.path)!r}))
print(run_policy(model.policy(), make_panel(), 70, 84, TERMS).equity[-1])
try:
    make_trainer(make_panel(), TRAIN, VALIDATION, model.settings, TERMS, 0, Path("x"))
except ConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    equity, message = done.stdout.splitlines()
    assert float(equity) == run_policy(model.policy(), make_panel(), 70, 84, TERMS).equity[-1]
    assert message == "training 'ppo' needs stable-baselines3: pip install 'marsfolio[baselines]'"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "dqn"}, "algorithm must be one of ddpg, td3, sac, ppo, was 'dqn'"),
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"environments": 9}, "rollout must be at least 2 steps an environment"),
        ({"step_size": 0.0}, "step_size must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small("ppo", **changes)


def test_settings_survive_json() -> None:
    for algorithm in ALGORITHMS:
        settings = small(algorithm)
        assert SingleSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(ConfigError, match="unexpected keyword argument 'speed'"):
        SingleSettings.from_dict({**small("ppo").to_dict(), "speed": 1})


def test_a_training_too_short_to_learn_anything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ppo learns after every 2048 steps, and 2 episodes of this .* have 58"):
        train(tmp_path / "model", "ppo", rollout=2048)
    with pytest.raises(ConfigError, match="choose an earlier --train start"):
        train(tmp_path / "model", "ppo", windows=(Window(60, 61), VALIDATION))


def test_the_actions_of_ppo_are_clipped_where_they_leave_the_range() -> None:
    observation = observed(make_panel(), 80)
    far = np.array([9.0, -9.0, 0.5])
    np.testing.assert_array_equal(
        action_weights(observation, far, 0.02), action_weights(observation, np.clip(far, -1, 1), 0.02)
    )


def test_a_trainer_keeps_nothing_of_an_unfinished_training(tmp_path: Path) -> None:
    trainer = SingleTrainer(make_panel(), TRAIN, VALIDATION, small("sac"), TERMS, 0, tmp_path / "model")
    assert trainer.episodes_done == 0
