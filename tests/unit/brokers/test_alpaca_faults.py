"""What AlpacaVenue makes of a service that fails: a question is repeated, an order never."""

from __future__ import annotations

import subprocess
import sys
import traceback
from datetime import date
from typing import Any

import pytest
from alpaca_answers import KEY, SECRET, account_row, order_row
from scripted_server import Answer, ScriptedServer, scripted_server

from brokers.alpaca import AlpacaVenue
from brokers.credentials import Credentials
from brokers.protocol import Order, OrderRefused, OutcomeUnknown, Refusal, Side
from engine import http
from engine.errors import TemporaryError, TradingStopped
from engine.http import Tries

ORDER = Order("v1-2024-01-05-AAPL-buy-1", date(2024, 1, 5), "AAPL", Side.BUY, 3.5)
HTML = b"<html><body>503 Service Unavailable</body></html>"

BROKEN = [
    pytest.param(Answer(body=b""), id="empty"),
    pytest.param(Answer(body=None), id="null"),
    pytest.param(Answer(body=[]), id="list"),
    pytest.param(Answer(body={}), id="object"),
    pytest.param(Answer(body=HTML), id="html"),
    pytest.param(Answer(body=b'{"id": "61e6'), id="half"),
    pytest.param(Answer(body=b"\xff\xfe\x00garbage"), id="garbage"),
    pytest.param(Answer(body=account_row(), fault="truncated"), id="truncated"),
    pytest.param(Answer(fault="reset"), id="reset"),
    pytest.param(Answer(500, {"message": "internal server error"}), id="500"),
    pytest.param(Answer(503, HTML), id="503 page"),
    pytest.param(Answer(504, {"message": "gateway timeout"}), id="504"),
    pytest.param(Answer(408, b""), id="408"),
]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_question_is_asked_again(
    server: ScriptedServer, venue: AlpacaVenue, slept: list[float], broken: Answer
) -> None:
    server.on("/v2/account", broken, broken, account_row())
    assert venue.account().cash == 1000.25
    assert len(server.asked) == 3
    assert len(slept) == 2
    assert 0 < slept[0] < slept[1]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_storm_ends_in_a_temporary_error(server: ScriptedServer, venue: AlpacaVenue, broken: Answer) -> None:
    server.on("/v2/account", broken)
    with pytest.raises(TemporaryError):
        venue.account()
    assert len(server.asked) == 5


@pytest.mark.parametrize("broken", [*BROKEN, pytest.param(Answer(body=order_row(id=None)), id="no id")])
def test_an_order_of_unknown_outcome_is_sent_once(server: ScriptedServer, venue: AlpacaVenue, broken: Answer) -> None:
    server.on("/v2/orders", broken)
    with pytest.raises(OutcomeUnknown):
        venue.submit(ORDER)
    assert server.count("POST") == 1


def test_the_answer_for_another_order_leaves_the_outcome_unknown(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/orders", order_row(client_order_id="another"))
    with pytest.raises(OutcomeUnknown, match="another"):
        venue.submit(ORDER)


def test_a_silent_service_does_not_hang_an_order(
    server: ScriptedServer, venue: AlpacaVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READ_SECONDS", 0.05)
    server.on("/v2/orders", Answer(fault="silent"))
    with pytest.raises(OutcomeUnknown, match="no answer in time"):
        venue.submit(ORDER)
    assert server.count("POST") == 1


def test_limits_of_time_are_set_on_every_request(venue: AlpacaVenue) -> None:
    for client in (venue._trading, venue._data):
        assert client._retry == 0
        for url in ("https://x", "http://x"):
            assert isinstance(client._session.get_adapter(url), http._TimedAdapter)


def test_a_service_that_is_not_there_has_not_got_the_order() -> None:
    with scripted_server() as gone:
        url = gone.url
    venue = AlpacaVenue(Credentials(KEY, SECRET, url, url), Tries(sleep=lambda _: None))
    with pytest.raises(TemporaryError, match="cannot be reached"):
        venue.submit(ORDER)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (422, {"code": 40010001, "message": "client_order_id must be unique"}, Refusal.DUPLICATE),
        (403, {"code": 40310000, "message": "insufficient buying power"}, Refusal.FUNDS),
        (
            403,
            {"code": 40310000, "message": "insufficient qty available for order (requested: 5, available: 3)"},
            Refusal.SHARES,
        ),
        (
            403,
            {"code": 40310000, "message": "cannot open a short sell while a long buy order is open"},
            Refusal.SHARES,
        ),
        (403, {"code": 40310000, "message": "account is not allowed to short"}, Refusal.SHARES),
        (422, {"code": 42210000, "message": "fractional orders cannot be sold short"}, Refusal.SHARES),
        (
            403,
            {"code": 40310000, "message": "potential wash trade detected. use complex orders"},
            Refusal.OPPOSITE,
        ),
        (403, {"code": 40310000, "message": 'asset "X" is not fractionable'}, Refusal.WHOLE),
        (422, {"code": 42210000, "message": 'asset "X" is not active'}, Refusal.OTHER),
        (403, {"code": 40310000, "message": "order has been rejected due to no available quote"}, Refusal.OTHER),
        (403, {"code": 40310000, "message": "cost basis must be >= minimal amount of order 1"}, Refusal.OTHER),
        (400, {"message": "qty must be > 0"}, Refusal.OTHER),
    ],
)
def test_a_refusal_is_known_by_its_message(
    server: ScriptedServer, venue: AlpacaVenue, status: int, body: dict[str, Any], kind: Refusal
) -> None:
    server.on("/v2/orders", Answer(status, body))
    with pytest.raises(OrderRefused, match=r"v1-2024") as caught:
        venue.submit(ORDER)
    assert caught.value.kind is kind
    assert server.count("POST") == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"message": "unauthorized."}),
        (401, b"<html>401 Authorization Required</html>"),
        (403, {"message": "forbidden."}),
        (403, {"code": 40310000, "message": "new orders are rejected by user request"}),
        (403, {"code": 40310000, "message": "trading is blocked"}),
        (403, {"code": 40310000, "message": "account is restricted to closing transactions"}),
        (403, b"<html>403</html>"),
    ],
)
def test_refused_keys_and_accounts_stop_trading(
    server: ScriptedServer, venue: AlpacaVenue, status: int, body: Any
) -> None:
    server.on("/v2/orders", Answer(status, body))
    with pytest.raises(TradingStopped) as caught:
        venue.submit(ORDER)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("status", [401, 403])
def test_questions_refused_stop_trading_at_once(server: ScriptedServer, venue: AlpacaVenue, status: int) -> None:
    server.on("/v2/account", Answer(status, HTML))
    with pytest.raises(TradingStopped):
        venue.account()
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_without_an_explanation_proves_nothing(
    server: ScriptedServer, venue: AlpacaVenue, status: int
) -> None:
    server.on("/v2/orders", Answer(status, HTML))
    with pytest.raises(OutcomeUnknown):
        venue.submit(ORDER)


def test_too_many_requests_mean_that_the_order_was_not_taken(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/orders", Answer(429, {"message": "too many requests."}))
    with pytest.raises(TemporaryError, match="too many"):
        venue.submit(ORDER)
    assert server.count("POST") == 1


def test_the_wait_that_a_service_asks_for_is_kept(
    server: ScriptedServer, venue: AlpacaVenue, slept: list[float]
) -> None:
    server.on("/v2/account", Answer(429, {}, {"Retry-After": "17"}), Answer(429, b""), account_row())
    venue.account()
    assert slept[0] == 17.0
    assert 0 < slept[1] < 5


def test_a_wait_that_is_too_long_ends_the_tries(server: ScriptedServer, venue: AlpacaVenue, slept: list[float]) -> None:
    server.on("/v2/account", Answer(429, {}, {"Retry-After": "3600"}))
    with pytest.raises(TemporaryError):
        venue.account()
    assert slept == []


def test_redirects_are_not_followed(server: ScriptedServer, venue: AlpacaVenue) -> None:
    with scripted_server() as other:
        other.on("/v2/orders", order_row())
        for status in (301, 302, 307, 308):
            server.on("/v2/orders", Answer(status, order_row(), {"Location": f"{other.url}/v2/orders"}))
            with pytest.raises(OutcomeUnknown):
                venue.submit(ORDER)
        server.on("/v2/account", Answer(302, account_row(), {"Location": f"{other.url}/v2/account"}))
        with pytest.raises(TemporaryError):
            venue.account()
        assert other.asked == []


def test_a_proxy_of_the_environment_sees_nothing_of_a_loopback_address(
    server: ScriptedServer, venue: AlpacaVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.on("/v2/account", account_row())
    assert venue.account().cash == 1000.25


def test_errors_show_no_secret_even_when_the_service_does(server: ScriptedServer, venue: AlpacaVenue) -> None:
    server.on("/v2/account", Answer(401, {"message": f"bad secret {SECRET} of {KEY}\x1b[2J"}))
    with pytest.raises(TradingStopped) as caught:
        venue.account()
    text = "".join(traceback.format_exception(caught.value))
    assert SECRET not in text
    assert KEY not in text
    assert "\x1b" not in text
    assert "bad secret ***" in text


@pytest.mark.process
def test_alpaca_is_imported_when_it_is_used_only() -> None:
    script = "import sys, brokers.alpaca, data_feeds.alpaca; sys.exit('alpaca' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
