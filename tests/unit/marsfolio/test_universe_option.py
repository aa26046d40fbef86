"""`marsfolio backtest --universe`: what is no member is not shown, not bought, and sold when it leaves."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evaluations import WINDOWS, write_bars

from data_feeds.files import read_panel
from engine.backtest import run_policy
from engine.costs import Costs
from engine.errors import ConfigError, DataError
from engine.observation import Observation
from engine.policy import Decision, StatelessPolicy
from engine.rebalancer import Schedule, Terms
from marsfolio.cli import main
from marsfolio.compose import Market, load_market
from marsfolio.runs import open_run
from strategies.baselines import BuyAndHold, EqualWeight

DAYS = pd.bdate_range("2024-01-01", periods=8).strftime("%Y-%m-%d")
UNIVERSE = f"symbol,first,last\nA,,\nB,,{DAYS[3]}\nC,{DAYS[2]},\nGONE,,2024-01-03\n"
TERMS = Terms(1000.0, Costs(0.0), None)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder with bars of A, B, C and D, all at 10 every day, and a universe."""
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame([(day, name) for day in DAYS for name in "ABCD"], columns=["date", "symbol"])
    table.assign(open=10.0, high=10.0, low=10.0, close=10.0, volume=100).to_csv("bars.csv", index=False)
    Path("members.csv").write_text(UNIVERSE)
    return tmp_path


def market() -> Market:
    return load_market(Path("bars.csv"), None, "members.csv")


def test_equal_weight_holds_the_members_of_each_day_in_equal_parts() -> None:
    panel = market().panel
    assert panel.symbols == ("A", "B", "C")
    result = run_policy(EqualWeight(), panel, 0, 7, replace(TERMS, fractional=True))
    third = round(1 / 3, 9)
    assert result.target_weight.round(9).tolist() == [
        [0.5, 0.5, 0.0],
        [third] * 3,  # C joins on the third day, so that the second day's decision buys it at that open
        [third] * 3,
        [0.5, 0.0, 0.5],  # B's last day is the fourth: it is sold at the fifth's open
        *[[0.5, 0.0, 0.5]] * 4,
    ]
    fills = result.trades.fills
    of_b = fills[fills["symbol"] == 1]
    assert of_b["quantity"].tolist() == [50.0, pytest.approx(-50 / 3), pytest.approx(-100 / 3)]
    assert of_b["row"].tolist()[-1] == 4


@pytest.mark.parametrize("schedule", [Schedule.DAILY, Schedule.MONTHLY])
def test_what_leaves_is_sold_when_nothing_else_is_decided(schedule: Schedule) -> None:
    result = run_policy(BuyAndHold(), market().panel, 0, 7, TERMS, schedule)
    assert result.decided.tolist() == [True, False, False, True, False, False, False, False]
    assert np.isnan(result.target_weight[3]).tolist() == [True, False, True]
    assert result.cash[-1] == 500.0


class Sees(StatelessPolicy):
    """Keeps what it is shown of each symbol, and asks for a third of each, members or not."""

    lookback_bars = 5

    def __init__(self) -> None:
        self.seen: list[tuple[list[bool], list[int]]] = []

    def decide(self, observation: Observation) -> Decision | None:
        known = (~np.isnan(observation.window("close", 5))).sum(axis=0)
        self.seen.append((observation.tradable.tolist(), known.tolist()))
        return Decision(np.full(3, 1 / 3))


def test_a_symbol_has_no_past_until_it_joins_and_then_all_of_it() -> None:
    policy = Sees()
    result = run_policy(policy, market().panel, 0, 7, TERMS)
    assert policy.seen[0] == ([True, True, False], [1, 1, 0])
    assert policy.seen[1] == ([True, True, True], [2, 2, 2])
    assert policy.seen[3] == ([True, False, True], [4, 0, 4])
    # Weights for those that are no members count for nothing.
    assert result.target_weight[0, 2] == 0.0
    assert result.target_weight[4, 1] == 0.0


def test_members_without_bars_are_named() -> None:
    notes = " ".join(market().notes)
    assert "3 of its 4 symbols have bars" in notes
    assert "1 members have no bars (GONE)" in notes
    Path("members.csv").write_text("X\nY\n")
    with pytest.raises(DataError, match="no member"):
        market()


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_both_engines_and_a_run_that_is_looked_at_again_know_the_universe(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--data", "bars.csv", "--universe", "members.csv", "--strategy", "equal_weight", "--null-paths", "3")
    assert run("backtest", "--out", "one", *flags) == 0
    assert run("backtest", "--out", "two", "--engine", "kernel", *flags) == 0
    assert Path("one/trades.csv").read_bytes() == Path("two/trades.csv").read_bytes()
    config = tomllib.loads(Path("one/config.toml").read_text())
    assert config["backtest"]["universe"] == str(Path("members.csv").resolve())
    assert (
        config["provenance"]["data_hash"] == market().panel.content_hash != read_panel(Path("bars.csv"))[0].content_hash
    )
    assert run("trades", "one", "--verify") == 0
    assert run("explain", "one", "--session", DAYS[4]) == 0
    assert run("check-lookahead", *flags[:-2], "--dates", "3") == 0
    assert "GONE" in " ".join(open_run(Path("one")).remarks)
    capsys.readouterr()


def test_target_weights_of_a_file_are_cut_to_the_members() -> None:
    rows = [f"{day},{name},{1 / 3}" for day in DAYS for name in "ABC"]
    Path("weights.csv").write_text("\n".join(["date,symbol,weight", *rows]))
    flags = ("--data", "bars.csv", "--universe", "members.csv", "--strategy", "weights", "--weights", "weights.csv")
    assert run("backtest", "--out", "one", "--engine", "kernel", "--null-paths", "0", *flags) == 0
    decisions = open_run(Path("one")).decisions
    assert decisions[(decisions["symbol"] == "B") & (decisions["session"] == DAYS[4])]["target_weight"].tolist() == [
        0.0
    ]


def test_single_orders_do_not_go_with_a_universe(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text("import backtrader as bt\nclass Mine(bt.Strategy):\n    pass\n")
    flags = ("--data", "bars.csv", "--universe", "members.csv", "--strategy", "mine.py:Mine")
    assert run("backtest", "--out", "one", *flags) == ConfigError.exit_code
    assert "--universe is for target weights" in capsys.readouterr().err


def test_an_evaluation_holds_members_alone(capsys: pytest.CaptureFixture[str]) -> None:
    write_bars(Path("long.csv"))
    Path("members.csv").write_text("symbol,first,last\nAAA,,\nBBB,,2020-05-29\nCCC,2020-05-01,\n")
    flags = ("--windows", WINDOWS[0], "--data", "long.csv", "--universe", "members.csv", "--null-paths", "3")
    few = ("--jobs", "1", "--resamples", "20", "--seeds", "0")
    assert run("evaluate", "--out", "out", "--methods", "equal_weight", *flags, *few) == 0
    assert tomllib.loads(Path("out/config.toml").read_text())["evaluate"]["universe"] == str(
        Path("members.csv").resolve()
    )
    assert "3 of its 3 symbols have bars" in capsys.readouterr().out


def test_settings_whose_environment_keeps_what_leaves_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--train", "2024-01-01:2024-01-04", "--validation", "2024-01-05:2024-01-09", "--out", "model")
    assert run("train", *flags, "--setting", "published", "--data", "bars.csv", "--universe", "members.csv") == 2
    assert "keeps what leaves" in capsys.readouterr().err
