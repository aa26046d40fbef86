"""`marsfolio trades --verify` and `--monthly-costs` on runs that the command line made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.errors import DataError
from engine.tradelog import FORMATS, read_table
from marsfolio import compose
from marsfolio.cli import main
from marsfolio.compose import Market, load_market, market_of_run
from marsfolio.runs import Run, open_run

SESSIONS = pd.bdate_range("2023-01-02", periods=60).strftime("%Y-%m-%d")
EQUAL = "backtest --data bars.csv --strategy equal_weight --slippage-bps 5 --benchmark index.csv --out r"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, with bars and a benchmark."""
    table = pd.DataFrame([(day, name) for day in SESSIONS for name in ("AA", "NA", "CC")], columns=["date", "symbol"])
    close = 50 * np.exp(np.random.default_rng(0).normal(0, 0.01, len(table)))
    bars = table.assign(open=close, high=close * 1.01, low=close * 0.99, close=close, volume=1000)
    bars.to_csv(tmp_path / "bars.csv", index=False)
    bars[bars.symbol == "AA"].to_csv(tmp_path / "index.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    return int(stop.value.code or 0)


def edit(name: str, row: int, column: str, by: float) -> None:
    """Change one number of a file by hand, and nothing else of it."""
    path = Path("r") / name
    lines = path.read_text().splitlines()
    cells, place = lines[row].split(","), lines[0].split(",").index(column)
    cells[place] = repr(float(cells[place]) + by)
    lines[row] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("more", ["", "--fill next_close", "--fill same_close --fractional", "--symbols CC,NA"])
def test_a_run_of_the_command_line_is_verified(folder: Path, more: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{EQUAL} --start 2023-01-10 --cash 123456.78 {more}") == 0
    capsys.readouterr()
    assert run("trades r --verify") == 0
    shown = capsys.readouterr().out
    assert shown.count(" ok ") == 32
    assert "FAILED" not in shown
    assert "note:" not in shown
    assert re.search(r"\d+ fills, 0 cash flows, 54 sessions: all 32 checks passed, to the cent; largest diff", shown)


def test_a_run_of_one_session_has_nothing_in_it_and_is_verified(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{EQUAL} --start 2023-01-10 --end 2023-01-10") == 0
    assert run("trades r --verify") == 0
    assert "0 fills, 0 cash flows, 1 sessions: all 32 checks passed" in capsys.readouterr().out
    assert run("trades r --monthly-costs") == 0
    assert "2023-01" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "row", "column", "words"),
    [
        ("trades.csv", 9, "cash_after", "trades.csv, fill 2023-01-0.*: cash_after is .*, computed "),
        ("equity.csv", 20, "equity", "equity.csv, 2023-01-27: equity is .*, computed "),
        ("equity.csv", 20, "benchmark", "equity.csv, 2023-01-27: benchmark is .*, computed "),
        ("round_trips.csv", 5, "pnl", "round_trips.csv, .*: pnl is .*, computed "),
    ],
)
def test_a_cent_changed_by_hand_ends_with_2_and_says_where(
    folder: Path, name: str, row: int, column: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(EQUAL) == 0
    capsys.readouterr()
    edit(name, row, column, 0.01)
    assert run("trades r --verify") == 2
    found = capsys.readouterr()
    assert re.search(f"error: r does not agree with itself: {words}", found.err)
    assert found.out.count("FAILED") == int(re.findall(r"(\d+) of 32 checks failed", found.err)[0])


def test_other_bars_are_refused_and_data_names_the_right_ones(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(EQUAL) == 0
    (folder / "bars.csv").rename(folder / "moved.csv")
    assert run("trades r --verify") == 2
    assert "there is no such file" in capsys.readouterr().err
    assert run("trades r --verify --data moved.csv") == 0
    text = (folder / "moved.csv").read_text()
    (folder / "bars.csv").write_text(text.replace(",1000\n", ",1001\n", 1))
    capsys.readouterr()
    assert run("trades r --verify") == 2
    error = capsys.readouterr().err
    assert "bars.csv does not hold the bars of the run: their hash is " in error
    assert "--data" in error


def test_a_benchmark_that_is_gone_is_a_note(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(EQUAL) == 0
    (folder / "index.csv").unlink()
    capsys.readouterr()
    assert run("trades r --verify") == 0
    shown = capsys.readouterr().out
    assert "note: the benchmark in equity.csv is not checked: " in shown
    assert "all 31 checks passed" in shown


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--verify --monthly-costs", "not --monthly-costs and --verify"),
        ("--round-trips --verify", "not --round-trips and --verify"),
        ("--verify --out t.csv", "--verify writes no file"),
        ("--verify --format csv", "--format csv needs --out FILE"),
        ("--data bars.csv", "--data goes with --verify"),
    ],
)
def test_flags_that_contradict_are_refused(
    folder: Path, flags: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"trades r {flags}") == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("kind", FORMATS)
def test_monthly_costs_add_up_to_the_totals_of_the_run_in_every_format(
    folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(EQUAL) == 0
    capsys.readouterr()
    assert run(f"trades r --monthly-costs --out costs.{kind}") == 0
    assert capsys.readouterr().out == f"wrote 3 months to costs.{kind}\n"
    table, metrics = read_table(Path(f"costs.{kind}")), open_run(Path("r")).metrics
    assert table["month"].tolist() == ["2023-01", "2023-02", "2023-03"]
    assert table["fills"].sum() == metrics["n_fills"]
    for name in ("commission", "slippage"):
        assert table[name].sum() == pytest.approx(metrics[f"total_{name}"], abs=0.001)


def test_monthly_costs_are_shown_with_their_totals(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(EQUAL) == 0
    capsys.readouterr()
    assert run("trades r --monthly-costs") == 0
    lines = capsys.readouterr().out.splitlines()
    metrics = open_run(Path("r")).metrics
    (total,) = [line for line in lines if line.strip().startswith("total")]
    assert f"{metrics['total_commission']:,.2f}" in total
    assert f"{metrics['total_slippage']:,.2f}" in total
    assert sum(line.strip().startswith("2023-") for line in lines) == 3


def run_with(**options: Any) -> Run:
    return Run(Path("r"), {"kind": "demo", "backtest": options})


def test_the_bars_of_a_run_are_the_sample_a_file_or_those_of_its_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def market_of_model(model: Path, data: Path | None, symbols: None, universe: None) -> tuple[None, Market]:
        assert symbols is universe is None
        asked.append((model, data))
        return None, load_market(data, ["CC", "AA"])

    monkeypatch.setattr(compose, "market_of_model", market_of_model)
    assert market_of_run(run_with(symbols="AAPL, MSFT")).panel.symbols == ("AAPL", "MSFT")
    assert market_of_run(run_with(data="bars.csv")).panel.symbols == ("AA", "CC", "NA")
    assert market_of_run(run_with(data="gone.csv", symbols="NA"), Path("bars.csv")).panel.symbols == ("NA",)
    assert market_of_run(run_with(model="m", data="bars.csv")).panel.symbols == ("AA", "CC")
    market_of_run(run_with(model="m"), Path("bars.csv"))
    assert asked == [(Path("m"), Path("bars.csv"))] * 2
    with pytest.raises(DataError, match=r"the bars of r: gone.csv: there is no such file.*; --data names another"):
        market_of_run(run_with(data="gone.csv"))
