"""What a training says on a screen, and where there is none."""

from __future__ import annotations

import pytest

from agents.reporting import Losses
from marsfolio.cli.progress import TrainingProgress


def train_parts() -> None:
    with TrainingProgress(7) as progress:
        for name, steps in (("actors", 7), ("critics", 20)):
            for done in range(1, steps + 1):
                progress.part(name, done, steps)


def test_without_a_screen_each_part_of_a_training_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    train_parts()
    assert capsys.readouterr().err.splitlines() == ["actors trained in 7 steps", "critics trained in 20 steps"]


def test_on_a_screen_each_part_has_a_bar_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    train_parts()
    shown = capsys.readouterr().err
    assert "7/7" in shown
    assert "20/20" in shown
    assert "trained in" not in shown
    assert "episode" not in shown


def test_a_resumed_training_counts_the_time_left_from_where_it_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    with TrainingProgress(3) as progress:
        progress.step(3, 1, 5, None)
        progress.step(3, 5, 5, Losses(0.25, 0.5, 0.75))
    shown = capsys.readouterr().err
    assert "episode 3/3" in shown
    assert "5/5" in shown
    assert "loss: actor 0.25 critic 0.5 safety 0.75 validation -" in shown
