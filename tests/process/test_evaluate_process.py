"""A tiny evaluation in processes of its own: killed, it goes on to the same table; Ctrl-C is clean."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from evaluations import WINDOWS, write_bars

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
TRIES, PAUSE_SECONDS = 2400, 0.05
CELLS = 5
RUN = """
from evaluations import TINY
from agents.settings import SETTINGS
from marsfolio.cli import main

SETTINGS["tiny"] = TINY
if __name__ == "__main__":
    main()
"""


class Command:
    """`marsfolio evaluate` of two methods in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_bars(folder / "bars.csv")
        (folder / "run.py").write_text(RUN)
        table = {"windows": WINDOWS[:1], "methods": ["tiny"], "seeds": list(range(CELLS - 1))}
        lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        more = ["null_paths = 5", "resamples = 50", 'data = "bars.csv"']
        (folder / "tiny.toml").write_text("\n".join(["[evaluate]", *lines, *more]) + "\n")

    def start(self, out: str, jobs: int = 2) -> subprocess.Popen[str]:
        paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
        return subprocess.Popen(
            [sys.executable, "run.py", "evaluate", "--config", "tiny.toml", "--out", out, "--jobs", str(jobs)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": paths, "NO_COLOR": "1"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, out: str) -> tuple[int, str, str]:
        """Run in one process, to the end: how many there are must not change the table."""
        process = self.start(out, jobs=1)
        output, errors = process.communicate(timeout=300)
        return process.returncode, output, errors

    def start_until_a_cell_is_there(self, out: str) -> subprocess.Popen[str]:
        process = self.start(out)
        for _ in range(TRIES):
            if any((self.folder / out / "cells").glob("one-*")):
                return process
            if process.poll() is not None:
                break
            time.sleep(PAUSE_SECONDS)
        process.kill()
        raise AssertionError(f"no cell was computed: {process.communicate()}")


def members(group: int) -> list[str]:
    """Return the processes of a group that are still there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, own_group = entry.read_text().rpartition(") ")[2].split()[:3]
        except OSError:
            continue
        if int(own_group) == group and state != "Z":
            found.append(entry.parent.name)
    return found


def wait_until_gone(group: int) -> None:
    for _ in range(TRIES):
        if not members(group):
            return
        time.sleep(PAUSE_SECONDS)
    raise AssertionError(f"still running: {members(group)}")


def test_an_evaluation_killed_or_interrupted_goes_on_to_the_same_table(tmp_path: Path) -> None:
    command = Command(tmp_path)
    code, _, errors = command.run("whole")
    assert code == 0, errors

    process = command.start_until_a_cell_is_there("killed")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until_gone(process.pid)  # its workers end with it: two must not train in one folder
    assert not (tmp_path / "killed" / "results.csv").exists()

    process = command.start("killed")
    for _ in range(TRIES):
        line = process.stderr.readline() if process.stderr else ""
        if f"/{CELLS} one" in line:
            break
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    wait_until_gone(process.pid)

    code, _, errors = command.run("killed")
    assert code == 0, errors
    assert "cells are on disk from an earlier run" in errors
    for name in ("results.csv", "learning_curves.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len((tmp_path / "killed" / "looks.jsonl").read_text().splitlines()) == CELLS - 1
