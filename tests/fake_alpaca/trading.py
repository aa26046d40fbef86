"""Endpoints of the trading API, /v2."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from fake_alpaca import shapes
from fake_alpaca.market import NEW_YORK
from fake_alpaca.rules import Refused, check_account, check_order, checked_fields
from fake_alpaca.state import Conduct, Order
from fake_alpaca.venue import Venue, new_order
from fake_alpaca.wire import Answer, Call

NOT_FOUND = 40410000


def route(call: Call) -> Answer:
    """Answer a request of the trading API.

    Raises
    ------
    Refused
        When the venue answers with an error.
    """
    request, venue = call.request, call.server.venue
    for method, pattern, handler in ROUTES:
        found = re.fullmatch(pattern, request.path)
        if found is not None and method == request.method:
            return handler(venue, call, *found.groups())
    raise Refused(404, NOT_FOUND, "endpoint not found.")


def parse_time(text: str, zone: Any = UTC) -> datetime:
    """Read RFC 3339, or a date as its midnight in New York; a time without a zone is in ``zone``."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return datetime.combine(date.fromisoformat(text), time(), NEW_YORK)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(422, 42210000, f"invalid time: {text}") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def number_in(query: dict[str, str], name: str, default: int, largest: int, status: int = 422) -> int:
    """Return a whole number of the query between 1 and the largest; refuse others."""
    text = query.get(name, str(default))
    if not text.isdigit() or not 1 <= int(text) <= largest:
        raise Refused(status, 40010001 if status == 422 else 40010000, f"invalid {name}: must be 1 to {largest}")
    return int(text)


def _clock(venue: Venue, call: Call) -> Answer:
    return Answer(body=shapes.clock_json(venue))


def _calendar(venue: Venue, call: Call) -> Answer:
    query = call.request.query
    first, last = query.get("start", "1970-01-01")[:10], query.get("end", "2029-12-31")[:10]
    rows = []
    for day in venue.market.sessions:
        if first <= day.isoformat() <= last:
            open_, close = (moment.astimezone(NEW_YORK) for moment in venue.market.hours[day])
            row = {"date": day.isoformat(), "open": f"{open_:%H:%M}", "close": f"{close:%H:%M}"}
            rows.append({**row, "session_open": "0400", "session_close": "2000", "settlement_date": day.isoformat()})
    return Answer(body=rows)


def _account(venue: Venue, call: Call) -> Answer:
    return Answer(body=shapes.account_json(venue))


def _configurations(venue: Venue, call: Call) -> Answer:
    return Answer(body=shapes.configurations_json(venue))


def _configure(venue: Venue, call: Call) -> Answer:
    wanted = call.request.body if isinstance(call.request.body, dict) else {}
    for name in (*shapes.CONFIGURATIONS, "max_margin_multiplier"):
        if wanted.get(name) is not None:
            setattr(venue.account, name, wanted[name])
    return _configurations(venue, call)


def _positions(venue: Venue, call: Call) -> Answer:
    held = venue.shown_positions()
    return Answer(body=[shapes.position_json(venue, held[symbol]) for symbol in sorted(held)])


def _position(venue: Venue, call: Call, symbol: str) -> Answer:
    held = venue.shown_positions().get(symbol)
    if held is None:
        raise Refused(404, NOT_FOUND, "position does not exist")
    return Answer(body=shapes.position_json(venue, held))


def _assets(venue: Venue, call: Call) -> Answer:
    wanted = call.request.query.get("status")
    chosen = [asset for asset in venue.assets.values() if wanted in (None, asset.status)]
    return Answer(body=[shapes.asset_json(venue, asset) for asset in chosen])


def _asset(venue: Venue, call: Call, symbol: str) -> Answer:
    asset = venue.assets.get(symbol)
    if asset is None:
        raise Refused(404, NOT_FOUND, f"asset not found for {symbol}")
    return Answer(body=shapes.asset_json(venue, asset))


def submit(venue: Venue, body: Any, conduct: Conduct) -> tuple[Order, dict[str, Any]]:
    """Take an order and return it, with the answer: as it was before it could fill.

    Raises
    ------
    Refused
        When the venue refuses it; its client id stays free.
    """
    check_account(venue)
    order = new_order(venue, checked_fields(venue, body), conduct)
    check_order(venue, order)
    venue.accept(order)
    answer = shapes.order_json(venue, order)
    venue.work(order)
    return order, answer


def _submit(venue: Venue, call: Call) -> Answer:
    try:
        # Money as it is written: 0.1 as a float would have more than nine decimals.
        body = json.loads(call.request.raw, parse_float=Decimal)
    except ValueError:
        raise Refused(400, 40010000, "request body format is invalid") from None
    return Answer(body=submit(venue, body, call.conduct)[1])


def _orders(venue: Venue, call: Call) -> Answer:
    query = call.request.query
    limit = number_in(query, "limit", 50, 500)
    wanted = query.get("status", "open")
    symbols = set(query["symbols"].split(",")) if query.get("symbols") else None
    after = parse_time(query["after"]) if "after" in query else None
    until = parse_time(query["until"]) if "until" in query else None
    chosen = []
    for order in venue.orders:
        if order.conduct.hidden_in_lists and order.conduct.hidden_lookups > 0:
            continue
        venue.read(order)
        if (
            (wanted == "all" or order.is_open == (wanted == "open"))
            and (symbols is None or order.symbol in symbols)
            and (after is None or order.submitted_at > after)
            and (until is None or order.submitted_at <= until)
            and query.get("side") in (None, order.side)
        ):
            chosen.append(order)
    if query.get("direction", "desc") == "desc":
        chosen.reverse()
    return Answer(body=[shapes.order_json(venue, order) for order in chosen[:limit]])


def _find(venue: Venue, order_id: str) -> Order:
    order = next((order for order in venue.orders if order.id == order_id), None)
    if order is None:
        raise Refused(404, NOT_FOUND, f"order not found for {order_id}")
    return order


def _order(venue: Venue, call: Call, order_id: str) -> Answer:
    order = _find(venue, order_id)
    venue.read(order)
    return Answer(body=shapes.order_json(venue, order))


def _lookup(venue: Venue, call: Call) -> Answer:
    name = call.request.query.get("client_order_id", "")
    order = venue.find(name)
    if order is not None and order.conduct.hidden_lookups > 0:
        order.conduct.hidden_lookups -= 1
        order = None
    if order is None:
        raise Refused(404, NOT_FOUND, f"order not found for {name}")
    venue.read(order)
    return Answer(body=shapes.order_json(venue, order))


def _cancel(venue: Venue, call: Call, order_id: str) -> Answer:
    order = _find(venue, order_id)
    if not order.is_open or order.status == "pending_cancel":
        raise Refused(422, 42210000, f'order is already in "{order.status}" state')
    if call.conduct.cancel_reads != 0:
        order.conduct.cancel_reads = call.conduct.cancel_reads
    venue.cancel(order)
    return Answer(204)


def _cancel_all(venue: Venue, call: Call) -> Answer:
    rows = []
    for order in venue.open_orders():
        if order.status != "pending_cancel":
            rows.append({"id": order.id, "status": _cancel(venue, call, order.id).status, "body": None})
            rows[-1]["status"] = 200
    return Answer(207, rows)


def _activities(venue: Venue, call: Call, kind: str | None = None) -> Answer:
    query = call.request.query
    size = number_in(query, "page_size", 100, 100)
    kinds = kind or query.get("activity_types")
    rows = [row for row in venue.activities if kinds is None or row["activity_type"] in kinds.split(",")]
    for name, keeps in (("after", lambda row, at: row > at), ("until", lambda row, at: row <= at)):
        if name in query:
            rows = [row for row in rows if keeps(_happened(row), parse_time(query[name]))]
    if "date" in query:
        rows = [row for row in rows if _happened(row).astimezone(NEW_YORK).date().isoformat() == query["date"]]
    if query.get("direction", "desc") == "desc":
        rows.reverse()
    if query.get("page_token"):
        ids = [row["id"] for row in rows]
        rows = rows[ids.index(query["page_token"]) + 1 :] if query["page_token"] in ids else []
    return Answer(body=rows[:size])


def _happened(row: dict[str, Any]) -> datetime:
    return parse_time(row.get("transaction_time") or row["date"])


ROUTES: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/v2/clock", _clock),
    ("GET", "/v2/calendar", _calendar),
    ("GET", "/v2/account", _account),
    ("GET", "/v2/account/configurations", _configurations),
    ("PATCH", "/v2/account/configurations", _configure),
    ("GET", "/v2/account/activities", _activities),
    ("GET", "/v2/account/activities/([A-Z]+)", _activities),
    ("GET", "/v2/positions", _positions),
    ("GET", "/v2/positions/([^/]+)", _position),
    ("GET", "/v2/assets", _assets),
    ("GET", "/v2/assets/([^/]+)", _asset),
    ("POST", "/v2/orders", _submit),
    ("GET", "/v2/orders", _orders),
    ("DELETE", "/v2/orders", _cancel_all),
    ("GET", "/v2/orders:by_client_order_id", _lookup),
    ("GET", "/v2/orders/([^/]+)", _order),
    ("DELETE", "/v2/orders/([^/]+)", _cancel),
)
