"""A session killed at every request and every commit: run again, it reaches its target, and nothing is sent twice."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from crashing import Point, check_converged, check_sound, count_points, die, in_child, session_in_child
from desks import desk_on
from fake_alpaca import FakeAlpaca
from summer import EQUAL, at, summer
from venues import scratch

from engine.errors import MarsfolioError
from live.journal import Journal
from live.session import Kind, run_session

pytestmark = pytest.mark.process

IN_SESSION, BEFORE_OPEN = at(7, 1, 10), at(7, 1, 9)


@contextmanager
def account(now: datetime) -> Iterator[tuple[FakeAlpaca, Path]]:
    """Give an account that holds too much of three symbols and nothing of three others."""
    with scratch() as folder, FakeAlpaca(summer(), cash=20_000.0, now=now) as server:
        for symbol, shares in (("AAA", 1500), ("BBB", 1200), ("CCC", 700)):
            server.hold(symbol, shares)
        yield server, folder / "paper.db"


def points(now: datetime) -> list[Point]:
    """Return all points at which a session can die."""
    with account(now) as (server, path):
        requests, commits = count_points(desk_on(server, path, EQUAL))
        counted = [("request", len(requests)), ("commit", commits)]
    return [Point(kind, k + 1, when) for kind, n in counted for k in range(n) for when in ("before", "after")]


def finish(server: FakeAlpaca, path: Path) -> Journal:
    """Run the session again as a person would, until it is done; then once more."""
    while run_session(desk_on(server, path, EQUAL)).kind is Kind.QUEUED:
        server.clock.set(IN_SESSION)
    sent = len(server.posts())
    desk = desk_on(server, path, EQUAL)
    assert run_session(desk).kind is Kind.NOTHING
    assert len(server.posts()) == sent
    return desk.journal


def test_a_session_killed_at_any_point_is_finished_by_the_next_run() -> None:
    swept = points(IN_SESSION)
    assert len(swept) >= 72
    sweep(IN_SESSION, swept)


def test_a_queue_before_the_open_killed_at_any_point_is_finished_by_the_next_run() -> None:
    # A kill after one request or commit is one before the next.
    swept = [point for point in points(BEFORE_OPEN) if point.when == "after"]
    assert len(swept) >= 20
    sweep(BEFORE_OPEN, swept)


def sweep(now: datetime, swept: list[Point]) -> None:
    """Kill a session at each of some points, and finish it."""
    for point in swept:
        with account(now) as (server, path):
            assert session_in_child(server, path, EQUAL, point) == -signal.SIGKILL, point
            try:
                journal = finish(server, path)
                check_converged(server, journal)
                assert Counter(order.side for order in server.orders) == {"sell": 3, "buy": 3}
            except (AssertionError, MarsfolioError) as error:
                raise AssertionError(f"killed {point}: {error}") from error


def test_a_second_kill_in_the_recovery_changes_nothing() -> None:
    # The first one at the worst moment: the first buy is there, and nobody knows.
    with account(IN_SESSION) as (server, path):
        requests, _ = count_points(desk_on(server, path, EQUAL))
        sends = [k + 1 for k, request in enumerate(requests) if request.method == "POST"]
    first = Point("request", sends[3], "after")
    for number in range(1, len(requests), 2):
        with account(IN_SESSION) as (server, path):
            assert session_in_child(server, path, EQUAL, first) == -signal.SIGKILL
            session_in_child(server, path, EQUAL, Point("request", number, "after" if number % 4 == 1 else "before"))
            check_sound(server, desk_on(server, path, EQUAL).journal)
            check_converged(server, finish(server, path))
            assert len(server.orders) == 6


def test_a_journal_whose_making_was_cut_short_is_made_anew() -> None:
    made = 0

    def count(*_: object) -> None:
        nonlocal made
        made += 1

    with scratch() as folder:
        sa.event.listen(sa.Engine, "before_cursor_execute", count)
        Journal.at(folder / "paper.db").dispose()
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    assert made > 8
    for last in range(1, made + 1):
        with scratch() as folder:
            assert in_child(lambda last=last, folder=folder: _die_making(folder / "paper.db", last)) == -signal.SIGKILL
            journal = Journal.at(folder / "paper.db")
            assert journal.value("format_version") == 1
            journal.dispose()
            assert os.listdir(folder) == ["paper.db"]


def _die_making(path: Path, statement: int) -> None:
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            die()

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    Journal.at(path)
