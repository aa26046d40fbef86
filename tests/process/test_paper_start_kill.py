"""`paper once` killed at every change of its state folder: the next one goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from crashing import CLEAN, check_sound, die, in_child
from fake_alpaca import FakeAlpaca
from fake_alpaca.server import KEY, SECRET
from summer import SYMBOLS, at, summer
from venues import scratch

from live.journal import Journal
from marsfolio.cli.paper.flags import working
from marsfolio.cli.paper.once import work
from marsfolio.paper.options import PaperOptions, resolved_options

pytestmark = pytest.mark.process

OPTIONS = PaperOptions(strategy="equal_weight", symbols=",".join(SYMBOLS), history=3, cash_buffer=0.1)
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.truncate")


def once(state: Path) -> None:
    """Do what the command does, with its flags on the first day and with what the folder remembers later."""
    resolved_options({}, state)
    with working(OPTIONS, state):
        work(OPTIONS, state)


def killed_at(state: Path, change: int) -> int:
    """Run the command in a child that dies before its n-th change of the folder; return its exit status."""

    def run() -> None:
        seen = 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (event in CHANGES or writes) and str(arguments[0]).startswith(str(state)):
                seen += 1
                if seen == change:
                    die()

        sys.addaudithook(count)
        once(state)

    return in_child(run)


def test_a_first_run_killed_at_any_change_of_its_folder_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APCA_API_KEY_ID", KEY)
    monkeypatch.setenv("APCA_API_SECRET_KEY", SECRET)
    change = 0
    while True:
        change += 1
        with scratch() as folder, FakeAlpaca(summer(), now=at(7, 1, 9)) as server:
            monkeypatch.setenv("APCA_API_BASE_URL", server.url)
            monkeypatch.setenv("APCA_API_DATA_URL", server.url)
            state = folder / "state"
            status = killed_at(state, change)
            if status == CLEAN:
                break
            assert status == -signal.SIGKILL
            once(state)
            journal = Journal.at(state / "paper.db")
            check_sound(server, journal)
            journal.dispose()
            assert len(server.orders) == 6, change
    assert change > 10
