"""The status page as its user starts it: beside a replay that goes on, with the real switch, ended by SIGTERM."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from marsfolio.cli import app
from marsfolio.page.security import TOKEN_FILE

pytestmark = pytest.mark.process

SYMBOLS = "AAPL,MSFT,JPM,KO"
LARGEST_MB = 150
PATIENCE = 60.0  # seconds, for a busy machine


def serve(state: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "marsfolio", "paper", "serve", "--state", str(state), "--port", "0"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def replay(state: Path, until: str) -> None:
    flags = ("--broker", "simulated", "--strategy", "equal_weight", "--symbols", SYMBOLS)
    arguments = ("paper", "run", "--state", str(state), *flags, "--replay", f"2022-12-01:{until}")
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def until(ask: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
    return answer


def charts(browser: httpx2.Client) -> dict[str, Any]:
    text = browser.get("/content").text
    found: dict[str, Any] = json.loads(text.split('id="data" data-part="data">')[1].split("</script>")[0])
    return found


def switch(browser: httpx2.Client, what: str, token: str) -> httpx2.Response:
    csrf = browser.get("/").text.split('name="csrf" value="')[1].split('"')[0]
    fields = {"csrf": csrf, "token": token, "confirmation": what, "reason": "a drill"}
    origin = str(browser.base_url).rstrip("/")
    return browser.post(f"/{what}", data=fields, headers={"origin": origin}, timeout=PATIENCE)


def test_the_page_lives_beside_a_replay_and_switches_trading(tmp_path: Path) -> None:
    state = tmp_path / "state"
    replay(state, "2022-12-09")
    server = serve(state)
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert address, line
        token = (state / TOKEN_FILE).read_text().strip()
        with httpx2.Client(base_url=address[0]) as browser:
            until(lambda: charts(browser)["backtest"])
            found = charts(browser)
            assert found["backtest"][1:] == pytest.approx(found["equity"][1:], abs=0.01)
            replay(state, "2022-12-15")
            assert charts(browser)["sessions"][-1] == "2022-12-15"
            halted = switch(browser, "halt", token)
            assert halted.status_code == 200, halted.text
            assert "0 open orders cancelled" in halted.text
            assert "a drill" in browser.get("/content").text
            assert switch(browser, "resume", token).status_code == 200
            assert "a drill" not in browser.get("/content").text
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text())[1])  # type: ignore[index]
        assert peak / 1024 < LARGEST_MB
    finally:
        server.send_signal(signal.SIGTERM)
        said, _ = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0, said
    assert "stopped" in said
    assert token not in line + said
    assert "Traceback" not in said
    assert token not in (state / "marsfolio.log").read_text()
