"""The paper service as a process of its own, beside the loopback venue as another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from fake_alpaca.server import KEY, SECRET
from summer import HALF_DAY, SYMBOLS, at, summer

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
SECONDS = 120
PAPER = [sys.executable, "-m", "marsfolio", "paper"]
FLAGS = ["--strategy", "equal_weight", "--symbols", ",".join(SYMBOLS), "--history", "3", "--cash-buffer", "0.1"]


class Venue:
    """The loopback venue in another process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def state(self) -> Any:
        return requests.get(f"{self.url}/_control/state", timeout=10).json()

    def sent(self) -> list[str]:
        """Return the client ids of all orders that were posted."""
        asked = requests.get(f"{self.url}/_control/requests", timeout=10).json()
        return [r["body"]["client_order_id"] for r in asked if (r["method"], r["path"]) == ("POST", "/v2/orders")]

    def move(self, now: Any) -> None:
        requests.post(f"{self.url}/_control/clock", json={"now": now.isoformat()}, timeout=10).raise_for_status()


class Desk:
    """A state folder and the commands that work on it."""

    def __init__(self, venue: Venue, state: Path) -> None:
        self.venue, self.state = venue, state
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "APCA_API_KEY_ID": KEY,
            "APCA_API_SECRET_KEY": SECRET,
            "APCA_API_BASE_URL": venue.url,
            "APCA_API_DATA_URL": venue.url,
        }

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        """Give `paper run` as a process, killed if it is still there at the end."""
        command = [*PAPER, "run", "--state", str(self.state), *FLAGS]
        with subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def once(self) -> subprocess.CompletedProcess[str]:
        command = [*PAPER, "once", "--state", str(self.state), *FLAGS]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=SECONDS)

    def health(self) -> Any:
        path = self.state / "health.json"
        return json.loads(path.read_text()) if path.exists() else {"status": "none"}


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    rows = [(day, symbol, *bar) for symbol, bars in summer().bars.items() for day, bar in bars.items()]
    names = ["date", "symbol", "open", "high", "low", "close", "volume"]
    table = pd.DataFrame(rows, columns=names)
    table.assign(date=pd.to_datetime(table["date"])).to_parquet(tmp_path / "bars.parquet")
    command = [sys.executable, "-m", "fake_alpaca", "--bars", str(tmp_path / "bars.parquet"), "--until-eof"]
    command += ["--now", at(7, 2, 9, 5).isoformat(), "--half-days", str(HALF_DAY)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Venue(process.stdout.readline().strip())
        process.stdin.close()
        assert process.wait(30) == 0


def until(wanted: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + SECONDS
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_the_service_starts_trades_stops_and_goes_on_and_only_one_works(venue: Venue, tmp_path: Path) -> None:
    desk = Desk(venue, tmp_path / "state")
    # Before the open: sent, queued, told to stop.
    with desk.running() as service:
        until(lambda: len(venue.sent()) == 6 and desk.health()["status"] == "idle")
        second = desk.once()
        assert second.returncode == 3
        assert f"another process (pid {service.pid}) is working on {desk.state}: nothing was sent" in second.stderr
        service.send_signal(signal.SIGTERM)
        out, err = service.communicate(timeout=10)
    assert (service.returncode, err) == (0, "")
    assert "queued for the open" in out
    assert out.endswith("stopped; nothing is under way\n")
    assert desk.health()["status"] == "stopped"
    # After the open it books what was filled, and is killed.
    venue.move(at(7, 2, 9, 40))
    with desk.running() as service:
        until(lambda: desk.health()["status"] == "idle" and desk.health()["last_session"] == "2024-07-02")
        service.kill()
        out, err = service.communicate(timeout=10)
    assert "0 sells and 6 buys, 6 filled" in out
    assert err == ""
    # The lock of a killed process is no obstacle, and what is done is done.
    third = desk.once()
    assert (third.returncode, third.stderr) == (0, "")
    assert "session 2024-07-02 is done; nothing was sent" in third.stdout
    # The next session, a half day, by a clock that runs while the service does.
    with desk.running() as service:
        until(lambda: desk.health()["status"] == "idle")
        venue.move(at(7, 3, 9, 2))
        until(lambda: len(venue.sent()) > 6)
        service.send_signal(signal.SIGTERM)
        assert service.wait(10) == 0
    assert len(venue.sent()) == len(set(venue.sent()))
    log = (desk.state / "marsfolio.log").read_text()
    assert "Traceback" not in log
    for path in desk.state.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
