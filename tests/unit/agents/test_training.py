from __future__ import annotations

import math
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import (
    SMALL,
    TERMS,
    TRAIN,
    VALIDATION,
    make_panel,
    make_trainer,
    same_weights,
    tensors_of,
    train_model,
    with_rows,
)

from agents import training
from agents.checkpoint import HISTORY, MANIFEST, WEIGHTS, Model, load_model
from agents.identity import check_identity
from agents.policy import model_tensors
from agents.reporting import EpisodeReport, Losses, Silence, checkpoint_score
from agents.resume import FILE, FOLDER, has_state
from agents.settings import settings_of
from agents.training import (
    Trainer,
    Window,
    check_model_folder,
    with_episodes,
    with_update_every,
)
from engine.backtest import run_policy
from engine.costs import Costs
from engine.errors import CheckpointError, ConfigError
from engine.ledger import FillTiming
from engine.limits import Limits
from engine.rebalancer import Terms


class CtrlC(Silence):
    """Interrupts at a step of an episode or, without a step, when the episode has been saved."""

    def __init__(self, episode: int, step: int | None = None) -> None:
        self._episode, self._step = episode, step

    def step(self, episode: int, done: int, total: int, losses: Losses | None) -> None:
        if (episode, done) == (self._episode, self._step):
            raise KeyboardInterrupt

    def episode(self, report: EpisodeReport) -> None:
        if self._step is None and report.episode == self._episode:
            raise KeyboardInterrupt


class Listener(Silence):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, int, Losses | None]] = []
        self.reports: list[EpisodeReport] = []

    def step(self, episode: int, done: int, total: int, losses: Losses | None) -> None:
        self.steps.append((episode, done, total, losses))

    def episode(self, report: EpisodeReport) -> None:
        self.reports.append(report)


def interrupt(out: Path, reporter: Silence, **changes: Any) -> Trainer:
    trainer = make_trainer(out, **changes)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(reporter=reporter)
    return trainer


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_model_bit_by_bit(tmp_path: Path, reference: Model) -> None:
    torch.manual_seed(123)
    again = train_model(tmp_path / "model")
    assert again.hash == reference.hash
    assert files_of(again.path) == files_of(reference.path)


def test_another_seed_gives_another_model(tmp_path: Path, reference: Model) -> None:
    other = train_model(tmp_path / "model", seed=1)
    assert other.hash != reference.hash
    assert not same_weights(other, reference)


def test_training_changes_every_network_of_every_agent(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "model")
    before = {name: p.detach().clone() for name, p in trainer.ensemble.named_parameters()}
    trainer.run()
    for name, parameter in trainer.ensemble.named_parameters():
        for agent in range(len(parameter)):
            assert not torch.equal(parameter[agent], before[name][agent]), f"{name} of agent {agent}"


@pytest.mark.parametrize(
    ("episode", "step"),
    [(1, 1), (1, 20), (2, 1), (2, 29), (3, 15), (1, None), (2, None), (3, None)],
    ids=lambda value: str(value),
)
def test_an_interrupted_and_resumed_training_gives_the_model_of_an_uninterrupted_one(
    tmp_path: Path, reference: Model, episode: int, step: int | None
) -> None:
    out = tmp_path / "model"
    trainer = interrupt(out, CtrlC(episode, step))
    assert trainer.episodes_done == (episode if step is None else episode - 1)
    assert not (out / MANIFEST).exists()
    resumed = train_model(out, resume=True)
    assert resumed.hash == reference.hash
    assert files_of(out) == files_of(reference.path)


def test_a_training_survives_an_interruption_in_every_episode(tmp_path: Path, reference: Model) -> None:
    out = tmp_path / "model"
    interrupt(out, CtrlC(1, 10))
    for episode in (1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            train_model(out, CtrlC(episode), resume=True)
    assert train_model(out, resume=True).hash == reference.hash


def test_the_same_trainer_can_go_on_after_an_interruption(tmp_path: Path, reference: Model) -> None:
    trainer = interrupt(tmp_path / "model", CtrlC(2, 7))
    assert trainer.run(resume=True).hash == reference.hash


def test_an_interruption_while_saving_counts_only_what_is_on_disk(
    tmp_path: Path, reference: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, save, calls = tmp_path / "model", training.save_state, []

    def save_twice(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(*arguments)

    monkeypatch.setattr(training, "save_state", save_twice)
    trainer = interrupt(out, Silence())
    monkeypatch.undo()
    assert trainer.episodes_done == 1
    assert train_model(out, resume=True).hash == reference.hash


def test_an_interruption_before_the_model_is_complete_loses_nothing(
    tmp_path: Path, reference: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"

    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    for name in ("save_model", "discard_state"):
        monkeypatch.setattr(training, name, stop)
        with pytest.raises(KeyboardInterrupt):
            train_model(out, resume=True)
        monkeypatch.undo()
        assert has_state(out)
    assert train_model(out, resume=True).hash == reference.hash
    assert not has_state(out)


def test_resuming_without_anything_to_resume_starts_a_training(tmp_path: Path, reference: Model) -> None:
    assert train_model(tmp_path / "model", resume=True).hash == reference.hash


def test_resuming_a_finished_training_returns_its_model_and_trains_nothing(tmp_path: Path, reference: Model) -> None:
    before = files_of(reference.path)
    listener = Listener()
    assert train_model(reference.path, listener, resume=True).hash == reference.hash
    assert listener.steps == []
    assert files_of(reference.path) == before


OTHER = [
    ("settings.noise", {"noise": 0.2}, "0.1", "0.2"),
    ("settings.episodes", {"episodes": 4}, "3", "4"),
    ("seed", {"seed": 1}, "0", "1"),
    ("terms.cash", {"terms": Terms(cash=5e5, limits=TERMS.limits)}, "1000000.0", "500000.0"),
    (
        "terms.commission_bps",
        {"terms": Terms(costs=Costs(commission_bps=5.0), limits=TERMS.limits)},
        "10.0",
        "5.0",
    ),
    ("terms.slippage_bps", {"terms": Terms(costs=Costs(slippage_bps=2.0), limits=TERMS.limits)}, "0.0", "2.0"),
    ("terms.cap", {"terms": Terms(limits=Limits(0.3, 0.05))}, "0.2", "0.3"),
    ("terms.cap", {"terms": Terms()}, "0.2", "None"),
    ("terms.cash_buffer", {"terms": Terms(limits=Limits(0.2, 0.1))}, "0.05", "0.1"),
    ("terms.fill", {"terms": Terms(limits=TERMS.limits, timing=FillTiming.SAME_CLOSE)}, "next_open", "same_close"),
    ("terms.fractional", {"terms": Terms(limits=TERMS.limits, fractional=True)}, "False", "True"),
    ("train", {"train": Window(41, 69)}, "2020-02-26", "2020-02-27"),
    ("validation", {"validation": Window(70, 83)}, "2020-04-28", "2020-04-27"),
]


@pytest.mark.parametrize(("key", "changes", "old", "new"), OTHER, ids=[f"{each[0]}={each[3]}" for each in OTHER])
@pytest.mark.parametrize("finished", [False, True], ids=["unfinished", "finished"])
def test_resuming_with_other_arguments_is_refused_and_names_both_values(
    tmp_path: Path, reference: Model, key: str, changes: dict[str, Any], old: str, new: str, finished: bool
) -> None:
    out = reference.path if finished else tmp_path / "model"
    if not finished:
        interrupt(out, CtrlC(1))
    before = files_of(out)
    with pytest.raises(CheckpointError) as caught:
        train_model(out, resume=True, **changes)
    message = str(caught.value)
    shown_old, _, shown_new = message.partition(f" with {key} = ")[2].partition(", this command says ")
    # The end of the validation window changes the data too: either may be named.
    if key != "validation":
        assert old in shown_old, message
        assert new in shown_new, message
    assert files_of(out) == before


def test_resuming_with_other_data_is_refused(tmp_path: Path) -> None:
    out, panel = tmp_path / "model", make_panel()
    interrupt(out, CtrlC(1))
    other = with_rows(panel, slice(50, 51), 1.001)
    with pytest.raises(CheckpointError) as caught:
        train_model(out, panel=other, resume=True)
    for each in (panel, other):
        assert each.rows(0, VALIDATION.last + 1).content_hash in str(caught.value)
    assert "data_hash" in str(caught.value)


def test_resuming_with_other_symbols_is_refused(tmp_path: Path) -> None:
    out, panel = tmp_path / "model", make_panel()
    interrupt(out, CtrlC(1))
    with pytest.raises(CheckpointError, match=r"symbols = \['S0', 'S1', 'S2'\], this command says \['S0', 'S1'\]"):
        train_model(out, panel=panel.select(["S0", "S1"]), resume=True)


def test_resuming_with_more_data_after_the_validation_window_is_the_same_training(
    tmp_path: Path, reference: Model
) -> None:
    out = tmp_path / "model"
    interrupt(out, CtrlC(2, 3))
    assert train_model(out, panel=make_panel().rows(0, VALIDATION.last + 1), resume=True).hash == reference.hash


def test_an_identity_with_a_setting_that_is_gone_is_refused_like_any_other_difference() -> None:
    saved = {"settings": {"noise": 0.1, "momentum": 0.9}}
    with pytest.raises(CheckpointError, match="momentum"):
        check_identity(Path("model"), saved, {"settings": {"noise": 0.1}})


def test_an_identity_with_a_setting_that_is_new_and_none_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"terms\.benchmark = None"):
        check_identity(Path("model"), {"terms": {"cap": 1}}, {"terms": {"cap": 1, "benchmark": None}})


def test_an_identity_with_a_setting_that_is_new_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"settings\.momentum = None, this command says 0\.9"):
        check_identity(Path("model"), {"settings": {"noise": 0.1}}, {"settings": {"noise": 0.1, "momentum": 0.9}})


def test_a_new_training_replaces_a_finished_model(tmp_path: Path, reference: Model) -> None:
    out = tmp_path / "model"
    train_model(out, seed=7)
    assert train_model(out).hash == reference.hash


class Scores:
    """Validation scores to order."""

    def __init__(self, *scores: float) -> None:
        self._scores = list(scores)
        self.weights: list[dict[str, torch.Tensor]] = []

    def __call__(self, trainer: Trainer) -> float:
        tensors = model_tensors(trainer.ensemble, trainer._encoder)
        self.weights.append({name: tensor.clone() for name, tensor in tensors.items()})
        return self._scores.pop(0)


def scored(monkeypatch: pytest.MonkeyPatch, *scores: float) -> Scores:
    order = Scores(*scores)
    monkeypatch.setattr(Trainer, "_validate", lambda trainer: order(trainer))
    return order


def test_the_best_validated_weights_are_kept_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = scored(monkeypatch, 0.1, 0.3, 0.2)
    model = train_model(tmp_path / "model")
    kept = tensors_of(model)
    assert all(torch.equal(kept[name], order.weights[1][name]) for name in kept)
    assert not all(torch.equal(kept[name], order.weights[2][name]) for name in kept)
    assert (model.manifest["best_episode"], model.manifest["best_score"]) == (2, 0.3)
    assert model.manifest["episodes_trained"] == 3


def test_of_equal_scores_the_earlier_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored(monkeypatch, 0.2, 0.2, 0.2)
    assert train_model(tmp_path / "model").manifest["best_episode"] == 1


def test_the_best_weights_survive_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = scored(monkeypatch, 0.3, 0.1, 0.2)
    out = tmp_path / "model"
    interrupt(out, CtrlC(2))
    kept = tensors_of(train_model(out, resume=True))
    assert all(torch.equal(kept[name], order.weights[0][name]) for name in kept)


def test_training_stops_when_the_score_has_not_risen_for_as_long_as_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, 0.1, 0.5, *[0.4] * 20)
    listener = Listener()
    model = train_model(tmp_path / "model", listener, episodes=20, patience=3)
    assert [report.episode for report in listener.reports] == [1, 2, 3, 4, 5]
    assert (model.manifest["best_episode"], model.manifest["episodes_trained"]) == (2, 5)


def test_patience_runs_out_at_the_same_episode_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, 0.1, 0.5, *[0.4] * 20)
    out = tmp_path / "model"
    interrupt(out, CtrlC(4), episodes=20, patience=3)
    assert train_model(out, resume=True, episodes=20, patience=3).manifest["episodes_trained"] == 5


def test_patience_shorter_than_the_validation_interval_still_gives_a_model(tmp_path: Path) -> None:
    model = train_model(tmp_path / "model", episodes=6, patience=1, validation_every=2)
    assert model.manifest["best_episode"] >= 2


def test_validation_comes_at_its_interval_and_after_the_last_episode(tmp_path: Path) -> None:
    listener = Listener()
    train_model(tmp_path / "model", listener, episodes=5, validation_every=2, controller_every=3)
    assert [not math.isnan(report.score) for report in listener.reports] == [False, True, False, True, True]
    trained = [not math.isnan(report.controller_loss) for report in listener.reports]
    assert trained == [False, False, True, False, True]


def test_the_history_tells_what_the_reporter_heard(tmp_path: Path) -> None:
    listener = Listener()
    model = train_model(tmp_path / "model", listener, episodes=3, validation_every=2)
    header, *lines = (model.path / HISTORY).read_text().splitlines()
    names = header.split(",")
    assert len(lines) == len(listener.reports) == 3
    for line, report in zip(lines, listener.reports, strict=True):
        for name, text in zip(names, line.split(","), strict=True):
            value = asdict(report)[name]
            assert text == "" if math.isnan(value) else float(text) == value


def test_the_reporter_hears_of_every_step(tmp_path: Path) -> None:
    listener = Listener()
    train_model(tmp_path / "model", listener, episodes=2)
    total = TRAIN.last - TRAIN.first
    assert [each[:3] for each in listener.steps] == [(e, k, total) for e in (1, 2) for k in range(1, total + 1)]
    # The first losses come with the first full batch.
    assert [each[3] is None for each in listener.steps] == [k < 15 for k in range(2 * total)]


def test_the_equity_of_an_episode_is_that_of_its_account(tmp_path: Path) -> None:
    trainer, listener = make_trainer(tmp_path / "model", episodes=1), Listener()
    trainer.run(reporter=listener)
    assert listener.reports[0].equity == trainer._env.account.equity / TERMS.cash


def test_the_score_is_that_of_the_best_ensemble_on_the_validation_window(reference: Model) -> None:
    result = run_policy(reference.policy(), make_panel(), VALIDATION.first, VALIDATION.last, TERMS)
    assert reference.manifest["best_score"] == checkpoint_score(result.metrics())


@pytest.mark.parametrize(
    ("sharpe", "expected"),
    [(1.5, 0.04 + 0.12 - 0.01), (9.0, 0.04 + 0.4 - 0.01), (-7.0, 0.04 - 0.24 - 0.01), (None, 0.04 - 0.01)],
)
def test_the_checkpoint_score_weighs_return_clipped_sharpe_ratio_and_drawdown(
    sharpe: float | None, expected: float
) -> None:
    metrics = {"total_return": 0.1, "sharpe_ratio": sharpe, "max_drawdown": 0.05}
    assert checkpoint_score(metrics) == pytest.approx(expected, abs=1e-12)  # another order of adding


def test_a_folder_with_anything_but_a_model_is_not_written_to(tmp_path: Path) -> None:
    check_model_folder(tmp_path / "new", resume=False)
    check_model_folder(tmp_path, resume=False)
    (tmp_path / "thesis.txt").touch()
    for resume in (False, True):
        with pytest.raises(CheckpointError, match=r"'thesis\.txt', which is no part of a model"):
            check_model_folder(tmp_path, resume)
        with pytest.raises(CheckpointError, match="is a file"):
            check_model_folder(tmp_path / "thesis.txt", resume)


def test_an_unfinished_training_is_overwritten_by_nobody(tmp_path: Path) -> None:
    interrupt(tmp_path / "model", CtrlC(1))
    check_model_folder(tmp_path / "model", resume=True)
    with pytest.raises(CheckpointError, match=r"go on with --resume, or remove .*training to start again"):
        check_model_folder(tmp_path / "model", resume=False)


@pytest.mark.parametrize("name", [WEIGHTS, HISTORY, MANIFEST])
def test_what_a_killed_process_left_half_written_does_not_stop_a_resume(
    tmp_path: Path, reference: Model, name: str
) -> None:
    out = tmp_path / "model"
    interrupt(out, CtrlC(3))
    for leftover in (out / f"{name}.new", out / FOLDER / f"{FILE}.new"):
        leftover.write_bytes(b"half")
    check_model_folder(out, resume=True)
    assert train_model(out, resume=True).hash == reference.hash
    assert sorted(path.name for path in out.iterdir()) == sorted([WEIGHTS, HISTORY, MANIFEST])
    assert load_model(out).hash == reference.hash


def test_with_episodes_changes_the_episodes_alone() -> None:
    assert with_episodes(SMALL, None) is SMALL
    assert with_episodes(SMALL, 9).episodes == 9
    assert with_episodes(SMALL, 9).to_dict() | {"episodes": 3} == SMALL.to_dict()


def test_each_episode_goes_on_with_the_random_numbers_of_the_one_before(tmp_path: Path) -> None:
    listener = Listener()
    # With learning switched off, only the noise can make episodes differ.
    train_model(tmp_path / "model", listener, actor_rate=0.0, controller_rate=0.0)
    assert all(first.equity != second.equity for first, second in pairwise(listener.reports))


def test_a_training_that_diverges_stops_and_says_so(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "model")
    with torch.no_grad():
        trainer.ensemble.critic.weights[0].fill_(math.inf)
    with pytest.raises(ConfigError, match="training diverged in episode 1"):
        trainer.run()


def test_patience_runs_out_at_a_validation_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored(monkeypatch, 2.0, 1.0, 1.0, 1.0)
    model = train_model(tmp_path / "model", episodes=20, validation_every=2, patience=3)
    # The best is in episode 2; patience is over after 5, the next validation is in 6.
    assert model.manifest["episodes_trained"] == 6


def test_static_weights_are_uniform_and_leave_the_controller_as_it_was(tmp_path: Path) -> None:
    listener = Listener()
    model = train_model(tmp_path / "model", listener, controlled=False)
    trained, before = tensors_of(model), make_trainer(tmp_path / "other", controlled=False).ensemble.state_dict()
    for name, tensor in before.items():
        assert torch.equal(trained[f"ensemble.{name}"], tensor) == name.startswith("controller"), name
    assert [report.agents_in_use for report in listener.reports] == pytest.approx([10.0] * 3)
    assert all(math.isnan(report.controller_loss) for report in listener.reports)


def test_with_update_every_changes_that_alone_and_only_where_it_means_something() -> None:
    assert with_update_every(SMALL, None) is SMALL
    assert with_update_every(SMALL, 4) == replace(SMALL, update_every=4)
    with pytest.raises(ConfigError, match=r"^--update-every is for .*, and marsfolio does not$"):
        with_update_every(settings_of("marsfolio"), 4)


def test_updates_come_at_their_interval(tmp_path: Path) -> None:
    losses = []

    class Counter(Silence):
        def step(self, episode: int, done: int, total: int, latest: Losses | None) -> None:
            losses.append(latest)

    train_model(tmp_path / "model", Counter(), episodes=1, update_every=7)
    # 29 steps; the replay holds a batch of 16 after the 16th.
    assert [k + 1 for k in range(1, len(losses)) if losses[k] is not losses[k - 1]] == [21, 28]
