"""Figures: which files a run gets, their size, and that drawing them leaves the process as it was."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import RunFolderError
from marsfolio.cli import main
from marsfolio.report.figures import write_figures
from marsfolio.runs import open_run, write_run

ALL = ["equity", "drawdown", "monthly_returns", "rolling", "holdings"]


def figures(folder: Path, result: Any, **more: Any) -> list[str]:
    write_run(folder, "backtest", result, "backtest", {}, {}, **more)
    return [path.stem for path in write_figures(open_run(folder))]


def test_the_main_figures_are_1600_by_900_and_the_same_each_time(run_folder: Path) -> None:
    pyplot_was_there = "matplotlib.pyplot" in sys.modules
    written = write_figures(open_run(run_folder))
    first = [path.read_bytes() for path in written]
    assert written == [run_folder / "figures" / f"{name}.png" for name in ALL]
    assert sorted(path.name for path in (run_folder / "figures").iterdir()) == sorted(f"{name}.png" for name in ALL)
    for path in written:
        header = path.read_bytes()[:24]
        assert header[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", header[16:]) == (1600, 900)
    assert [path.read_bytes() for path in write_figures(open_run(run_folder))] == first
    assert ("matplotlib.pyplot" in sys.modules) == pyplot_was_there


def test_a_run_that_decided_once_shows_what_it_holds_at_the_end(make_result: Any, tmp_path: Path) -> None:
    assert figures(tmp_path / "run", make_result(every=1000)) == ALL


def test_a_short_run_without_fills_has_neither_rolling_risk_nor_holdings(make_result: Any, tmp_path: Path) -> None:
    values = np.array([np.nan, 1.0])
    found = figures(tmp_path / "run", make_result(n_sessions=2, every=0), benchmark=values)
    assert found == ["equity", "drawdown", "monthly_returns"]


def test_a_run_of_one_session_has_no_figures(make_result: Any, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="figures need two"):
        figures(tmp_path / "run", make_result(n_sessions=1))


def test_a_place_that_cannot_be_written_is_named(run_folder: Path) -> None:
    (run_folder / "figures").write_text("in the way")
    with pytest.raises(RunFolderError, match=r"cannot write .*figures/equity\.png"):
        write_figures(open_run(run_folder))


def test_the_command_names_every_file_and_draws_only_on_demand(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags, n_lines in (([], 1), (["--png"], 6)):
        with pytest.raises(SystemExit) as stop:
            main(["report", str(run_folder), *flags])
        assert stop.value.code == 0
        assert len(capsys.readouterr().out.splitlines()) == n_lines
        assert (run_folder / "figures").exists() == bool(flags)
