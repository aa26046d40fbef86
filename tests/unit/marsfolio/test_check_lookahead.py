"""`marsfolio check-lookahead` as a user meets it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agents.settings import SETTINGS
from marsfolio.cli import main

SESSIONS = pd.bdate_range("2023-01-02", periods=60).strftime("%Y-%m-%d")

CODE = """
import backtrader as bt
import numpy as np

class Honest(bt.Strategy):
    params = (("period", 3),)
    def __init__(self):
        self.average = {d: bt.ind.SMA(d, period=self.p.period) for d in self.datas}
    def next(self):
        for d in self.datas:
            self.order_target_size(d, target=10 if d.close[0] > self.average[d][0] else 0)

class Cheat(Honest):
    def next(self):
        for d in self.datas:
            self.order_target_size(d, target=10 if d.close[1] > d.close[0] else 0)

def momentum(observation):
    close = observation.window("close", 4)
    return np.nan_to_num(close[-1] / close[0]) / len(observation.symbols) / 2

def lucky(observation):
    return np.random.default_rng().dirichlet(np.ones(len(observation.symbols)))

def idle(observation):
    return None

def scaled(panel):
    top = np.nanmax(panel.close, axis=0)
    return Scaled(top)

from engine.policy import Decision, StatelessPolicy
class Scaled(StatelessPolicy):
    def __init__(self, top):
        self.top = top
    def decide(self, observation):
        return Decision(observation.window("close", 1)[-1] / self.top / 2)

class Broken(bt.Strategy):
    def next(self):
        raise ValueError("mine")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, with bars, raw bars, weights and a file of strategies."""
    random = np.random.default_rng(0)
    table = pd.DataFrame([(day, name) for day in SESSIONS for name in ("AA", "BB")], columns=["date", "symbol"])
    close = 50 * np.exp(random.normal(0, 0.03, len(table)))
    bars = table.assign(open=close, high=close * 1.01, low=close * 0.99, close=close, volume=1000)
    bars.to_csv(tmp_path / "bars.csv", index=False)
    after = (bars.symbol == "AA") & (bars.date >= SESSIONS[30])
    raw = bars.assign(split=np.where(after & (bars.date == SESSIONS[30]), 2.0, 1.0), dividend=0.0)
    raw.loc[after, ["open", "high", "low", "close"]] /= 2
    raw.loc[raw.date.isin(SESSIONS[5::9]), "dividend"] = 0.5
    raw.to_csv(tmp_path / "raw.csv", index=False)
    table.assign(weight=random.uniform(0, 0.5, len(table))).to_csv(tmp_path / "weights.csv", index=False)
    (tmp_path / "mine.py").write_text(CODE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def check(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str, str]]:
    """Return a function that runs the command and returns its code and what it printed."""

    def run(flags: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(f"check-lookahead --data bars.csv --dates 5 {flags}".split())
        shown = capsys.readouterr()
        return int(stop.value.code or 0), shown.out, shown.err

    return run


Check = Callable[[str], tuple[int, str, str]]


@pytest.mark.parametrize(
    "flags",
    [
        "--strategy equal_weight --rebalance weekly --cap 0.4",
        "--strategy buy_and_hold --fill same_close",
        "--strategy mine.py:Honest --param period=5 --start 2023-01-20",
        "--strategy mine.py:Honest --data raw.csv --costs ibkr-tiered",
        "--strategy mine.py:momentum --fractional --end 2023-02-10",
    ],
)
def test_what_cannot_see_the_future_is_clean_with_dates_and_cost(flags: str, check: Check) -> None:
    code, out, err = check(flags)
    assert (code, err) == (0, "")
    found = re.search(
        r"clean: .* after 5 dates .* ([\d,]+) decisions and orders, .* \(12 runs, ([\d,]+) sessions, ", out
    )
    assert found is not None
    assert int(found[1]) > 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            "--strategy mine.py:Cheat",
            r"look-ahead: the order for (AA|BB) of 2023-\S+ depends on what comes after",
        ),
        ("--strategy mine.py:scaled", r"look-ahead: the decision for AA of 2023-01-02 depends .* it was 0\.\d+ and"),
        ("--strategy mine.py:lucky", r"not repeatable: two runs on the same bars differ on 2023-01-02 in the decision"),
    ],
)
def test_what_can_is_said_with_session_symbol_and_values_and_code_2(flags: str, message: str, check: Check) -> None:
    code, _, err = check(flags)
    assert code == 2
    assert re.search(message, err.replace("\n", " "))
    assert err.startswith("error: ")


def test_a_weights_file_is_checked_for_what_is_made_of_it(check: Check) -> None:
    code, out, _ = check("--strategy weights --weights weights.csv --cap 0.3")
    assert code == 0
    assert "note: the file says the weights, so only what is made of them is checked" in out
    assert "60 decisions and orders" in out


def test_a_trained_model_is_clean_and_the_check_is_no_look_at_a_test_window(
    folder: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(
        SETTINGS["published"], hidden=(8,), controller_hidden=(8,), lookback_bars=40, batch_size=8, episodes=1
    )
    monkeypatch.setitem(SETTINGS, "published", small)
    table = pd.read_csv("bars.csv")
    days = pd.bdate_range("2023-03-27", periods=60).strftime("%Y-%m-%d")  # the same bars again, in the days after
    pd.concat([table, table.assign(date=np.repeat(days, 2))]).to_csv("long.csv", index=False)
    windows = f"--train {SESSIONS[40]}:{SESSIONS[59]} --validation {days[0]}:{days[9]}"
    with pytest.raises(SystemExit):
        main(f"train --data long.csv {windows} --setting published --episodes 1 --threads 1 --out model".split())
    code, out, _ = check(f"--data long.csv --model model --start {days[12]} --end {days[30]}")
    assert code == 0
    assert "19 decisions and orders" in out
    assert not (folder / "model" / "looks.jsonl").exists()


def test_a_strategy_that_decides_nothing_proves_nothing(check: Check) -> None:
    code, out, _ = check("--strategy mine.py:idle")
    assert code == 0
    assert "note: nothing was decided in 60 sessions, so there was nothing to compare" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "give either --model FOLDER or --strategy NAME"),
        ("--strategy mine.py:Honest --cap 0.2", "run it without --cap and --cash-buffer"),
        ("--strategy mine.py:Honest --start 2023-03-24", "a check needs a session after the first"),
        ("--strategy equal_weight --dates 0", "Invalid value for '--dates'"),
        ("--strategy mine.py:Broken", "Broken raised ValueError: mine"),
        ("--strategy mine.py:None", "has no 'None'"),
    ],
)
def test_what_cannot_be_checked_is_one_message_and_code_2(flags: str, message: str, check: Check) -> None:
    code, _, err = check(flags)
    assert code == 2
    assert message in err
