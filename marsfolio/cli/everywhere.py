"""The flags that every command has: --json, --quiet and --verbose."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import typer

from marsfolio.cli.terminal import output
from marsfolio.logs import terminal_level


def _json(ctx: typer.Context, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        output().as_json = True


def _quiet(ctx: typer.Context, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        output().quiet = True
        terminal_level(logging.ERROR)


def _verbose(ctx: typer.Context, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        terminal_level(logging.INFO)


# Eager: before --config and what is said of it.
_JSON = typer.Option(
    "--json",
    is_eager=True,
    expose_value=False,
    callback=_json,
    help="Print one JSON document, for programs; other messages go to stderr.",
)
_QUIET = typer.Option(
    "--quiet", is_eager=True, expose_value=False, callback=_quiet, help="Show no progress, notes or warnings."
)
_VERBOSE = typer.Option(
    "--verbose", is_eager=True, expose_value=False, callback=_verbose, help="Show on stderr what the log says."
)


def _flags(
    json: Annotated[bool, _JSON] = False,
    quiet: Annotated[bool, _QUIET] = False,
    verbose: Annotated[bool, _VERBOSE] = False,
) -> None:
    """Carry the flags."""


def add_flags(command: Any) -> None:
    """Add the flags to a command, or a group and all of its commands; one that has such a flag keeps its own."""
    carrier = typer.Typer(add_completion=False)
    carrier.command()(_flags)
    _add(command, typer.main.get_command(carrier).params)


def _add(command: Any, flags: list[Any]) -> None:
    taken = {text for parameter in command.params for text in parameter.opts}
    command.params.extend(flag for flag in flags if not taken & set(flag.opts))
    for below in getattr(command, "commands", {}).values():
        _add(below, flags)
