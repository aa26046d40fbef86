"""A real Chromium without a window, and pages made of small random runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluations import findings
from panels import random_panel, random_weights, run_targets

from engine.costs import Costs
from engine.rebalancer import Terms
from engine.result import Result
from marsfolio.evaluation.page import page
from marsfolio.report.comparison import render
from marsfolio.runs import open_run, write_report, write_run

SYMBOLS = 12
INTERVALS = ("total_return", "annual_return", "sharpe_ratio", "max_drawdown", "annual_volatility")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a driver of Chromium that logs the console and the network."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options=options, service=Service(driver))
    yield window
    window.quit()


def simulated(n_sessions: int, seed: int = 1, agents: int = 0, idle: float = 0.0) -> Result:
    """Return a run over a random market; with ``idle`` 1 it decides nothing."""
    panel = random_panel(seed, n_sessions, SYMBOLS, holes=0.0)
    weights = random_weights(seed, n_sessions, SYMBOLS, full=False, keeps=0.0, idle=idle)
    result = run_targets("weights", weights, panel, Terms(costs=Costs(10.0, 5.0)))
    parts = np.random.default_rng(seed).dirichlet(np.ones(agents), n_sessions) if agents else np.empty((n_sessions, 0))
    return replace(result, agent_names=tuple(f"agent_{k}" for k in range(agents)), agent_weights=parts)


def write(folder: Path, result: Result, **more: Any) -> Path:
    """Write a run and return its folder."""
    write_run(folder, "backtest", result, "backtest", {"out": str(folder)}, {"seed": 1}, **more)
    return folder


def add_statistics(folder: Path) -> None:
    """Give a run intervals and a null, as a longer computation would."""
    metrics = open_run(folder).metrics
    ends = {name: [metrics[name] - 0.5, metrics[name] + 0.5] for name in INTERVALS}
    null = {"paths": 200, "seed": 0, "percentile": dict.fromkeys(INTERVALS, 0.3)}
    spread = {"median": {name: metrics[name] for name in INTERVALS}, "range": ends}
    statistics = {
        "level": 0.95,
        "resamples": 2000,
        "mean_block_sessions": 9.5,
        "seed": 0,
        "intervals": ends,
        "probabilistic_sharpe_ratio": 0.9,
        "deflated_sharpe_ratio": 0.5,
        "n_trials": 3,
        "null": {**null, **spread},
    }
    (folder / "statistics.json").write_text(json.dumps(statistics))
    write_report(folder)


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return pages by name: a full run, one with statistics, runs that lack almost everything, a comparison."""
    home = tmp_path_factory.mktemp("runs")
    benchmark = np.linspace(50.0, 70.0, 400)
    full = write(home / "full", simulated(400, agents=4), benchmark=benchmark, remarks=["a remark " * 20])
    judged = write(home / "judged", simulated(400, seed=2), benchmark=benchmark)
    add_statistics(judged)
    short = write(home / "short", simulated(260, seed=3))
    runs = {name: open_run(home / name) for name in ("full", "judged", "short")}
    comparison = home / "comparison.html"
    comparison.write_text(render(runs, "short"), encoding="utf-8")
    evaluation = home / "evaluation.html"
    evaluation.write_text(page(*findings()), encoding="utf-8")
    bare = {
        "one_session": write(home / "one", simulated(1)),
        "two_sessions": write(home / "two", simulated(2)),
        "no_fills": write(home / "idle", simulated(100, idle=1.0)),
    }
    folders = {"full": full, "judged": judged, "short": short, **bare}
    others = {"comparison": comparison, "evaluation": evaluation}
    return {**{name: folder / "report.html" for name, folder in folders.items()}, **others}
