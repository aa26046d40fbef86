"""Each effect once, as the real client meets it."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.historical.stock import StockHistoricalDataClient
from alpaca.trading.client import TradingClient
from alpaca.trading.requests import GetOrdersRequest, MarketOrderRequest
from fake_alpaca import (
    CANCEL,
    GET_ACCOUNT,
    GET_BARS,
    GET_ORDERS,
    GET_POSITIONS,
    LOOKUP,
    POST_ORDER,
    Effect,
    FakeAlpaca,
    effects,
    match,
)
from fake_alpaca import bar_effects as bars
from fake_alpaca.example import at, december, trading_client

BARS = {"symbols": "AAA,BBB", "timeframe": "1Day", "start": "2024-12-01"}


def buy(client: TradingClient, name: str = "one", qty: float = 10) -> Any:
    return client.submit_order(
        MarketOrderRequest(symbol="AAA", qty=qty, side="buy", time_in_force="day", client_order_id=name)
    )


def impatient(client: TradingClient) -> None:
    """Give the client the time-out that it lacks."""
    client._session.request = partial(client._session.request, timeout=0.2)


def status_of(call: Callable[[], object]) -> int:
    with pytest.raises(APIError) as caught:
        call()
    return caught.value.status_code


def test_a_status_comes_before_the_venue_sees_the_request(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(POST_ORDER, effects.status(500))
    assert status_of(lambda: buy(client)) == 500
    assert server.orders == []
    assert (server.requests[0].status, server.requests[0].accepted) == (500, None)
    assert server.requests[0].faults == ["status 500"]
    buy(client)


def test_nth_and_times_choose_among_the_requests_that_match(server: FakeAlpaca, client: TradingClient) -> None:
    fault = server.faults.add(GET_ACCOUNT, effects.status(503), nth=2, times=2)
    client.get_clock()
    client.get_account()
    assert [status_of(client.get_account), status_of(client.get_account)] == [503, 503]
    client.get_account()
    assert (fault.seen, fault.struck) == (4, 2)


def test_a_match_can_ask_for_symbol_and_side(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(match("POST", "/orders$", symbol="BBB"), effects.status(500), times=None)
    server.faults.add(match("POST", "/orders$", side="sell"), effects.status(500), times=None)
    buy(client)
    server.faults.clear()


def test_an_answer_can_be_lost_after_acceptance(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(POST_ORDER, effects.after_accept(effects.status(504)))
    assert status_of(lambda: buy(client)) == 504
    assert (server.requests[0].status, server.requests[0].accepted) == (504, 200)
    assert client.get_order_by_client_id("one").status == "accepted"
    assert status_of(lambda: buy(client)) == 422


def test_the_client_itself_sends_again_after_a_504(server: FakeAlpaca, client: TradingClient) -> None:
    client._retry, client._retry_wait = 3, 0
    server.faults.add(POST_ORDER, effects.after_accept(effects.status(504)))
    assert status_of(lambda: buy(client)) == 422
    assert [r.status for r in server.posts()] == [504, 422]
    assert len(server.orders) == 1


@pytest.mark.parametrize("accepted", [False, True])
def test_silence_lasts_until_the_client_gives_up(accepted: bool, server: FakeAlpaca, client: TradingClient) -> None:
    impatient(client)
    effect = effects.after_accept(effects.hang()) if accepted else effects.hang()
    server.faults.add(POST_ORDER, effect)
    with pytest.raises(requests.Timeout):
        buy(client)
    assert len(server.orders) == accepted
    assert server.posts()[0].status is None


@pytest.mark.parametrize("accepted", [False, True])
def test_a_reset_breaks_the_connection(accepted: bool, server: FakeAlpaca, client: TradingClient) -> None:
    client.get_clock()
    server.faults.add(POST_ORDER, effects.after_accept(effects.reset()) if accepted else effects.reset())
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        buy(client)
    assert len(server.orders) == accepted
    assert len(server.posts()) == 1
    client.get_clock()


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        (effects.garbage(), requests.JSONDecodeError),
        (effects.html(200), requests.JSONDecodeError),
        (effects.empty(), TypeError),
        (effects.null(), TypeError),
        (effects.truncated(announced=False), requests.JSONDecodeError),
        (effects.truncated(), requests.exceptions.ChunkedEncodingError),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_answers_can_be_nonsense_after_acceptance(
    effect: Effect, error: type[Exception], server: FakeAlpaca, client: TradingClient
) -> None:
    server.faults.add(POST_ORDER, effects.after_accept(effect))
    with pytest.raises(error):
        buy(client)
    assert server.order("one").status == "accepted"
    assert client.get_order_by_client_id("one").qty == "10"


def test_a_page_of_html_breaks_the_clients_own_error(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(GET_ACCOUNT, effects.html(503))
    with pytest.raises(APIError) as caught:
        client.get_account()
    assert caught.value.status_code == 503
    with pytest.raises(ValueError, match="Expecting value"):
        _ = caught.value.code


def test_too_many_requests_with_and_without_a_header(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(POST_ORDER, effects.rate_limited(7))
    with pytest.raises(APIError) as caught:
        buy(client)
    assert caught.value.response.headers["Retry-After"] == "7"
    assert server.orders == []


def test_slow_answers_outlast_a_timeout_and_dripping_ones_do_not(server: FakeAlpaca, client: TradingClient) -> None:
    impatient(client)
    server.faults.add(GET_ACCOUNT, effects.slow(30))
    with pytest.raises(requests.Timeout):
        client.get_account()
    server.faults.add(match("GET", "/clock$"), effects.slow(0.002, drip=True))  # 170 bytes: longer than the time-out
    assert not client.get_clock().is_open


def test_time_passes_on_the_way(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(POST_ORDER, effects.takes(timedelta(hours=2)))
    assert buy(client).status == "pending_new"


def test_a_callback_sees_the_call_before_and_after(server: FakeAlpaca, client: TradingClient) -> None:
    seen: list[int] = []
    server.faults.add(POST_ORDER, effects.callback(lambda call: seen.append(len(call.server.orders))))
    server.faults.add(POST_ORDER, effects.callback(lambda call: seen.append(len(call.server.orders)), "after"))
    buy(client)
    assert seen == [0, 1]


def test_lookups_lag_behind_acceptance(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(POST_ORDER, effects.lookup_lag(2))
    buy(client)
    answers = [status_of(lambda: client.get_order_by_client_id("one")) for _ in range(2)]
    assert answers == [404, 404]
    assert client.get_order_by_client_id("one").status == "accepted"
    assert server.count("GET", LOOKUP.path.pattern) == 3


def test_an_order_is_rejected_later(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(POST_ORDER, effects.reject_later())
    server.faults.add(POST_ORDER, effects.reject_later(at_open=True), nth=2)
    assert [buy(client, name).status for name in ("now", "open")] == ["accepted", "accepted"]
    assert [client.get_order_by_client_id(name).status for name in ("now", "open")] == ["rejected", "accepted"]
    server.clock.to_open()
    assert client.get_order_by_client_id("open").status == "rejected"
    assert server.positions == {}


@pytest.mark.parametrize(("then", "end"), [("open", "expired"), ("canceled", "canceled")])
def test_a_partial_fill_ends_at_the_close(then: str, end: str, server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(POST_ORDER, effects.partial_fill(0.4, then=then))
    buy(client)
    server.clock.to_open()
    shown = client.get_order_by_client_id("one")
    assert (shown.status, shown.filled_qty, shown.filled_avg_price) == ("partially_filled", "4", "20")
    server.clock.to_close()
    shown = client.get_order_by_client_id("one")
    assert (shown.status, shown.filled_qty) == (end, "4")
    assert server.account.cash == 920


def test_the_rest_fills_after_the_partial_fill_was_seen(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(POST_ORDER, effects.partial_fill(qty=3, then="filled"))
    server.clock.to_open()
    buy(client)
    assert [client.get_order_by_client_id("one").filled_qty for _ in range(2)] == ["3", "10"]
    assert [row["cum_qty"] for row in client.get("/account/activities/FILL")] == ["10", "3"]


def test_a_halt_never_fills(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(POST_ORDER, effects.never_fills())
    buy(client)
    server.clock.set(at(23, 15, 59))
    assert client.get_order_by_client_id("one").status == "new"
    server.clock.to_close()
    assert client.get_order_by_client_id("one").status == "expired"


def test_a_fill_arrives_late(server: FakeAlpaca, client: TradingClient) -> None:
    server.clock.to_open()
    server.faults.add(POST_ORDER, effects.late_fill(reads=2))
    server.faults.add(POST_ORDER, effects.late_fill(wait=timedelta(minutes=5)), nth=2)
    buy(client, "reads")
    buy(client, "wait")
    shown = [client.get_order_by_client_id("reads").status for _ in range(3)]
    assert shown == ["new", "new", "filled"]
    assert client.get_order_by_client_id("wait").status == "new"
    server.clock.advance(timedelta(minutes=5))
    assert client.get_order_by_client_id("wait").status == "filled"


@pytest.mark.parametrize("where", [POST_ORDER, CANCEL])
def test_a_cancel_stays_pending(where: Any, server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(where, effects.pending_cancel())
    sent = buy(client)
    client.cancel_order_by_id(sent.id)
    server.clock.to_close()
    assert client.get_order_by_id(sent.id).status == "pending_cancel"
    assert server.positions == {}


def test_a_cancel_is_pending_for_some_reads(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(CANCEL, effects.pending_cancel(reads=1))
    sent = buy(client)
    client.cancel_order_by_id(sent.id)
    assert [client.get_order_by_id(sent.id).status for _ in range(2)] == ["pending_cancel", "canceled"]


def test_a_status_nobody_knows(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(match("GET", "/v2/orders"), effects.unknown_status("quantum_review"), times=None)
    buy(client)
    assert client.get("/orders")[0]["status"] == "quantum_review"
    with pytest.raises(ValueError, match="quantum_review"):
        client.get_order_by_client_id("one")
    server.faults.clear()
    server.order("one").shown_status = "by_hand"
    assert client.get("/orders")[0]["status"] == "by_hand"
    assert server.count("GET", GET_ORDERS.path.pattern) == 2


def test_positions_lag_behind_fills(server: FakeAlpaca, client: TradingClient) -> None:
    server.clock.to_open()
    server.faults.add(POST_ORDER, effects.positions_lag(2))
    buy(client)
    assert [len(client.get_all_positions()) for _ in range(3)] == [0, 0, 1]
    assert server.count("GET", GET_POSITIONS.path.pattern) == 3


def test_numbers_fields_and_nulls_of_the_account(server: FakeAlpaca, client: TradingClient) -> None:
    server.faults.add(GET_ACCOUNT, effects.json_numbers())
    assert client.get("/account")["cash"] == 1000.0
    server.faults.add(GET_ACCOUNT, effects.without("equity"))
    server.faults.add(GET_ACCOUNT, effects.with_fields(cash=None))
    shown = client.get("/account")
    assert "equity" not in shown
    assert shown["cash"] is None
    server.faults.add(GET_ACCOUNT, effects.pdt_fields())
    assert client.get_account().pattern_day_trader is False
    server.account.fields["cash"] = "0"
    assert client.get_account().cash == "0"


def bar_answer(server: FakeAlpaca, data: StockHistoricalDataClient, effect: Effect) -> dict[str, list[Any]]:
    server.clock.set(at(26, 20))
    server.faults.add(GET_BARS, effect)
    return data.get("/stocks/bars", BARS)["bars"]


@pytest.mark.parametrize(
    ("effect", "closes"),
    [
        (bars.duplicate_bars("AAA"), [12, 12, 22, 22, 32, 32, 42, 42]),
        (bars.unsorted_bars(), [42, 32, 22, 12]),
        (bars.stale_bars(), [12, 22, 32]),
        (bars.bad_value("AAA", "c", None), [12, 22, 32, None]),
        (bars.bad_value("AAA", "c", "42.0"), [12, 22, 32, "42.0"]),
        (bars.bad_value("AAA", "c", lambda close: close * 1000, index=0), [12000, 22, 32, 42]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_bars_can_be_spoilt(
    effect: Effect, closes: list[Any], server: FakeAlpaca, data: StockHistoricalDataClient
) -> None:
    assert [row["c"] for row in bar_answer(server, data, effect)["AAA"]] == closes


def test_a_bar_can_be_no_number(server: FakeAlpaca, data: StockHistoricalDataClient) -> None:
    assert math.isnan(bar_answer(server, data, bars.bad_value("BBB", "o", math.nan))["BBB"][-1]["o"])


def test_a_symbol_can_be_missing(server: FakeAlpaca, data: StockHistoricalDataClient) -> None:
    assert set(bar_answer(server, data, bars.missing_symbol("BBB"))) == {"AAA"}


def test_pages_can_be_short_or_endless(server: FakeAlpaca, data: StockHistoricalDataClient) -> None:
    server.clock.set(at(26, 20))
    server.faults.add(GET_BARS, bars.short_pages(3), times=None)
    first = data.get("/stocks/bars", BARS)
    assert len(first["bars"]["AAA"]) == 3
    server.faults.add(GET_BARS, bars.endless_pages(), times=None)
    again = data.get("/stocks/bars", {**BARS, "page_token": first["next_page_token"]})
    assert again["bars"] == first["bars"]
    assert again["next_page_token"]


def test_a_feed_can_be_outside_the_subscription(server: FakeAlpaca, data: StockHistoricalDataClient) -> None:
    server.faults.add(GET_BARS, bars.sip_forbidden())
    assert status_of(lambda: data.get("/stocks/bars", BARS)) == 403


def test_leaving_the_server_tells_of_its_own_failures() -> None:
    server = FakeAlpaca(december())
    server.clock.set(at(27, 16) + timedelta(days=60))
    client = trading_client(server)
    with pytest.raises(AssertionError, match="no session after"), server:
        assert status_of(client.get_clock) == 599
    client._session.close()


def test_a_limit_of_orders_is_checked(client: TradingClient) -> None:
    assert status_of(lambda: client.get_orders(GetOrdersRequest(limit=501))) == 422
