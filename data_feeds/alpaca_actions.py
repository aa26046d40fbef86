"""Splits and dividends as Alpaca announces them, for raw prices to stand beside."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import date
from math import isfinite
from typing import Any, NamedTuple

from data_feeds.alpaca import AlpacaBars, Query
from data_feeds.store import History
from engine.errors import TemporaryError

TYPES = ("forward_split", "reverse_split", "stock_dividend", "cash_dividend")
"""What changes a holding's shares or pays cash. A spin-off does neither here: its day looks like a fall."""

_PAGE = 1_000
_MOST_PAGES = 1_000


class Action(NamedTuple):
    """New shares for an old one, and cash a new share."""

    split: float = 1.0
    dividend: float = 0.0


Actions = dict[str, dict[date, Action]]
"""By symbol and ex-date."""


def actions_of(bars: AlpacaBars, symbols: Sequence[str], first: date, last: date) -> Actions:
    """Return what happened to ``symbols`` from ``first`` to ``last``.

    Raises
    ------
    TemporaryError
        When Alpaca fails, or an entry is implausible; names symbol and entry.
    TradingStopped
        When it refuses the keys.
    """
    query: Query = {
        "symbols": ",".join(symbols),
        "types": ",".join(TYPES),
        "start": first.isoformat(),
        "end": last.isoformat(),
        "limit": _PAGE,
    }
    found: Actions = {symbol: {} for symbol in symbols}
    tokens: set[str] = set()
    while len(tokens) < _MOST_PAGES:
        entries, token = bars.ask("/corporate-actions", query, _page, version="v1")
        for kind, entry in entries:
            _add(found, kind, entry)
        if token is None:
            return found
        if token in tokens:
            break
        tokens.add(token)
        query = {**query, "page_token": token}
    raise TemporaryError(f"bars: the pages of Alpaca's corporate actions do not end ({len(tokens) + 1} read)")


def with_actions(history: History, actions: Mapping[date, Action]) -> History:
    """Return raw bars with actions beside them; one on a day without a bar takes effect at the next bar."""
    days = sorted(history)
    changed = dict(history)
    for ex_date, action in sorted(actions.items()):
        at = bisect_left(days, ex_date)
        if at < len(days):
            row = changed[days[at]]
            changed[days[at]] = row._replace(
                split=row.split * action.split, dividend=row.dividend / action.split + action.dividend
            )
    return changed


def _page(value: object) -> tuple[list[tuple[str, dict[str, Any]]], str | None]:
    by_type = value.get("corporate_actions") if isinstance(value, dict) else None
    token = value.get("next_page_token") if isinstance(value, dict) else None
    if not isinstance(by_type, dict) or not isinstance(token, str | None):
        raise TemporaryError(f"bars: Alpaca must answer with corporate_actions, was {repr(value)[:80]}")
    entries = [(kind, entry) for kind, some in by_type.items() for entry in some or ()]
    for kind, entry in entries:
        if not isinstance(entry, dict):
            raise TemporaryError(f"bars: one of {kind} must be a JSON object, was {repr(entry)[:80]}")
    return entries, token or None


def _add(found: Actions, kind: str, entry: Mapping[str, Any]) -> None:
    of_symbol = found.get(entry.get("symbol", ""))
    if of_symbol is None or kind.removesuffix("s") not in TYPES:
        return
    try:
        day = date.fromisoformat(entry["ex_date"])
        action = _action(kind, entry)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise TemporaryError(f"bars: {entry['symbol']}: {kind} cannot be read: {repr(dict(entry))[:200]}") from error
    if not (isfinite(action.split) and action.split > 0 and isfinite(action.dividend) and action.dividend >= 0):
        raise TemporaryError(f"bars: {entry['symbol']} on {day}: {kind} must be positive, was {repr(dict(entry))[:99]}")
    known = of_symbol.get(day, Action())
    of_symbol[day] = Action(known.split * action.split, known.dividend + action.dividend)


def _action(kind: str, entry: Mapping[str, Any]) -> Action:
    if kind == "cash_dividends":
        return Action(dividend=float(entry["rate"]))
    if kind == "stock_dividends":
        return Action(split=1.0 + float(entry["rate"]))
    return Action(split=float(entry["new_rate"]) / float(entry["old_rate"]))
