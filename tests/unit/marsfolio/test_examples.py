"""The scripts in examples/ run as they stand there."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from marsfolio.cli import main

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_a_policy_of_ones_own_is_backtested_drawn_and_saved(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown("own_policy.py", capsys)
    assert "sharpe_ratio" in out
    assert Path("runs/low_risk.png").read_bytes()[:4] == b"\x89PNG"
    kept = Path("runs/low_risk/trades.csv").read_bytes()
    with pytest.raises(SystemExit, match="0"):
        main(["backtest", "--config", "runs/low_risk/config.toml"])
    assert Path("runs/low_risk/trades.csv").read_bytes() == kept


def test_a_policy_of_ones_own_trades_on_paper_too(capsys: pytest.CaptureFixture[str]) -> None:
    line = f"paper run --strategy {EXAMPLES / 'own_policy.py'}:low_risk --symbols AAPL,KO,WMT --broker simulated"
    with pytest.raises(SystemExit, match="0"):
        main([*line.split(), "--replay", "2016-06-01:2016-06-06", "--state", "account"])
    assert "low_risk" in Path("account/config.toml").read_text()
    assert "Replay written to account" in capsys.readouterr().out


def test_an_ordinary_backtrader_strategy_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown("own_backtrader_strategy.py", capsys)
    assert "slow = 120: Backtest(Cross, 2015-01-02 to 2016-12-30" in out
    assert "commission paid" in out


def test_momentum_is_judged_three_ways(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown("compare_and_judge.py", capsys)
    assert "of 100 random portfolios" in out
    assert "95 % interval" in out
    assert "holding everything equally" in out
