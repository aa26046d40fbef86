"""Faults 37 to 44, the API: questions are repeated within bounds, orders are not, and nobody guesses.

Fault 42, a stream that drops, repeats itself or stays silent, cannot occur: no stream is used. Fills are read by REST
with the order's totals, of which only what is new is booked; answers that repeat themselves are tested here instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from desks import desk_on
from fake_alpaca import (
    GET_ACCOUNT,
    GET_BARS,
    GET_ORDERS,
    GET_POSITIONS,
    POST_ORDER,
    FakeAlpaca,
    effects,
    match,
)
from fake_alpaca.example import at, december

from engine import http
from engine.errors import MarsfolioError, TemporaryError, TradingStopped
from live.desk import Desk
from live.journal import Journal
from live.session import Kind, run_session

WEIGHTS = {"AAA": 0.3, "BBB": 0.3}
READS = {
    "clock": match("GET", "/v2/clock$"),
    "calendar": match("GET", "/v2/calendar$"),
    "account": GET_ACCOUNT,
    "positions": GET_POSITIONS,
    "bars": GET_BARS,
}
BROKEN = [
    effects.status(500),
    effects.html(503),
    effects.garbage(),
    effects.empty(),
    effects.null(),
    effects.truncated(),
    effects.truncated(announced=False),
    effects.reset(),
]


@pytest.fixture
def server() -> Iterator[FakeAlpaca]:
    with FakeAlpaca(december(), cash=1000.0, now=at(23, 10)) as server:
        yield server


@pytest.fixture
def desk(server: FakeAlpaca, tmp_path: Path) -> Desk:
    return desk_on(server, tmp_path / "paper.db", WEIGHTS)


def refused(desk: Desk, server: FakeAlpaca, kind: type[MarsfolioError], code: int) -> str:
    """Return why a session ended, and make sure that it sent nothing and has that exit code."""
    posts = len(server.posts())
    with pytest.raises(kind) as caught:
        run_session(desk)
    assert len(server.posts()) == posts
    assert caught.value.exit_code == code
    return str(caught.value)


def bought_once(server: FakeAlpaca) -> bool:
    return {order.symbol: order.qty for order in server.orders} == {"AAA": 25, "BBB": 3} and len(server.orders) == 2


@pytest.mark.parametrize("read", READS)
def test_fault_37_one_broken_answer_to_a_question_is_no_trouble(desk: Desk, server: FakeAlpaca, read: str) -> None:
    for effect in BROKEN[:2]:
        server.faults.add(READS[read], effect)
    assert run_session(desk).kind is Kind.DONE
    assert bought_once(server)


@pytest.mark.parametrize("read", READS)
def test_fault_37_a_storm_ends_the_session_before_any_order(desk: Desk, server: FakeAlpaca, read: str) -> None:
    server.faults.add(READS[read], effects.html(503), times=None)
    refused(desk, server, TemporaryError, 3)
    # A cap of tries, and pauses that grow.
    assert len(server.requests) < 20
    assert desk.waiter.waited == sorted(desk.waiter.waited)
    server.faults.clear()
    assert run_session(desk).kind is Kind.DONE
    assert bought_once(server)


def test_fault_37_a_storm_that_begins_between_two_orders_leaves_nothing_half_done(
    desk: Desk, server: FakeAlpaca
) -> None:
    server.faults.add(match(), effects.html(503), nth=len_until_first_post(server, desk), times=None)
    with pytest.raises(TemporaryError) as caught:
        run_session(desk)
    assert caught.value.exit_code == 3
    server.faults.clear()
    assert run_session(desk).kind is Kind.DONE
    assert bought_once(server)


def len_until_first_post(server: FakeAlpaca, desk: Desk) -> int:
    """Return the number of the request after the first order, as a rehearsal with an empty journal makes them."""
    with_copy = desk_on(server, Journal("sqlite://"), WEIGHTS)
    before = len(server.requests)
    run_session(with_copy, dry_run=True)
    return len(server.requests) - before + 2


@pytest.mark.parametrize("wait", [7, 30])
def test_fault_38_the_wait_that_is_asked_for_is_kept_and_requests_are_bounded(
    desk: Desk, server: FakeAlpaca, wait: int
) -> None:
    server.faults.add(GET_POSITIONS, effects.rate_limited(wait))
    server.faults.add(POST_ORDER, effects.rate_limited(wait))
    assert run_session(desk).kind is Kind.DONE
    assert bought_once(server)
    assert [seconds for seconds in desk.waiter.waited if seconds == wait] == [wait, wait]


def test_fault_38_an_order_that_is_limited_for_long_is_left_to_the_next_run(desk: Desk, server: FakeAlpaca) -> None:
    server.faults.add(POST_ORDER, effects.rate_limited(), times=None)
    with pytest.raises(TemporaryError, match="rate limit"):
        run_session(desk)
    assert len(server.posts()) == 6
    server.faults.clear()
    assert run_session(desk).kind is Kind.DONE
    assert bought_once(server)


@pytest.mark.parametrize("effect", BROKEN, ids=lambda effect: effect.name)
@pytest.mark.parametrize("read", ["account", "bars"])
def test_fault_39_an_answer_that_cannot_be_read_is_asked_for_again(
    desk: Desk, server: FakeAlpaca, read: str, effect: Any
) -> None:
    server.faults.add(READS[read], effect)
    assert run_session(desk).kind is Kind.DONE
    assert bought_once(server)


@pytest.mark.parametrize("effect", BROKEN, ids=lambda effect: effect.name)
def test_fault_39_an_answer_to_an_order_that_cannot_be_read_is_looked_up(
    desk: Desk, server: FakeAlpaca, effect: Any
) -> None:
    server.faults.add(POST_ORDER, effects.after_accept(effect))
    assert run_session(desk).kind is Kind.DONE
    assert bought_once(server)
    assert len(server.posts()) == 2


@pytest.mark.parametrize(
    ("read", "name"),
    [
        *(("account", name) for name in ("cash", "id", "status", "trading_blocked")),
        *(("positions", name) for name in ("qty", "symbol")),
        ("clock", "timestamp"),
        ("calendar", "open"),
    ],
)
@pytest.mark.parametrize("null", [True, False])
def test_fault_40_a_missing_field_is_named_and_not_filled_in(
    desk: Desk, server: FakeAlpaca, read: str, name: str, null: bool
) -> None:
    server.hold("BBB", 10)
    server.faults.add(READS[read], effects.with_fields(**{name: None}) if null else effects.without(name), times=None)
    assert name in refused(desk, server, TemporaryError, 3)
    assert desk.journal.last_plan() is None


def test_fault_40_numbers_for_texts_and_fields_of_old_are_tolerated(desk: Desk, server: FakeAlpaca) -> None:
    server.faults.add(GET_ACCOUNT, effects.pdt_fields(), times=None)
    for matching in (GET_ACCOUNT, GET_POSITIONS, GET_ORDERS, POST_ORDER):
        server.faults.add(matching, effects.json_numbers(), times=None)
    assert run_session(desk).kind is Kind.DONE
    assert bought_once(server)


def test_fault_41_a_silent_service_is_given_up(desk: Desk, server: FakeAlpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "READ_SECONDS", 0.02)
    server.faults.add(GET_ACCOUNT, effects.hang(), times=None)
    assert "no answer in time" in refused(desk, server, TemporaryError, 3)


def test_fault_41_a_run_ends_in_time_and_the_next_one_goes_on(server: FakeAlpaca, tmp_path: Path) -> None:
    journal = Journal.at(tmp_path / "paper.db")
    desk = desk_on(server, journal, WEIGHTS, seconds=150.0)
    slow = server.faults.add(POST_ORDER, effects.takes(timedelta(seconds=160)), times=None)
    with pytest.raises(TemporaryError, match="this run has lasted long enough") as caught:
        run_session(desk)
    assert caught.value.exit_code == 3
    assert slow.struck == 1
    server.faults.clear()
    assert run_session(desk_on(server, journal, WEIGHTS, seconds=150.0)).kind is Kind.DONE
    assert bought_once(server)


def test_fault_42_an_order_that_is_told_of_again_and_again_is_booked_once(desk: Desk, server: FakeAlpaca) -> None:
    server.faults.add(POST_ORDER, effects.late_fill(reads=2), times=None)
    server.faults.add(GET_ORDERS, effects.rewrite("twice", lambda body: [*body, *body]), times=None)
    assert run_session(desk).kind is Kind.DONE
    assert run_session(desk).kind is Kind.NOTHING
    assert sorted((fill.symbol, fill.quantity) for fill in desk.journal.fills()) == [("AAA", 25.0), ("BBB", 3.0)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trading_blocked", True),
        ("account_blocked", True),
        ("trade_suspended_by_user", True),
        ("status", "ACCOUNT_CLOSED"),
    ],
)
def test_fault_43_an_account_that_may_not_trade_sends_nothing(
    desk: Desk, server: FakeAlpaca, field: str, value: Any
) -> None:
    setattr(server.account, field, value)
    told = refused(desk, server, TradingStopped, 4)
    assert "clear that at the broker" in told
    assert (str(value) if field == "status" else field) in told


def test_fault_43_an_account_that_is_suspended_between_two_orders_stops(desk: Desk, server: FakeAlpaca) -> None:
    body = {"code": 40310000, "message": "new orders are rejected by user request"}
    server.faults.add(POST_ORDER, effects.status(403, body), nth=2, times=None)
    with pytest.raises(TradingStopped, match="by user request") as caught:
        run_session(desk)
    assert caught.value.exit_code == 4
    assert len(server.orders) == 1
    server.faults.clear()
    assert run_session(desk).kind is Kind.DONE
    assert bought_once(server)


def contents(desk: Desk) -> list[tuple[Any, ...]]:
    return list(desk.journal.audit())


@pytest.mark.parametrize(
    "effect", [effects.status(401, {"message": "unauthorized."}), effects.html(401), effects.status(403)], ids=str
)
def test_fault_44_revoked_keys_stop_and_change_nothing(desk: Desk, server: FakeAlpaca, effect: Any) -> None:
    run_session(desk)
    before, ledger = contents(desk), desk.journal.ledger()
    server.clock.set(at(24, 10))
    server.faults.add(match(), effect, times=None)
    assert "look after the keys" in refused(desk, server, TradingStopped, 4)
    assert contents(desk) == before
    assert desk.journal.ledger() == ledger


def test_fault_44_a_reset_account_is_another_one_and_the_books_stay(desk: Desk, server: FakeAlpaca) -> None:
    run_session(desk)
    before, ledger = contents(desk), desk.journal.ledger()
    server.clock.set(at(24, 10))
    server.account.fields["id"] = "11111111-2222-3333-4444-555555555555"
    server.positions.clear()
    server.orders.clear()
    told = refused(desk, server, TradingStopped, 4)
    assert "11111111-2222" in told
    assert "--state" in told
    assert contents(desk) == before
    assert desk.journal.ledger() == ledger
