"""`marsfolio init`: a project whose README's commands run as they stand there."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from marsfolio.cli import main

SMALL = "--setting published --episodes 1 --train 2010-01-04:2010-05-28 --validation 2010-06-01:2010-07-30 --threads 1"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(line))
    return int(stop.value.code or 0)


def test_every_command_of_its_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("init my-fund") == 0
    monkeypatch.chdir(tmp_path / "my-fund")
    text = Path("README.md").read_text()
    assert text.startswith("# my-fund\n")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(lines) == 10
    for line in lines:
        command = line.removeprefix("marsfolio ")
        # The model of the project takes minutes: the same command, told to be small.
        assert run(f"{command} {SMALL}" if command.startswith("train") else f"{command}") == 0, line
    assert {path.name for path in Path("runs").iterdir()} == {"backtest", "equal", "model", "compared.html"}
    assert "runs below runs" in capsys.readouterr().out


def test_its_symbols_are_the_same_everywhere() -> None:
    assert run("init fund") == 0
    tables = tomllib.loads(Path("fund/config.toml").read_text())
    universe = [line.split(",")[0] for line in Path("fund/universe.csv").read_text().splitlines()[2:]]
    for name in ("train", "paper"):
        assert tables[name]["symbols"].split(",") == universe
    assert tables["backtest"]["universe"] == "universe.csv"


def test_a_folder_with_anything_in_it_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").mkdir()
    assert run("init taken") == 0
    assert run("init taken") == 2
    assert "taken is not empty (it has README.md)" in capsys.readouterr().err
    Path("file").touch()
    assert run("init file") == 2
    assert "file is a file" in capsys.readouterr().err
