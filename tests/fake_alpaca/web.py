"""The HTTP side: sockets, keys, rate limits, the history of requests and the faults on the way."""

from __future__ import annotations

import json
import socket
import struct
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from fake_alpaca import control, data, trading
from fake_alpaca.effects import HTML
from fake_alpaca.rules import Refused
from fake_alpaca.wire import Answer, Call, Request

if TYPE_CHECKING:
    from fake_alpaca.server import FakeAlpaca

RATE_LIMIT = 200


class Loopback(ThreadingHTTPServer):
    """An HTTP server on a free port of 127.0.0.1 that closes at once, whatever its clients do."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, fake: FakeAlpaca, port: int = 0) -> None:
        self.fake = fake
        self.closing = Event()
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # a client that went away is none of our faults
            self.fake.errors.append(error)

    def close(self) -> None:
        """Stop serving, and break the connections that are still open."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """Reads a request, lets the server answer it, and sends that the way faults want it."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body in one packet, or each answer waits 40 ms for an acknowledgement
    disable_nagle_algorithm = True
    server: Loopback

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = _parsed(raw)
        now = self.server.fake.clock.now
        answer = respond(self.server.fake, Request(self.command, unquote(parts.path), query, body, now, raw, headers))
        if answer.transport == "silence":
            self.server.closing.wait()
            self.close_connection = True
        elif answer.transport == "reset":
            self._reset()
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        body = b"" if answer.status == 204 else answer.encoded()
        self.send_response(answer.status)
        headers = {"Content-Type": "application/json; charset=UTF-8", **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(body)))
        if answer.pause_s and not answer.drip:
            self.server.closing.wait(answer.pause_s)
        self.end_headers()
        if answer.drip:
            for i in range(len(body)):
                self.wfile.write(body[i : i + 1])
                self.wfile.flush()
                if self.server.closing.wait(answer.pause_s):
                    break
        elif answer.cut is not None:
            self.wfile.write(body[: answer.cut])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def _reset(self) -> None:
        # Linger 0 turns the close into a RST; detached, so that nobody says an orderly goodbye before.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        socket.close(self.connection.detach())


def respond(fake: FakeAlpaca, request: Request) -> Answer:
    """Answer a request: note it, let the faults act, process it under the venue's lock."""
    if request.path.startswith("/_control/"):
        return control.route(fake, request)
    if fake.clock.tick:
        fake.clock.advance(fake.clock.tick)
    request.now = fake.clock.now
    fake.requests.append(request)
    call = Call(fake, request)
    effects = fake.faults.striking(request)
    request.faults = [effect.name for effect in effects]
    answer = None
    for effect in effects:
        answer = answer or effect.before(call)
    if answer is None:
        answer = process(fake, call)
        request.accepted = answer.status
        for effect in effects:
            answer = effect.after(call, answer)
    if answer.transport == "send":
        request.status, request.answer = answer.status, _parsed(answer.encoded())
    return answer


def process(fake: FakeAlpaca, call: Call) -> Answer:
    """Answer a request as the sound venue does."""
    refused = _key_refused(fake, call.request)
    if refused is not None:
        return refused
    with fake.venue.lock:
        left, reset = _rate(fake, call.request)
        if left < 0 and fake.enforces_rate_limit:
            return Answer(429, {"code": 42910000, "message": "rate limit exceeded"})
        headers = {"X-RateLimit-Limit": str(RATE_LIMIT), "X-RateLimit-Remaining": str(max(0, left))}
        headers["X-RateLimit-Reset"] = str(reset)
        try:
            part = data if call.request.path.startswith("/v2/stocks/") else trading
            answer = part.route(call)
        except Refused as refusal:
            answer = Answer(refusal.status, refusal.body)
        except Exception as error:  # the fake itself is broken: the test must know
            fake.errors.append(error)
            answer = Answer(599, {"message": f"the fake venue failed: {error!r}"})
        answer.headers.update(headers)
        return answer


def _key_refused(fake: FakeAlpaca, request: Request) -> Answer | None:
    key, secret = (request.headers.get(f"apca-api-{name}") for name in ("key-id", "secret-key"))
    if not key or not secret:
        return Answer(401, HTML.format("401 Authorization Required"), {"Content-Type": "text/html"})
    if (key, secret) != (fake.key, fake.secret):
        return Answer(401, {"message": "unauthorized."})
    return None


def _rate(fake: FakeAlpaca, asked: Request) -> tuple[int, int]:
    """Return what is left of this minute's requests, this one counted, and when the next minute begins."""
    minute = int(fake.clock.now.timestamp()) // 60
    market_data = asked.path.startswith("/v2/stocks/")
    count = 0
    for request in reversed(fake.requests):
        if int(request.now.timestamp()) // 60 != minute:
            break
        count += request.path.startswith("/v2/stocks/") == market_data
    return RATE_LIMIT - count, (minute + 1) * 60


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("latin-1")
