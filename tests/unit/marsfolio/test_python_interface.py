"""`import marsfolio`: what the command line does, as objects, bit for bit."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import marsfolio
from engine.errors import ConfigError, DataError, InputError, RunFolderError, UserCodeError
from engine.panel import MarketPanel
from marsfolio.cli import main

SESSIONS = pd.bdate_range("2023-01-02", periods=80).strftime("%Y-%m-%d")
OWN = """
import backtrader as bt
import numpy as np


def tilt(observation, power=1.0):
    weights = observation.window("close", 5)[-1] ** power
    return weights / weights.sum()


class BuyOnce(bt.Strategy):
    params = (("size", 10),)

    def next(self):
        for data in self.datas:
            if not self.getposition(data) and not self.broker.get_orders_open():
                self.buy(data, size=self.p.size)
"""
FILES = ("equity.csv", "trades.csv", "round_trips.csv", "cash_flows.csv", "decisions.parquet", "metrics.json")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    bars().to_csv(tmp_path / "bars.csv", index=False)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "members.csv").write_text("symbol,first,last\nAA,,\nBB,2023-02-01,\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bars() -> pd.DataFrame:
    random = np.random.default_rng(0)
    table = pd.DataFrame([(day, name) for day in SESSIONS for name in ("AA", "BB", "CC")], columns=["date", "symbol"])
    close = 50 * np.exp(random.normal(0, 0.01, len(table)))
    return table.assign(open=close, high=close * 1.01, low=close * 0.99, close=close, volume=1000)


def long_bars() -> pd.DataFrame:
    random = np.random.default_rng(1)
    days = pd.bdate_range("2022-01-03", periods=260).strftime("%Y-%m-%d")
    table = pd.DataFrame([(day, name) for day in days for name in ("AA", "BB", "CC")], columns=["date", "symbol"])
    close = 50 * np.exp(random.normal(0, 0.01, len(table)))
    return table.assign(open=close, high=close * 1.01, low=close * 0.99, close=close, volume=1000)


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    return int(stop.value.code or 0)


def equal(observation: marsfolio.Observation) -> np.ndarray[Any, Any]:
    return np.full(len(observation.symbols), 1 / len(observation.symbols))


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, marsfolio; print([name for name in ('numpy', 'pandas', 'torch') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_name_it_promises_is_there() -> None:
    assert [name for name in marsfolio.__all__ if getattr(marsfolio, name) is None] == []
    assert set(marsfolio.__all__) <= set(dir(marsfolio))
    with pytest.raises(AttributeError, match="has no attribute 'backtets'"):
        _ = marsfolio.backtets  # type: ignore[attr-defined]


CASES: list[tuple[str, dict[str, Any]]] = [
    ("--strategy equal_weight", {"strategy": "equal_weight"}),
    (
        "--strategy own.py:tilt --param power=2.0 --rebalance weekly --fill same_close --fractional --cap 0.5",
        {
            "strategy": "own.py:tilt",
            "params": {"power": 2.0},
            "rebalance": "weekly",
            "fill": "same_close",
            "fractional": True,
            "cap": 0.5,
        },
    ),
    ("--strategy own.py:BuyOnce --param size=7", {"strategy": "own.py:BuyOnce", "params": {"size": 7}}),
    ("--strategy equal_weight --universe members.csv", {"strategy": "equal_weight", "universe": "members.csv"}),
    (
        "--strategy hrp --start 2023-02-01 --end 2023-04-03 --symbols AA,BB --costs ibkr-tiered "
        "--benchmark bars.csv:CC",
        {
            "strategy": "hrp",
            "start": "2023-02-01",
            "end": pd.Timestamp("2023-04-03"),
            "symbols": ["AA", "BB"],
            "costs": "ibkr-tiered",
            "benchmark": "bars.csv:CC",
        },
    ),
]


@pytest.mark.parametrize(("flags", "arguments"), CASES)
def test_a_saved_backtest_is_the_run_folder_of_the_command_line(flags: str, arguments: dict[str, Any]) -> None:
    assert run(f"backtest --data bars.csv --out r {flags}") == 0
    kept = {name: Path("r", name).read_bytes() for name in (*FILES, "statistics.json")}
    said = tomllib.loads(Path("r/config.toml").read_text())
    done = marsfolio.backtest("bars.csv", **arguments)
    assert done.save("r") == Path("r/report.html")
    assert {name: Path("r", name).read_bytes() for name in kept} == kept
    assert tomllib.loads(Path("r/config.toml").read_text()) == said
    assert run("backtest --config r/config.toml") == 0
    assert {name: Path("r", name).read_bytes() for name in kept} == kept


def test_tables_in_memory_are_those_of_the_folder() -> None:
    done = marsfolio.backtest("bars.csv", "own.py:tilt", benchmark="bars.csv:AA")
    done.save("r")
    read = marsfolio.open_run("r")
    for name in ("equity", "trades", "round_trips", "cash_flows", "decisions", "weights", "intervals", "returns"):
        one, other = getattr(done, name), getattr(read, name)
        if name == "returns":
            one = one.rename("r")
        assert one.equals(other.astype(one.dtypes if one.ndim == 2 else one.dtype)), name
    assert done.metrics.to_dict() == read.metrics.to_dict()
    assert done.statistics == read.statistics
    assert done.remarks == read.remarks
    assert "tilt, 2023-01-02 to 2023-04-21: total return" in repr(done)


def test_a_function_at_the_top_of_a_file_is_named_so_that_the_run_repeats() -> None:
    done = marsfolio.backtest("bars.csv", equal)
    done.save("r")
    assert tomllib.loads(Path("r/config.toml").read_text())["backtest"]["strategy"] == f"{Path(__file__)}:equal"
    assert run("backtest --config r/config.toml") == 0
    assert marsfolio.open_run("r").equity.equals(done.equity)


def test_an_object_without_a_name_runs_and_says_that_it_cannot_be_repeated() -> None:
    def nameless(observation: marsfolio.Observation) -> np.ndarray[Any, Any]:
        return equal(observation)

    done = marsfolio.backtest("bars.csv", nameless, engine="kernel", null_paths=0)
    assert any("config.toml cannot repeat the run" in remark for remark in done.remarks)
    assert done.equity.equals(marsfolio.backtest("bars.csv", equal, null_paths=0).equity)


def test_a_policy_may_be_a_class_or_an_instance() -> None:
    class Half(marsfolio.StatelessPolicy):
        def __init__(self, share: float = 0.5) -> None:
            self.share = share

        def decide(self, observation: marsfolio.Observation) -> marsfolio.Decision:
            return marsfolio.Decision(self.share * equal(observation))

    whole = [
        marsfolio.backtest("bars.csv", Half, params={"share": 0.3}, null_paths=0),
        marsfolio.backtest("bars.csv", Half(0.3), null_paths=0),
    ]
    assert whole[0].equity.equals(whole[1].equity)
    assert whole[0].equity["gross_exposure"].max() < 0.35


def test_bars_may_be_a_file_a_long_table_a_panel_or_closes_alone() -> None:
    table = bars()
    from_file = marsfolio.read_bars("bars.csv")
    assert marsfolio.read_bars(table).panel.content_hash == from_file.panel.content_hash
    assert marsfolio.read_bars(from_file.panel, ["BB"]).symbols == ("BB",)
    assert isinstance(from_file.panel, MarketPanel)
    wide = from_file.close
    assert wide.shape == (80, 3)
    late = wide.copy()
    late.iloc[:20] = np.nan
    closes = marsfolio.read_bars(late)
    assert closes.panel.closes_only
    assert len(closes.panel) == 60
    done = marsfolio.backtest(table, "equal_weight", null_paths=0)
    assert done.equity.equals(marsfolio.backtest("bars.csv", "equal_weight", null_paths=0).equity)
    assert any("--data must" in remark for remark in done.remarks)


def test_target_weights_may_be_a_table() -> None:
    weights = bars()[["date", "symbol"]].assign(weight=0.3)
    done = marsfolio.backtest("bars.csv", "weights", weights=weights, null_paths=0)
    assert len(done.weights) == 80
    with pytest.raises(DataError, match=r"the table of weights: row 1: weights of 2023-01-02 must sum"):
        marsfolio.backtest("bars.csv", "weights", weights=weights.assign(weight=0.5))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"strategy": "equal_weigth"}, ConfigError, "did you mean 'equal_weight'"),
        ({"strategy": "equal_weight", "fill": "next_opne"}, ConfigError, "fill must be one of next_open"),
        ({"strategy": "equal_weight", "rebalance": "yearly"}, ConfigError, "rebalance must be one of daily"),
        ({"strategy": "equal_weight", "engine": "fast"}, ConfigError, "engine must be one of cerebro, kernel"),
        ({"strategy": "equal_weight", "start": "01/02/2023"}, ConfigError, "must be a date such as 2024-01-02"),
        ({"strategy": "equal_weight", "params": {"a": 1}}, ConfigError, "--param goes with a --strategy of your own"),
        ({"strategy": "equal_weight", "agent": "agent_01"}, ConfigError, "--agent go with --model"),
        ({"strategy": equal, "params": {"power": 1}}, ConfigError, "no such parameter"),
        ({"strategy": "weights"}, ConfigError, "needs weights="),
        ({"strategy": "equal_weight", "symbols": []}, ConfigError, "symbols must name at least one"),
        ({"strategy": "equal_weight", "symbols": "AA,BBB"}, DataError, "nearest: BB"),
        ({"strategy": 3}, ConfigError, "must be a policy"),
        ({"strategy": lambda observation: 1 / 0}, UserCodeError, "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        marsfolio.backtest("bars.csv", **arguments)


def test_figures_are_matplotlib_figures_that_a_notebook_shows() -> None:
    done = marsfolio.backtest("bars.csv", "equal_weight", null_paths=0)
    figure: Any = done.plot()
    assert figure._repr_png_()[:4] == b"\x89PNG"
    assert [axes.get_ylabel() for axes in done.plot("holdings").axes] == ["Weight after each decision's fills"]
    with pytest.raises(InputError, match="did you mean 'drawdown'"):
        done.plot("drawdowm")


def test_runs_are_compared_with_intervals_and_a_page() -> None:
    runs = {name: marsfolio.backtest("bars.csv", name, null_paths=0) for name in ("buy_and_hold", "equal_weight")}
    found = marsfolio.compare(runs)
    assert found.baseline == "equal_weight"
    assert found.equity.shape == (80, 2)
    row = found.differences.loc[("buy_and_hold", "sharpe_ratio")]
    assert row["low"] <= row["difference"] <= row["high"]
    assert found.metrics.loc["n_fills", "buy_and_hold"] == len(runs["buy_and_hold"].trades)
    assert len(found.plot().axes[0].lines) == 2
    assert found.save("ab.html").read_text().startswith("<!doctype html>")
    with pytest.raises(InputError, match="at least two runs"):
        marsfolio.compare({"one": runs["equal_weight"]})


def test_a_model_trains_and_trades_as_on_the_command_line() -> None:
    table = long_bars()
    table.to_csv("long.csv", index=False)
    days = sorted(set(table["date"]))
    train, validation = (days[0], days[190]), (days[191], days[230])
    how: dict[str, Any] = {"setting": "published", "episodes": 1, "threads": 1}
    model = marsfolio.train(table, train, validation, "mine", **how)
    flags = (
        f"--train {':'.join(train)} --validation {':'.join(validation)} --setting published --episodes 1 --threads 1"
    )
    assert run(f"train --data long.csv {flags} --episodes 1 --threads 1 --out theirs") == 0
    assert marsfolio.load_model("theirs").hash == model.hash
    done = marsfolio.backtest("long.csv", model, days[235], null_paths=0)
    assert done.equity.equals(marsfolio.backtest(table, Path("mine"), days[235], null_paths=0).equity)
    assert done.statistics["n_trials"] == 1
    assert len(marsfolio.load_model("mine").agent_names) == 10
    done.save("r")
    assert run("backtest --config r/config.toml") == 0
    assert marsfolio.open_run("r").equity.equals(done.equity)


def test_an_evaluation_is_that_of_the_command_line() -> None:
    window = "2016=2012-01-03:2013-12-31/2014-01-02:2014-12-31/2015-01-02:2015-06-30"
    methods = ["equal_weight:monthly", "buy_and_hold"]
    found = marsfolio.evaluate(None, [window], methods, [0], "e", null_paths=2, resamples=20)
    assert list(found.metric("sharpe_ratio").index[:2]) == methods
    assert found.answer
    assert found.summary.startswith("#")
    table = Path("e/results.csv").read_bytes()
    assert (
        run(
            f"evaluate --windows {window} --methods {methods[0]} --methods {methods[1]} --seeds 0 --out f "
            "--null-paths 2 --resamples 20 --jobs 1"
        )
        == 0
    )
    assert Path("f/results.csv").read_bytes() == table
    with pytest.raises(RunFolderError):
        marsfolio.evaluate(None, [window], methods, [0], "bars.csv")
