"""`marsfolio data`: get bars, see what is in them, and whether they can be trusted."""

from __future__ import annotations

import typer

from marsfolio.cli.data import fetch, look
from marsfolio.cli.terminal import QUICK_START

app = typer.Typer(
    help="Get bars, and look at them before using them.", rich_markup_mode=None, context_settings=QUICK_START
)
app.command("fetch")(fetch.fetch)
app.command("info")(look.info)
app.command("check")(look.check)


@app.callback(invoke_without_command=True)
def _data(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
