from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import GetOrdersRequest, LimitOrderRequest, MarketOrderRequest
from fake_alpaca import FakeAlpaca
from fake_alpaca.example import at

EVERY = GetOrdersRequest(status=QueryOrderStatus.ALL, limit=500)


def order(symbol: str, qty: float | None, side: str = "buy", name: str | None = None, **fields: Any) -> Any:
    kind = LimitOrderRequest if "limit_price" in fields else MarketOrderRequest
    fields = {"time_in_force": TimeInForce.DAY, "client_order_id": name, **fields}
    return kind(symbol=symbol, qty=qty, side=OrderSide(side), **fields)


def refusal(client: TradingClient, request: Any) -> tuple[int, int, str]:
    with pytest.raises(APIError) as caught:
        client.submit_order(request)
    return caught.value.status_code, caught.value.code, caught.value.message


def test_an_order_of_before_the_open_fills_at_the_open(server: FakeAlpaca, client: TradingClient) -> None:
    sent = client.submit_order(order("AAA", 1.5, name="one"))
    assert (sent.status, sent.filled_qty, sent.filled_avg_price) == ("accepted", "0", None)
    server.clock.to_open()
    filled = client.get_order_by_client_id("one")
    assert (filled.status, filled.filled_qty, filled.filled_avg_price) == ("filled", "1.5", "20")
    assert filled.filled_at is not None
    assert server.account.cash == 970
    assert [(held.symbol, held.qty, held.qty_available) for held in client.get_all_positions()] == [
        ("AAA", "1.5", "1.5")
    ]


def test_an_order_in_session_is_pending_first_and_fills_at_the_current_price(
    server: FakeAlpaca, client: TradingClient
) -> None:
    server.clock.set(at(23, 12, 45))  # half way from 20 to 22
    sent = client.submit_order(order("AAA", 1))
    assert (sent.status, sent.filled_qty) == ("pending_new", "0")
    assert client.get_order_by_id(sent.id).filled_avg_price == "21"


def test_cash_moves_by_whole_cents(server: FakeAlpaca, client: TradingClient) -> None:
    server.clock.set(at(23, 12, 45))
    client.submit_order(order("AAA", 0.333333333))
    assert client.get_account().cash == "993"  # 6.999999993
    assert server.account.cash == Decimal(993)


def test_money_is_text_and_the_pattern_day_trader_is_gone(server: FakeAlpaca, client: TradingClient) -> None:
    account = client.get("/account")
    assert (account["cash"], account["buying_power"], account["multiplier"]) == ("1000", "4000", "4")
    assert not {"pattern_day_trader", "daytrade_count", "daytrading_buying_power"} & set(account)
    assert client.get_account().status == "ACTIVE"


def test_what_is_left_at_the_close_expires(server: FakeAlpaca, client: TradingClient) -> None:
    server.clock.set(at(24, 10))
    client.submit_order(order("AAA", 1, name="low", limit_price=1.0))
    server.clock.set(at(24, 12, 59))
    assert client.get_order_by_client_id("low").status == "new"
    server.clock.set(at(24, 13))  # a half day
    ended = client.get_order_by_client_id("low")
    assert (ended.status, ended.expired_at is not None) == ("expired", True)


def test_an_order_of_after_the_close_waits_over_the_holiday(server: FakeAlpaca, client: TradingClient) -> None:
    server.clock.set(at(24, 14))
    assert client.submit_order(order("AAA", 1, name="late")).status == "accepted"
    server.clock.set(at(25, 12))
    assert not client.get_clock().is_open
    assert client.get_order_by_client_id("late").status == "accepted"
    server.clock.set(at(26, 9, 30))
    assert client.get_order_by_client_id("late").filled_avg_price == "40"


def test_a_limit_order_fills_within_the_range_of_the_day(server: FakeAlpaca, client: TradingClient) -> None:
    client.submit_order(order("AAA", 1, name="dip", limit_price=19.5))
    server.clock.to_close()
    assert client.get_order_by_client_id("dip").filled_avg_price == "19.5"


def test_an_order_for_an_amount_has_no_quantity(server: FakeAlpaca, client: TradingClient) -> None:
    server.clock.set(at(23, 9, 30))
    sent = client.submit_order(order("AAA", None, notional=50))
    assert (sent.qty, sent.notional) == (None, "50")
    assert client.get_order_by_id(sent.id).filled_qty == "2.5"


def test_a_client_id_is_never_free_again(server: FakeAlpaca, client: TradingClient) -> None:
    client.submit_order(order("AAA", 1, name="same"))
    server.clock.set(at(26, 12))
    assert refusal(client, order("BBB", 1, name="same")) == (422, 40010001, "client_order_id must be unique")
    assert len(server.orders) == 1


def test_a_refused_order_leaves_its_client_id_free(server: FakeAlpaca, client: TradingClient) -> None:
    assert refusal(client, order("AAA", 1000, name="same"))[:2] == (403, 40310000)
    client.submit_order(order("AAA", 1, name="same"))
    with pytest.raises(APIError, match="40410000"):
        client.get_order_by_client_id("other")


def test_open_buys_reserve_buying_power_of_four_times_the_equity(server: FakeAlpaca, client: TradingClient) -> None:
    client.submit_order(order("BBB", 30))
    assert client.get_account().buying_power == "1000"
    with pytest.raises(APIError) as caught:
        client.submit_order(order("BBB", 11))
    assert '"buying_power": "1000"' in str(caught.value)
    assert caught.value.message == "insufficient buying power"


def test_the_configurations_make_a_cash_account(server: FakeAlpaca, client: TradingClient) -> None:
    wanted = client.get_account_configurations()
    wanted.max_margin_multiplier, wanted.no_shorting = "1", True
    assert client.set_account_configurations(wanted).max_margin_multiplier == "1"
    assert client.get_account().buying_power == "1000"
    assert refusal(client, order("AAA", 1, "sell")) == (403, 40310000, "account is not allowed to short")


def test_selling_what_is_not_there_is_a_short_sale(server: FakeAlpaca, client: TradingClient) -> None:
    client.submit_order(order("AAA", 2, "sell"))
    server.clock.to_open()
    held = client.get_open_position("AAA")
    assert (held.qty, held.side, held.market_value) == ("-2", "short", "-40")


def test_no_more_is_sold_than_open_orders_leave(server: FakeAlpaca, client: TradingClient) -> None:
    server.hold("AAA", 5)
    client.submit_order(order("AAA", 3, "sell"))
    assert client.get_open_position("AAA").qty_available == "2"
    with pytest.raises(APIError) as caught:
        client.submit_order(order("AAA", 3, "sell"))
    assert caught.value.message == "insufficient qty available for order (requested: 3, available: 2)"
    assert '"existing_qty": "5", "held_for_orders": "3"' in str(caught.value)


def test_opposite_open_orders_are_a_wash_trade(server: FakeAlpaca, client: TradingClient) -> None:
    server.hold("AAA", 5)
    sent = client.submit_order(order("AAA", 3, "sell"))
    assert refusal(client, order("AAA", 1)) == (403, 40310000, "potential wash trade detected. use complex orders")
    client.cancel_order_by_id(sent.id)
    client.submit_order(order("AAA", 1))


def test_no_short_sale_while_a_buy_is_open(server: FakeAlpaca, client: TradingClient) -> None:
    client.submit_order(order("AAA", 1))
    message = "cannot open a short sell while a long buy order is open"
    assert refusal(client, order("AAA", 1, "sell")) == (403, 40310000, message)


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"qty": 0}, (422, 40010001, "qty must be > 0")),
        ({"qty": -1}, (422, 40010001, "qty must be > 0")),
        ({"qty": 0.1 + 0.2}, (422, 42210000, "qty must be limited to 9 decimal places")),
        ({"qty": 0.5, "time_in_force": TimeInForce.GTC}, (422, 42210000, "fractional orders must be DAY orders")),
        ({"qty": None, "notional": 0.5}, (422, 40010001, "notional must be >= 1.00")),
        ({"qty": None, "notional": 1.234}, (422, 42210000, "notional value must be limited to 2 decimal places")),
        ({"qty": 0.01}, (403, 40310000, "cost basis must be >= minimal amount of order 1")),
        ({"symbol": "ZZZ"}, (422, 40010001, 'asset "ZZZ" not found')),
        ({"name": "x" * 129}, (422, 40010001, "client_order_id must be no more than 128 characters")),
    ],
)
def test_malformed_orders_are_refused(
    client: TradingClient, fields: dict[str, Any], answer: tuple[int, int, str]
) -> None:
    assert refusal(client, order(**{"symbol": "AAA", "qty": 1, **fields})) == answer


def test_orders_for_the_auctions_have_windows(server: FakeAlpaca, client: TradingClient) -> None:
    client.submit_order(order("AAA", 1, name="opening", time_in_force=TimeInForce.OPG))
    server.clock.set(at(23, 9, 28))
    assert refusal(client, order("AAA", 1, time_in_force=TimeInForce.OPG))[0] == 422
    client.submit_order(order("AAA", 1, name="closing", time_in_force=TimeInForce.CLS))
    server.clock.to_close()
    assert [server.order(name).filled_avg_price for name in ("opening", "closing")] == [20, 22]


def test_assets_change_by_hand(server: FakeAlpaca, client: TradingClient) -> None:
    server.assets["AAA"].fractionable = False
    server.assets["BBB"].tradable = False
    assert not client.get_asset("AAA").fractionable
    assert refusal(client, order("AAA", 1.5)) == (403, 40310000, 'asset "AAA" is not fractionable')
    assert refusal(client, order("BBB", 1))[0] == 422


def test_a_blocked_account_takes_no_orders(server: FakeAlpaca, client: TradingClient) -> None:
    server.account.trade_suspended_by_user = True
    assert refusal(client, order("AAA", 1)) == (403, 40310000, "new orders are rejected by user request")
    server.account.trade_suspended_by_user, server.account.trading_blocked = False, True
    assert refusal(client, order("AAA", 1))[:2] == (403, 40310000)


def test_lists_show_open_orders_newest_first_unless_asked(server: FakeAlpaca, client: TradingClient) -> None:
    for i in range(60):
        client.submit_order(order("AAA", 1, name=f"n{i}"))
    assert [o.client_order_id for o in client.get_orders()] == [f"n{i}" for i in range(59, 9, -1)]
    server.clock.to_open()
    assert client.get_orders() == []
    assert len(client.get_orders(EVERY)) == 60
    third = server.order("n2").submitted_at
    later = client.get_orders(GetOrdersRequest(status="all", limit=3, after=third, direction="asc"))
    assert [o.client_order_id for o in later] == ["n3", "n4", "n5"]


def test_cancelled_and_filled_orders_cannot_be_cancelled(server: FakeAlpaca, client: TradingClient) -> None:
    first, _ = client.submit_order(order("AAA", 1)), client.submit_order(order("BBB", 1))
    client.cancel_order_by_id(first.id)
    assert client.get_order_by_id(first.id).status == "canceled"
    with pytest.raises(APIError) as caught:
        client.cancel_order_by_id(first.id)
    assert caught.value.status_code == 422
    assert [answer.status for answer in client.cancel_orders()] == [200]


def test_fills_are_activities_in_pages(server: FakeAlpaca, client: TradingClient) -> None:
    for _ in range(3):
        client.submit_order(order("AAA", 1))
    server.clock.to_open()
    server.pay("DIV", 1.25, "AAA")
    page = client.get("/account/activities/FILL", {"page_size": 2})
    rest = client.get("/account/activities/FILL", {"page_size": 2, "page_token": page[-1]["id"]})
    assert [len(page), len(rest)] == [2, 1]
    assert page[0]["id"].startswith("20241223093000000::")  # New York time
    assert page[0]["order_id"] == server.orders[-1].id
    assert client.get("/account/activities")[0]["net_amount"] == "1.25"
    assert server.account.cash == Decimal("941.25")
    with pytest.raises(APIError):
        client.get("/account/activities/FILL", {"page_size": 101})


def test_positions_follow_a_split_overnight(server: FakeAlpaca, client: TradingClient) -> None:
    server.hold("BBB", 3)
    server.clock.set(at(26, 8))
    held = client.get_open_position("BBB")
    assert (held.qty, held.avg_entry_price, held.current_price, held.market_value) == ("12", "25", "25", "300")


def test_somebody_else_trades_in_the_account(server: FakeAlpaca, client: TradingClient) -> None:
    server.trade("AAA", "buy", 2)
    server.pay("CSW", -100)
    server.clock.to_open()
    assert [o.filled_qty for o in client.get_orders(EVERY)] == ["2"]
    assert client.get_account().cash == "860"


def test_keys_are_needed_and_checked(server: FakeAlpaca, client: TradingClient) -> None:
    client._secret_key = "wrong"
    with pytest.raises(APIError, match="unauthorized"):
        client.get_account()
    client._secret_key = None
    with pytest.raises(APIError, match="nginx") as caught:
        client.get_account()
    assert caught.value.status_code == 401


def test_requests_are_noted_and_counted_against_the_limit(server: FakeAlpaca, client: TradingClient) -> None:
    client.get_account()
    client.submit_order(order("AAA", 1, name="noted"))
    assert [r.body["client_order_id"] for r in server.posts()] == ["noted"]
    assert (server.count("GET", "/account$"), server.count(status=200)) == (1, 2)
    headers = client._session.get(server.url + "/v2/clock", headers=client._get_default_headers()).headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("200", "197")
    server.enforces_rate_limit = True
    for _ in range(197):
        client.get_clock()
    with pytest.raises(APIError) as caught:
        client.get_clock()
    assert caught.value.status_code == 429
    server.clock.advance(timedelta(minutes=1))
    client.get_clock()


def test_time_moves_with_each_request_where_it_has_a_tick(server: FakeAlpaca, client: TradingClient) -> None:
    server.clock.tick = timedelta(minutes=45)
    opened = [client.get_clock().is_open for _ in range(3)]
    assert opened == [False, True, True]
    with pytest.raises(ValueError, match="cannot go back"):
        server.clock.set(at(20, 8))
