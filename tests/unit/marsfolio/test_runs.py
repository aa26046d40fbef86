"""Run folders: complete, unrounded, replaced whole, and refused where they would do harm."""

from __future__ import annotations

import json
import logging
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.errors import InputError, RunFolderError
from engine.ledger import FillTiming
from engine.result import Result
from marsfolio import runs
from marsfolio.runs import SAME_CLOSE_REMARK, check_out, open_run, recording, write_report, write_run

FILES = {
    "config.toml",
    "equity.csv",
    "trades.csv",
    "cash_flows.csv",
    "round_trips.csv",
    "decisions.parquet",
    "metrics.json",
    "report.html",
    "marsfolio.log",
}


def write(out: Path, result: Result, kind: str = "backtest", **more: Any) -> None:
    write_run(out, kind, result, "backtest", {"out": str(out)}, {"seed": 7, "model_hash": None}, **more)


def test_a_run_has_every_file_of_the_format_and_nothing_else(run_folder: Path) -> None:
    assert {entry.name for entry in run_folder.iterdir()} == FILES
    assert [entry.name for entry in run_folder.parent.iterdir()] == ["run"]


def test_everything_read_back_equals_the_result(run_folder: Path, result: Result) -> None:
    run = open_run(run_folder)
    pd.testing.assert_frame_equal(run.equity, result.equity_table(np.linspace(50, 60, 300)), check_exact=True)
    pd.testing.assert_frame_equal(run.trades, result.trades.table(), check_exact=True, check_dtype=False)
    pd.testing.assert_frame_equal(run.round_trips, result.round_trip_table(), check_exact=True, check_dtype=False)
    pd.testing.assert_frame_equal(run.decisions, result.decision_table(), check_exact=True, check_dtype=False)
    assert run.cash_flows.empty
    assert run.metrics == result.metrics()
    assert list(run.metrics) == list(result.metrics())


def test_config_says_format_kind_options_seed_and_versions(run_folder: Path) -> None:
    config = tomllib.loads((run_folder / "config.toml").read_text())
    assert (config["format_version"], config["kind"]) == (1, "backtest")
    assert config["backtest"] == {"out": str(run_folder), "cash": 100_000.0}
    assert config["provenance"]["seed"] == 7
    versions = config["provenance"]["versions"]
    assert set(versions) == {"python", "marsfolio", "numpy", "pandas", "backtrader", "torch", "numba"}
    assert versions["numpy"] == np.__version__


def test_undefined_metrics_are_null(make_result: Any, tmp_path: Path) -> None:
    write(tmp_path / "run", make_result(n_sessions=1))
    text = (tmp_path / "run" / "metrics.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["sharpe_ratio"] is None


def test_a_metric_that_is_not_finite_is_null(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Result, "metrics", lambda _: {"sharpe_ratio": math.nan, "calmar_ratio": np.float64(math.inf)})
    write(tmp_path / "run", result)
    assert open_run(tmp_path / "run").metrics == {"sharpe_ratio": None, "calmar_ratio": None}


def test_a_run_without_fills_can_be_read(make_result: Any, tmp_path: Path) -> None:
    write(tmp_path / "run", make_result(n_sessions=1))
    run = open_run(tmp_path / "run")
    assert len(run.trades) == len(run.round_trips) == 0
    assert run.trades["price"].dtype == np.float64


def test_a_benchmark_may_have_gaps(make_result: Any, tmp_path: Path) -> None:
    values = np.array([math.nan, 0.1 + 0.2, 3.0])
    write(tmp_path / "run", make_result(n_sessions=3), benchmark=values)
    np.testing.assert_array_equal(open_run(tmp_path / "run").equity["benchmark"], values)


def test_same_close_is_flagged_as_optimistic(make_result: Any, tmp_path: Path) -> None:
    write(tmp_path / "run", make_result(timing=FillTiming.SAME_CLOSE), remarks=["mine", SAME_CLOSE_REMARK])
    remarks = open_run(tmp_path / "run").remarks
    assert remarks.count(SAME_CLOSE_REMARK) == 1
    assert remarks[-1] == "mine"


def test_the_same_run_writes_the_same_bytes(result: Result, tmp_path: Path) -> None:
    contents = []
    for _ in range(2):
        write(tmp_path / "run", result)
        contents.append({name: (tmp_path / "run" / name).read_bytes() for name in FILES})
    assert contents[0] == contents[1]


def test_a_run_of_the_same_kind_is_replaced_and_what_shall_stay_stays(result: Result, tmp_path: Path) -> None:
    out = tmp_path / "run"
    write(out, result)
    for name in ("model", "stale"):
        (out / name).mkdir()
        (out / name / "file").write_text(name)
    write(out, result, keep=("model", "absent"))
    assert {entry.name for entry in out.iterdir()} == {*FILES, "model"}
    assert (out / "model" / "file").read_text() == "model"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_a_kept_folder_may_be_there_before_the_run(result: Result, tmp_path: Path) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    with pytest.raises(RunFolderError, match="not a finished run"):
        check_out(tmp_path / "run", "demo")
    write(tmp_path / "run", result, "demo", keep=("model",))
    assert (tmp_path / "run" / "model").is_dir()


def test_a_link_to_a_run_stays_a_link(run_folder: Path, result: Result) -> None:
    link = run_folder.with_name("link")
    link.symlink_to(run_folder)
    (run_folder / "stale").write_text("")
    write(link, result)
    assert link.is_symlink()
    assert not (run_folder / "stale").exists()


@pytest.mark.parametrize("place", ["", "file", "other", "damaged", "file/run"])
def test_other_places_are_refused_by_name_and_left_alone(run_folder: Path, place: str) -> None:
    folder = run_folder.parent
    (folder / "file").write_text("mine")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "config.toml").write_text("kind = ")
    run_folder.rename(folder / "other")
    kind = "demo" if place == "other" else "backtest"
    with pytest.raises(RunFolderError) as refused:
        check_out(folder / place, kind)
    assert str(folder / place) in str(refused.value)
    assert "choose another --out" in str(refused.value)
    assert (folder / "file").read_text() == "mine"


def test_new_empty_and_earlier_places_are_fine(run_folder: Path) -> None:
    (run_folder.parent / "empty").mkdir()
    for place in ("new", "new/deeper", "empty", "run"):
        check_out(run_folder.parent / place, "backtest")
    assert not (run_folder.parent / "new").exists()


def fail(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["write_report", "_copy_log"])
def test_when_writing_fails_the_earlier_run_is_still_there(
    run_folder: Path, result: Result, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = {path.name: path.read_bytes() for path in run_folder.iterdir()}
    monkeypatch.setattr(runs, step, fail)
    with pytest.raises(RunFolderError, match="No space left on device"):
        write(run_folder, result)
    assert {path.name: path.read_bytes() for path in run_folder.iterdir()} == before
    assert [entry.name for entry in run_folder.parent.iterdir()] == ["run"]


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_when_the_exchange_fails_it_is_undone(
    run_folder: Path, result: Result, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    (run_folder / "model").mkdir()
    rename, calls = Path.rename, []

    def sometimes(self: Path, target: Path) -> Path:
        calls.append(target)
        return fail() if len(calls) == failing else rename(self, target)  # type: ignore[func-returns-value, return-value]

    monkeypatch.setattr(Path, "rename", sometimes)
    with pytest.raises(RunFolderError):
        write(run_folder, result, keep=("model",))
    assert {entry.name for entry in run_folder.iterdir()} == {*FILES, "model"}
    assert [entry.name for entry in run_folder.parent.iterdir()] == ["run"]


def test_the_log_of_a_recording_ends_in_the_run(result: Result, tmp_path: Path) -> None:
    with recording(tmp_path / "run", "backtest"):
        logging.getLogger("strategies").info("early")
        write(tmp_path / "run", result)
        write(tmp_path / "sub", result)
        logging.getLogger("strategies").info("late")
    log = (tmp_path / "run" / "marsfolio.log").read_text()
    assert "early" in log
    assert "late" in log
    assert "early" in (tmp_path / "sub" / "marsfolio.log").read_text()
    assert {entry.name for entry in tmp_path.iterdir()} == {"run", "sub"}


def test_the_log_stays_after_a_bug_and_goes_after_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(InputError), recording(tmp_path / "run", "backtest"):
        raise InputError("x")
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyError), recording(tmp_path / "run", "backtest"):
        raise KeyError("x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.marsfolio.log"]


def test_the_report_is_rebuilt_from_the_folder_alone(run_folder: Path) -> None:
    before = (run_folder / "report.html").read_bytes()
    (run_folder / "report.html").unlink()
    assert write_report(run_folder) == run_folder / "report.html"
    assert (run_folder / "report.html").read_bytes() == before


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not a folder"):
        open_run(tmp_path / "absent")
    with pytest.raises(RunFolderError, match=r"has no config\.toml"):
        open_run(tmp_path)
    for text, part in [("x =", "not valid TOML"), ("x = 1", "kind"), ("format_version = 99\nkind = 'a'", "99")]:
        (tmp_path / "config.toml").write_text(text)
        with pytest.raises(RunFolderError, match=part):
            open_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("equity.csv", None, "does not exist"),
        ("equity.csv", "", "cannot be read"),
        ("equity.csv", "session,equity\n", "has no column 'cash'"),
        ("equity.csv", "session,equity,cash,gross_exposure,turnover,drawdown\n", "has no rows"),
        ("equity.csv", "session,equity,cash,gross_exposure,turnover,drawdown\n2020-01-01,x,1,1,1,1\n", "numbers"),
        ("metrics.json", None, "does not exist"),
        ("metrics.json", "{", "cannot be read as JSON"),
        ("metrics.json", "[]", "must hold an object"),
        ("metrics.json", '{"sharpe_ratio": "x"}', "sharpe_ratio must be a number"),
        ("decisions.parquet", None, "does not exist"),
        ("decisions.parquet", "x", "cannot be read"),
    ],
)
def test_a_damaged_file_is_named(run_folder: Path, name: str, content: str | None, part: str) -> None:
    (run_folder / name).unlink()
    if content is not None:
        (run_folder / name).write_text(content)
    with pytest.raises(RunFolderError, match=part) as refused:
        write_report(run_folder)
    assert name in str(refused.value)
