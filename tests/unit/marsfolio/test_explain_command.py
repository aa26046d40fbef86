"""`marsfolio explain` as a user meets it: the decision of a session made again, checked and taken apart."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.settings import SETTINGS
from marsfolio.cli import main

DAYS = pd.bdate_range("2023-01-02", periods=60).strftime("%Y-%m-%d").tolist()
SYMBOLS = ("AA", "BB", "CC", "DD")
DAY, NEXT = DAYS[20], DAYS[21]

CODE = """
import backtrader as bt
import numpy as np
from engine.policy import Decision, Explanation, StatelessPolicy

NAMES = ("timid", "bold")

class Two(StatelessPolicy):
    agent_names = NAMES
    def parts(self, observation):
        close = observation.window("close", 6)
        score = np.nan_to_num(close[-1] / close[0], nan=1.0)
        bold = np.where(score == score.max(), 0.8, 0.1)
        timid = np.full(len(score), 0.25)
        timid[-1] = -0.05
        return np.stack([timid, bold]), np.array([0.25, 0.75])
    def explain(self, observation):
        proposals, weights = self.parts(observation)
        return Explanation(NAMES, weights, proposals, np.array([1.5, np.nan]), np.array([0.1, 0.9]),
                           "excess return over a month", "share of days lost")
    def decide(self, observation):
        print("chatter")
        proposals, weights = self.parts(observation)
        return Decision(weights @ proposals, dict(zip(NAMES, weights)))

class Liar(Two):
    def explain(self, observation):
        found = super().explain(observation)
        return Explanation(NAMES, found.agent_weights[::-1], found.proposals, found.value, found.risk, "v", "r")

class Shapeless(Two):
    def explain(self, observation):
        found = super().explain(observation)
        return Explanation(NAMES, found.agent_weights, found.proposals[0], found.value, found.risk, "v", "r")

def halves(observation):
    weights = np.full(len(observation.symbols), np.nan)
    weights[0] = 0.5 if observation.session.astype(int) % 2 else 0.4
    return weights

def keep(observation):
    return np.full(len(observation.symbols), np.nan)

class Fitted(StatelessPolicy):
    def fit(self, panel, train, validation):
        self.best = int(np.argmax(panel.close[train.last] / panel.close[train.first]))
    def decide(self, observation):
        return Decision(np.eye(len(observation.symbols))[self.best])

class Ordinary(bt.Strategy):
    def next(self):
        self.buy(size=1)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with bars (BB has none on the day after DAY), a file of strategies, and a run of two agents."""
    made = tmp_path_factory.mktemp("made")
    table = pd.DataFrame([(day, name) for day in DAYS for name in SYMBOLS], columns=["date", "symbol"])
    steps = np.random.default_rng(0).normal(0, 0.02, (len(DAYS), len(SYMBOLS)))
    close = 50 * np.exp(np.cumsum(steps, axis=0)).ravel()
    bars = table.assign(open=close, high=close * 1.01, low=close * 0.99, close=close, volume=1000)
    bars[(bars["date"] != NEXT) | (bars["symbol"] != "BB")].to_csv(made / "bars.csv", index=False)
    (made / "mine.py").write_text(CODE)
    with contextlib.chdir(made):
        backtest(TWO)
    return made


@pytest.fixture(autouse=True)
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, a copy of that folder; its run reads the bars and strategies of the first one."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(made, tmp_path, dirs_exist_ok=True))


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    return int(stop.value.code or 0)


def backtest(flags: str) -> None:
    assert run(f"backtest --data bars.csv --null-paths 0 --out r {flags}") == 0


def explained(capsys: pytest.CaptureFixture[str], session: str = DAY, flags: str = "") -> dict[str, Any]:
    """Return what the command says in JSON; everything on standard output must be that."""
    capsys.readouterr()
    assert run(f"explain r --session {session} --format json {flags}") == 0
    found = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert isinstance(found, dict)
    return found


def refused(capsys: pytest.CaptureFixture[str], session: str = DAY, flags: str = "") -> str:
    capsys.readouterr()
    assert run(f"explain r --session {session} {flags}") == 2
    return capsys.readouterr().err


TWO = "--strategy mine.py:Two --cap 0.3 --cash-buffer 0.2"


def test_a_learned_policy_is_taken_apart_and_the_parts_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys)
    timid, bold = found["agents"]["rows"]
    assert (timid["agent"], timid["weight"], timid["value"], timid["risk"]) == ("timid", 0.25, 1.5, 0.1)
    assert bold["value"] is None
    assert timid["exposure"] == pytest.approx(0.7)
    assert bold["exposure"] == pytest.approx(1.1)
    assert found["agents"]["value_means"] == "excess return over a month"
    # What was asked for is the mean of the proposals, and two times the parts' distance from it is theirs from each.
    for row in found["symbols"]:
        mean = 0.25 * timid["proposal"][row["symbol"]] + 0.75 * bold["proposal"][row["symbol"]]
        assert row["asked"] == pytest.approx(mean, abs=1e-15)
        assert found["agents"]["mean"][row["symbol"]] == pytest.approx(mean, abs=1e-15)
    assert timid["from_mean"] == pytest.approx(3 * bold["from_mean"])
    portfolio = found["portfolio"]
    held = sum(row["held"] for row in found["symbols"])
    assert held + portfolio["cash_weight"] == pytest.approx(1.0)


def test_each_limit_says_what_it_changed(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys)
    asked = [row["asked"] for row in found["symbols"]]
    after = [row["after_limits"] for row in found["symbols"]]
    long_only, cap, buffer = found["limits"]
    assert (long_only["symbols"], cap["symbols"], cap["bound"]) == (0, 1, 0.3)
    assert cap["cut"] == pytest.approx(max(asked) - 0.3)
    assert sum(asked) - sum(after) == pytest.approx(long_only["cut"] + cap["cut"] + buffer["cut"])
    label = {row["symbol"]: row["limit_applied"] for row in found["symbols"]}
    assert [name for name, words in label.items() if "cap" in words.split("+")] == [SYMBOLS[int(np.argmax(asked))]]
    decisions = pd.read_parquet("r/decisions.parquet")
    said = decisions[decisions["session"] == DAY]
    assert said["target_weight"].tolist() == after
    assert said["limit_applied"].tolist() == list(label.values())


def test_a_target_below_zero_is_a_limit_too(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(CODE.replace("-0.05", "-0.95"))
    backtest(TWO)
    day = next(day for day in DAYS[10:] if explained(capsys, day)["limits"][0]["symbols"])
    found = explained(capsys, day)
    low = found["symbols"][-1]
    assert low["asked"] < 0 == low["after_limits"]
    assert found["limits"][0]["cut"] == pytest.approx(low["asked"])


def test_orders_are_the_fills_of_the_next_session_and_say_what_became_of_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = explained(capsys)
    assert found["orders"]["filled_in"] == NEXT
    trades = pd.read_csv("r/trades.csv")
    fills = trades[trades["session"] == NEXT].set_index("symbol")
    rows = {row["symbol"]: row for row in found["orders"]["rows"]}
    assert rows["BB"]["result"] == "dropped: no bar"
    assert (rows["BB"]["filled"], rows["BB"]["price"]) == (0, None)
    assert set(rows) == {"BB", *fills.index}
    for symbol, fill in fills.iterrows():
        row = rows[str(symbol)]
        assert row["result"] == "filled"
        assert (row["side"], row["filled"], row["price"]) == (fill["side"], fill["quantity"], fill["price"])
        assert row["ordered"] == row["filled"]
        assert row["commission"] == fill["commission"]


@pytest.mark.parametrize(("timing", "when"), [("same_close", DAY), ("next_close", NEXT)])
def test_orders_are_found_with_every_timing(timing: str, when: str, capsys: pytest.CaptureFixture[str]) -> None:
    backtest(f"--strategy mine.py:halves --fill {timing}")
    found = explained(capsys)
    assert found["orders"]["filled_in"] == when
    assert [row["symbol"] for row in found["orders"]["rows"]] == ["AA"]
    assert found["agents"] is None
    assert found["limits"] == []
    assert found["symbols"][1]["asked"] is None  # kept


def test_orders_that_the_volume_cuts_are_shrunk(capsys: pytest.CaptureFixture[str]) -> None:
    Path("costs.toml").write_text("commission_bps = 10.0\nparticipation_cap = 0.1\n")
    backtest("--strategy mine.py:halves --costs costs.toml")
    (row,) = explained(capsys, DAYS[2])["orders"]["rows"]
    assert row["filled"] == 100 < row["ordered"]
    assert row["result"] == "shrunk: volume cap"


def test_shares_ordered_before_a_split_are_noted(capsys: pytest.CaptureFixture[str]) -> None:
    bars = pd.read_csv("bars.csv").assign(split=1.0, dividend=0.0)
    after = (bars["symbol"] == "AA") & (bars["date"] >= NEXT)
    bars.loc[after, ["open", "high", "low", "close"]] /= 2
    bars.loc[after & (bars["date"] == NEXT), "split"] = 2.0
    bars.to_csv("bars.csv", index=False)
    backtest("--strategy mine.py:halves")
    found = explained(capsys)
    assert found["notes"] == [f"shares ordered are before the split of {NEXT}, those filled after it: AA"]
    (row,) = found["orders"]["rows"]
    assert row["filled"] == 2 * row["ordered"]


def test_the_last_decision_of_a_run_waits(capsys: pytest.CaptureFixture[str]) -> None:
    backtest("--strategy mine.py:halves --end " + DAYS[30])
    found = explained(capsys, DAYS[30])
    assert found["orders"]["filled_in"] is None
    assert [row["result"] for row in found["orders"]["rows"]] == ["waits: the run ends"]
    assert found["symbols"][0]["executed"] is None


def test_a_session_without_a_decision_says_why_and_when_the_last_was(capsys: pytest.CaptureFixture[str]) -> None:
    backtest("--strategy equal_weight --rebalance monthly")
    found = explained(capsys)
    assert found["decided"] is False
    first = [next(day for day in DAYS if day.startswith(month)) for month in ("2023-01", "2023-02")]
    assert found["why_none"] == f"rebalance is monthly, and this period's decision was taken on {first[0]}"
    assert (found["last_decision"], found["next_decision"]) == (first[0], first[1])
    assert found["orders"]["rows"] == []
    held = sum(row["held"] for row in found["symbols"])
    assert held + found["portfolio"]["cash_weight"] == pytest.approx(1.0)
    backtest("--strategy buy_and_hold")
    assert explained(capsys)["why_none"] == "the policy answered with no decision"
    backtest("--strategy mine.py:keep")
    found = explained(capsys)
    assert found["why_none"] == "the policy answered NaN for every symbol: keep all shares"
    assert found["last_decision"] is None


@pytest.mark.parametrize(
    ("session", "words"),
    [
        (
            "2023-01-07",
            "is not a session of r, whose 60 go from 2023-01-02 to 2023-03-24; nearest: 2023-01-06 and 2023",
        ),
        ("2022-12-30", "nearest: 2023-01-02\n"),
        ("2024-01-02", "nearest: 2023-03-24\n"),
        ("yesterday", "--session must be a date such as 2024-01-02, was 'yesterday'"),
    ],
)
def test_a_session_that_the_run_has_not_is_refused(
    session: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    backtest("--strategy equal_weight")
    assert words in refused(capsys, session)


def change(column: str, value: Any) -> None:
    path = Path("r/decisions.parquet")
    table = pd.read_parquet(path)
    table.loc[(table["session"] == DAY) & (table["symbol"] == "CC"), column] = value
    table.to_parquet(path, index=False)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("target_weight", 0.01, "target_weight of CC is 0.01, computed 0."),
        ("executed_weight", 0.01, "executed_weight of CC is 0.01, computed 0."),
        ("limit_applied", "cap+long_only", "limit_applied of CC is 'cap+long_only', computed '"),
    ],
)
def test_decisions_changed_by_hand_are_found_out(
    column: str, value: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(column, value)
    error = refused(capsys)
    assert f"r is not what its config.toml repeats: decisions.parquet, {DAY}: {words}" in error
    assert "so a file of the run was changed since" in error
    assert explained(capsys, DAYS[22])["decided"]


def test_a_removed_decision_and_changed_agents_are_found_out(capsys: pytest.CaptureFixture[str]) -> None:
    whole = pd.read_parquet("r/decisions.parquet")
    whole[whole["session"] != DAY].to_parquet("r/decisions.parquet", index=False)
    assert f"has no decision of {DAY}, and the replay one" in refused(capsys)
    whole.assign(bold=0.5).to_parquet("r/decisions.parquet", index=False)
    assert "weight of bold is 0.5, computed 0.75" in refused(capsys)
    whole.drop(columns="bold").to_parquet("r/decisions.parquet", index=False)
    assert "its agents are timid, computed timid, bold" in refused(capsys)


def test_other_bars_or_another_strategy_are_the_reason_given(capsys: pytest.CaptureFixture[str]) -> None:
    backtest(TWO)
    text = Path("bars.csv").read_text()
    lines = text.splitlines()
    day = next(k for k, line in enumerate(lines) if line.startswith(f"{DAYS[10]},AA"))
    cells = lines[day].split(",")
    lines[day] = ",".join([*cells[:2], *(str(float(cell) * 1.2) for cell in cells[2:6]), cells[6]])
    Path("bars.csv").write_text("\n".join(lines) + "\n")
    error = refused(capsys)
    assert "; the bars changed since the run (sha256 " in error
    Path("kept.csv").write_text(text)
    assert explained(capsys, flags="--data kept.csv")["notes"] == []
    Path("mine.py").write_text(CODE.replace("0.25, 0.75", "0.75, 0.25"))
    assert "; the strategy's file changed since the run (sha256 " in refused(capsys, flags="--data kept.csv")


def test_later_bars_are_a_note_and_missing_ones_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    backtest(f"{TWO} --end {DAYS[40]}")
    lines = Path("bars.csv").read_text().splitlines()
    Path("bars.csv").write_text("\n".join(line for line in lines if line[:10] != DAYS[50]) + "\n")
    (note,) = explained(capsys)["notes"]
    assert "the bars changed since the run" in note
    assert note.endswith("and the decision is the same nevertheless")
    Path("bars.csv").write_text("\n".join(line for line in lines if line[:10] != DAYS[40]) + "\n")
    assert f"has no session {DAYS[40]}, and r has" in refused(capsys)
    Path("bars.csv").unlink()
    assert "bars.csv: there is no such file" in refused(capsys)


def test_an_explanation_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    backtest("--strategy mine.py:Liar --cap 0.3")
    assert f"the policy's explanation of {DAY}: weight of timid is 0.75, computed 0.25" in refused(capsys)
    backtest("--strategy mine.py:Shapeless --cap 0.3")
    assert "proposals must be (2, 4), was (4,)" in refused(capsys)


def test_an_ordinary_strategy_has_no_decision_to_explain(capsys: pytest.CaptureFixture[str]) -> None:
    backtest("--strategy mine.py:Ordinary")
    assert "Ordinary places single orders and decides on no target weights" in refused(capsys)


def test_the_highest_rung_of_a_cost_ladder_is_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    backtest("--strategy equal_weight --commission-bps 0,30 --symbols AA,CC")
    row = explained(capsys)["orders"]["rows"][0]
    assert row["commission"] == pytest.approx(0.003 * row["notional"])


def test_the_terminal_shows_it_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(f"explain r --session {DAY} --top 1") == 0
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()) <= 80
    for words in (
        f"{DAY} of r (backtest), replayed: the same as in the run's files",
        "Carried by bold (75.00 %), timid (25.00 %);",
        "value: excess return over a month",
        "Targets: 1 of 4 symbols",
        "limit cap 30%: cut 1 target by ",
        "dropped: no bar",
    ):
        assert words in shown
    assert run(f"explain r --session {DAYS[0]}") == 0
    backtest("--strategy buy_and_hold")
    capsys.readouterr()
    assert run(f"explain r --session {DAY}") == 0
    assert "no decision: the policy answered with no decision" in capsys.readouterr().out


WALK = "--train-sessions 20 --test-sessions 10 --null-paths 0 --start 2023-02-01 --out r"


def test_a_walk_of_fitted_policies_is_explained_at_the_seams(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("r")
    flags = f"walk-forward --data bars.csv --strategy mine.py:Fitted --validation-sessions 0 {WALK}"
    assert run(flags) == 0
    folds = pd.read_csv("r/folds.csv")
    for day in (folds["test_end"][0], folds["test_start"][1]):
        found = explained(capsys, day)
        assert max(row["asked"] for row in found["symbols"]) == 1.0
        assert found["notes"] == []


def test_a_walk_of_ensembles_is_explained_by_the_model_in_charge(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = replace(
        SETTINGS["published"], hidden=(8,), controller_hidden=(8,), lookback_bars=40, batch_size=8, episodes=1
    )
    shutil.rmtree("r")
    monkeypatch.setitem(SETTINGS, "published", small)
    days = pd.bdate_range("2022-01-03", periods=130).strftime("%Y-%m-%d")
    table = pd.DataFrame([(day, name) for day in days for name in ("AA", "BB")], columns=["date", "symbol"])
    close = 50 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, (130, 2)), axis=0)).ravel()
    table.assign(open=close, high=close, low=close, close=close, volume=1000).to_csv("bars.csv", index=False)
    flags = "walk-forward --data bars.csv --setting published --train-sessions 30 --validation-sessions 6 "
    flags += "--test-sessions 12 --threads 1"
    assert run(f"{flags} --start {days[105]} --end {days[120]} --null-paths 0 --out r") == 0
    found = explained(capsys, days[118])  # of the second window
    assert found["decided"]
    assert sum(row["weight"] for row in found["agents"]["rows"]) == pytest.approx(1.0)
    assert len(found["agents"]["rows"]) == 10
    manifest = Path("r/models/02/manifest.json")
    manifest.write_text(manifest.read_text() + "\n")
    (note,) = explained(capsys, days[118])["notes"]
    assert note == "the windows' models changed since the run, and the decision is the same nevertheless"
    assert explained(capsys, days[110])["notes"] == []
