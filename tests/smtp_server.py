"""A mail server on a loopback address: takes one letter after the other, and remembers what it was told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class SmtpServer:
    """What a client said.

    Attributes
    ----------
    address : host:port.
    commands : lines outside of letters.
    letters : each as it arrived.
    extensions : what EHLO offers.
    """

    address: str
    extensions: tuple[str, ...]
    commands: list[str] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)


@contextmanager
def smtp_server(*extensions: str) -> Iterator[SmtpServer]:
    """Serve until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = SmtpServer(f"127.0.0.1:{listening.getsockname()[1]}", extensions)
        thread = threading.Thread(target=_serve, args=(listening, server), daemon=True)
        thread.start()
        yield server
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(listening: socket.socket, server: SmtpServer) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection, connection.makefile("rwb") as stream:
            _talk(stream, server)  # type: ignore[arg-type]


def _talk(stream: socket.SocketIO, server: SmtpServer) -> None:
    def say(line: str) -> None:
        stream.write(f"{line}\r\n".encode())
        stream.flush()

    say("220 here")
    for raw in stream:
        line = raw.decode().strip()
        server.commands.append(line)
        word = line.split(" ")[0].upper()
        if word == "EHLO":
            names = ["here", *server.extensions]
            for name in names[:-1]:
                say(f"250-{name}")
            say(f"250 {names[-1]}")
        elif word == "DATA":
            say("354 go on")
            server.letters.append(_letter(stream))
            say("250 taken")
        elif word == "QUIT":
            say("221 bye")
            return
        else:
            say("250 well" if word in ("MAIL", "RCPT", "RSET") else "502 no")


def _letter(stream: socket.SocketIO) -> str:
    lines = []
    for raw in stream:
        if raw == b".\r\n":
            break
        lines.append(raw.decode())
    return "".join(lines)
