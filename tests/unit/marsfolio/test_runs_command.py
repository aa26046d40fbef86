"""`marsfolio runs`: an index of run folders, tags, and differences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.result import Result
from marsfolio.cli import main
from marsfolio.runs import write_run


@pytest.fixture(autouse=True)
def folder(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    said: dict[str, Any] = {"cash": 100_000.0, "strategy": "/home/me/mine.py:Cross"}
    write_run(Path("runs/one"), "backtest", result, "backtest", said, {"seed": 1, "data_hash": "d" * 64})
    said = {"cash": 50_000.0, "model": "/models/first", "agent": "agent_03"}
    write_run(Path("runs/deep/two"), "backtest", result, "backtest", said, {"seed": 2, "data_hash": "e" * 64})
    (tmp_path / "config.toml").write_text("[backtest]\ncash = 1.0\n")
    (tmp_path / "runs" / "models").mkdir()
    return tmp_path


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    return int(stop.value.code or 0)


def rows(line: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert run(f"{line} --json") == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["tables"][0]["rows"]
    return found


@pytest.mark.parametrize("line", ["runs", "runs .", "runs list ."])
def test_runs_are_listed_wherever_they_are_below(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = {row["run"]: row for row in rows(line, capsys)}
    assert set(found) == {"runs/one", "runs/deep/two"}
    assert (found["runs/one"]["strategy"], found["runs/deep/two"]["strategy"]) == (
        "mine.py:Cross",
        "model first agent_03",
    )
    metrics = json.loads(Path("runs/one/metrics.json").read_text())
    for name in ("start", "end", "sharpe_ratio", "total_return"):
        assert found["runs/one"][name] == metrics[name]
    assert run(line) == 0
    assert "2 runs below ." in capsys.readouterr().out


def test_tags_are_kept_in_the_run_shown_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("good", "better", "good"):
        assert run(f"runs tag runs/one {text}") == 0
    assert json.loads(Path("runs/one/tags.json").read_text()) == ["better", "good"]
    capsys.readouterr()
    assert [row["tags"] for row in rows("runs runs", capsys) if row["run"] == "one"] == [["better", "good"]]
    assert run("runs tag runs/one better --remove") == 0
    assert "runs/one: good" in capsys.readouterr().out
    assert run("runs tag runs/one better --remove") == 2
    assert "has no tag 'better'; it has good" in capsys.readouterr().err


def test_two_runs_differ_in_what_was_set_and_on_what(capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        (row["what"], row["name"]): (row["one"], row["other"])
        for row in rows("runs diff runs/one runs/deep/two", capsys)
    }
    assert found == {
        ("setting", "cash"): (100_000.0, 50_000.0),
        ("setting", "strategy"): ("/home/me/mine.py:Cross", None),
        ("setting", "model"): (None, "/models/first"),
        ("setting", "agent"): (None, "agent_03"),
        ("provenance", "seed"): (1, 2),
        ("provenance", "data_hash"): ("d" * 64, "e" * 64),
    }
    assert run("runs diff runs/one runs/one") == 0
    assert "0 differences" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("runs nowhere", "nowhere is not a folder"),
        ("runs tag runs good", "runs is not a run: it has no config.toml"),
        ("runs diff runs/one", "Missing argument"),
    ],
)
def test_what_is_no_run_is_refused(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line) == 2
    assert message in capsys.readouterr().err
