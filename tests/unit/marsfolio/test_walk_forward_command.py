"""`marsfolio walk-forward`: a model a window, one run over all of them, and nothing known too early."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agents.settings import SETTINGS
from marsfolio.cli import main

FLAGS = (
    "walk-forward --data bars.csv --setting published --train-sessions 30 --validation-sessions 6 --test-sessions 10 "
    "--purge 2 --embargo 1 --threads 1 --seed 3"
)
DAYS = pd.bdate_range("2022-01-03", periods=130).strftime("%Y-%m-%d")
START, END = DAYS[100], DAYS[124]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small = replace(
        SETTINGS["published"], hidden=(8,), controller_hidden=(8,), lookback_bars=40, batch_size=8, episodes=1
    )
    monkeypatch.setitem(SETTINGS, "published", small)
    random = np.random.default_rng(3)
    table = pd.DataFrame([(day, name) for day in DAYS for name in ("AA", "BB")], columns=["date", "symbol"])
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.01, (len(DAYS), 2)), axis=0)).ravel()
    bars = table.assign(open=close, high=close * 1.01, low=close * 0.99, close=close, volume=100_000)
    bars.to_csv(tmp_path / "bars.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


MINE = """
import numpy as np
from engine.policy import Decision, StatelessPolicy


class Best(StatelessPolicy):
    \"\"\"Holds what rose most in training; notes what it was shown.\"\"\"

    def fit(self, panel, train, validation):
        assert len(panel) - 1 == (validation or train).last
        self.best = int(np.argmax(panel.close[train.last] / panel.close[train.first]))

    def decide(self, observation):
        weights = np.zeros(len(observation.symbols))
        weights[self.best] = 1.0
        return weights


class Unfit(StatelessPolicy):
    def decide(self, observation):
        return None
"""


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    return int(stop.value.code or 0)


def test_each_window_has_its_model_and_the_run_goes_through_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{FLAGS} --start {START} --end {END} --out w") == 0
    shown = capsys.readouterr().out
    assert "window 3 of 3" in shown
    folds = pd.read_csv("w/folds.csv")
    assert folds["test_start"].tolist() == [DAYS[100], DAYS[110], DAYS[120]]
    assert folds["test_end"].tolist() == [DAYS[109], DAYS[119], DAYS[124]]
    assert folds["validation_end"].tolist() == [DAYS[98], DAYS[108], DAYS[118]]
    assert folds["train_end"].tolist() == [DAYS[90], DAYS[100], DAYS[110]]
    equity = pd.read_csv("w/equity.csv")
    assert equity["session"].tolist() == DAYS[100:125].tolist()
    assert equity["equity"].iloc[0] == 1_000_000
    growth = np.prod(1 + folds["total_return"])
    assert growth == pytest.approx(equity["equity"].iloc[-1] / 1_000_000)
    for number, row in zip(("01", "02", "03"), folds.to_dict("records"), strict=True):
        manifest = json.loads(Path(f"w/models/{number}/manifest.json").read_text())
        assert manifest["train"] == [row["train_start"], row["train_end"]]
        look = json.loads(Path(f"w/models/{number}/looks.jsonl").read_text())
        assert (look["start"], look["end"]) == (row["test_start"], row["test_end"])


def test_later_bars_do_not_change_earlier_models_or_decisions() -> None:
    assert run(f"{FLAGS} --start {START} --end {END} --out before") == 0
    bars = pd.read_csv("bars.csv")
    later = bars["date"] > DAYS[112]
    bars.loc[later, ["open", "high", "low", "close"]] *= 1.5
    bars.to_csv("bars.csv", index=False)
    assert run(f"{FLAGS} --start {START} --end {END} --out after") == 0
    hashes = [pd.read_csv(f"{name}/folds.csv")["model_hash"].tolist() for name in ("before", "after")]
    assert hashes[0][:2] == hashes[1][:2]
    assert hashes[0][2] != hashes[1][2]
    equity = [pd.read_csv(f"{name}/equity.csv")["equity"].tolist()[:13] for name in ("before", "after")]
    assert equity[0] == equity[1]


def test_the_config_repeats_it_and_finished_windows_are_not_trained_again() -> None:
    assert run(f"{FLAGS} --anchored --start {START} --end {END} --out w") == 0
    first = Path("w/equity.csv").read_bytes()
    written = Path("w/models/01/manifest.json").stat().st_mtime_ns
    assert run("walk-forward --config w/config.toml --resume") == 0
    assert Path("w/models/01/manifest.json").stat().st_mtime_ns == written
    assert Path("w/equity.csv").read_bytes() == first
    assert run("walk-forward --config w/config.toml --out again") == 0
    assert Path("again/equity.csv").read_bytes() == first
    folds = pd.read_csv("w/folds.csv")
    assert folds["train_start"].nunique() == 1


def test_too_little_history_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{FLAGS} --start {DAYS[20]} --out w") == 2
    assert "has 20 sessions before it, and the windows need 39" in capsys.readouterr().err
    assert not Path("w").exists()


def test_a_policy_of_the_users_own_is_fitted_anew_in_each_window(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(MINE)
    flags = f"{FLAGS} --strategy mine.py:Best --validation-sessions 0 --start {START} --end {END}"
    assert run(f"{flags} --out w") == 0
    folds = pd.read_csv("w/folds.csv")
    assert folds["train_end"].tolist() == [DAYS[96], DAYS[106], DAYS[116]]
    close = pd.read_csv("bars.csv").pivot(index="date", columns="symbol", values="close")
    wanted = [
        (close.loc[row["train_end"]] / close.loc[row["train_start"]]).idxmax() for row in folds.to_dict("records")
    ]
    decisions = pd.read_parquet("w/decisions.parquet").set_index(["session", "symbol"])["target_weight"]
    assert [decisions[day].idxmax() for day in folds["test_start"]] == wanted
    assert run(f"{flags} --engine kernel --out k") == 0
    assert Path("k/trades.csv").read_bytes() == Path("w/trades.csv").read_bytes()
    assert not Path("w/models").exists()
    capsys.readouterr()
    assert run(f"{FLAGS} --strategy mine.py:Unfit --start {START} --out u") == 2
    assert "has no method fit(panel, train, validation)" in capsys.readouterr().err


def test_an_ensemble_needs_a_validation_window(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{FLAGS} --validation-sessions 0 --start {START} --out w") == 2
    assert "--validation-sessions must be at least 2 for an ensemble, was 0" in capsys.readouterr().err
