"""A session from the open to its end, on the loopback venue."""

from __future__ import annotations

from pathlib import Path

import pytest
from desks import desk_on
from fake_alpaca import FakeAlpaca
from fake_alpaca.example import at, december

from live.plan import PlanStatus
from live.session import Kind, run_session


@pytest.fixture
def server():
    with FakeAlpaca(december(), cash=1000.0, now=at(23, 10)) as server:
        yield server


def test_a_session_buys_what_the_strategy_wants_and_is_then_done(server: FakeAlpaca, tmp_path: Path) -> None:
    desk = desk_on(server, tmp_path / "paper.db", {"AAA": 0.3, "BBB": 0.3})
    outcome = run_session(desk)
    assert outcome.kind is Kind.DONE
    # Decided at the closes of the 20th, 12 and 100.
    assert {symbol: held.qty for symbol, held in server.positions.items()} == {"AAA": 25, "BBB": 3}
    assert desk.journal.plan(at(23, 10).date())[1] is PlanStatus.DONE
    assert run_session(desk).kind is Kind.NOTHING
    assert len(server.posts()) == 2


def test_what_was_sent_before_the_open_is_not_sent_again(server: FakeAlpaca, tmp_path: Path) -> None:
    server.clock.set(at(24, 8))
    desk = desk_on(server, tmp_path / "paper.db", {"AAA": 0.3, "BBB": 0.3})
    assert run_session(desk).kind is Kind.QUEUED
    assert run_session(desk).kind is Kind.QUEUED
    server.clock.set(at(24, 9, 40))
    assert run_session(desk).kind is Kind.DONE
    assert len(server.posts()) == 2
