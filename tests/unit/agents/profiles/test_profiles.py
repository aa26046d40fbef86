from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from panels import panel_of

from agents.checkpoint import Model, load_model
from agents.methods import make_trainer
from agents.profiles.history import History
from agents.profiles.networks import Profiles, States
from agents.profiles.policy import ProfilePolicy
from agents.profiles.settings import MARSFOLIO, PROFILE_ABLATIONS, ProfileSettings
from agents.settings import settings_of
from engine.arrays import FloatArray
from engine.backtest import run_policy
from engine.errors import CheckpointError, ConfigError
from engine.ledger import FillTiming
from engine.limits import MODEL_LIMITS
from engine.market_state import ASSET_FEATURES, MARKET_FEATURES
from engine.panel import MarketPanel, Window
from engine.policy import LearnedPolicy
from engine.rebalancer import Terms

SMALL = replace(
    MARSFOLIO, members=2, episodes=12, controller_episodes=12, critic_episodes=12, sessions=40, bear_drifts=(0.001,)
)
TERMS = Terms(limits=MODEL_LIMITS)
TRAIN, VALIDATION = Window(70, 149), Window(150, 179)


def swinging_panel(n_rows: int = 240, n: int = 6, seed: int = 0) -> MarketPanel:
    """Return a market that falls and rises back in turn, so that buying what has fallen pays."""
    random = np.random.default_rng(seed)
    swing = 0.12 * np.sin(2 * np.pi * np.arange(n_rows) / 20.0)[:, None]
    noise = np.cumsum(0.004 * random.standard_normal((n_rows, n)), axis=0)
    return panel_of(np.asarray(50.0 * np.exp(swing + noise)))


PANEL = swinging_panel()


def train(
    out: Path, seed: int = 0, resume: bool = False, background: MarketPanel | None = None, **changes: Any
) -> Model:
    settings = replace(SMALL, **changes)
    return make_trainer(PANEL, TRAIN, VALIDATION, settings, TERMS, seed, out, background).run(resume)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return train(tmp_path_factory.mktemp("profiles") / "model")


def states(n: int, sessions: int = 3, seed: int = 0) -> States:
    generator = torch.Generator().manual_seed(seed)
    ready = torch.ones(1, sessions, n, dtype=torch.bool)
    assets = torch.randn(1, sessions, n, len(ASSET_FEATURES), generator=generator)
    return States(assets, torch.randn(1, sessions, len(MARKET_FEATURES), generator=generator), ready)


def exposures(policy: LearnedPolicy, panel: MarketPanel, first: int, last: int) -> FloatArray:
    result = run_policy(policy, panel, first, last, TERMS)
    return np.asarray((result.equity - result.cash) / result.equity)[2:]


def test_before_training_each_agent_holds_equal_parts_at_its_place_on_the_dial() -> None:
    targets = Profiles(MARSFOLIO, seed=1).agent_targets(states(7)).detach()
    exposure = MARSFOLIO.budget * torch.tensor(MARSFOLIO.exposure, dtype=torch.float32)
    torch.testing.assert_close(targets, (exposure[None, :, None] / 7).expand_as(targets), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_one_network_serves_any_number_of_symbols(n: int) -> None:
    profiles = Profiles(MARSFOLIO, seed=1)
    torch.nn.init.normal_(profiles.actors.score)
    targets = profiles.eval().agent_targets(states(n)).detach()
    assert targets.shape == (3, 10, n)
    assert (targets >= 0).all()
    assert (targets.sum(dim=-1) <= 0.95 + 1e-6).all()


def test_what_a_symbol_gets_does_not_depend_on_its_place() -> None:
    profiles = Profiles(MARSFOLIO, seed=1)
    torch.nn.init.normal_(profiles.actors.score)
    profiles.eval()
    known, order = states(5), [4, 2, 0, 1, 3]
    moved = States(known.assets[:, :, order], known.market, known.ready)
    torch.testing.assert_close(profiles.agent_targets(moved), profiles.agent_targets(known)[..., order])


def test_a_symbol_that_is_not_ready_gets_nothing() -> None:
    known = states(4)
    known.ready[0, 1] = torch.tensor([True, False, True, False])
    known.ready[0, 2] = False
    targets = Profiles(MARSFOLIO, seed=1).agent_targets(known).detach()
    assert (targets[1, :, [1, 3]] == 0).all()
    assert targets[1].sum(dim=-1)[0] == pytest.approx(0.95 * 0.30, rel=1e-4)
    assert (targets[2] == 0).all()


def test_agents_keep_their_order_on_the_dial_after_training(model: Model) -> None:
    mean = [float(exposures(model.agent_policy(name), PANEL, 180, 239).mean()) for name in model.agent_names[::3]]
    assert mean == sorted(mean)
    assert mean[0] == pytest.approx(0.95 * 0.30, abs=0.08)
    assert mean[-1] == pytest.approx(0.95 * 0.95, abs=0.08)


def test_training_learns_to_hold_more_before_the_market_rises(tmp_path: Path) -> None:
    learned = train(
        tmp_path / "model", episodes=120, controlled=False, tilts=False, smoothing=1.0, bear_drifts=(0.0,), rate=1e-2
    )
    held = exposures(learned.agent_policy("agent_05"), PANEL, 180, 238)
    ahead = np.diff(np.log(PANEL.close.mean(axis=1)))[182:239]
    assert np.corrcoef(held[:-1], ahead[: len(held) - 1])[0, 1] > 0.4


def test_the_same_seed_gives_the_same_model_and_another_seed_another(tmp_path: Path, model: Model) -> None:
    assert train(tmp_path / "again").hash == model.hash
    assert train(tmp_path / "other", seed=1).manifest["files"] != model.manifest["files"]


def test_a_finished_training_is_not_repeated_and_another_one_is_refused(model: Model) -> None:
    assert train(model.path, resume=True).hash == model.hash
    with pytest.raises(CheckpointError, match=r"started with seed = 0, this command says 3"):
        train(model.path, seed=3, resume=True)


def test_nothing_after_the_training_window_is_learned_from(tmp_path: Path, model: Model) -> None:
    later = PANEL.close.copy()
    later[TRAIN.last + 1 :] *= 3.0
    other = make_trainer(panel_of(later), TRAIN, VALIDATION, SMALL, TERMS, 0, tmp_path / "model").run()
    for mine, theirs in zip(model.learned.profiles.parameters(), other.learned.profiles.parameters(), strict=True):  # type: ignore[attr-defined]
        assert torch.equal(mine, theirs)


def test_of_the_background_only_what_is_no_later_than_the_training_window_is_learned_from(tmp_path: Path) -> None:
    long = swinging_panel(600, 4, seed=8)
    days = np.busday_offset(PANEL.sessions[TRAIN.last], np.arange(-400, 200), roll="forward")
    background = replace(long, sessions=days)
    later = long.close.copy()
    later[401:] *= 2.0
    changed = replace(panel_of(later), sessions=days)
    known, other, without = (
        train(tmp_path / str(k), background=bars, resume=False) for k, bars in enumerate((background, changed, None))
    )
    same, different = (
        all(
            torch.equal(a, b)
            for a, b in zip(known.learned.profiles.parameters(), model.learned.profiles.parameters(), strict=True)  # type: ignore[attr-defined]
        )
        for model in (other, without)
    )
    assert same
    assert not different
    with pytest.raises(CheckpointError, match="was started with background"):
        train(tmp_path / "0", resume=True)


def test_the_returns_of_a_history_are_those_of_the_fills_that_follow() -> None:
    history = History.of(PANEL, TRAIN, (), FillTiming.NEXT_OPEN)
    expected = PANEL.open[72 : TRAIN.last + 1] / PANEL.open[71 : TRAIN.last] - 1.0
    np.testing.assert_allclose(history.returns[0].numpy(), expected, atol=1e-6)
    assert len(history) == len(expected)


def test_an_imposed_bear_market_takes_its_drift_from_every_return() -> None:
    history = History.of(PANEL, TRAIN, (0.001,), FillTiming.NEXT_OPEN)
    np.testing.assert_allclose(1 + history.returns[1], (1 + history.returns[0]) * 0.999, atol=1e-6)


def test_a_model_trades_symbols_it_has_never_seen_and_those_that_start_late(model: Model) -> None:
    close = swinging_panel(n=9, seed=5).close.copy()
    close[:200, 4] = np.nan
    panel = panel_of(close, symbols=tuple("ABCDEFGHI"))
    assert model.symbols is None
    result = run_policy(model.policy(), panel, 150, 239, TERMS)
    held = result.final_quantity > 0
    assert held[[0, 1, 2, 3, 5, 6, 7, 8]].all()
    assert not held[4]  # 40 bars are too few


def test_a_policy_goes_on_from_its_state_as_if_it_had_not_stopped(model: Model) -> None:
    def decisions(restarts: bool) -> list[FloatArray]:
        found = []

        class Watch(ProfilePolicy):
            def decide(self, observation: Any) -> Any:
                decision = super().decide(observation)
                found.append(np.full(6, np.nan) if decision is None else decision.weights)
                if restarts:
                    state = json.loads(json.dumps(self.state()))
                    self._followed = {"nonsense": 1.0}
                    self.restore(state)
                return decision

        learned = model.learned
        run_policy(Watch(learned.profiles, learned.settings), PANEL, 180, 200, TERMS)  # type: ignore[attr-defined]
        return found

    np.testing.assert_array_equal(decisions(True), decisions(False))


def test_an_explanation_is_of_the_decision_that_follows(model: Model) -> None:
    explained: list[Any] = []

    class Explaining(ProfilePolicy):
        def decide(self, observation: Any) -> Any:
            explanation, decision = self.explain(observation), super().decide(observation)
            explained.append((explanation, decision, dict(self._followed)))
            return decision

    learned = model.learned
    run_policy(Explaining(learned.profiles, learned.settings), PANEL, 180, 183, TERMS)  # type: ignore[attr-defined]
    explanation, decision, followed = explained[0]
    assert isinstance(model.policy(), LearnedPolicy)
    assert explanation.agents == model.agent_names
    assert explanation.agent_weights.sum() == pytest.approx(1.0)
    assert list(decision.agent_weights.values()) == explanation.agent_weights.tolist()
    combined = explanation.agent_weights @ explanation.proposals
    np.testing.assert_allclose(list(followed.values()), combined, atol=1e-12)
    assert np.isfinite(explanation.value).all()
    assert (np.diff(np.nansum(explanation.proposals, axis=1)) > 0).all()


def test_rare_trading_leaves_small_differences_alone(model: Model) -> None:
    def fills(band: float) -> int:
        learned = model.learned
        policy = ProfilePolicy(learned.profiles, replace(SMALL, band=band))  # type: ignore[attr-defined]
        return len(run_policy(policy, PANEL, 180, 239, TERMS).trades)

    assert fills(0.5) < fills(0.05) < fills(0.0)


@pytest.mark.parametrize("name", [None, *PROFILE_ABLATIONS])
def test_every_setting_survives_its_manifest(name: str | None) -> None:
    settings = settings_of("marsfolio", name)
    assert isinstance(settings, ProfileSettings)
    assert ProfileSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert settings.name == ("marsfolio" if name is None else f"marsfolio/{name}")


def test_unknown_ablations_and_wrong_values_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no ablation 'statik'.*'static'"):
        settings_of("marsfolio", "statik")
    with pytest.raises(ConfigError, match="risk must be above 0"):
        ProfileSettings(risk=0.0)
    with pytest.raises(ConfigError, match=r"settings: .*colour"):
        ProfileSettings.from_dict({"colour": 1})


@pytest.mark.parametrize(
    ("train_window", "validation", "message"),
    [
        (Window(70, 90), VALIDATION, "more than 42"),
        (TRAIN, Window(149, 160), "inside the training window"),
        (TRAIN, Window(150, 150), "only the session"),
    ],
)
def test_windows_that_cannot_be_trained_on_are_refused(
    tmp_path: Path, train_window: Window, validation: Window, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_trainer(PANEL, train_window, validation, SMALL, TERMS, 0, tmp_path / "model")


def test_a_damaged_model_is_told(tmp_path: Path) -> None:
    folder = train(tmp_path / "model", episodes=1, controller_episodes=1, critic_episodes=1).path
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["settings"]["encoder"] = 9
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="does not fit together"):
        load_model(folder)


def test_what_is_no_member_is_neither_held_nor_seen_in_training() -> None:
    member = np.ones((len(PANEL), PANEL.n_symbols), dtype=bool)
    member[:100, 0] = False
    shown = History.of(replace(PANEL, member=member), TRAIN, (), FillTiming.NEXT_OPEN)
    other = replace(PANEL, member=member, **{name: _other_before(getattr(PANEL, name)) for name in BARS})
    hidden = History.of(other, TRAIN, (), FillTiming.NEXT_OPEN)
    joins = 100 - TRAIN.first
    assert not shown.ready[0, :joins, 0].any()
    assert shown.ready[0, joins:, 0].all()
    # What its prices were before it joined changes nothing until then.
    assert torch.equal(shown.market[0, :joins], hidden.market[0, :joins])
    assert torch.equal(shown.assets[0, :joins, 1:], hidden.assets[0, :joins, 1:])


BARS = ("open", "high", "low", "close")


def _other_before(values: FloatArray) -> FloatArray:
    changed = values.copy()
    changed[:99, 0] *= np.linspace(3.0, 1.0, 99)
    return changed
