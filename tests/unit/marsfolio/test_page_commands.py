"""What the page leaves to other processes: the comparison with a backtest, made when there is something to compare."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from marsfolio.page import commands
from marsfolio.page.commands import PAUSE_SECONDS, Backtest, Told, command, switch

FIRST, SECOND = date(2024, 1, 3), date(2024, 1, 4)


class Commands:
    """Stands for the processes: keeps what was asked, and writes the table that `paper drift` would."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.told = Told(0, ())

    async def __call__(self, arguments: Sequence[str], seconds: float) -> Told:
        self.asked.append(list(arguments))
        out = [argument.partition("=")[2] for argument in arguments if argument.startswith("--out=")]
        if out and not self.told.code:
            Path(out[0]).write_text("session,equity,backtest,drift\n2024-01-03,10.5,10.25,0.25\n")
        return self.told


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Commands:
    made = Commands()
    monkeypatch.setattr(commands, "command", made)
    return made


async def _settle(backtest: Backtest) -> None:
    assert backtest._task is not None
    await backtest._task


def test_a_backtest_is_computed_once_for_each_close(processes: Commands, tmp_path: Path) -> None:
    async def follow() -> None:
        backtest = Backtest(tmp_path)
        backtest.want(None, 0)
        backtest.want(FIRST, 1)
        assert processes.asked == []
        backtest.want(FIRST, 2)
        backtest.want(FIRST, 2)
        await _settle(backtest)
        assert (backtest.equity, backtest.trouble, backtest.version) == ({"2024-01-03": 10.25}, "", 1)
        backtest._not_before -= PAUSE_SECONDS
        backtest.want(FIRST, 2)
        assert len(processes.asked) == 1
        backtest.want(SECOND, 3)
        await _settle(backtest)
        assert len(processes.asked) == 2

    asyncio.run(follow())


def test_a_replay_that_books_many_closes_is_not_followed_at_each(processes: Commands, tmp_path: Path) -> None:
    async def follow() -> None:
        backtest = Backtest(tmp_path)
        for day in range(3, 20):
            backtest.want(date(2024, 1, day), day)
            await asyncio.sleep(0)
        await _settle(backtest)
        assert len(processes.asked) == 1
        await backtest.end()

    asyncio.run(follow())


def test_a_backtest_that_cannot_be_had_says_why_and_keeps_what_was_known(processes: Commands, tmp_path: Path) -> None:
    async def follow() -> None:
        backtest = Backtest(tmp_path, equity={"2024-01-02": 10.0})
        processes.told = Told(2, ("error: APCA_API_KEY_ID is not set",))
        backtest.want(FIRST, 2)
        await _settle(backtest)
        assert backtest.trouble == "APCA_API_KEY_ID is not set"
        assert backtest.equity == {"2024-01-02": 10.0}

    asyncio.run(follow())


def test_a_reason_that_looks_like_a_flag_is_none(processes: Commands, tmp_path: Path) -> None:
    asyncio.run(switch(tmp_path, "halt", "--flatten"))
    asyncio.run(switch(tmp_path, "resume", "ignored"))
    assert processes.asked == [
        ["paper", "halt", "--state", str(tmp_path), "--reason=--flatten"],
        ["paper", "resume", "--state", str(tmp_path)],
    ]


@pytest.mark.process
def test_a_command_that_takes_too_long_is_ended() -> None:
    told = asyncio.run(command(["paper", "status"], 0.0))
    assert told == Told(3, ("`marsfolio paper status` took more than 0 s and was ended",))
