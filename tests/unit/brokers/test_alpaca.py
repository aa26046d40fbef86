"""What AlpacaVenue asks and understands, through the real alpaca-py."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from alpaca_answers import KEY, SECRET, account_row, order_row, position_row
from scripted_server import Answer, ScriptedServer

from brokers.alpaca import AlpacaBroker, AlpacaVenue
from brokers.credentials import Credentials
from brokers.protocol import Holding, Order, OrderRefused, SessionHours, Side
from engine.errors import TemporaryError, TradingStopped

ORDER = Order("v1-2024-01-05-AAPL-buy-1", date(2024, 1, 5), "AAPL", Side.BUY, 3.5)
SINCE = datetime(2024, 1, 5, tzinfo=UTC)


def test_time_is_the_servers_in_utc(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/clock", {"timestamp": "2024-01-05T09:31:02.123456789-05:00", "is_open": True})
    assert venue.now() == datetime(2024, 1, 5, 14, 31, 2, 123456, tzinfo=UTC)


def test_hours_are_new_yorks_on_both_sides_of_summer_time(server: ScriptedServer, venue: AlpacaVenue) -> None:
    days = [
        {"date": "2024-03-11", "open": "09:30", "close": "16:00", "session_open": "0400", "session_close": "2000"},
        {"date": "2024-03-08", "open": "09:30", "close": "13:00"},
        {"date": "2024-03-12", "open": "09:30", "close": "16:00"},
    ]
    server.on("/v2/calendar", days)
    assert venue.hours(date(2024, 3, 8), date(2024, 3, 11)) == [
        SessionHours(
            date(2024, 3, 8), datetime(2024, 3, 8, 14, 30, tzinfo=UTC), datetime(2024, 3, 8, 18, 0, tzinfo=UTC)
        ),
        SessionHours(
            date(2024, 3, 11), datetime(2024, 3, 11, 13, 30, tzinfo=UTC), datetime(2024, 3, 11, 20, 0, tzinfo=UTC)
        ),
    ]
    assert server.asked[0].query == {"start": "2024-03-08", "end": "2024-03-11"}


def test_an_account_is_read_with_what_is_worth_a_warning(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/account", account_row())
    account = venue.account()
    assert (account.cash, account.equity, account.blocked) == (1000.25, 2500.75, "")
    assert account.account_id == "e6fe16f3-64a4-4921-8928-cadf02f92f98"
    assert account.remarks == (
        "the account may borrow: its buying power is 4 times its equity",
        "the account may sell short",
    )


def test_an_account_without_optional_fields_is_read(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/account", account_row(multiplier=..., shorting_enabled=..., trade_suspended_by_user=None))
    assert venue.account().remarks == ()


def test_numbers_instead_of_texts_are_tolerated(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/account", account_row(cash=1000.25, equity=2500))
    assert (venue.account().cash, venue.account().equity) == (1000.25, 2500.0)


NOTHING = [..., None, "", []]
NO_NUMBERS = [*NOTHING, "NaN", "Infinity", "abc", float("nan"), True]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("cash", value) for value in NO_NUMBERS),
        *(("equity", value) for value in NO_NUMBERS),
        # Its number instead of its id would make another account of it.
        *(("id", value) for value in NOTHING),
        *(("status", value) for value in NOTHING),
        *(("trading_blocked", value) for value in [*NOTHING, "false", 0]),
        *(("account_blocked", value) for value in NOTHING),
    ],
)
def test_a_broken_field_of_an_account_is_named(
    server: ScriptedServer, venue: AlpacaVenue, name: str, value: Any
) -> None:
    server.on("/v2/account", account_row(**{name: value}))
    with pytest.raises(TemporaryError, match=name):
        venue.account()


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "ACCOUNT_CLOSED"},
        {"trading_blocked": True},
        {"account_blocked": True},
        {"trade_suspended_by_user": True},
    ],
)
def test_a_blocked_account_says_why(server: ScriptedServer, venue: AlpacaVenue, changes: dict[str, Any]) -> None:
    server.on("/v2/account", account_row(**changes))
    ((name, value),) = changes.items()
    assert (value if name == "status" else name) in venue.account().blocked


def test_an_account_that_is_no_paper_account_stops_trading(
    server: ScriptedServer, venue: AlpacaVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("/v2/account", account_row(account_number="912345678"))
    assert venue.account().account_id
    monkeypatch.setattr(Credentials, "on_loopback", False)
    with pytest.raises(TradingStopped, match="paper") as caught:
        venue.account()
    assert "912345678" not in str(caught.value)


def test_holdings_have_signs_and_may_lack_a_price(server: ScriptedServer, venue: AlpacaVenue) -> None:
    short = position_row(symbol="BRK.B", side="short", qty="-2", qty_available="-2", current_price=None)
    zero = position_row(symbol="T", qty="0", qty_available="0")
    server.on("/v2/positions", [position_row(), short, zero])
    assert venue.holdings() == [Holding("AAPL", 5.0, 4.0, 181.5), Holding("BRK.B", -2.0, -2.0, None)]


@pytest.mark.parametrize("name", ["symbol", "qty", "qty_available"])
def test_a_position_without_a_required_field_is_no_position(
    server: ScriptedServer, venue: AlpacaVenue, name: str
) -> None:
    server.on("/v2/positions", [position_row(**{name: None})])
    with pytest.raises(TemporaryError, match=name):
        venue.holdings()


def test_an_order_goes_out_as_a_market_order_for_the_day(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/orders", order_row())
    report = venue.submit(ORDER)
    assert server.asked[0].body == {
        "symbol": "AAPL",
        "qty": "3.5",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
        "client_order_id": "v1-2024-01-05-AAPL-buy-1",
    }
    assert (report.order_id, report.is_open, report.filled) == (order_row()["id"], True, 0.0)
    assert report.time_utc == datetime(2024, 1, 5, 14, 30, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("quantity", "sent"),
    [(0.1 + 0.2, "0.3"), (1e-9, "0.000000001"), (1.23456789012, "1.23456789"), (100.0, "100"), (2e7, "20000000")],
)
def test_a_quantity_goes_out_without_noise(
    server: ScriptedServer, venue: AlpacaVenue, quantity: float, sent: str
) -> None:
    server.on("/v2/orders", order_row())
    venue.submit(Order(ORDER.client_id, ORDER.session, "AAPL", Side.BUY, quantity))
    assert server.asked[0].body["qty"] == sent


@pytest.mark.parametrize("quantity", [0.0, -1.0, float("nan"), float("inf"), 9e-10])
def test_an_impossible_quantity_is_never_sent(server: ScriptedServer, venue: AlpacaVenue, quantity: float) -> None:
    with pytest.raises(OrderRefused, match="not sent"):
        venue.submit(Order(ORDER.client_id, ORDER.session, "AAPL", Side.BUY, quantity))
    assert server.asked == []


@pytest.mark.parametrize("client_id", ["", "x" * 129])
def test_an_impossible_client_id_is_never_sent(server: ScriptedServer, venue: AlpacaVenue, client_id: str) -> None:
    with pytest.raises(OrderRefused, match="not sent"):
        venue.submit(Order(client_id, ORDER.session, "AAPL", Side.BUY, 1.0))
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "is_open", "is_known"),
    [
        *((name, True, True) for name in ("new", "accepted", "pending_cancel", "held", "pending_review", "stopped")),
        *((name, False, True) for name in ("filled", "canceled", "expired", "rejected", "replaced", "done_for_day")),
        ("something_new", True, False),
    ],
)
def test_statuses_are_open_unless_known_to_be_final(
    server: ScriptedServer, venue: AlpacaVenue, status: str, is_open: bool, is_known: bool
) -> None:
    server.on("/v2/orders:by_client_order_id", order_row(status=status))
    report = venue.order(ORDER.client_id)
    assert report is not None
    assert (report.status, report.is_open, report.is_known) == (status, is_open, is_known)


def test_a_partly_filled_and_cancelled_order_keeps_its_fill(server: ScriptedServer, venue: AlpacaVenue) -> None:
    row = order_row(
        status="canceled", filled_qty="1.5", filled_avg_price="181.123456", filled_at="2024-01-05T15:00:00Z"
    )
    server.on("/v2/orders:by_client_order_id", row)
    report = venue.order(ORDER.client_id)
    assert report is not None
    assert (report.filled, report.average_price, report.is_open) == (1.5, 181.123456, False)
    assert report.time_utc == datetime(2024, 1, 5, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize("changes", [{"filled_qty": "1"}, {"filled_qty": None}, {"filled_qty": "-1"}, {"status": None}])
def test_an_order_without_its_numbers_is_not_filled_in(
    server: ScriptedServer, venue: AlpacaVenue, changes: dict[str, Any]
) -> None:
    server.on("/v2/orders:by_client_order_id", order_row(**changes))
    with pytest.raises(TemporaryError):
        venue.order(ORDER.client_id)


def test_an_unknown_order_is_none_only_when_alpaca_says_so(server: ScriptedServer, venue: AlpacaVenue) -> None:
    path = "/v2/orders:by_client_order_id"
    server.on(path, Answer(404, {"code": 40410000, "message": f"order not found for {ORDER.client_id}"}))
    assert venue.order(ORDER.client_id) is None
    server.on(path, Answer(404, b"<html>nginx</html>"))
    with pytest.raises(TemporaryError):
        venue.order(ORDER.client_id)


def test_the_answer_for_another_order_is_not_believed(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/orders:by_client_order_id", order_row(client_order_id="other"))
    with pytest.raises(TemporaryError, match="other"):
        venue.order(ORDER.client_id)


def rows_at(first: int, n: int, tied: bool = False) -> list[dict[str, Any]]:
    def moment(k: int) -> str:
        return (SINCE + timedelta(seconds=0 if tied else k)).isoformat()

    return [order_row(id=f"o{k}", client_order_id=f"c{k}", submitted_at=moment(k)) for k in range(first, first + n)]


def test_orders_are_read_to_the_last_page(server: ScriptedServer, venue: AlpacaVenue) -> None:
    money = order_row(id="last", client_order_id=None, qty=None, notional="10", status="filled", filled_qty="0.1",
                      filled_avg_price="100", submitted_at=(SINCE + timedelta(days=1)).isoformat())  # fmt: skip
    server.on("/v2/orders", rows_at(0, 500), [*rows_at(499, 500)], [*rows_at(998, 2), money])
    reports = venue.orders(SINCE)
    assert [report.order_id for report in reports] == [*(f"o{k}" for k in range(1000)), "last"]
    assert (reports[-1].client_id, reports[-1].quantity, reports[-1].filled) == ("", None, 0.1)
    first, second = server.asked[0].query, server.asked[1].query
    assert (first["status"], first["limit"], first["direction"]) == ("all", "500", "asc")
    assert datetime.fromisoformat(first["after"]) < SINCE
    # A little before the last of the page, for others of the same instant; what comes twice counts once.
    assert SINCE + timedelta(seconds=498) < datetime.fromisoformat(second["after"]) < SINCE + timedelta(seconds=499)


def test_pages_of_orders_that_never_end_are_refused(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/orders", rows_at(0, 500, tied=True))
    with pytest.raises(TemporaryError, match="does not end"):
        venue.orders(SINCE)
    assert len(server.asked) == 2


def test_open_orders_include_those_of_unknown_status(server: ScriptedServer, venue: AlpacaVenue) -> None:
    rows = [order_row(id=name, status=name) for name in ("filled", "new", "strange", "canceled")]
    server.on("/v2/orders", rows)
    assert [report.order_id for report in venue.orders(SINCE, open_only=True)] == ["new", "strange"]


@pytest.mark.parametrize("status", [204, 404, 422])
def test_cancelling_may_come_too_late(server: ScriptedServer, venue: AlpacaVenue, status: int) -> None:
    server.on("/v2/orders", order_row())
    report = venue.submit(ORDER)
    body = b"" if status == 204 else {"message": "order is not cancelable"}
    server.on(f"/v2/orders/{report.order_id}", Answer(status, body))
    venue.cancel(report)
    assert server.count("DELETE") == 1


def test_latest_prices_are_those_there_are(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/stocks/trades/latest", {"trades": {"AAPL": {"p": 181.5}, "BRK.B": {"p": 0}, "X": {"p": 1.0}}})
    assert venue.prices(["BRK.B", "AAPL", "ZZZ"]) == {"AAPL": 181.5}
    assert server.asked[0].query == {"symbols": "BRK.B,AAPL,ZZZ"}


@pytest.mark.parametrize("status", [400, 403, 404])
def test_without_latest_prices_there_are_none(
    server: ScriptedServer, venue: AlpacaVenue, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.on("/v2/stocks/trades/latest", Answer(status, {"message": "subscription does not permit"}))
    assert venue.prices(["AAPL"]) == {}
    assert "no latest prices" in caplog.text


def test_assets_say_what_may_be_traded(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/assets/BRK.B", {"status": "active", "tradable": True, "fractionable": False})
    server.on("/v2/assets/ZZZ", Answer(404, {"code": 40410000, "message": "asset not found for ZZZ"}))
    assets = venue.assets(["BRK.B", "ZZZ"])
    assert (assets["BRK.B"].tradable, assets["BRK.B"].fractionable, assets["BRK.B"].status) == (True, False, "active")
    assert (assets["ZZZ"].tradable, assets["ZZZ"].status) == (False, "unknown")


def test_keys_go_out_in_headers_only(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/account", account_row())
    venue.account()
    (asked,) = server.asked
    assert (asked.headers["apca-api-key-id"], asked.headers["apca-api-secret-key"]) == (KEY, SECRET)
    assert SECRET not in f"{asked.path}{asked.query}"


def test_the_collecting_broker_shows_the_account_at_the_last_closes(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/account", account_row(cash="100", equity="99999"))
    server.on("/v2/positions", [position_row(), position_row(symbol="OTHER")])
    broker = AlpacaBroker(venue, ["MSFT", "AAPL"], np.array([np.nan, 20.0]))
    assert broker.portfolio.quantity.tolist() == [0.0, 5.0]
    assert (broker.getcash(), broker.getvalue()) == (100.0, 200.0)
