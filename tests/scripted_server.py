"""A web server on a loopback address that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Answer:
    """One answer.

    Attributes
    ----------
    body : JSON value, or the bytes themselves.
    fault : ``reset`` breaks the connection, ``silent`` never answers, ``truncated`` promises more than it sends.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    fault: str = ""


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


class ScriptedServer:
    """Answers a path with the answers queued for it, the last one again and again."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.over = threading.Event()
        self._answers: dict[str, list[Answer]] = {}

    def on(self, path: str, *answers: Answer | Any) -> None:
        self._answers[path] = [a if isinstance(a, Answer) else Answer(body=a) for a in answers]

    def answer(self, path: str) -> Answer:
        queue = self._answers.get(path)
        if queue is None:
            return Answer(404, {"message": f"not scripted: {path}"})
        return queue.pop(0) if len(queue) > 1 else queue[0]

    def count(self, method: str) -> int:
        return sum(asked.method == method for asked in self.asked)


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.daemon_threads = True
    server = ScriptedServer(f"http://127.0.0.1:{httpd.server_port}")
    httpd.script = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        self._answer()

    def log_message(self, *_args: object) -> None:
        pass

    def _answer(self) -> None:
        script: ScriptedServer = self.server.script  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        script.asked.append(Asked(self.command, parts.path, dict(parse_qsl(parts.query)), body, headers))
        answer = script.answer(parts.path)
        self.close_connection = True
        if answer.fault == "silent":
            script.over.wait()
        elif answer.fault == "reset":
            # A linger of zero seconds makes the kernel reset the connection.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        more = 10 if answer.fault == "truncated" else 0
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(content) + more), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
