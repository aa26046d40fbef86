"""The paper commands against the loopback venue, in this process: no sleep, and what they print and answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from fake_alpaca import FakeAlpaca

import engine.http
from brokers.credentials import DATA, KEY, SECRET, TRADING
from live.waiting import SystemWaiter
from marsfolio.cli import main


class Said(NamedTuple):
    """What a command left on the terminal, and its exit code."""

    code: int
    out: str
    err: str


Paper = Callable[..., Said]
TWO = ("--strategy", "equal_weight", "--symbols", "AAA,BBB", "--history", "2")


def paper_on(
    server: FakeAlpaca, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Paper:
    """Return ``marsfolio paper`` as a function of its arguments, with the keys of the server in the environment.

    Waiting moves the server's clock, and tries follow each other at once.
    """
    keys = {KEY: server.key, SECRET: server.secret, TRADING: server.url, DATA: server.url}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(SystemWaiter, "wait", lambda self, seconds: server.clock.advance(timedelta(seconds=seconds)))
    monkeypatch.setattr(SystemWaiter, "elapsed", lambda self: server.clock.now.timestamp())
    monkeypatch.setattr(engine.http, "_wait", lambda state: 0.0)
    # The commands leave a filter for secrets behind, for the rest of their process.
    monkeypatch.setattr(logging, "_logRecordFactory", logging.getLogRecordFactory())

    def paper(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["paper", *map(str, arguments)])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, said.out, said.err)

    return paper
