"""The demo as a newcomer runs it, shortened to one training episode."""

from __future__ import annotations

import filecmp
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

RUN_FILES = ("config.toml", "equity.csv", "trades.csv", "cash_flows.csv", "round_trips.csv", "decisions.parquet")
BASELINES = ("MARS_untrained", "equal_weight", "buy_and_hold")


def marsfolio(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "marsfolio", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_demo_leaves_runs_that_can_be_repeated_and_exported(tmp_path: Path) -> None:
    done = marsfolio("demo", "--episodes", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    demo = tmp_path / "runs" / "demo"
    for run in (demo, *(demo / "baselines" / name for name in BASELINES)):
        for name in (*RUN_FILES, "metrics.json", "report.html", "marsfolio.log"):
            assert (run / name).is_file(), f"{run / name} is missing"
        metrics = json.loads((run / "metrics.json").read_text())
        assert f"{100 * metrics['total_return']:.2f} %" in done.stdout
    assert (demo / "model" / "looks.jsonl").read_text().count("\n") == 1
    for run, name in ((demo, "again"), (demo / "baselines" / "MARS_untrained", "untrained")):
        repeated = marsfolio("backtest", "--config", str(run / "config.toml"), "--out", name, folder=tmp_path)
        assert repeated.returncode == 0, repeated.stderr
        for file in ("equity.csv", "trades.csv", "metrics.json", "decisions.parquet"):
            assert filecmp.cmp(run / file, tmp_path / name / file, shallow=False), f"{name}/{file} differs"
    inside = ("--start", "2018-06-01", "--end", "2018-06-29", "--engine", "kernel", "--out", "inside")
    looked = marsfolio("backtest", "--model", str(demo / "model"), *inside, folder=tmp_path)
    assert (
        "note: in sample: the model was trained and chosen on sessions from 2010-01-04 to 2018-12-31" in looked.stdout
    )
    why = marsfolio("explain", str(demo), "--session", "2019-03-15", folder=tmp_path)
    assert why.returncode == 0, why.stderr
    assert f"2019-03-15 of {demo} (demo), replayed: the same as in the run's files" in why.stdout
    exported = marsfolio("trades", str(demo), "--format", "jsonl", "--out", "trades.jsonl", folder=tmp_path)
    assert exported.returncode == 0, exported.stderr
    assert (
        len((tmp_path / "trades.jsonl").read_text().splitlines())
        == json.loads((demo / "metrics.json").read_text())["n_fills"]
    )
