"""`marsfolio paper serve`: the status page of an account, in a browser."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marsfolio.cli.paper.flags import STATE, State
from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    from socket import socket


def serve(
    state: State = STATE,
    host: Annotated[str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")] = 8765,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that the page asks for first; or set MARSFOLIO_PAGE_TOKEN."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Show the account in a browser until Ctrl-C; reads only, but for halt and resume. Beside `run` or a replay."""
    from marsfolio.page import security
    from marsfolio.page.app import Site
    from marsfolio.page.commands import Backtest
    from marsfolio.page.serving import listening, run
    from marsfolio.page.showing import Showing

    access = security.access_token(host, token_file, os.environ)
    showing = Showing.of(state)
    switch, made = (access, False) if access is not None else security.switch_token(state)
    with listening(host, port) as sock:
        site = Site(showing, security.Keys(switch, access), host, sock.getsockname()[1], backtest=Backtest(state))
        _announce(sock, host, state, access is not None, switch if made else "")
        run(site, sock)
    typer.echo("stopped")


def _announce(sock: socket, host: str, state: Path, asks: bool, fresh: str) -> None:
    from marsfolio.page.security import TOKEN_FILE

    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"status page of {state}: http://{shown}:{sock.getsockname()[1]}/ (Ctrl-C ends it)")
    if asks:
        typer.echo("it asks for the token that was given, and halt and resume ask for it again")
        return
    typer.echo(f"halt and resume ask for the token in {state / TOKEN_FILE}")
    if fresh and sys.stdout is not None and sys.stdout.isatty():  # a log keeps what a terminal forgets
        typer.echo(f"shown this once: {fresh}")
