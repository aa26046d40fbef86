from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
N_SESSIONS, EPISODES = 220, 3
# Rows of the bars: the first 119 give features, 70 train (one batch is 64) and the rest validates.
FIRST, LAST_TRAINED = 119, 188
TRIES, PAUSE_SECONDS = 1200, 0.05


def write_bars(path: Path) -> tuple[str, str]:
    """Write random bars of three symbols and return the two windows."""
    random = np.random.default_rng(0)
    days = np.busday_offset("2020-01-01", np.arange(N_SESSIONS)).astype(str)
    close = 50.0 * np.exp(np.cumsum(0.01 * random.standard_normal((N_SESSIONS, 3)), axis=0)).round(4)
    lines = ["date,symbol,open,high,low,close,volume"]
    for t, day in enumerate(days):
        for i, symbol in enumerate(("AAA", "BBB", "CCC")):
            value, before = close[t, i], close[max(t - 1, 0), i]
            lines.append(f"{day},{symbol},{before},{max(value, before)},{min(value, before)},{value},1000")
    path.write_text("\n".join(lines) + "\n")
    return f"{days[FIRST]}:{days[LAST_TRAINED]}", f"{days[LAST_TRAINED + 1]}:{days[-1]}"


class Command:
    """`marsfolio train` in a process of its own, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        windows = write_bars(folder / "bars.csv")
        self._arguments = ["--data", "bars.csv", "--train", windows[0], "--validation", windows[1]]

    def start(self, out: str, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "marsfolio", "train", "--setting", "published", *self._arguments]
        command += ["--episodes", str(EPISODES), "--seed", "0", "--threads", "1", "--out", out, *more]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, out: str, *more: str) -> tuple[int, str, str]:
        """Return exit code, output and errors."""
        process = self.start(out, *more)
        output, errors = process.communicate(timeout=300)
        return process.returncode, output, errors

    def start_until_saved(self, out: str, episode: int, *more: str) -> subprocess.Popen[str]:
        """Start and come back when an episode's state is on disk, the next episode being under way."""
        process = self.start(out, *more)
        state = self.folder / out / "training" / "state.safetensors"
        for _ in range(TRIES):
            if episodes_in(state) >= episode:
                return process
            if process.poll() is not None:
                break
            time.sleep(PAUSE_SECONDS)
        process.kill()
        raise AssertionError(f"no episode was saved: {process.communicate()}")

    def hash_of(self, out: str) -> str:
        return hashlib.sha256((self.folder / out / "manifest.json").read_bytes()).hexdigest()


def episodes_in(state: Path) -> int:
    """Return how many episodes a state on disk holds, without the help of the program under test."""
    if not state.exists():
        return -1
    data = state.read_bytes()[64:]
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    episode: int = json.loads(header["__metadata__"]["state"])["episode"]
    return episode


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    return Command(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def whole(command: Command) -> Iterator[str]:
    """Return the hash of the model that an uninterrupted training writes."""
    code, output, errors = command.run("whole")
    assert code == 0, errors
    yield command.hash_of("whole")
    assert f"hash {command.hash_of('whole')}" in output


def test_a_killed_and_resumed_training_gives_the_model_of_an_uninterrupted_one(command: Command, whole: str) -> None:
    process = command.start_until_saved("killed", 1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (command.folder / "killed" / "manifest.json").exists()

    code, _, errors = command.run("killed")
    assert code == 2
    assert "holds an unfinished training: go on with --resume" in errors
    assert "Traceback" not in errors

    code, output, errors = command.run("killed", "--resume")
    assert code == 0, errors
    # It went on: the first episode was not trained again.
    assert "episode 1/3" not in errors
    assert "episode 3/3" in errors
    assert command.hash_of("killed") == whole
    assert f"hash {whole}" in output
    names = ["history.csv", "manifest.json", "weights.safetensors"]
    assert sorted(path.name for path in (command.folder / "killed").iterdir()) == names
    for name in names:
        assert (command.folder / "killed" / name).read_bytes() == (command.folder / "whole" / name).read_bytes()


def test_ctrl_c_says_what_is_saved_and_how_to_go_on_to_the_same_model(command: Command, whole: str) -> None:
    process = command.start_until_saved("stopped", 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    saved = episodes_in(command.folder / "stopped" / "training" / "state.safetensors")
    assert f"{saved} of {EPISODES} episodes are saved in stopped; the same command with --resume" in errors
    assert "Traceback" not in errors

    code, _, errors = command.run("stopped", "--resume")
    assert code == 0, errors
    assert command.hash_of("stopped") == whole
