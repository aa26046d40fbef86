"""Faults: the script of what goes wrong, and for which requests."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from fake_alpaca.wire import Answer, Call, Request


class Effect(Protocol):
    """What a fault does; `fake_alpaca.effects` makes them."""

    name: str

    def before(self, call: Call) -> Answer | None:
        """Act before processing; an answer replaces it, and the venue never sees the request."""
        ...

    def after(self, call: Call, answer: Answer) -> Answer:
        """Act after processing and return what is answered."""
        ...


@dataclass(frozen=True)
class Match:
    """Which requests; `match` makes it."""

    method: str
    path: re.Pattern[str]
    symbol: str | None
    side: str | None
    where: Callable[[Request], bool] | None

    def __call__(self, request: Request) -> bool:
        """Say whether a request is meant."""
        body = request.body if isinstance(request.body, dict) else {}
        return (
            self.method in ("*", request.method)
            and self.path.search(request.path) is not None
            and self.symbol in (None, body.get("symbol"))
            and self.side in (None, body.get("side"))
            and (self.where is None or self.where(request))
        )


def match(
    method: str = "*",
    path: str = "",
    symbol: str | None = None,
    side: str | None = None,
    where: Callable[[Request], bool] | None = None,
) -> Match:
    """Return a condition on requests.

    Parameters
    ----------
    method : ``*`` for any.
    path : a regular expression, found anywhere in the path (anchor it: ``/v2/orders$``); the query is not in it.
    symbol, side : of the order in the body.
    where : a further condition.
    """
    return Match(method, re.compile(path), symbol, side, where)


POST_ORDER = match("POST", r"^/v2/orders$")
GET_BARS = match("GET", r"^/v2/stocks/bars$")
GET_ACCOUNT = match("GET", r"^/v2/account$")
GET_POSITIONS = match("GET", r"^/v2/positions$")
GET_ORDERS = match("GET", r"^/v2/orders$")
LOOKUP = match("GET", r"^/v2/orders:by_client_order_id$")
CANCEL = match("DELETE", r"^/v2/orders")


@dataclass
class Fault:
    """An effect on the ``nth`` request that matches and the ``times - 1`` after it (None for all of them).

    Attributes
    ----------
    seen, struck : requests that matched, and those that were hit.
    """

    match: Callable[[Request], bool]
    effect: Effect
    nth: int = 1
    times: int | None = 1
    seen: int = 0
    struck: int = 0

    def strikes(self, request: Request) -> bool:
        """Count a request and say whether it is hit."""
        if not self.match(request):
            return False
        self.seen += 1
        hit = self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)
        self.struck += hit
        return hit


class Faults:
    """The script: every fault that matches a request strikes it, in the order in which they were added."""

    def __init__(self) -> None:
        self.script: list[Fault] = []
        self._lock = Lock()

    def add(self, match: Callable[[Request], bool], effect: Effect, nth: int = 1, times: int | None = 1) -> Fault:
        """Add a fault and return it; ``nth`` counts from 1, from now on."""
        if nth < 1 or (times is not None and times < 1):
            raise ValueError(f"nth and times must be at least 1, were {nth} and {times}")
        fault = Fault(match, effect, nth, times)
        with self._lock:
            self.script.append(fault)
        return fault

    def clear(self) -> None:
        """Let everything go well from now on; what orders and positions already have stays."""
        with self._lock:
            self.script.clear()

    def striking(self, request: Request) -> list[Effect]:
        """Return the effects on a request."""
        with self._lock:
            return [fault.effect for fault in self.script if fault.strikes(request)]
