"""`marsfolio paper check` against the loopback venue: a line for everything, an exit code by what a person can do."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_alpaca import GET_ACCOUNT, GET_BARS, FakeAlpaca, bar_effects, effects, match
from fake_alpaca.example import at, december
from loopback_papers import TWO, Paper

from marsfolio.paper import checks
from marsfolio.paper.setup import SKEW_SECONDS

LINES = (
    "options",
    "state",
    "strategy",
    "limits",
    "start",
    "notifications",
    "identity",
    "trading",
    "keys and host",
    "account",
    "clock",
    "calendar",
    "session",
    "bars",
    "symbols",
)


@pytest.fixture
def server() -> Iterator[FakeAlpaca]:
    with FakeAlpaca(december(), cash=1000.0, now=at(26, 10)) as server:
        yield server


def failing(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.strip().startswith("✗")]


def test_a_sound_account_has_a_tick_for_everything_and_nothing_is_left_behind(paper: Paper, tmp_path: Path) -> None:
    said = paper("check", *TWO)
    assert said.code == 0
    ticks = [line.strip().removeprefix("✓").strip() for line in said.out.splitlines() if line.strip().startswith("✓")]
    for name in LINES:
        assert any(line.startswith(name) for line in ticks), name
    for told in (
        "a session may turn over 50% of equity, in 500 orders; all stops at 30% below the highest close",
        "2 symbols, 2024-12-23 to 2024-12-24",
        "now: 2024-12-26, 14:30 to 21:00 UTC",
        "the account may sell short",
        "refused with a real broker",
        "GB free",
    ):
        assert told in said.out
    assert "0 failed, 3 to know of: ready to trade" in said.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "name", "told"),
    [
        (("--strategy", "equal_weight"), "options", "needs --symbols"),
        ((), "options", "give either --model FOLDER or --strategy NAME"),
        ((*TWO, "--max-loss", "3"), "limits", "max_loss must be above 0 and at most 1, was 3.0"),
        ((*TWO, "--at", "teatime"), "start", "--at must be a time in New York"),
        (("--model", "nowhere"), "strategy", "nowhere is not a model folder"),
        (("--strategy", "equal_wait", *TWO[2:]), "strategy", "equal_weight"),
    ],
)
def test_what_the_user_got_wrong_ends_with_2(
    paper: Paper, server: FakeAlpaca, arguments: tuple[str, ...], name: str, told: str
) -> None:
    said = paper("check", *arguments)
    assert said.code == 2
    (line,) = failing(said.out)
    assert name in line
    assert told in line
    assert "mend what failed" in said.out
    assert server.posts() == []


def test_a_folder_of_something_else_is_refused(paper: Paper) -> None:
    Path("taken").mkdir()
    (Path("taken") / "photo.jpg").touch()
    said = paper("check", *TWO, "--state", "taken")
    assert said.code == 2
    assert "it has photo.jpg): choose another --state" in said.err


@pytest.mark.parametrize(
    ("matching", "effect", "name", "told"),
    [
        (GET_ACCOUNT, effects.html(503), "account", "status 503, without an explanation; try again later"),
        (match("GET", "clock"), effects.garbage(), "clock", "not JSON; try again later"),
        (match("GET", "calendar"), effects.status(500), "calendar", "try again later"),
        (GET_BARS, bar_effects.stale_bars(), "bars", "bars are stale: none of 2024-12-24"),
        (GET_BARS, bar_effects.missing_symbol("BBB"), "bars", "no bar on 2024-12-24 of BBB"),
        (match("GET", "assets/AAA"), effects.reset(), "symbols", "try again later"),
    ],
)
def test_what_passes_ends_with_3(
    paper: Paper, server: FakeAlpaca, matching: Any, effect: Any, name: str, told: str
) -> None:
    server.faults.add(matching, effect, times=None)
    said = paper("check", *TWO)
    assert said.code == 3
    (line,) = failing(said.out)
    assert name in line
    assert told in line


def test_what_needs_a_person_ends_with_4(paper: Paper, server: FakeAlpaca) -> None:
    server.account.trading_blocked = True
    server.assets["BBB"].tradable = False
    said = paper("check", *TWO)
    assert said.code == 4
    account, symbols = failing(said.out)
    assert "it may not trade: trading_blocked; clear that at the broker" in account
    assert "not tradable: BBB; leave them out of --symbols" in symbols


def test_refused_keys_end_with_4(paper: Paper, server: FakeAlpaca) -> None:
    server.faults.add(match(), effects.status(401, {"message": "unauthorized."}), times=None)
    said = paper("check", *TWO)
    assert said.code == 4
    assert all("look after the keys and the account" in line for line in failing(said.out))


def test_a_machine_far_from_the_brokers_clock_ends_with_4(
    paper: Paper, server: FakeAlpaca, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = checks.alpaca_venue
    monkeypatch.setattr(checks, "alpaca_venue", lambda *a: replace(made(*a), skew_seconds=SKEW_SECONDS))
    said = paper("check", *TWO)
    assert said.code == 4
    assert "timedatectl" in failing(said.out)[0]


def test_a_halted_account_and_a_stopped_plan_end_with_4(paper: Paper, server: FakeAlpaca) -> None:
    assert paper("once", *TWO, "--max-orders", "1").code == 4
    said = paper("check")
    assert said.code == 4
    assert "stopped by a limit: there would be 2 orders, the limit is 1" in failing(said.out)[0]
    assert paper("resume").code == 0
    assert paper("check").code == 0
    assert paper("halt", "--reason", "holiday").code == 0
    said = paper("check")
    assert said.code == 4
    assert "(holiday)" in failing(said.out)[0]
    assert "marsfolio paper resume" in failing(said.out)[0]


def test_too_little_room_on_the_disk_ends_with_3(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(5 * 2**20))
    said = paper("check", *TWO)
    assert said.code == 3
    assert "5 MB are free on the disk of paper, 200 are needed" in failing(said.out)[0]


def test_bars_that_lack_something_are_worth_knowing(paper: Paper, server: FakeAlpaca) -> None:
    del server.market.bars["BBB"][at(23, 10).date()]
    said = paper("check", *TWO[:-1], "40")
    assert said.code == 0
    assert "there are 3 of the 40 sessions" in said.out
    assert "1 bars are missing, of BBB" in said.out


def test_an_account_in_use_is_checked_and_left_as_it_is(paper: Paper, server: FakeAlpaca, tmp_path: Path) -> None:
    assert paper("once", *TWO).code == 0
    before = {path: path.read_bytes() for path in Path("paper").rglob("*") if path.is_file()}
    posts = len(server.posts())
    said = paper("check")
    assert said.code == 0
    assert "the same strategy as before" in said.out
    assert "on; last planned was session 2024-12-26" in said.out
    assert {path: path.read_bytes() for path in Path("paper").rglob("*") if path.is_file()} == before
    assert len(server.posts()) == posts
