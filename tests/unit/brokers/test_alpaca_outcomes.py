"""An order whose answer is lost is found again by its own id: never bought twice, never forgotten."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from fake_alpaca import GET_ACCOUNT, GET_ORDERS, LOOKUP, POST_ORDER, FakeAlpaca, effects
from fake_alpaca.example import at, december

from brokers.alpaca import AlpacaVenue
from brokers.credentials import Credentials
from brokers.protocol import Order, OrderRefused, OutcomeUnknown, Refusal, Side
from engine import http
from engine.errors import TemporaryError
from engine.http import Tries

ORDER = Order("v1-2024-12-23-AAA-buy-1", date(2024, 12, 23), "AAA", Side.BUY, 10.0)

LOST = [
    effects.status(500),
    effects.status(504),
    effects.html(503),
    effects.garbage(),
    effects.empty(),
    effects.null(),
    effects.reset(),
]


@pytest.fixture
def server() -> Iterator[FakeAlpaca]:
    with FakeAlpaca(december(), cash=1000.0, now=at(23, 10)) as server:
        yield server


@pytest.fixture
def venue(server: FakeAlpaca) -> Iterator[AlpacaVenue]:
    venue = AlpacaVenue(Credentials(server.key, server.secret, server.url, server.url), Tries(sleep=lambda _: None))
    yield venue
    venue.close()


@pytest.mark.parametrize("effect", LOST, ids=lambda effect: effect.name)
def test_an_accepted_order_is_found_and_not_taken_twice(server: FakeAlpaca, venue: AlpacaVenue, effect: Any) -> None:
    server.faults.add(POST_ORDER, effects.after_accept(effect))
    with pytest.raises(OutcomeUnknown):
        venue.submit(ORDER)
    assert len(server.posts()) == 1
    server.clock.advance(timedelta(seconds=1))
    report = venue.order(ORDER.client_id)
    assert report is not None
    assert report.filled == 10.0
    with pytest.raises(OrderRefused) as caught:
        venue.submit(ORDER)
    assert caught.value.kind is Refusal.DUPLICATE
    assert len(server.orders) == 1


@pytest.mark.parametrize("effect", LOST, ids=lambda effect: effect.name)
def test_an_order_that_never_arrived_may_be_sent_again(server: FakeAlpaca, venue: AlpacaVenue, effect: Any) -> None:
    server.faults.add(POST_ORDER, effect)
    with pytest.raises(OutcomeUnknown):
        venue.submit(ORDER)
    assert venue.order(ORDER.client_id) is None
    assert venue.submit(ORDER).client_id == ORDER.client_id
    assert len(server.orders) == 1


@pytest.mark.parametrize("announced", [True, False])
def test_half_an_answer_is_no_answer(server: FakeAlpaca, venue: AlpacaVenue, announced: bool) -> None:
    server.faults.add(POST_ORDER, effects.truncated(announced=announced))
    with pytest.raises(OutcomeUnknown):
        venue.submit(ORDER)
    assert venue.order(ORDER.client_id) is not None


def test_an_answer_that_drips_is_given_up(
    server: FakeAlpaca, venue: AlpacaVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.1)
    server.faults.add(POST_ORDER, effects.slow(0.02, drip=True))
    with pytest.raises(OutcomeUnknown, match="no answer in time"):
        venue.submit(ORDER)


def test_the_wait_for_a_silent_service_is_bounded(
    server: FakeAlpaca, venue: AlpacaVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READ_SECONDS", 0.05)
    server.faults.add(GET_ACCOUNT, effects.hang(), times=None)
    with pytest.raises(TemporaryError, match="no answer in time"):
        venue.account()
    server.faults.clear()
    assert venue.account().cash == 1000.0


def test_statuses_that_nobody_knows_are_reported_as_such(server: FakeAlpaca, venue: AlpacaVenue) -> None:
    server.faults.add(POST_ORDER, effects.unknown_status())
    assert not venue.submit(ORDER).is_known
    server.faults.add(GET_ORDERS, effects.unknown_status())
    (report,) = venue.orders(venue.now() - timedelta(days=1), open_only=True)
    assert (report.is_open, report.is_known, report.status) == (True, False, "quantum_review")


def test_numbers_where_texts_were_are_understood(server: FakeAlpaca, venue: AlpacaVenue) -> None:
    for matching in (POST_ORDER, LOOKUP, GET_ACCOUNT):
        server.faults.add(matching, effects.json_numbers(), times=None)
    venue.submit(ORDER)
    server.clock.advance(timedelta(seconds=1))
    report = venue.order(ORDER.client_id)
    assert report is not None
    assert (report.quantity, report.filled) == (10.0, 10.0)
    assert venue.account().cash < 1000.0


def test_fields_of_old_are_not_missed(server: FakeAlpaca, venue: AlpacaVenue) -> None:
    before = venue.account()
    server.faults.add(GET_ACCOUNT, effects.pdt_fields())
    assert venue.account() == before


def test_nothing_that_is_logged_shows_a_secret(
    server: FakeAlpaca, venue: AlpacaVenue, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults.add(GET_ACCOUNT, effects.status(500, {"message": f"for {server.key} with {server.secret}"}), times=4)
    with caplog.at_level(logging.DEBUG):
        venue.account()
        venue.submit(ORDER)
    assert "urllib3" in caplog.text
    assert server.secret not in caplog.text
    assert server.key not in caplog.text
