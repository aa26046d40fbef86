"""--json, --quiet, --verbose and --config: on every command, and what they do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from engine.result import Result
from marsfolio.cli import app, main
from marsfolio.cli.everywhere import add_flags
from marsfolio.runs import write_run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def runs(result: Result) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        options = {"out": name, "cash": 100_000.0, "strategy": name}
        write_run(Path(name), "backtest", result, "backtest", options, {"seed": seed, "data_hash": "d" * 64})


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    return int(stop.value.code or 0)


def said(line: str, capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    assert run(line) == code
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def commands(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{above}{name} ")
        else:
            yield above + name, command


def test_every_command_takes_the_flags_that_all_take() -> None:
    root = typer.main.get_command(app)
    add_flags(root)
    for name, command in commands(root):
        flags = {text for parameter in command.params for text in parameter.opts}
        wanted = {"--json", "--quiet", "--verbose"} | (set() if name == "config show" else {"--config"})
        assert wanted <= flags, name


def test_json_is_all_that_stdout_holds(runs: None, capsys: pytest.CaptureFixture[str]) -> None:
    found = said("compare a b --out ab.html --json", capsys)
    assert found["metrics"]["a"]["n_fills"] == found["metrics"]["b"]["n_fills"]
    assert {row["run"] for row in found["tables"][0]["rows"]} == {"a"}
    assert found["messages"][-1] == "wrote ab.html"
    assert found["notes"]


def test_numbers_are_whole_in_json_and_undefined_ones_null(runs: None, capsys: pytest.CaptureFixture[str]) -> None:
    rows = said("trades a --json", capsys)["tables"][0]["rows"]
    assert len(rows) > 20
    assert isinstance(rows[0]["price"], float)
    costs = said("--json trades a --monthly-costs", capsys)["tables"][0]["rows"]
    assert costs[0]["month"] == "2019-06"
    assert 0 < costs[-1]["of mean equity"] < 1


def test_an_error_is_in_the_document_and_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report nowhere --json") == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"error": "nowhere is not a folder: give the folder of a run"}
    assert "error: nowhere is not a folder" in shown.err


def test_quiet_leaves_out_notes_and_keeps_results(runs: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare a b --out ab.html") == 0
    assert "note: " in capsys.readouterr().out
    assert run("compare a b --out ab.html --quiet") == 0
    shown = capsys.readouterr()
    assert "note: " not in shown.out
    assert "Sharpe ratio" in shown.out
    assert shown.err == ""


def test_verbose_shows_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    line = "backtest --strategy equal_weight --start 2022-11-01 --null-paths 0 --out r"
    assert run(line) == 0
    assert "run written" not in capsys.readouterr().err
    assert run(f"{line} --verbose") == 0
    assert "INFO: run written to r" in capsys.readouterr().err


def test_no_control_codes_reach_a_pipe(
    runs: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in ("compare a b --out ab.html", "trades a", "check-lookahead --strategy equal_weight --start 2022-12-01"):
        assert run(line) == 0
        shown = capsys.readouterr()
        assert "\x1b" not in shown.out + shown.err
        assert "\r" not in shown.out + shown.err


TOML = """
[backtest]
strategy = "equal_weight"

[paper]
max_orders = 7
"""


def test_config_show_says_where_each_value_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    Path("c.toml").write_text(TOML)
    rows = said("config show backtest --config c.toml --cash 5000 --json", capsys)["tables"][0]["rows"]
    found = {row["key"]: (row["value"], row["from"]) for row in rows}
    assert found["strategy"] == ("equal_weight", "c.toml, line 3")
    assert found["cash"] == (5000.0, "flag")
    assert found["fill"] == ("next_open", "default")
    assert found["out"] == (None, "default")


def test_config_show_of_a_file_shows_its_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("c.toml").write_text(TOML)
    monkeypatch.setenv("MARSFOLIO_DATABASE", "postgresql://me:secret@here/db")
    tables = said("config show --config c.toml --json", capsys)["tables"]
    assert [table["title"] for table in tables] == ["[backtest]", "[paper.once]"]
    found = {row["key"]: (row["value"], row["from"]) for row in tables[1]["rows"]}
    assert found["max_orders"] == (7, "c.toml, line 6")
    assert found["database"] == ("***", "environment")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("config show bakctest", "no such command, did you mean 'backtest'"),
        ("config show data", "COMMAND: no such command; known are"),
        ("config show", "name a command, as in marsfolio config show backtest, or a file"),
        ("config show backtest --csh 5", "No such option"),
    ],
)
def test_what_config_show_cannot_show_is_refused(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line) == 2
    assert message in capsys.readouterr().err
