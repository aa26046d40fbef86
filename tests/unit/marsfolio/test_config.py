"""--config: what a TOML file may say, what it may not, and who wins."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
import tomli_w
import typer
from typer.testing import CliRunner

from engine.errors import ConfigError
from marsfolio.config import ConfigOption, resolved


class Fill(StrEnum):
    OPEN = "next_open"
    CLOSE = "next_close"


@pytest.fixture
def seen() -> dict[str, Any]:
    return {}


@pytest.fixture
def app(seen: dict[str, Any]) -> typer.Typer:
    app, data = typer.Typer(), typer.Typer()

    @app.command()
    def backtest(
        ctx: typer.Context,
        out: Annotated[Path, typer.Option()],
        cash: Annotated[float, typer.Option(min=0)] = 1e6,
        seed: int = 1,
        fractional: bool = False,
        start: str | None = None,
        fill: Fill = Fill.OPEN,
        names: Annotated[list[str] | None, typer.Option()] = None,
        config: ConfigOption = None,
    ) -> None:
        seen.update(resolved(ctx))

    @data.command()
    def check(ctx: typer.Context, data: str = "none", config: ConfigOption = None) -> None:
        seen.update(resolved(ctx))

    app.add_typer(data, name="data")
    return app


def run(app: typer.Typer, tmp_path: Path, text: str, *arguments: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    result = CliRunner().invoke(app, [*(arguments or ["backtest"]), "--config", str(file)])
    if result.exception is not None:
        raise result.exception


def test_a_file_says_what_flags_can_say(app: typer.Typer, seen: dict[str, Any], tmp_path: Path) -> None:
    text = """[backtest]
    out = "runs/a"
    cash = 5000
    seed = 7
    fractional = true
    start = 2017-01-03
    fill = "next_close"
    names = ["NA", "0005.HK"]
    """
    run(app, tmp_path, text)
    assert seen == {
        "out": str(Path("runs/a").absolute()),
        "cash": 5000.0,
        "seed": 7,
        "fractional": True,
        "start": "2017-01-03",
        "fill": "next_close",
        "names": ["NA", "0005.HK"],
    }


def test_a_flag_wins_over_the_file(app: typer.Typer, seen: dict[str, Any], tmp_path: Path) -> None:
    run(app, tmp_path, '[backtest]\nout = "a"\ncash = 5.0\nseed = 3', "backtest", "--cash", "6")
    assert (seen["cash"], seen["seed"]) == (6.0, 3)


def test_resolved_options_come_back_from_toml_unchanged(app: typer.Typer, seen: dict[str, Any], tmp_path: Path) -> None:
    run(app, tmp_path, '[backtest]\nout = "a"\ncash = 0.1\nfill = "next_close"')
    first = dict(seen)
    seen.clear()
    run(app, tmp_path, tomli_w.dumps({"format_version": 1, "kind": "x", "backtest": first, "provenance": {"seed": 1}}))
    assert seen == first
    assert tomllib.loads(tomli_w.dumps(first)) == first


def test_a_required_option_may_come_from_the_file_and_is_missed_when_it_does_not(
    app: typer.Typer, tmp_path: Path
) -> None:
    run(app, tmp_path, '[backtest]\nout = "a"')
    with pytest.raises(SystemExit, match="2"):
        run(app, tmp_path, "[backtest]\ncash = 1.0")


def test_nested_commands_have_nested_tables(app: typer.Typer, seen: dict[str, Any], tmp_path: Path) -> None:
    run(app, tmp_path, '[data.check]\ndata = "bars.csv"', "data", "check")
    assert seen == {"data": "bars.csv"}


def test_tables_of_other_commands_are_passed_over(app: typer.Typer, seen: dict[str, Any], tmp_path: Path) -> None:
    run(app, tmp_path, "[backtest]\nwhatever = 1", "data", "check")
    assert seen == {"data": "none"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[backtset]\ncash = 1.0", ["c.toml, line 1: unknown table or key 'backtset'", "did you mean 'backtest'"]),
        ("[data.chekc]", ["data.chekc", "did you mean 'check'"]),
        ("[backtest]\ncsh = 1.0", ["c.toml, line 2: [backtest] has no key 'csh'", "did you mean 'cash'"]),
        ("[backtest]\ncommission-bps = 1.0", ["has no key 'commission-bps'", "known are out, cash"]),
        ("[backtest]\nconfig = 'x'", ["has no key 'config'"]),
        ("cash = 1.0", ["cash must stand in a table", "[backtest]"]),
        ("backtest = 3", ["backtest must be a table", "was 3"]),
        ("[backtest]\ncash = '1000'", ["c.toml, line 2: [backtest] cash must be a number", "was '1000'"]),
        ("[backtest]\ncash = true", ["cash must be a number", "was True"]),
        ("[backtest]\nseed = 1.5", ["seed must be a whole number", "was 1.5"]),
        ("[backtest]\nfractional = 1", ["fractional must be true or false", "was 1"]),
        ("[backtest]\nout = 1", ["out must be text in quotes", "was 1"]),
        ("[backtest]\nfill = 'open'", ["fill must be one of 'next_open', 'next_close'", "was 'open'"]),
        ("[backtest]\nnames = [1]", ["names must be a list, each item text in quotes"]),
        ("[backtest]\nnames = 'A'", ["names must be a list"]),
        ("[backtest]\ncash = \n", ["not valid TOML", "line 2, column 8"]),
        ("format_version = 2", ["format_version is 2", "update"]),
        ("format_version = 'x'", ["format_version must be a positive integer, was 'x'"]),
    ],
)
def test_what_a_file_may_not_say_is_refused_by_name(
    app: typer.Typer, tmp_path: Path, text: str, parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        run(app, tmp_path, text)
    for part in [str(tmp_path / "c.toml"), *parts]:
        assert part in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_the_file(app: typer.Typer, seen: dict[str, Any], tmp_path: Path) -> None:
    run(app, tmp_path, '\ufeff[backtest]\r\nout = "a"\r\nseed = 9\r\n')
    assert seen["seed"] == 9


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_is_missing_or_not_text_is_refused(app: typer.Typer, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "c.toml"
    if content is not None:
        file.write_bytes(content)
    result = CliRunner().invoke(app, ["backtest", "--config", str(file)])
    assert isinstance(result.exception, ConfigError)
    assert str(file) in str(result.exception)
