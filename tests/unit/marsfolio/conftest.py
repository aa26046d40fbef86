"""A small run of three symbols, in memory and as a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_alpaca import FakeAlpaca
from loopback_papers import Paper, paper_on

from engine.account import Account
from engine.costs import Costs
from engine.ledger import FillTiming
from engine.panel import MarketPanel
from engine.rebalancer import Terms
from engine.result import Result
from marsfolio.runs import write_run

SYMBOLS = ("NA", "0005.HK", "A<b>&\"'</script>")

MakeResult = Callable[..., Result]


@pytest.fixture(scope="session")
def make_result() -> MakeResult:
    """Return a function that simulates random walks, with a decision ``every`` so many sessions, or none at 0."""

    def make(
        n_sessions: int = 300, agents: int = 0, timing: FillTiming = FillTiming.NEXT_OPEN, every: int = 1, seed: int = 1
    ) -> Result:
        draw = np.random.default_rng(seed)
        shape = (n_sessions, len(SYMBOLS))
        close = 50 * np.exp(np.cumsum(draw.normal(0, 0.02, shape), axis=0))
        sessions = np.busday_offset("2019-06-03", np.arange(n_sessions)).astype("datetime64[D]")
        panel = MarketPanel(sessions, SYMBOLS, close, close, close, close, np.full(shape, np.nan), closes_only=True)
        weights = np.full(shape, np.nan)
        if every:
            weights[::every] = draw.dirichlet(np.ones(len(SYMBOLS)), n_sessions)[::every]
        account = Account(panel, 0, n_sessions - 1, Terms(100_000.0, Costs(10.0, 5.0), None, timing))
        account.simulate(weights)
        result = account.result()
        if agents:
            names = tuple(f"agent_{k}" for k in range(agents))
            parts = draw.dirichlet(np.ones(agents), n_sessions)
            result = replace(result, agent_names=names, agent_weights=parts)
        return result

    return make


@pytest.fixture(scope="session")
def result(make_result: MakeResult) -> Result:
    """Return a run of 300 sessions with four agents."""
    return make_result(agents=4)


@pytest.fixture
def run_folder(result: Result, tmp_path: Path) -> Path:
    """Return the folder of that run, with a benchmark."""
    out = tmp_path / "run"
    options = {"out": str(out), "cash": 100_000.0}
    write_run(out, "backtest", result, "backtest", options, {"seed": 7}, benchmark=np.linspace(50, 60, 300))
    return out


@pytest.fixture
def paper(
    server: FakeAlpaca, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Paper:
    """Return ``marsfolio paper`` as a function, against the ``server`` of the module that asks."""
    return paper_on(server, tmp_path, monkeypatch, capsys)
