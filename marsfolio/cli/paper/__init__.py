"""`marsfolio paper`: one strategy, unattended, on a paper account; one rebalance a session."""

from __future__ import annotations

import typer

from marsfolio.cli.paper import check, halt, once, records, run, serve, status
from marsfolio.cli.terminal import QUICK_START

app = typer.Typer(
    help="Trade a model or a strategy on a paper account, one rebalance a session.",
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings=QUICK_START,
)
app.command("check")(check.check)
app.command("once")(once.once)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("serve")(serve.serve)
app.command("halt")(halt.halt)
app.command("resume")(halt.resume)
app.command("report")(records.report)
app.command("drift")(records.drift)
app.command("audit")(records.audit)
