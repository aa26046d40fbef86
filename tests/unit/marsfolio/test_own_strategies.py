"""`marsfolio backtest --strategy FILE.py:NAME` as a user meets it."""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from marsfolio.cli import main

SESSIONS = pd.bdate_range("2023-01-02", periods=80).strftime("%Y-%m-%d")

CODE = """
import backtrader as bt
import numpy as np
from engine.policy import Decision
from strategies.portfolio import PortfolioStrategy

class Crossover(bt.Strategy):
    params = (("fast", 3), ("slow", 8))
    def __init__(self):
        self.cross = {d: bt.ind.CrossOver(bt.ind.SMA(d, period=self.p.fast), bt.ind.SMA(d, period=self.p.slow))
                      for d in self.datas}
    def next(self):
        for d, cross in self.cross.items():
            if cross > 0:
                self.buy(d, size=100, exectype=bt.Order.Limit, price=d.close[0] * 0.999)
            elif cross < 0:
                self.close(d)

class Shares(bt.Strategy):
    def nextstart(self):
        self.buy(size=10_000_000)
    def next(self):
        if self.p_error():
            raise KeyError("nowhere")
    def p_error(self):
        return False

class Broken(Shares):
    def p_error(self):
        return len(self) > 20

class BothSides(bt.Strategy):
    def next(self):
        for k, d in enumerate(self.datas):
            day = len(self) + k
            if day % 5 == 0:
                self.order_target_size(d, target=40 if day % 2 else -40)
            self.buy(d, size=3, exectype=bt.Order.Limit, price=d.close[0] * 1.001)
            self.sell(d, size=3, exectype=bt.Order.Stop, price=d.close[0] * 0.995)
            if day % 7 == 0:
                self.sell(d, size=5, exectype=bt.Order.Close)

class Flat(bt.Strategy):
    def __init__(self):
        bt.ind.RSI_SMA(self.data, period=3)

def momentum(observation, window=5):
    close = observation.window("close", window)
    score = np.where(observation.tradable, np.nan_to_num(close[-1] / close[0]), 0.0)
    return score / score.sum()

class Deciding(PortfolioStrategy):
    def decide(self, observation):
        close = observation.window("close", 5)
        score = np.where(observation.tradable, np.nan_to_num(close[-1] / close[0]), 0.0)
        return Decision(score / score.sum())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, with bars of three symbols and a file of strategies."""
    random = np.random.default_rng(0)
    table = pd.DataFrame([(day, name) for day in SESSIONS for name in ("AA", "BB", "CC")], columns=["date", "symbol"])
    close = 50 * np.exp(random.normal(0, 0.03, len(table)))
    bars = table.assign(open=close, high=close * 1.01, low=close * 0.99, close=close, volume=1000)
    bars = bars[(bars.symbol != "CC") | (bars.date >= SESSIONS[75])]
    bars.to_csv(tmp_path / "late.csv", index=False)
    bars[bars.symbol != "CC"].to_csv(tmp_path / "bars.csv", index=False)
    bars[bars.symbol == "AA"].assign(open=5, high=5, low=5, close=5).to_csv(tmp_path / "flat.csv", index=False)
    after = (bars.symbol == "AA") & (bars.date >= SESSIONS[30])
    raw = bars[bars.symbol != "CC"].assign(split=1.0, dividend=0.0)
    raw.loc[after & (raw.date == SESSIONS[30]), "split"] = 2.0
    raw.loc[after, ["open", "high", "low", "close"]] /= 2
    raw.loc[raw.date.isin(SESSIONS[5::9]), "dividend"] = 0.5
    raw.to_csv(tmp_path / "raw.csv", index=False)
    (tmp_path / "all.toml").write_text(
        "commission_per_share = 0.01\ncommission_minimum = 1.0\nhalf_spread = 0.01\nimpact = 0.1\n"
        "participation_cap = 0.03\ncash_rate = 0.03\nmargin_rate = 0.06\n"
    )
    (tmp_path / "mine.py").write_text(CODE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    return int(stop.value.code or 0)


def test_an_ordinary_strategy_leaves_a_run_folder_that_repeats_from_anywhere(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"backtest --data bars.csv --strategy mine.py:Crossover --param fast=2 --param slow=6 --start {SESSIONS[20]}"
    assert run(f"{line} --costs ibkr-tiered --out r") == 0
    shown = capsys.readouterr().out
    assert "Crossover" in shown
    trades = pd.read_csv(folder / "r" / "trades.csv")
    assert set(trades["reason"]) == {"limit order", "market order"}
    assert (trades["commission"] >= 0.35).all()
    assert not trades["fill_id"].duplicated().any()
    assert json.loads((folder / "r" / "metrics.json").read_text())["n_fills"] == len(trades)
    config = tomllib.loads((folder / "r" / "config.toml").read_text())
    assert config["backtest"]["strategy"] == f"{folder / 'mine.py'}:Crossover"
    assert config["backtest"]["param"] == ["fast=2", "slow=6"]
    assert config["provenance"]["strategy_hash"] == hashlib.sha256(CODE.encode()).hexdigest()
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert run("backtest --config ../r/config.toml --out again") == 0
    assert Path("again/trades.csv").read_bytes() == Path("../r/trades.csv").read_bytes()
    assert run("trades again") == 0
    assert run("report again") == 0


def test_a_function_a_policy_and_a_strategy_with_the_same_decision_trade_the_same(folder: Path) -> None:
    assert run("backtest --data bars.csv --strategy mine.py:momentum --rebalance weekly --cap 0.6 --out a") == 0
    assert run("backtest --data bars.csv --strategy mine.py:Deciding --rebalance weekly --cap 0.6 --out b") == 0
    assert run("backtest --config a/config.toml --engine kernel --out c") == 0
    texts = {(folder / name / "trades.csv").read_bytes() for name in "abc"}
    assert len(texts) == 1
    assert texts.pop().count(b"\n") > 10


def test_a_ladder_of_commissions_runs_an_ordinary_strategy_at_each(folder: Path) -> None:
    assert run("backtest --data bars.csv --strategy mine.py:Crossover --commission-bps 0,20 --out r") == 0
    table = pd.read_csv(folder / "r" / "ladder" / "ladder.csv")
    assert table["total_return"].is_monotonic_decreasing


@pytest.mark.parametrize("fill", ["next_open", "next_close", "same_close"])
def test_a_run_of_orders_on_both_sides_with_all_costs_and_actions_verifies(fill: str, folder: Path) -> None:
    line = "backtest --data raw.csv --strategy mine.py:BothSides --costs all.toml --cash 20000"
    assert run(f"{line} --fill {fill} --start {SESSIONS[3]} --out r") == 0
    assert run("trades r --verify") == 0
    trades, flows = pd.read_csv("r/trades.csv"), pd.read_csv("r/cash_flows.csv")
    assert (trades["position_after"] < 0).any()
    assert trades["session"].iloc[-1] == SESSIONS[79]
    assert {"interest", "dividend", "split"} <= set(flows["kind"])


ORDINARY = "backtest --data bars.csv --strategy mine.py:Crossover --out r"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{ORDINARY} --engine kernel", "--engine must be cerebro for Crossover"),
        (f"{ORDINARY} --cap 0.2", "run it without --cap and --cash-buffer, was Limits(cap=0.2"),
        (f"{ORDINARY} --rebalance weekly", "places orders when it likes"),
        (f"{ORDINARY} --param slwo=3", "did you mean 'slow'; it has fast, slow"),
        (f"{ORDINARY} --param fast", "--param must be NAME=VALUE"),
        (f"{ORDINARY} --weights w.csv", "--weights goes with --strategy weights"),
        (f"{ORDINARY} --model m", "give either --model FOLDER or --strategy NAME"),
        ("backtest --data bars.csv --strategy equal_weight --param a=1 --out r", "--param goes with a --strategy of"),
        ("backtest --data bars.csv --strategy mine.py:Crosover --out r", "did you mean 'Crossover'"),
        ("backtest --data bars.csv --strategy mine.py --out r", "name the strategy in the file, as in mine.py:NAME"),
        ("backtest --data bars.csv --strategy other.py:X --out r", "other.py cannot be read"),
        ("backtest --data bars.csv --strategy mine.py:Deciding --engine kernel --out r", "use --engine cerebro"),
        (f"backtest --data late.csv --end {SESSIONS[60]} --strategy mine.py:Crossover --out r", "no bars for CC"),
    ],
)
def test_what_cannot_be_is_one_message_and_code_2(
    line: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (folder / "r").exists()
    assert not list(folder.glob("*.log"))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("Broken", "bars.csv", "Broken raised KeyError: 'nowhere'"),
        ("Flat", "flat.csv", "Flat raised ZeroDivisionError: float division by zero"),
    ],
)
def test_an_exception_in_the_users_code_is_code_2_and_keeps_its_traceback(
    name: str, data: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"backtest --data {data} --strategy mine.py:{name} --out r") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "the traceback is in" in error
    log = (folder / "r.marsfolio.log").read_text()
    assert "stopped by an exception in the user's own code" in log
    assert "Traceback" in log
    assert not (folder / "r").exists()


def test_orders_that_cash_does_not_pay_for_are_remarked_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("backtest --data bars.csv --strategy mine.py:Shares --out r") == 0
    assert "note: orders refused for lack of cash (status Margin): 1" in capsys.readouterr().out


def test_a_strategy_that_waits_for_a_symbol_in_vain_is_said_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("backtest --data late.csv --strategy mine.py:Crossover --out r") == 0
    shown = capsys.readouterr().out
    assert "the strategy's next() was never called" in shown
    assert "and CC never had (choose --symbols, or define prenext)" in shown
