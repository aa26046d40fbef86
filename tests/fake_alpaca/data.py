"""Endpoints of the data API, /v2/stocks: daily bars in pages, latest trades, snapshots."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from fake_alpaca.market import FakeMarket, new_york, new_york_date
from fake_alpaca.rules import Refused
from fake_alpaca.shapes import stamp
from fake_alpaca.trading import number_in, parse_time
from fake_alpaca.wire import Answer, Call

DELAY = timedelta(minutes=15)
IEX_PART = 0.025
BAD_REQUEST = 40010000


def route(call: Call) -> Answer:
    """Answer a request of the data API.

    Raises
    ------
    Refused
        When the venue answers with an error.
    """
    path = call.request.path
    if call.request.method != "GET":
        raise Refused(404, 40410000, "endpoint not found.")
    if path == "/v2/stocks/bars":
        return _bars(call)
    if path == "/v2/stocks/trades/latest":
        return Answer(body={"trades": dict(_latest(call))})
    if path == "/v2/stocks/snapshots":
        return Answer(body={symbol: _snapshot(call, symbol, trade) for symbol, trade in _latest(call)})
    single = re.fullmatch(r"/v2/stocks/([^/]+)/bars", path)
    if single is not None:
        call.request.query["symbols"] = single[1]
        answer = _bars(call)
        return Answer(body={**answer.body, "symbol": single[1], "bars": answer.body["bars"].get(single[1])})
    raise Refused(404, 40410000, "endpoint not found.")


def _symbols(call: Call) -> list[str]:
    symbols = sorted({name for name in call.request.query.get("symbols", "").split(",") if name})
    if not symbols:
        raise Refused(400, BAD_REQUEST, "symbols is required")
    return symbols


def _bars(call: Call) -> Answer:
    query, market = call.request.query, call.server.market
    if query.get("timeframe") not in ("1Day", "1D"):
        raise Refused(400, BAD_REQUEST, f"invalid timeframe: {query.get('timeframe')} (only 1Day is simulated)")
    adjustment = query.get("adjustment", "raw")
    if adjustment not in ("raw", "split", "dividend", "all"):
        raise Refused(400, BAD_REQUEST, f"invalid adjustment: {adjustment}")
    limit = number_in(query, "limit", 1000, 10_000, status=400)
    now, known = call.server.clock.now, _known(call)
    start = parse_time(query["start"]) if "start" in query else new_york(new_york_date(now))
    end = parse_time(query["end"]) if "end" in query else now
    rows = [
        (symbol, day)
        for symbol in _symbols(call)
        for day in _days(market, symbol, (start, end, known), query.get("sort") == "desc")
    ]
    first = _offset(query.get("page_token"))
    bars: dict[str, list[dict[str, Any]]] = {}
    for symbol, day in rows[first : first + limit]:
        bars.setdefault(symbol, []).append(bar_json(market, symbol, day, known, adjustment, _feed(call)))
    token = base64.b64encode(f"row|{first + limit}".encode()).decode() if first + limit < len(rows) else None
    return Answer(body={"bars": bars, "next_page_token": token})


def _feed(call: Call) -> str:
    feed = call.request.query.get("feed", "sip")
    if feed not in ("sip", "iex", "delayed_sip"):
        raise Refused(400, BAD_REQUEST, f"invalid feed: {feed}")
    return feed


def _known(call: Call) -> datetime:
    """Return up to when the subscription knows the market; refuse recent SIP data where it does not have them."""
    now, query = call.server.clock.now, call.request.query
    if _feed(call) == "iex" or call.server.has_sip:
        return now
    if "end" in query and parse_time(query["end"]) > now - DELAY:
        raise Refused(403, 42210000, "subscription does not permit querying recent SIP data")
    return now - DELAY


def _days(market: FakeMarket, symbol: str, span: tuple[datetime, datetime, datetime], newest_first: bool) -> list[date]:
    start, end, known = span
    days: list[date] = []
    for day in market.days_with_bars(symbol, known):
        stamped = new_york(day)
        if stamped < start:
            break
        if stamped <= end:
            days.append(day)
    return days if newest_first else days[::-1]


def bar_json(
    market: FakeMarket, symbol: str, day: date, known: datetime, adjustment: str = "raw", feed: str = "sip"
) -> dict[str, Any]:
    """Return a bar; adjusted ones are restated for all splits and dividends up to the moment ``known``."""
    bar = market.bar_at(symbol, day, known)
    assert bar is not None
    ratio = factor = 1.0
    if adjustment in ("split", "all"):
        ratio = market.split_ratio(symbol, day, new_york_date(known))
    if adjustment in ("dividend", "all"):
        factor = market.dividend_factor(symbol, day, new_york_date(known))
    prices = [price * factor / ratio for price in bar[:4]]
    volume = 0.0 if math.isnan(bar.volume) else bar.volume * ratio * (IEX_PART if feed == "iex" else 1.0)
    names = dict(zip("ohlc", prices, strict=True))
    vwap = round((names["h"] + names["l"] + names["c"]) / 3, 6)
    return {"t": stamp(new_york(day)), **names, "v": round(volume), "n": max(1, round(volume / 100)), "vw": vwap}


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.b64decode(token, validate=True).decode().removeprefix("row|"))
    except (ValueError, binascii.Error):
        raise Refused(400, BAD_REQUEST, "invalid page_token") from None


def _latest(call: Call) -> Iterator[tuple[str, dict[str, Any]]]:
    market, now = call.server.market, call.server.clock.now
    for symbol in _symbols(call):
        price = market.price_at(symbol, now)
        if price is not None:
            trade = {"t": stamp(_last_trade(market, symbol, now)), "x": "V", "p": price, "s": 100}
            yield symbol, {**trade, "c": ["@"], "i": 1, "z": "C"}


def _last_trade(market: FakeMarket, symbol: str, now: datetime) -> datetime:
    return min(now, market.hours[next(market.days_with_bars(symbol, now))].close)


def _snapshot(call: Call, symbol: str, trade: dict[str, Any]) -> dict[str, Any]:
    market, now = call.server.market, call.server.clock.now
    days = islice(market.days_with_bars(symbol, now), 2)
    last, *before = [bar_json(market, symbol, day, now) for day in days]
    quote = {"t": trade["t"], "ax": "V", "ap": trade["p"], "as": 1, "bx": "V", "bp": trade["p"], "bs": 1}
    return {
        "latestTrade": trade,
        "latestQuote": {**quote, "c": ["R"], "z": "C"},
        "minuteBar": {**last, "t": trade["t"]},
        "dailyBar": last,
        "prevDailyBar": before[0] if before else None,
    }
