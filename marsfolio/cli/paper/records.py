"""`marsfolio paper report`, `drift` and `audit`: what an account has done, and proof of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marsfolio.cli.paper.flags import STATE, State
from marsfolio.config import ConfigOption


def report(state: State = STATE, config: ConfigOption = None) -> None:
    """Write report.html into the state folder, as for a backtest."""
    from marsfolio.paper.folder import refresh
    from marsfolio.runs import write_report

    refresh(state)
    typer.echo(f"report written to {write_report(state)}")


def drift(
    state: State = STATE,
    data: Annotated[
        Path | None, typer.Option("--data", help="Bars to compare with; those that the account saw when absent.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the table, one row a session, as CSV.")] = None,
    config: ConfigOption = None,
) -> None:
    """Compare each session with what the backtest would have done: price, orders, cash."""
    from marsfolio.cli.paper.views import print_drift
    from marsfolio.paper.drift import drift_of

    found = drift_of(state, data)
    if out is not None:
        from engine.tradelog import write_table

        write_table(found.table, out, "csv")
    print_drift(found)


def audit(
    state: State = STATE,
    out: Annotated[Path | None, typer.Option(help="Also write the entries, one line of JSON each.")] = None,
    config: ConfigOption = None,
) -> None:
    """Verify the hash chain of the audit log, and that fills and plans are those it speaks of."""
    from marsfolio.paper.audit import verify_audit

    for line in verify_audit(state, out):
        typer.echo(line)
