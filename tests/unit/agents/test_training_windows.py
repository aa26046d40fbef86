"""Which sessions a training may see, and which of them change its model."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import TRAIN, VALIDATION, make_panel, make_trainer, same_weights, train_model, with_rows

from agents.checkpoint import Model
from agents.training import Window
from engine.errors import ConfigError
from engine.panel import MarketPanel


@pytest.mark.parametrize("first", [TRAIN.first, TRAIN.last])
def test_a_validation_window_inside_the_training_window_is_refused(tmp_path: Path, first: int) -> None:
    with pytest.raises(ConfigError, match=r"validation window begins on .* that ends on 2020-04-07: begin it later"):
        make_trainer(tmp_path / "model", validation=Window(first, 84))


def test_a_validation_window_before_the_training_window_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="begin it later"):
        make_trainer(tmp_path / "model", train=Window(60, 85), validation=Window(40, 55))


def test_a_validation_window_of_one_session_is_refused_before_any_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="validation window"):
        make_trainer(tmp_path / "model", validation=Window(70, 70))
    assert not (tmp_path / "model").exists()


def test_a_validation_window_of_two_sessions_is_enough(tmp_path: Path) -> None:
    model = train_model(tmp_path / "model", validation=Window(70, 71), episodes=1)
    assert math.isfinite(model.manifest["best_score"])


def test_a_training_window_without_room_for_one_batch_is_refused(tmp_path: Path) -> None:
    make_trainer(tmp_path / "model", train=Window(50, 66))
    with pytest.raises(ConfigError, match=r"the training window has 16 sessions .* more than 16"):
        make_trainer(tmp_path / "model", train=Window(51, 66))


def test_the_training_window_begins_where_the_features_do(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "model", train=Window(0, 69))
    assert trainer._identity()["train"] == [str(day) for day in make_panel().sessions[[39, 69]]]
    assert not np.isnan(trainer._env._features.values).any()
    with pytest.raises(ConfigError, match="the training window has 1 sessions after the first 39 of the data"):
        make_trainer(tmp_path / "model", train=Window(0, 39))
    with pytest.raises(ConfigError, match="the training window has 0 sessions after the first 39 of the data"):
        make_trainer(tmp_path / "model", train=Window(0, 20))


def test_history_before_the_training_window_is_used_for_its_first_features(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "model", train=Window(45, 69))
    assert trainer._identity()["train"][0] == str(make_panel().sessions[45])


@pytest.mark.parametrize("what", ["changed", "cut off"])
def test_bars_after_the_validation_window_do_not_change_the_model(tmp_path: Path, reference: Model, what: str) -> None:
    panel = make_panel()
    after = slice(VALIDATION.last + 1, None)
    other: MarketPanel = with_rows(panel, after, 3.0) if what == "changed" else panel.rows(0, VALIDATION.last + 1)
    assert len(panel) > VALIDATION.last + 1
    model = train_model(tmp_path / "model", panel=other)
    assert model.hash == reference.hash
    assert same_weights(model, reference)


def test_bars_of_the_validation_window_choose_the_model_and_never_train_it(tmp_path: Path) -> None:
    ensembles = []
    for factor in (1.0, 1.5):
        trainer = make_trainer(tmp_path / str(factor), with_rows(make_panel(), slice(75, None), factor))
        trainer.run()
        ensembles.append(trainer.ensemble.state_dict())
    assert all(torch.equal(ensembles[0][name], ensembles[1][name]) for name in ensembles[0])


def test_bars_of_the_training_window_do_change_the_model(tmp_path: Path, reference: Model) -> None:
    model = train_model(tmp_path / "model", panel=with_rows(make_panel(), slice(60, 61), 1.01))
    assert not same_weights(model, reference)


def test_an_untrained_policy_is_the_ensemble_before_its_first_step(tmp_path: Path, reference: Model) -> None:
    trainer = make_trainer(tmp_path / "model")
    initial = trainer.ensemble.state_dict()
    untrained = reference.untrained_policy()._ensemble.state_dict()
    assert all(torch.equal(initial[name], untrained[name]) for name in initial)
