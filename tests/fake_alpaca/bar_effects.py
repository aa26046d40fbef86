"""Effects on the answers of the bars endpoint: everything that goes wrong in market data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fake_alpaca.effects import Around, rewrite, status
from fake_alpaca.faults import Effect
from fake_alpaca.wire import Answer, Call


def duplicate_bars(symbol: str | None = None) -> Effect:
    """Give every bar twice."""
    return _per_symbol("duplicate_bars", symbol, lambda rows: [dict(row) for row in rows for _ in range(2)])


def unsorted_bars(symbol: str | None = None) -> Effect:
    """Give bars newest first."""
    return _per_symbol("unsorted_bars", symbol, lambda rows: rows[::-1])


def stale_bars(sessions: int = 1, symbol: str | None = None) -> Effect:
    """Leave out the last sessions of each answer; add it with times=None where there are several pages."""
    return _per_symbol("stale_bars", symbol, lambda rows: rows[:-sessions])


def missing_symbol(symbol: str) -> Effect:
    """Leave out a symbol, as the venue does with those that it does not know."""

    def drop(body: Any) -> None:
        body["bars"].pop(symbol, None)

    return rewrite("missing_symbol", drop)


def bad_value(symbol: str, field: str, value: Any, index: int = -1) -> Effect:
    """Put a value into the bar at ``index``: None, NaN, 0, -1, "12.5"; a function is given the value there was.

    ``field`` is ``o``, ``h``, ``l``, ``c``, ``v`` or ``t``.
    """

    def spoil(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if rows:
            rows[index][field] = value(rows[index][field]) if callable(value) else value
        return rows

    return _per_symbol("bad_value", symbol, spoil)


def short_pages(size: int) -> Effect:
    """Give at most so many bars a page, whatever was asked; add it with times=None."""
    return Around("short_pages", first=lambda call: call.request.query.update(limit=str(size)))


def endless_pages() -> Effect:
    """Give the first page again and again, each with a token for one more; add it with times=None."""

    def first(call: Call) -> None:
        call.request.query.pop("page_token", None)

    def change(call: Call, answer: Answer) -> None:
        answer.body["next_page_token"] = "bW9yZQ=="

    return Around("endless_pages", first, change)


def sip_forbidden(code: int = 42210000) -> Effect:
    """Answer 403: the feed is not in the subscription."""
    return status(403, {"code": code, "message": "subscription does not permit querying recent SIP data"})


def _per_symbol(
    name: str, symbol: str | None, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> Effect:
    def spoil(body: Any) -> None:
        for key, rows in body["bars"].items():
            if symbol in (None, key):
                body["bars"][key] = change(rows)

    return rewrite(name, spoil)
