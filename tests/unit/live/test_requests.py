"""How many requests a session makes: at most 3 + 2 x orders + 10, polls while waiting for fills apart."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from fake_alpaca import POST_ORDER, effects, match
from scenes import SHARES, Scene, at, quiet, scene

from engine.errors import TemporaryError
from live.plan import Stage
from live.session import Kind

SIX = dict.fromkeys(("AAA", "BBB", "CCC", "DDD", "EEE", "FFF"), 10.0)


def counted(account: Scene, before: int, orders: int) -> None:
    """Check requests since a number of them; a poll is a list of orders read after the first order was sent."""
    requests = account.server.requests[before:]
    first = next(i for i, request in enumerate(requests) if request.method == "POST")
    polls = [r for r in requests[first:] if (r.method, r.path) == ("GET", "/v2/orders")]
    assert len(requests) - len(polls) <= 3 + 2 * orders + 10
    assert all(later.now - poll.now >= timedelta(seconds=5) for poll, later in pairwise(polls))


def test_a_session_of_six_buys(caplog: pytest.LogCaptureFixture) -> None:
    with scene(caplog, market=quiet(SIX), weights=dict.fromkeys(SIX, 0.15)) as account:
        assert account.run().kind is Kind.DONE
        assert len(account.server.posts()) == 6
        counted(account, 0, 6)


@pytest.mark.parametrize("slow", [False, True], ids=["at once", "late"])
def test_a_session_with_sells_and_buys(slow: bool, monday: Scene) -> None:
    monday.run()
    monday.evening()
    monday.server.clock.set(at(10, day=1))
    monday.weights = {"AAA": 0.0, "BBB": 0.0, "CCC": 0.9}
    if slow:
        monday.server.faults.add(match("POST", "orders$"), effects.late_fill(wait=timedelta(seconds=17)), times=3)
    before = len(monday.server.requests)
    assert monday.run().kind is Kind.DONE
    counted(monday, before, 3)


@pytest.mark.parametrize("arrived", [False, True])
def test_a_session_with_one_answer_that_never_came(
    arrived: bool, monday: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.http.READ_SECONDS", 0.2)
    monday.server.faults.add(POST_ORDER, effects.after_accept(effects.hang()) if arrived else effects.hang(), nth=2)
    assert monday.run().kind is Kind.DONE
    counted(monday, 0, 3)


def test_a_session_in_two_runs_around_the_open(caplog: pytest.LogCaptureFixture) -> None:
    with scene(caplog, market=quiet(SIX), now=at(8), weights=dict.fromkeys(SIX, 0.15)) as account:
        assert account.run().kind is Kind.QUEUED
        account.server.clock.set(at(9, 31))
        assert account.run().kind is Kind.DONE
        assert len(account.server.posts()) == 6
        counted(account, 0, 6)


def test_a_busy_venue_is_tried_again_within_the_run(monday: Scene) -> None:
    monday.server.faults.add(POST_ORDER, effects.rate_limited(retry_after=20), nth=2)
    before = monday.server.clock.now
    assert monday.run().kind is Kind.DONE
    assert monday.held() == SHARES
    assert (monday.server.clock.now - before).total_seconds() >= 20
    assert len(monday.server.posts()) == 4


def test_a_venue_that_stays_busy_is_given_up_with_everything_planned(monday: Scene) -> None:
    monday.server.faults.add(POST_ORDER, effects.rate_limited(), times=None)
    assert "429" in monday.fails(TemporaryError)
    assert len(monday.server.posts()) == 6
    assert {intent.stage for intent in monday.desk().journal.intents()} == {Stage.PLANNED}
    assert monday.server.count("GET", "by_client") == 0
    monday.server.faults.clear()
    assert monday.run().kind is Kind.DONE
    assert monday.held() == SHARES
