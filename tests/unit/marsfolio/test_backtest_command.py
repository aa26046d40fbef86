"""`marsfolio backtest` and `train` as a user meets them: what they write, and every wrong input one message."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from marsfolio.cli import main

SESSIONS = pd.bdate_range("2023-01-02", periods=60).strftime("%Y-%m-%d")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, with bars, weights, a benchmark and some things in the way."""
    random = np.random.default_rng(0)
    table = pd.DataFrame([(day, name) for day in SESSIONS for name in ("AA", "BB", "CC")], columns=["date", "symbol"])
    close = 50 * np.exp(random.normal(0, 0.01, len(table)))
    bars = table.assign(open=close, high=close * 1.01, low=close * 0.99, close=close, volume=1000)
    bars.to_csv(tmp_path / "bars.csv", index=False)
    bars[bars.symbol == "AA"].to_csv(tmp_path / "index.csv", index=False)
    bars[(bars.date > SESSIONS[20]) & (bars.symbol == "AA")].to_csv(tmp_path / "late.csv", index=False)
    weights = table.assign(weight=0.3)
    weights.to_csv(tmp_path / "weights.csv", index=False)
    weights.assign(weight=0.4).to_csv(tmp_path / "heavy.csv", index=False)
    weights.assign(date="2023-01-01").head(3).to_csv(tmp_path / "sunday.csv", index=False)
    (tmp_path / "a_file").write_text("in the way")
    (tmp_path / "a_folder").mkdir()
    (tmp_path / "a_folder" / "thesis.txt").write_text("mine")
    (tmp_path / "c.toml").write_text('[backtest]\nstrategi = "equal_weight"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    return int(stop.value.code or 0)


EQUAL = "backtest --data bars.csv --strategy equal_weight --out r"
WINDOWS = "--train 2023-01-02:2023-02-17 --validation 2023-02-20:2023-03-24"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("backtest --data bars.csv --out r", "give either --model FOLDER or --strategy NAME"),
        (f"{EQUAL} --model m", "give either --model FOLDER or --strategy NAME"),
        ("backtest --data bars.csv --strategy equal_weigth --out r", "did you mean 'equal_weight'"),
        ("backtest --data bars.csv --strategy equal_weight", "Missing option '--out'"),
        ("backtest --data bars.csv --strategy weights --out r", "needs --weights FILE"),
        (f"{EQUAL} --weights weights.csv", "--weights goes with --strategy weights"),
        ("backtest --data bars.csv --strategy weights --weights heavy.csv --out r", "must sum to at most 1"),
        ("backtest --data bars.csv --strategy weights --weights sunday.csv --out r", "must be a session of bars.csv"),
        ("backtest --data bars.csv --strategy weights --weights none.csv --out r", "there is no such file"),
        ("backtest --data none.csv --strategy equal_weight --out r", "none.csv: there is no such file"),
        (f"{EQUAL} --symbols AA,BBB", "no bars for 'BBB' (nearest: BB)"),
        (f"{EQUAL} --start 2023-02-30", "must be a date such as 2024-01-02, was '2023-02-30'"),
        (f"{EQUAL} --start 2023-02-01 --end 2023-01-03", "must begin before it ends"),
        (f"{EQUAL} --start 2024-02-01", "no session between 2024-02-01 and the last"),
        (f"{EQUAL} --cash 0", "cash must be positive and finite, was 0"),
        (f"{EQUAL} --cash nan", "cash must be positive and finite, was nan"),
        (f"{EQUAL} --commission-bps -1", "commission_bps must be at least 0"),
        (f"{EQUAL} --slippage-bps 10000", "slippage_bps must be at least 0 and below 10000"),
        (f"{EQUAL} --cap 0", "cap must be above 0 and at most 1, was 0"),
        (f"{EQUAL} --cash-buffer 1", "cash_buffer must be at least 0 and below 1, was 1"),
        (f"{EQUAL} --fill yesterday_close", "'yesterday_close' is not one of"),
        ("backtest --data bars.csv --model m --rebalance weekly --out r", "--rebalance goes with --strategy"),
        (f"{EQUAL} --untrained", "--untrained and --agent go with --model"),
        (f"{EQUAL} --benchmark bars.csv", "has 3 symbols; name one, as in bars.csv:AA"),
        (f"{EQUAL} --benchmark late.csv", "after the run's start"),
        (f"{EQUAL} --benchmark index.csv:ZZ", "no bars for 'ZZ'"),
        ("backtest --data bars.csv --strategy equal_weight --out a_file", "a_file is a file"),
        ("backtest --data bars.csv --strategy equal_weight --out a_folder", "a_folder is not empty"),
        ("backtest --data bars.csv --strategy nope --out new/deep/r", "unknown strategy 'nope'"),
        ("backtest --data bars.csv --strategy equal_weight --out a_file/r", "choose another --out"),
        ("backtest --data bars.csv --model a_folder --out r", "has no manifest.json"),
        ("backtest --data bars.csv --model nowhere --out r", "nowhere is not a model folder"),
        ("backtest --config c.toml", "has no key 'strategi'; did you mean 'strategy'?"),
        (f"train --data bars.csv {WINDOWS} --out m", "sessions after the first 63 of the data"),
        (f"train --data bars.csv {WINDOWS} --out a_folder", "holds 'thesis.txt', which is no part of a model"),
        (f"train --data bars.csv {WINDOWS} --out a_file", "a_file is a file"),
        (f"train --data bars.csv {WINDOWS} --out m --episodes 0", "--episodes"),
        (
            f"train --data bars.csv {WINDOWS} --out m --setting secret",
            "unknown setting 'secret': there are marsfolio, published",
        ),
        ("train --data bars.csv --train 2023 --validation 2023-02-20: --out m", "--train must be two dates"),
        (f"train --data bars.csv {WINDOWS}", "Missing option '--out'"),
        ("trades nowhere --format csv --out t.csv", "nowhere is not a folder"),
    ],
)
def test_a_wrong_input_is_one_message_and_code_2_and_writes_nothing(
    line: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(os.walk(folder))
    assert run(line) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error: ") == 1
    assert "Traceback" not in error
    assert sorted(os.walk(folder)) == before


def test_flags_file_and_run_say_the_same_and_both_engines_agree(folder: Path) -> None:
    flags = "--strategy weights --weights weights.csv --start 2023-01-10 --cap 0.25 --benchmark index.csv:AA"
    assert run(f"backtest --data bars.csv {flags} --out first") == 0
    assert run("backtest --config first/config.toml --out second") == 0
    assert run("backtest --config first/config.toml --engine kernel --out third") == 0
    for name in ("equity.csv", "trades.csv", "round_trips.csv", "metrics.json", "decisions.parquet"):
        texts = {(folder / run_ / name).read_bytes() for run_ in ("first", "second", "third")}
        assert len(texts) == 1, f"{name} differs"
    equity = pd.read_csv(folder / "first" / "equity.csv")
    assert equity["session"].iloc[0] == "2023-01-10"
    assert equity[["equity", "benchmark"]].iloc[0].tolist() == [1_000_000, 1_000_000]
    limits = pd.read_parquet(folder / "first" / "decisions.parquet")
    assert (limits["target_weight"] == 0.25).all()
    assert (limits["limit_applied"] == "cap").all()


def test_a_weekly_rebalance_decides_in_the_first_session_of_a_week(folder: Path) -> None:
    assert run(f"{EQUAL} --rebalance weekly --fill next_close --fractional") == 0
    decided = pd.to_datetime(pd.read_parquet(folder / "r" / "decisions.parquet")["session"].unique())
    assert set(decided.day_of_week) == {0}
    fills = pd.read_csv(folder / "r" / "trades.csv")
    assert (fills["quantity"] % 1 != 0).any()
    metrics = json.loads((folder / "r" / "metrics.json").read_text())
    assert metrics["n_fills"] == len(fills)


def test_a_run_repeats_from_another_folder_with_its_benchmark(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(f"{EQUAL} --benchmark index.csv:AA") == 0
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert run("backtest --config ../r/config.toml --out again") == 0
    assert Path("again/equity.csv").read_bytes() == Path("../r/equity.csv").read_bytes()


def test_a_benchmark_that_ends_early_is_remarked_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = pd.read_csv("index.csv").head(30)
    short.to_csv("short.csv", index=False)
    assert run(f"{EQUAL} --benchmark short.csv") == 0
    assert f"note: the benchmark ends on {SESSIONS[29]} and is held at its last close" in capsys.readouterr().out


def test_sessions_in_cash_because_the_data_begins_too_late_are_remarked_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("backtest --data bars.csv --strategy vol_target --out short") == 0
    assert "note: cash for the first 21 sessions: the strategy reads 22 sessions" in capsys.readouterr().out
    assert run(f"backtest --data bars.csv --strategy vol_target --start {SESSIONS[21]} --out long") == 0
    assert "cash for the first" not in capsys.readouterr().out


def test_dates_of_a_weights_file_that_a_schedule_passes_over_are_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "backtest --data bars.csv --strategy weights --weights weights.csv --out r"
    assert run(f"{line} --rebalance monthly") == 0
    assert "note: 57 of 60 dates of the weights file were passed over" in capsys.readouterr().out
    assert run(line) == 0
    assert "passed over" not in capsys.readouterr().out
    assert 'weights_hash = "' in (folder / "r" / "config.toml").read_text()


def test_a_truncated_trade_log_is_not_taken_for_a_whole_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(EQUAL) == 0
    trades = folder / "r" / "trades.csv"
    trades.write_text("".join(trades.read_text().splitlines(keepends=True)[:5]))
    assert run("trades r --format csv --out t.csv") == 2
    assert "has 4 fills and metrics.json says" in capsys.readouterr().err


def test_a_failed_export_leaves_the_earlier_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(EQUAL) == 0
    assert run("trades r --out t.csv") == 0
    before = (folder / "t.csv").read_bytes()

    def full(*_: object, **__: object) -> None:
        (folder / ".t.csv.new").write_text("half a")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.csv.write_csv", full)
    assert run("trades r --out t.csv") == 2
    assert (folder / "t.csv").read_bytes() == before
    assert not (folder / ".t.csv.new").exists()


def test_a_flag_wins_over_a_file_that_switches_something_on(folder: Path) -> None:
    Path("f.toml").write_text(
        '[backtest]\ndata = "bars.csv"\nstrategy = "equal_weight"\nfractional = true\nout = "r"\n'
    )
    assert run("backtest --config f.toml") == 0
    assert (pd.read_csv("r/trades.csv")["quantity"] % 1 != 0).any()
    assert run("backtest --config f.toml --no-fractional") == 0
    assert (pd.read_csv("r/trades.csv")["quantity"] % 1 == 0).all()
