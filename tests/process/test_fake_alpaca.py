"""The loopback venue as a process of its own, and a client that is killed while it waits for the answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from fake_alpaca import POST_ORDER, Call, FakeAlpaca, effects
from fake_alpaca.example import at, december
from fake_alpaca.server import KEY, SECRET

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
HEADERS = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
ORDER = {"symbol": "AAA", "qty": 2, "side": "buy", "type": "market", "time_in_force": "day", "client_order_id": "one"}
CLIENT = """
import json, sys, requests
requests.post(sys.argv[1], json=json.loads(sys.argv[2]), headers=json.loads(sys.argv[3]))
"""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    days = pd.bdate_range("2024-01-02", periods=3).strftime("%Y-%m-%d")
    rows = [(day, "AAA", p, p + 2, p - 1, p + 1, 1000) for day, p in zip(days, (10.0, 20.0, 30.0), strict=True)]
    names = ["date", "symbol", "open", "high", "low", "close", "volume"]
    path = tmp_path / "bars.parquet"
    pd.DataFrame(rows, columns=names).to_parquet(path)
    command = [sys.executable, "-m", "fake_alpaca", "--bars", str(path), "--now", "2024-01-03T13:00:00Z", "--until-eof"]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()
        assert process.wait(30) == 0


def call(method: str, address: str, **fields: Any) -> Any:
    answer = requests.request(method, address, headers=HEADERS, timeout=10, **fields)
    return answer.status_code, answer.json()


def test_another_process_moves_the_clock_and_reads_the_history(url: str) -> None:
    late = {"name": "after_accept", "effect": {"name": "status", "code": 504}}
    call("POST", f"{url}/_control/faults", json={"method": "POST", "path": "/v2/orders$", "effect": late})
    assert call("POST", f"{url}/v2/orders", json=ORDER)[0] == 504
    assert call("POST", f"{url}/v2/orders", json=ORDER)[0] == 422
    state = call("POST", f"{url}/_control/clock", json={"now": "2024-01-03T14:30:00Z"})[1]
    assert (state["account"]["cash"], state["positions"]) == ("99960", {"AAA": "2"})
    assert [noted["status"] for noted in call("GET", f"{url}/_control/requests")[1]] == [504, 422]
    assert SECRET not in str(call("GET", f"{url}/_control/requests"))
    assert call("POST", f"{url}/_control/faults", json={"effect": {"name": "no_such"}})[0] == 422


def test_a_client_is_killed_after_acceptance() -> None:
    with FakeAlpaca(december(), now=at(23, 8)) as server:
        clients: list[subprocess.Popen[bytes]] = []

        def kill(call: Call) -> None:
            clients[0].send_signal(signal.SIGKILL)
            clients[0].wait()

        server.faults.add(POST_ORDER, effects.callback(kill, "after"))
        arguments = [f"{server.url}/v2/orders", json.dumps(ORDER), json.dumps(HEADERS)]
        clients.append(subprocess.Popen([sys.executable, "-c", CLIENT, *arguments]))
        assert clients[0].wait(60) == -signal.SIGKILL
        assert server.order("one").status == "accepted"
