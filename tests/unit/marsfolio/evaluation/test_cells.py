from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluations import TINY, cell_of, write_bars

from agents import settings
from engine.costs import Costs
from engine.errors import DataError, RunFolderError
from engine.limits import Limits
from marsfolio.evaluation import cells
from marsfolio.evaluation.cells import MAIN, SAME_EXPOSURE, SAME_VOLATILITY, UNTRAINED, Outcome, compute, read
from marsfolio.evaluation.methods import Method

EQUAL = "equal_weight:monthly"


@pytest.fixture(scope="module", autouse=True)
def _tiny() -> None:
    settings.SETTINGS.setdefault("tiny", TINY)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """Return a computed cell of the tiny ensemble, and the evaluation's folder."""
    folder = tmp_path_factory.mktemp("cells")
    cell = cell_of(folder / "out", write_bars(folder / "bars.csv"), "tiny")
    compute(cell)
    outcome = read(cell)
    assert outcome is not None
    return outcome, folder


def test_all_that_determines_a_result_is_in_the_name_of_its_folder(tmp_path: Path) -> None:
    data = write_bars(tmp_path / "bars.csv")
    cell = cell_of(tmp_path, data, "tiny")
    assert cell.folder.name.startswith("one-tiny-seed0-")
    others = [
        replace(cell, seed=1),
        replace(cell, null_paths=6),
        replace(cell, data_hash="0"),
        replace(cell, method=Method("tiny", replace(TINY, episodes=3))),
        replace(cell, terms=replace(cell.terms, costs=Costs(20.0))),
        replace(cell, terms=replace(cell.terms, limits=Limits(0.3, 0.05))),
        replace(cell, periods=replace(cell.periods, test=("2020-03-11", "2020-04-01"))),
        replace(cell, periods=replace(cell.periods, train=("2020-02-27", "2020-04-06"))),
        cell_of(tmp_path, data, EQUAL),
        cell_of(tmp_path, data, "equal_weight"),
    ]
    assert len({one.digest for one in (cell, *others)}) == len(others) + 1
    assert len({one.configuration for one in (cell, *others)}) == 6  # seeds, data and windows are not of the method
    assert replace(cell, out=tmp_path / "x", data=None, periods=replace(cell.periods, name="x")).digest == cell.digest


def test_bars_after_the_test_window_change_nothing(tmp_path: Path) -> None:
    one, other = (cell_of(tmp_path, write_bars(tmp_path / f"{row}.csv", changed_from=row), EQUAL) for row in (130, 160))
    assert one.digest == other.digest
    inside = cell_of(tmp_path, write_bars(tmp_path / "inside.csv", changed_from=129), EQUAL)
    assert inside.digest != one.digest


def test_training_does_not_see_the_test_window(learned: tuple[Outcome, Path], tmp_path: Path) -> None:
    other = cell_of(tmp_path / "out", write_bars(tmp_path / "bars.csv", changed_from=90), "tiny")
    compute(other)
    outcome = read(other)
    assert outcome is not None
    assert outcome.facts["model_hash"] == learned[0].facts["model_hash"]
    assert not np.array_equal(outcome.tracks[MAIN].equity, learned[0].tracks[MAIN].equity)


def test_a_learned_cell_has_its_companions_and_each_agent_alone(learned: tuple[Outcome, Path]) -> None:
    outcome = learned[0]
    agents = [f"agent.agent_0{k}" for k in range(1, 5)]
    assert list(outcome.tracks) == [MAIN, UNTRAINED, SAME_VOLATILITY, SAME_EXPOSURE, *agents]
    assert outcome.tracks[MAIN].agent_weights.shape == (40, 4)
    assert [episode for episode, _ in outcome.curve] == [1, 2]
    assert 0.0 <= outcome.null["null_percentile"] <= 1.0
    metrics = {name: track.metrics for name, track in outcome.tracks.items()}
    matched, own = metrics[SAME_VOLATILITY]["annual_volatility"], metrics[MAIN]["annual_volatility"]
    assert matched == pytest.approx(own, rel=1e-3)  # the search stops at 1e-4, and shares are whole
    assert metrics[SAME_EXPOSURE]["mean_exposure"] == pytest.approx(metrics[MAIN]["mean_exposure"], rel=1e-3)


def test_costs_and_exposure_are_those_of_the_track(learned: tuple[Outcome, Path]) -> None:
    track = learned[0].tracks[MAIN]
    assert track.cost.sum() == pytest.approx(track.metrics["total_commission"])
    assert track.cost == pytest.approx(1e-3 * track.traded)  # 10 basis points
    assert track.metrics["cost_share"] == pytest.approx(track.cost.sum() / 1e6)
    assert track.metrics["annual_traded"] == pytest.approx(2 * track.metrics["annual_turnover"])
    assert track.metrics["mean_exposure"] == pytest.approx(track.exposure[1:].mean())


def test_data_that_changes_under_way_stops_it(tmp_path: Path) -> None:
    cell = replace(cell_of(tmp_path, write_bars(tmp_path / "bars.csv"), EQUAL), data_hash="0")
    with pytest.raises(DataError, match="has changed since the evaluation began"):
        compute(cell)
    assert read(cell) is None


def test_a_cell_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cell_of(tmp_path, write_bars(tmp_path / "bars.csv"), EQUAL)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cells.np, "savez_compressed", killed)
        with pytest.raises(KeyboardInterrupt):
            compute(cell)
    assert read(cell) is None
    assert len(list((tmp_path / "cells").iterdir())) == 1
    cells.clean(tmp_path)
    assert list((tmp_path / "cells").iterdir()) == []
    compute(cell)
    assert read(cell) is not None


def test_a_damaged_cell_is_refused_with_what_to_do(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, write_bars(tmp_path / "bars.csv"), EQUAL)
    compute(cell)
    (cell.folder / "arrays.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(RunFolderError, match=r"is damaged .* remove it, and it is computed again"):
        read(cell)
