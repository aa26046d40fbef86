"""`marsfolio config`: what a configuration file comes to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import InputError
from marsfolio.cli.terminal import QUICK_START

if TYPE_CHECKING:
    from marsfolio.resolution import Setting

app = typer.Typer(help="Look at configuration files.", rich_markup_mode=None, context_settings=QUICK_START)


@app.callback(invoke_without_command=True)
def _config(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command(context_settings={"ignore_unknown_options": True})
def show(
    ctx: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND [FLAG...]]",
            help="A command and its flags, as you would run it. Without one: each command that --config FILE names.",
        ),
    ] = None,
) -> None:
    """Show every value a command would run with, and what says it: a flag, the environment, a file or the default.

    For example: marsfolio config show --config fund.toml, or marsfolio config show backtest --config fund.toml
    --cash 5000.
    """
    from marsfolio.resolution import commands_in, settings_of

    words = list(command or ())
    if words and not words[0].startswith("-"):
        _print(settings_of(ctx, words))
        return
    path = _only_file(words)
    for found in commands_in(ctx, path):
        _print(settings_of(ctx, [*found, "--config", str(path)]))


def _only_file(words: list[str]) -> Path:
    flag, _, path = words[0].partition("=") if words else ("", "", "")
    rest = [path, *words[1:]] if path else words[1:]
    if flag != "--config" or len(rest) != 1:
        raise InputError("name a command, as in marsfolio config show backtest, or a file, as in --config fund.toml")
    return Path(rest[0])


def _print(settings: list[Setting]) -> None:
    from marsfolio.cli.terminal import print_table

    rows = [[one.key, _shown(one.value), one.source] for one in settings]
    records = [{"key": one.key, "value": one.value, "from": one.source} for one in settings]
    print_table(f"[{settings[0].command}]", ["key", "value", "from"], rows, records)


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
