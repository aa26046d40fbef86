"""Request, Answer and Call: what passes between the sockets, the faults and the endpoints."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fake_alpaca.state import Conduct

if TYPE_CHECKING:
    from fake_alpaca.server import FakeAlpaca


@dataclass
class Request:
    """A request, and once it is over what was answered.

    Attributes
    ----------
    path : without the query, such as ``/v2/orders``.
    body : parsed JSON (its text when it is none); ``raw`` is as sent.
    status : HTTP status answered; None when nothing was (reset, silence).
    answer : what was answered, parsed where it was JSON.
    accepted : what the venue answered before a fault replaced it; None when it never saw the request.
    faults : names of the effects that had a part in it.
    """

    method: str
    path: str
    query: dict[str, str]
    body: Any
    now: datetime
    raw: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    answer: Any = None
    accepted: int | None = None
    faults: list[str] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        """Return it as JSON, without headers: these hold the keys."""
        names = ("method", "path", "query", "body", "status", "answer", "accepted", "faults")
        return {"now": self.now.isoformat(), **{name: getattr(self, name) for name in names}}


@dataclass
class Answer:
    """An answer.

    Attributes
    ----------
    body : JSON when it is no str or bytes.
    transport : ``send``; ``reset`` breaks the connection, ``silence`` never answers.
    cut : bytes of the body that are sent, of those announced; None for all.
    pause_s : real seconds before the answer, or before each byte of it where ``drip``.
    """

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    transport: str = "send"
    cut: int | None = None
    pause_s: float = 0.0
    drip: bool = False

    def encoded(self) -> bytes:
        """Return the body as bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass
class Call:
    """A request under way: what effects may look at and change.

    Attributes
    ----------
    conduct : how the venue will treat the order that it sends or cancels.
    """

    server: FakeAlpaca
    request: Request
    conduct: Conduct = field(default_factory=Conduct)
