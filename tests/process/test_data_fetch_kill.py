"""A process that is killed while it fetches: another cannot write beside it, and the store outlives it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_alpaca import GET_BARS, FakeAlpaca, effects
from fake_alpaca.example import at, december

from data_feeds.files import read_panel
from marsfolio.cli import main

pytestmark = pytest.mark.process
SPAN = ("--start", "2024-12-20", "--end", "2024-12-27", "--store", "bars")


def fetch(symbols: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["data", "fetch", *SPAN, "--symbols", symbols])
    return int(ended.value.code or 0)


def test_a_store_outlives_a_killed_fetch_and_is_free_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with FakeAlpaca(december(), now=at(27, 20)) as venue:
        urls = {"APCA_API_BASE_URL": venue.url, "APCA_API_DATA_URL": venue.url}
        for name, value in {**urls, "APCA_API_KEY_ID": venue.key, "APCA_API_SECRET_KEY": venue.secret}.items():
            monkeypatch.setenv(name, value)
        assert fetch("AAA") == 0
        before = read_panel(Path("bars"))[0].content_hash
        venue.faults.add(GET_BARS, effects.hang())
        command = [sys.executable, "-m", "marsfolio", "data", "fetch", *SPAN, "--symbols", "AAA,BBB"]
        with subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.PIPE) as process:
            end = time.monotonic() + 60
            while len(venue.requests) < 2 and process.poll() is None and time.monotonic() < end:
                time.sleep(0.02)
            try:
                assert len(venue.requests) == 2
                assert fetch("BBB") == 3
                assert "another process" in capsys.readouterr().err
                assert read_panel(Path("bars"))[0].content_hash == before
            finally:
                process.kill()
        assert fetch("AAA,BBB") == 0
        assert "1 loaded, 1 complete already" in capsys.readouterr().out
        assert [request.query["symbols"] for request in venue.requests] == ["AAA", "BBB", "BBB"]
