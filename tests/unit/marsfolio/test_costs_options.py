"""Costs on the command line: price lists, files, and the ladder of commissions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.costs import PRESETS, Costs, Tier
from engine.errors import ConfigError
from marsfolio.choice import costs_of
from marsfolio.cli import main
from marsfolio.cli.ladder import Rungs, what_is_left
from marsfolio.config import read_toml

BACKTEST = "backtest --data bars.csv --strategy equal_weight"
MINE = """
commission_per_share = 0.004
commission_minimum = 0.5
half_spread = 0.01
cash_rate = 0.02

[[commission_tiers]]
above = 1000
per_share = 0.002
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    random = np.random.default_rng(3)
    days = pd.bdate_range("2023-01-02", periods=40).strftime("%Y-%m-%d")
    table = pd.DataFrame([(day, name) for day in days for name in ("AA", "BB")], columns=["date", "symbol"])
    close = 50 * np.exp(random.normal(0, 0.03, len(table)))
    bars = table.assign(open=close, high=close * 1.01, low=close * 0.99, close=close, volume=100_000)
    bars.to_csv(tmp_path / "bars.csv", index=False)
    bars[bars.symbol == "AA"].to_csv(tmp_path / "index.csv", index=False)
    (tmp_path / "mine.toml").write_text(MINE)
    (tmp_path / "odd.toml").write_text("comission_bps = 3\n")
    (tmp_path / "text.toml").write_text('commission_bps = "3"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    return int(stop.value.code or 0)


def metrics_of(run_: str) -> dict[str, float]:
    found: dict[str, float] = json.loads((Path(run_) / "metrics.json").read_text())
    return found


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--costs ibkr-tierd", "unknown costs 'ibkr-tierd', did you mean 'ibkr-tiered'"),
        ("--costs none.toml", "none.toml does not exist"),
        ("--costs odd.toml", "odd.toml: unknown key 'comission_bps', did you mean 'commission_bps'"),
        ("--costs text.toml", "text.toml: commission_bps must be a number, was '3'"),
        ("--costs zero --commission-bps 5", "either --costs or --commission-bps, not both"),
        ("--commission-bps 5,x", "--commission-bps': must be a number of basis points, or several as in 0,5,10,20"),
        ("--commission-bps 5,5.0", "must name each number of basis points once"),
        ("--commission-bps 5,", "must be a number of basis points"),
        ("--commission-bps 5,20000", "commission_bps must be at least 0 and below 10000"),
    ],
)
def test_wrong_costs_are_one_message_and_nothing_is_written(
    flags: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{BACKTEST} {flags} --out r") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error: ") == 1
    assert not Path("r").exists()


def test_a_file_states_costs_and_the_run_repeats_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(f"{BACKTEST} --costs mine.toml --slippage-bps 2 --out r") == 0
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert run("backtest --config ../r/config.toml --out again") == 0
    assert Path("again/trades.csv").read_bytes() == Path("../r/trades.csv").read_bytes()
    stated = read_toml(Path("../r/config.toml"))["provenance"]["costs"]
    assert Costs.from_table(stated) == Costs(
        commission_bps=0.0,
        slippage_bps=2.0,
        commission_per_share=0.004,
        commission_minimum=0.5,
        commission_tiers=(Tier(1000, per_share=0.002),),
        half_spread=0.01,
        cash_rate=0.02,
    )
    assert (pd.read_csv("../r/trades.csv")["commission"] >= 0.5).all()
    assert set(pd.read_csv("../r/cash_flows.csv")["kind"]) == {"interest"}


@pytest.mark.parametrize("name", PRESETS)
def test_each_price_list_runs_and_survives_its_own_table(name: str) -> None:
    assert Costs.from_table(PRESETS[name].table()) == PRESETS[name]
    assert run(f"{BACKTEST} --costs {name} --engine kernel --out r") == 0


def test_costs_without_flags_are_ten_basis_points_and_the_config_says_so() -> None:
    assert costs_of(None, None, None) == Costs(10.0, 0.0)
    assert run(f"{BACKTEST} --out r") == 0
    stated = read_toml(Path("r/config.toml"))["backtest"]
    assert (stated["commission_bps"], stated["slippage_bps"]) == (10.0, 0.0)


def test_a_ladder_is_the_run_of_its_dearest_rung_with_the_others_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{BACKTEST} --commission-bps 10,0,40 --benchmark index.csv --out r") == 0
    shown = capsys.readouterr().out
    assert run(f"{BACKTEST} --commission-bps 40 --benchmark index.csv --out alone") == 0
    assert Path("r/trades.csv").read_bytes() == Path("alone/trades.csv").read_bytes()
    for bps in (0, 10, 40):
        assert run(f"{BACKTEST} --commission-bps {bps} --out one") == 0
        assert metrics_of(f"r/ladder/commission-{bps}bps") == metrics_of("one")
    table = pd.read_csv("r/ladder/ladder.csv")
    assert table["commission_bps"].tolist() == [0, 10, 40]
    assert table["annual_return"].is_monotonic_decreasing
    assert table["annual_cost"].iloc[0] == 0
    assert "edge over buy and hold: " in shown
    assert "edge over benchmark: " in shown


def test_the_run_of_a_ladder_repeats_the_ladder_and_a_plain_run_replaces_it() -> None:
    assert run(f"{BACKTEST} --commission-bps 0,10 --out r") == 0
    before = Path("r/ladder/ladder.csv").read_bytes()
    assert run("backtest --config r/config.toml --out again") == 0
    assert Path("again/ladder/ladder.csv").read_bytes() == before
    assert run("backtest --config r/ladder/commission-0bps/config.toml --out single") == 0
    assert metrics_of("single") == metrics_of("r/ladder/commission-0bps")
    assert run(f"{BACKTEST} --commission-bps 10 --out r") == 0
    assert not Path("r/ladder").exists()


def test_training_takes_one_commission(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train --data bars.csv --train A:B --validation C:D --out m --commission-bps 0,5") == 2
    assert "--commission-bps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ([0.04, 0.03, 0.02], "50% of it is left"),
        ([0.04, 0.0, -0.04], "gone at about 5.0 bps"),
        ([0.03, 0.01, -0.01], "gone at about 7.5 bps"),
        ([-0.01, -0.02, -0.03], "none, -1.00% a year at 0 bps already"),
    ],
)
def test_what_is_left_of_an_edge_is_said_in_words(edges: list[float], words: str) -> None:
    table = pd.DataFrame({"commission_bps": [0.0, 5.0, 10.0], "edge_over_benchmark": edges})
    assert words in what_is_left(table, "edge_over_benchmark")


def test_rungs_read_numbers_and_lists() -> None:
    assert Rungs.parse(5) == (5.0,)
    assert Rungs.parse(5).stated == 5.0
    assert Rungs.parse(" 0, 5 ,10") == Rungs.parse([0, 5, 10]) == (0.0, 5.0, 10.0)
    assert Rungs.parse([0, 5]).stated == [0.0, 5.0]


def test_costs_refuse_what_they_cannot_mean() -> None:
    with pytest.raises(ConfigError, match="must begin above 0 and rise"):
        Costs(commission_tiers=(Tier(10), Tier(5)))
    with pytest.raises(ConfigError, match="at most, were 9"):
        Costs(commission_tiers=tuple(Tier(k + 1.0) for k in range(9)))
    with pytest.raises(ConfigError, match="participation_cap must be above 0 and at most 1, was 0"):
        Costs(participation_cap=0.0)
    with pytest.raises(ConfigError, match="tier_unit must be shares or notional"):
        Costs(tier_unit="lots")
    with pytest.raises(ConfigError, match="cash_rate must be at least 0 and below 1"):
        Costs(cash_rate=5.0)
