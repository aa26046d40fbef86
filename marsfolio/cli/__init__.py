"""The command line: the commands, and what becomes of every error."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from engine.errors import InputError, Interrupted, MarsfolioError, UserCodeError
from marsfolio.cli import (
    backtest,
    check_lookahead,
    compare,
    config,
    data,
    demo,
    evaluate,
    explain,
    init,
    paper,
    report,
    runs,
    trades,
    train,
    walk_forward,
)
from marsfolio.cli.everywhere import add_flags
from marsfolio.cli.terminal import QUICK_START, one_output, write_json
from marsfolio.config import META_KEY
from marsfolio.installation import check_rooms
from marsfolio.logs import append_traceback, logged_at, terminal_warnings

INTERRUPTED = 130
ERROR_FILE = Path("marsfolio-error.log")

app = typer.Typer(
    name="marsfolio",
    help="Train portfolio strategies on daily bars, backtest them with real costs, and see every fill.",
    rich_markup_mode=None,  # with its Markdown, --help took 0.43 s of a busy core instead of 0.25
    pretty_exceptions_enable=False,
    context_settings=QUICK_START,
)
app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("train")(train.train)
app.command("backtest")(backtest.backtest)
app.command("walk-forward")(walk_forward.walk_forward)
app.command("check-lookahead")(check_lookahead.check_lookahead)
app.command("evaluate")(evaluate.evaluate)
app.command("trades")(trades.trades)
app.command("explain")(explain.explain)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.add_typer(runs.app, name="runs")
app.add_typer(data.app, name="data")
app.add_typer(paper.app, name="paper")
app.add_typer(config.app, name="config")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        try:
            typer.echo(f"marsfolio {metadata.version('marsfolio')}")
        except metadata.PackageNotFoundError:
            typer.echo("marsfolio (not installed)")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit."),
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit: 0 done, 1 a bug, 2 input or usage, 3 try again, 4 a person is needed, 130 interrupted.

    Parameters
    ----------
    arguments : the command line without the program's name; the process's own when None.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without the letter of a symbol is no bug
    with one_output(), terminal_warnings():
        code = _run(arguments)
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        _check_folder()
        check_rooms()
        # Not standalone: typer would box and wrap its messages, and they would read unlike ours.
        code: Any = _commands()(arguments, prog_name="marsfolio", standalone_mode=False)
        write_json()
    except UserCodeError as error:
        _say("error", f"{error}; the traceback is in {_traceback_of(error)}")
        return error.exit_code
    except MarsfolioError as error:
        _say("interrupted" if isinstance(error, Interrupted) else "error", str(error))
        return error.exit_code
    except typer.TyperException as error:
        _say("error", _usage(error))
        return error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough; nothing more can be said there, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _bug(error)
    if code == INTERRUPTED:
        _say("interrupted", "nothing was left half-written; run the same command again")
    return code if isinstance(code, int) else 0


def _commands() -> Any:
    command = typer.main.get_command(app)
    add_flags(command)
    return command


def _check_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise InputError("the current folder does not exist any more: change into another") from error


def _say(kind: str, message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    # Text is not read as markup; soft_wrap leaves long lines whole, for pipes and for copying paths.
    Console(stderr=True).print(Text.assemble((f"{kind}: ", "bold red"), message), soft_wrap=True)
    write_json(error=message)


def _usage(error: typer.TyperException) -> str:
    message = error.format_message().replace("Value error, ", "")  # pydantic's words for what a parser raised
    ctx = getattr(error, "ctx", None)
    parameter = getattr(error, "param", None)
    if ctx is None:
        return message
    if parameter is not None:
        source = ctx.get_parameter_source(parameter.name)
        if source is not None and source.name == "DEFAULT_MAP":
            return f"{ctx.meta[META_KEY].at(parameter.name)} {parameter.name}: {error}"
    return f"{message}\nSee {ctx.command_path} --help"


def _bug(error: Exception) -> int:
    _say("bug", f"{type(error).__name__}: {error}; the traceback is in {_traceback_of(error)}")
    return 1


def _traceback_of(error: Exception) -> str:
    """Keep the traceback of an exception and return where; on the terminal when no file can be written."""
    path = logged_at(error)
    if path is None:
        try:
            append_traceback(error, ERROR_FILE)
        except OSError:
            sys.__excepthook__(type(error), error, error.__traceback__)
            return "the lines above"
    return str(path or ERROR_FILE)
