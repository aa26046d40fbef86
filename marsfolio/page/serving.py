"""The server of the page: one process, one socket, no log of requests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from engine.errors import ConfigError
from marsfolio.page.app import Site
from marsfolio.paper.stopping import stopped_by_signals

GRACE_SECONDS = 3


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Give a socket that listens: who reads the address may ask at once.

    Raises
    ------
    ConfigError
        When the address is not one of this machine's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on --host {host} --port {port}: {error.strerror}; give another, or --port 0"
        ) from error
    with sock:
        yield sock


def server_of(site: Site) -> uvicorn.Server:
    """Return a server that keeps no log of requests."""
    config = uvicorn.Config(
        site.app(),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return uvicorn.Server(config)


def run(site: Site, sock: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    server = server_of(site)

    def stop() -> None:
        server.should_exit = True

    # uvicorn catches the signals too, and raises them again when it has ended: here that is no error.
    with stopped_by_signals(stop):
        server.run(sockets=[sock])
    site.showing.reader.dispose()
