"""Effects: what faults do to requests, answers and orders.

Those that answer themselves (``status``, ``hang``, ``reset``, ``garbage`` ...) keep the venue from seeing the request;
inside ``after_accept`` it is processed first, and only the answer is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fake_alpaca.faults import Effect
from fake_alpaca.wire import Answer, Call

HTML = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
MESSAGES = {
    401: "unauthorized.",
    403: "forbidden.",
    404: "endpoint not found",
    429: "too many requests.",
    500: "internal server error occurred",
    503: "service unavailable",
    504: "gateway timeout",
}


@dataclass
class Instead:
    """Answers itself."""

    name: str
    answer: Callable[[], Answer] = field(repr=False)

    def before(self, call: Call) -> Answer | None:
        return self.answer()

    def after(self, call: Call, answer: Answer) -> Answer:
        return answer


@dataclass
class Around:
    """Acts before and after processing."""

    name: str
    first: Callable[[Call], object] = field(default=lambda call: None, repr=False)
    change: Callable[[Call, Answer], Answer | None] = field(default=lambda call, answer: None, repr=False)

    def before(self, call: Call) -> Answer | None:
        self.first(call)
        return None

    def after(self, call: Call, answer: Answer) -> Answer:
        return self.change(call, answer) or answer


def status(code: int, body: Any = None, headers: dict[str, str] | None = None) -> Effect:
    """Answer that status; the venue never sees the request. ``body`` is JSON, or text as it is."""
    default = {"code": code * 100000, "message": MESSAGES.get(code, "error")}
    return Instead(f"status {code}", lambda: Answer(code, default if body is None else body, dict(headers or {})))


def rate_limited(retry_after: int | None = None) -> Effect:
    """Answer 429, with or without ``Retry-After`` (seconds)."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return status(429, {"code": 42910000, "message": "rate limit exceeded"}, headers)


def html(code: int = 503, title: str = "503 Service Temporarily Unavailable") -> Effect:
    """Answer a page of HTML."""
    return Instead(f"html {code}", lambda: Answer(code, HTML.format(title), {"Content-Type": "text/html"}))


def garbage(code: int = 200, body: bytes = b"\x00\xffnot json{") -> Effect:
    """Answer bytes that are no JSON."""
    return Instead("garbage", lambda: Answer(code, body))


def empty(code: int = 200) -> Effect:
    """Answer nothing at all in the body."""
    return Instead("empty", lambda: Answer(code, b""))


def null(code: int = 200) -> Effect:
    """Answer JSON null."""
    return Instead("null", lambda: Answer(code, b"null"))


def hang() -> Effect:
    """Never answer, until the client gives up or the server closes."""
    return Instead("hang", lambda: Answer(transport="silence"))


def reset() -> Effect:
    """Break the connection instead of answering."""
    return Instead("reset", lambda: Answer(transport="reset"))


def after_accept(effect: Effect) -> Effect:
    """Process the request, then answer as ``effect`` would."""

    def change(call: Call, answer: Answer) -> Answer:
        replaced = effect.before(call)
        return effect.after(call, answer) if replaced is None else replaced

    return Around(f"after_accept {effect.name}", change=change)


def truncated(keep: float = 0.5, announced: bool = True) -> Effect:
    """Process, then send the first part of the true answer only.

    Where ``announced`` the header names the whole length, so that the connection ends too early; otherwise it is a
    complete answer of half a JSON text.
    """

    def change(call: Call, answer: Answer) -> Answer:
        body = answer.encoded()
        cut = int(len(body) * keep)
        if announced:
            return Answer(answer.status, body, answer.headers, cut=cut)
        return Answer(answer.status, body[:cut], answer.headers)

    return Around("truncated", change=change)


def slow(seconds: float, drip: bool = False) -> Effect:
    """Wait so long (real time) before the answer; or before every byte of it, so that no read ever times out."""

    def change(call: Call, answer: Answer) -> None:
        answer.pause_s, answer.drip = seconds, drip

    return Around("slow", change=change)


def takes(span: timedelta, before: bool = True) -> Effect:
    """Let the venue's time pass while the request is on its way there, or back."""

    def move(call: Call, answer: Answer | None = None) -> None:
        call.server.clock.advance(span)

    return Around("takes", first=move) if before else Around("takes", change=move)


def callback(function: Callable[[Call], object], when: str = "before") -> Effect:
    """Call a function ``before`` processing or ``after`` it, before the client gets the answer."""
    if when not in ("before", "after"):
        raise ValueError(f"when must be before or after, was {when}")
    if when == "before":
        return Around("callback", first=function)
    return Around("callback", change=lambda call, answer: function(call) and None)


def conduct(name: str, **attributes: Any) -> Effect:
    """Set attributes of the `Conduct` of the order that the request sends (or cancels)."""

    def first(call: Call) -> None:
        for attribute, value in attributes.items():
            setattr(call.conduct, attribute, value)

    return Around(name, first=first)


def lookup_lag(lookups: int, in_lists: bool = False) -> Effect:
    """On a POST: the first look-ups by client id answer 404; lists miss the order as long where ``in_lists``."""
    return conduct("lookup_lag", hidden_lookups=lookups, hidden_in_lists=in_lists)


def reject_later(reason: str = "rejected by the exchange", at_open: bool = False) -> Effect:
    """On a POST: accepted, then ``rejected`` (at the open, or at once)."""
    return conduct("reject_later", reject=reason, reject_at_open=at_open)


def partial_fill(fraction: float | None = None, qty: float | None = None, then: str = "open") -> Effect:
    """On a POST: fills so much; the rest is ``open`` till it expires, ``canceled`` at the close, or soon ``filled``."""
    if then not in ("open", "canceled", "filled") or (fraction is None) == (qty is None):
        raise ValueError("partial_fill takes fraction or qty, and then must be open, canceled or filled")
    return conduct("partial_fill", fill_fraction=fraction, fill_qty=qty, rest=then)


def never_fills() -> Effect:
    """On a POST: a halt; the order expires at the close."""
    return conduct("never_fills", fills=False)


def late_fill(reads: int = 0, wait: timedelta = timedelta()) -> Effect:
    """On a POST: fills after so many reads have shown it open, and no sooner than so long after it was sent."""
    return conduct("late_fill", wait_reads=reads, wait=wait)


def pending_cancel(reads: int | None = None) -> Effect:
    """On a POST or DELETE: a cancel stays pending for so many reads; None for ever."""
    return conduct("pending_cancel", cancel_reads=reads)


def positions_lag(reads: int) -> Effect:
    """On any request, such as a POST: the next reads of the positions answer those of before it."""
    return Around("positions_lag", first=lambda call: call.server.venue.freeze_positions(reads))


def rewrite(name: str, function: Callable[[Any], Any]) -> Effect:
    """Change the JSON of a successful answer; None from the function means that it changed its argument."""

    def change(call: Call, answer: Answer) -> Answer | None:
        if answer.status >= 300 or isinstance(answer.body, str | bytes):
            return None
        changed = function(answer.body)
        return Answer(answer.status, answer.body if changed is None else changed, answer.headers)

    return Around(name, change=change)


def with_fields(**fields: Any) -> Effect:
    """Set fields in the answer (each item of a list): ``with_fields(equity=None, status="weird")``."""
    return rewrite("with_fields", lambda body: [item.update(fields) for item in _items(body)] and None)


def without(*names: str) -> Effect:
    """Leave fields out of the answer (of each item of a list)."""
    return rewrite("without", lambda body: [item.pop(name, None) for item in _items(body) for name in names] and None)


def unknown_status(word: str = "quantum_review") -> Effect:
    """Answer a status that nobody knows, on a POST or any read of orders; the venue's own state is sound."""
    return with_fields(status=word)


def json_numbers() -> Effect:
    """Answer numbers where the venue has strings that look like numbers."""
    return rewrite("json_numbers", _numbers)


def pdt_fields() -> Effect:
    """On the account: answer the pattern-day-trader fields of old."""
    return with_fields(pattern_day_trader=False, daytrade_count=0, daytrading_buying_power="400000")


def _items(body: Any) -> Sequence[dict[str, Any]]:
    return [item for item in body if isinstance(item, dict)] if isinstance(body, list) else [body]


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
