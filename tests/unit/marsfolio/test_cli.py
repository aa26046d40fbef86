"""The command line: exit codes, messages, what is imported when, and the small commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from engine.errors import DataError, TemporaryError, TradingStopped
from engine.tradelog import FORMATS, read_table
from marsfolio.cli import app, main
from marsfolio.cli.trades import Format
from marsfolio.logs import run_log
from marsfolio.runs import open_run

HEAVY = ("numpy", "pandas", "torch", "numba", "backtrader", "plotly", "pyarrow", "jinja2", "skfolio")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run `report` with ``write_report`` failing, and return the exit code."""

    def fail(_: Path) -> Path:
        raise error

    monkeypatch.setattr("marsfolio.runs.write_report", fail)
    return run("report", "x")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.process
def test_importing_the_commands_imports_nothing_heavy() -> None:
    code = f"import marsfolio.cli, sys; print([name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.process
@pytest.mark.parametrize("command", [[], ["backtest"], ["data", "check"]])
def test_help_answers_at_once(command: list[str]) -> None:
    def seconds() -> float:
        # Processor time: on a busy machine the wall clock says more about its other work.
        before = os.times()
        subprocess.run([sys.executable, "-m", "marsfolio", *command, "--help"], capture_output=True, check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(3)) < 0.4


@pytest.mark.process
def test_a_message_in_a_pipe_is_one_line_and_shows_no_traceback(tmp_path: Path) -> None:
    long = tmp_path / ("long-" * 40)
    found = subprocess.run([sys.executable, "-m", "marsfolio", "report", long], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == f"error: {long} is not a folder: give the folder of a run\n"


def test_all_commands_are_there() -> None:
    page = CliRunner().invoke(app, ["--help"]).output
    for command in ("demo", "train", "backtest", "trades", "report", "data"):
        assert f" {command} " in page
    assert CliRunner().invoke(app, []).output == page
    for command in ("info", "check"):
        assert f" {command} " in CliRunner().invoke(app, ["data"]).output


def test_version_is_one_line() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("marsfolio ")


@pytest.mark.parametrize(("error", "code"), [(DataError, 2), (TemporaryError, 3), (TradingStopped, 4)])
def test_errors_on_purpose_have_their_exit_code_and_their_message_as_it_is(
    error: type[Exception], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(error("[red]a[/x] :smile: 0005.HK"), monkeypatch) == code
    assert capsys.readouterr().err == "error: [red]a[/x] :smile: 0005.HK\n"


def test_an_interruption_ends_with_130_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err.startswith("interrupted: ")


def test_a_bug_leaves_its_traceback_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(ValueError("odd"), monkeypatch) == 1
    assert capsys.readouterr().err == "bug: ValueError: odd; the traceback is in marsfolio-error.log\n"
    assert "Traceback" in (tmp_path / "marsfolio-error.log").read_text()


def test_a_bug_during_a_run_is_told_in_the_runs_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Path) -> Path:
        with run_log(tmp_path / "run.log"):
            raise ValueError("odd")

    monkeypatch.setattr("marsfolio.runs.write_report", fail)
    assert run("report", "x") == 1
    assert "run.log" in capsys.readouterr().err
    assert "ValueError: odd" in (tmp_path / "run.log").read_text()
    assert not (tmp_path / "marsfolio-error.log").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["trades"], "Missing argument 'RUN'"),
        (["trades", "x", "--nonsense"], "--nonsense"),
        (["tradse"], "Did you mean"),
        (["trades", "x", "--format", "xlsx", "--out", "f"], "xlsx"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    found = capsys.readouterr().err
    assert found.startswith("error: ")
    assert part in found


def test_a_value_of_a_file_found_invalid_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text('[demo]\nepisodes = -1\nout = "x"')
    assert run("demo", "--config", "c.toml") == 2
    assert capsys.readouterr().err.startswith("error: c.toml, line 2: [demo] episodes: ")


def test_the_formats_are_those_of_the_trade_log() -> None:
    assert tuple(Format) == FORMATS


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("round_trips", [True, False])
def test_the_same_trades_come_back_from_every_format(
    run_folder: Path, kind: str, named: bool, round_trips: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run_folder.parent / ("table" if named else f"table.{kind.upper()}")
    arguments = (["--format", kind] if named else []) + (["--round-trips"] if round_trips else [])
    assert run("trades", run_folder, "--out", out, *arguments) == 0
    expected = open_run(run_folder).round_trips if round_trips else open_run(run_folder).trades
    pd.testing.assert_frame_equal(read_table(out, kind), expected, check_exact=True)
    noun = "round trips" if round_trips else "fills"
    assert capsys.readouterr().out == f"wrote {len(expected)} {noun} to {out}\n"


def test_without_a_file_the_last_trades_and_totals_are_shown(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("trades", run_folder) == 0
    shown = capsys.readouterr().out
    trades = open_run(run_folder).trades
    assert f"{len(trades)} fills; totals: notional {trades['notional'].sum():,.2f}" in shown
    assert shown.count("0005.HK") == (trades["symbol"].tail(20) == "0005.HK").sum()
    assert run("trades", run_folder, "--round-trips") == 0
    assert "pnl" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--out", "."], "must be a file, was the folder"),
        (["--out", "absent/f.csv"], "the folder absent does not exist"),
        (["--out", "f"], "add --format csv|parquet|jsonl"),
        (["--format", "csv"], "needs --out"),
    ],
)
def test_trades_that_cannot_be_written_are_refused(
    run_folder: Path, arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("trades", run_folder, *arguments) == 2
    assert part in capsys.readouterr().err


def test_trades_of_no_run_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("trades", tmp_path, "--out", "f.csv") == 2
    assert "it has no config.toml" in capsys.readouterr().err
    assert not (tmp_path / "f.csv").exists()


def test_report_rebuilds_the_page(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run_folder / "report.html").read_bytes()
    (run_folder / "report.html").write_text("")
    assert run("report", run_folder) == 0
    assert capsys.readouterr().out == f"wrote {run_folder / 'report.html'}\n"
    assert (run_folder / "report.html").read_bytes() == before


BARS = """date,symbol,open,high,low,close,volume
2020-01-02,NA,1,1,1,1,5
2020-01-03,NA,1,1,1,1,5
2020-01-02,TRUE,2,2,2,2,5
2020-01-03,TRUE,3,3,3,3,5
"""


def test_data_info_shows_what_the_file_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bars.csv").write_text(BARS)
    assert run("data", "info", "--data", "bars.csv", "--symbols", "TRUE") == 0
    shown = capsys.readouterr().out
    assert "bars.csv: 2 sessions, 2020-01-02 to 2020-01-03" in shown
    assert "1 symbols, 2 bars, 0 missing" in shown
    assert "NA" not in shown


def test_data_check_remarks_and_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bars.csv").write_text(BARS)
    assert run("data", "check", "--data", "bars.csv") == 0
    shown = capsys.readouterr().out
    assert "TRUE returned +50.0% on 2020-01-03" in shown
    assert "valid (2 sessions, 2 symbols); 1 remark\n" in shown


def test_data_check_refuses_what_is_invalid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bars.csv").write_text(BARS.replace("3,3,3,3", "3,3,3,-3"))
    assert run("data", "check", "--data", "bars.csv") == 2
    assert "TRUE" in capsys.readouterr().err


def test_data_may_come_from_a_configuration_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bars.csv").write_text(BARS)
    (tmp_path / "c.toml").write_text('[data.info]\ndata = "bars.csv"\nsymbols = "NA"')
    assert run("data", "info", "--config", "c.toml") == 0
    assert "1 symbols" in capsys.readouterr().out


def test_the_bundled_sample_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "info", "--symbols", "AAPL, MSFT") == 0
    shown = capsys.readouterr().out
    assert "bundled sample" in shown
    assert "prices: closes only" in shown
