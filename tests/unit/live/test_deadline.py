"""However slow and unwilling the venue is, a run of one session ends within three minutes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from desks import desk_on
from fake_alpaca import POST_ORDER, Effect, FakeAlpaca, effects, match
from summer import EQUAL, at, summer

from engine.errors import TemporaryError
from engine.http import RequestFailed, Tries
from live.session import Kind, run_session
from live.waiting import COMMAND_SECONDS, SystemWaiter

SLOW = effects.takes(timedelta(seconds=14))
LIMIT = timedelta(seconds=180)


@pytest.fixture
def server() -> Iterator[FakeAlpaca]:
    with FakeAlpaca(summer(), now=at(7, 1, 10)) as server:
        yield server


def test_orders_that_never_fill_are_waited_for_two_minutes(server: FakeAlpaca, tmp_path: Path) -> None:
    server.faults.add(POST_ORDER, effects.never_fills(), times=None)
    outcome = run_session(desk_on(server, tmp_path / "paper.db", EQUAL, seconds=COMMAND_SECONDS))
    assert outcome.kind is Kind.UNFINISHED
    assert outcome.exit_code == 3
    assert server.clock.now <= at(7, 1, 10) + LIMIT


@pytest.mark.parametrize(
    "more", [[], [effects.status(503)], [effects.rate_limited(20)], [effects.never_fills()]], ids=lambda more: str(more)
)
def test_a_run_ends_in_time_though_every_request_is_slow(
    server: FakeAlpaca, tmp_path: Path, more: list[Effect]
) -> None:
    server.faults.add(match(), SLOW, times=None)
    for effect in more:
        server.faults.add(match(), effect, times=None)
    with pytest.raises(TemporaryError):
        run_session(desk_on(server, tmp_path / "paper.db", EQUAL, seconds=COMMAND_SECONDS))
    assert server.clock.now <= at(7, 1, 10) + LIMIT
    # Later all is well again, and what was begun is finished.
    server.faults.clear()
    while run_session(desk_on(server, tmp_path / "paper.db", EQUAL)).kind is not Kind.NOTHING:
        server.clock.set(max(server.clock.now, at(7, 2, 9, 40)))
    assert len({order.client_order_id for order in server.orders}) == len(server.orders)


def test_nothing_is_asked_when_the_time_is_over(server: FakeAlpaca, tmp_path: Path) -> None:
    desk = desk_on(server, tmp_path / "paper.db", EQUAL, seconds=0.0)
    with pytest.raises(TemporaryError, match="this run has lasted long enough: run again"):
        run_session(desk)
    assert not server.requests


def test_no_try_is_waited_for_beyond_the_end() -> None:
    slept: list[float] = []

    def fail() -> None:
        raise RequestFailed("x", 503)

    with pytest.raises(RequestFailed):
        Tries(sleep=slept.append, left=lambda: 0.9 - sum(slept))(fail)
    assert sum(slept) < 0.9


def test_waiting_ends_with_the_time_there_is() -> None:
    waiter = SystemWaiter(0.01)
    waiter.wait(3600.0)
    assert waiter.left() <= 0.0
    waiter.wait(3600.0)
