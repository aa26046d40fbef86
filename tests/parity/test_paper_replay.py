"""A replay through the paper service leaves the files of a backtest of the same sessions, share for share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluations import TINY
from panels import as_raw, random_panel, with_volumes
from papers import FREELY, SIMULATED, assert_same_files, files_of, run, write_panel

from agents.methods import make_trainer
from agents.profiles.settings import MARSFOLIO
from engine.limits import MODEL_LIMITS
from engine.panel import FIELDS, MarketPanel, Window
from engine.rebalancer import Terms
from engine.tradelog import read_table
from marsfolio.cli import progress as cli_progress
from marsfolio.paper.drift_session import PARTS

COSTS = """
commission_per_share = 0.01
commission_minimum = 1.0
sell_fee_bps = 1.0
half_spread = 0.01
impact = 0.3
participation_cap = 0.5
cash_rate = 0.05

[[commission_tiers]]
above = 500
per_share = 0.002
"""
PROFILES = replace(
    MARSFOLIO, members=2, episodes=6, controller_episodes=6, critic_episodes=6, sessions=30, bear_drifts=(0.001,)
)
MARKETS = ("holes", "late", "rich", "raw")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "costs.toml").write_text(COSTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def market_of(name: str) -> MarketPanel:
    """Return a random market: with missing bars, one that starts late, with volumes, with splits and dividends."""
    holes = {"holes": 0.3, "late": 0.0}.get(name, 0.1)
    panel = random_panel(MARKETS.index(name) + 3, 40, 4, holes)
    if name == "late":
        gone = (np.arange(len(panel)) < 20)[:, None] & (np.arange(4) == 2)
        bars = {field: np.where(gone, np.nan, getattr(panel, field)) for field in FIELDS}
        return MarketPanel(panel.sessions, panel.symbols, **bars)
    panel = panel if name == "holes" else with_volumes(panel, 1)
    return as_raw(panel, 2) if name == "raw" else panel


def prepare(name: str) -> tuple[MarketPanel, str, str]:
    """Write a market, and return it with the first and the last session to trade."""
    panel = market_of(name)
    panel = panel.select(panel.symbols)
    write_panel(panel, Path("bars.parquet"))
    return panel, str(panel.sessions[4]), str(panel.sessions[-1])


def assert_parity(strategy: str, first: str, last: str, terms: str) -> None:
    assert (
        run(f"backtest {strategy} --data bars.parquet --start {first} --end {last} {terms} --null-paths 0 --out run")
        == 0
    )
    assert run(f"paper run {strategy} {SIMULATED} --replay {first}:{last} {terms} {FREELY} --state paper") == 0
    backtest = files_of("run")
    assert len(backtest["trades.csv"]) > 10
    assert_same_files(files_of("paper"), backtest, without=last)
    assert run("paper drift --state paper --out drift.csv") == 0
    drift = read_table(Path("drift.csv"))
    assert drift[["drift", *PARTS]].abs().to_numpy().max() < 1e-5


@pytest.mark.parametrize(
    ("market", "terms"),
    [
        ("holes", "--slippage-bps 5"),
        ("late", "--costs ibkr-fixed"),
        ("rich", "--costs costs.toml --fill next_close"),
        ("raw", "--costs costs.toml"),
        # Without the buffer a backtest buys fractions of 1e-12 shares for its last 1e-11 of cash.
        ("raw", "--fractional --cash-buffer 0.5 --fill next_close"),
    ],
)
def test_a_replay_of_equal_weight_is_its_backtest(market: str, terms: str) -> None:
    _, first, last = prepare(market)
    assert_parity("--strategy equal_weight", first, last, terms)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return two small models of the late market: the ensemble, and the risk profiles, whose policy has a state."""
    out = tmp_path_factory.mktemp("models")
    panel = late_panel()
    terms, train, validation = Terms(limits=MODEL_LIMITS), Window(60, 109), Window(110, 124)
    found = {}
    for name, settings in (("tiny", TINY), ("profiles", PROFILES)):
        make_trainer(panel, train, validation, settings, terms, 0, out / name).run(False)
        found[name] = out / name
    return found


def late_panel() -> MarketPanel:
    """Return a market of 150 sessions in which the last of four symbols starts late and some bars are missing."""
    panel = random_panel(7, 150, 4, 0.0)
    gone = np.random.default_rng(0).random(panel.close.shape) < 0.02
    gone[:30, 3] = True
    bars = {field: np.where(gone, np.nan, getattr(panel, field)) for field in FIELDS}
    return MarketPanel(panel.sessions, panel.symbols, **bars)


@pytest.mark.parametrize("name", ["tiny", "profiles"])
def test_a_replay_of_a_model_is_its_backtest(models: dict[str, Path], name: str) -> None:
    panel = late_panel()
    write_panel(panel, Path("bars.parquet"))
    assert_parity(f"--model {models[name]}", str(panel.sessions[130]), str(panel.sessions[-1]), "--slippage-bps 5")


def test_a_second_replay_over_a_finished_one_changes_nothing() -> None:
    _, first, last = prepare("rich")
    line = f"paper run --strategy equal_weight {SIMULATED} --replay {first}:{last} {FREELY} --state paper"
    assert run(line) == 0
    before, entries = files_of("paper"), audit_of("paper")
    assert run(line) == 0
    assert_same_files(files_of("paper"), before)
    assert audit_of("paper") == entries


def test_a_replay_that_was_stopped_goes_on_to_the_same_files(monkeypatch: pytest.MonkeyPatch) -> None:
    _, first, last = prepare("rich")
    line = f"paper run --strategy equal_weight {SIMULATED} --replay {first}:{last} {FREELY} --state"
    assert run(f"{line} whole") == 0
    with monkeypatch.context() as patch:
        patch.setattr(cli_progress, "replay_progress", partial(stopping, 9))
        assert run(f"{line} broken") == 130
    assert len(files_of("broken")["equity.csv"]) < len(files_of("whole")["equity.csv"])
    assert run(f"{line} broken") == 0
    assert_same_files(files_of("broken"), files_of("whole"))
    assert run("paper audit --state broken") == 0


@contextmanager
def stopping(after: int) -> Iterator[Callable[[Any, int, int], None]]:
    """Press Ctrl-C after so many sessions."""

    def show(outcome: Any, done: int, total: int) -> None:
        if done == after:
            signal.raise_signal(signal.SIGINT)

    yield show


def audit_of(state: str) -> list[str]:
    assert run(f"paper audit --state {state} --out {state}.jsonl") == 0
    return Path(f"{state}.jsonl").read_text(encoding="utf-8").splitlines()
