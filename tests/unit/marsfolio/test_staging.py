"""What becomes of a run folder when its writer is killed, or not alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import RunFolderError
from marsfolio.runs import recording
from marsfolio.staging import claimed, mend, staging_folder, swap

KEEP = ("model",)


class Killed(BaseException):
    """The process ends here: nothing after it runs."""


def make(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(content)
    return folder


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("survived", [0, 1, 2])
def test_a_swap_cut_short_after_any_rename_is_finished_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    place = make(tmp_path / "run", "old")
    make(place / "model", "trained")
    new = make(staging_folder(place), "new")
    rename, renames = Path.rename, iter(range(10))

    def dying(self: Path, target: Path) -> Path:
        if next(renames) == survived:
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying)
        with pytest.raises(Killed):
            swap(new, place, KEEP)
    mend(place, KEEP)
    assert entries(tmp_path) == ["run"]
    # Before the first rename nothing has happened to the old run; after it the new one is complete and wins.
    assert (place / "config.toml").read_text() == ("old" if survived == 0 else "new")
    assert (place / "model" / "config.toml").read_text() == "trained"


def test_a_run_moved_away_without_a_new_one_comes_back(tmp_path: Path) -> None:
    make(tmp_path / ".run.old-12345678", "old")
    mend(tmp_path / "run", KEEP)
    assert entries(tmp_path) == ["run"]


def test_a_half_written_run_is_removed_and_other_runs_leftovers_are_not(tmp_path: Path) -> None:
    make(tmp_path / ".run.new-12345678", "half")
    make(tmp_path / ".run2.new-12345678", "half")
    mend(tmp_path / "run", KEEP)
    assert entries(tmp_path) == [".run2.new-12345678"]


def test_a_second_writer_of_the_same_run_is_refused_at_once(tmp_path: Path) -> None:
    with recording(tmp_path / "run", "backtest"):
        with (
            pytest.raises(RunFolderError, match="another marsfolio is writing"),
            recording(tmp_path / "run", "backtest"),
        ):
            pass
        with recording(tmp_path / "other", "backtest"):
            pass
    assert entries(tmp_path) == []


def test_a_claim_ends_with_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with claimed(tmp_path / "run", tmp_path / "lock"):
            pass


@pytest.mark.parametrize("out", [".", "..", ""])
def test_the_folder_one_is_in_is_no_place_for_a_run(out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(RunFolderError, match="is the folder you are in, or above it"), recording(Path(out), "backtest"):
        pass
