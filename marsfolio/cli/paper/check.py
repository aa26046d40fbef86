"""`marsfolio paper check`: everything that could go wrong tomorrow, looked at today."""

from __future__ import annotations

import typer

from marsfolio.cli.paper.flags import STATE, State, account_flags, options_of
from marsfolio.config import ConfigOption


@account_flags
def check(ctx: typer.Context, state: State = STATE, config: ConfigOption = None) -> None:
    """Check keys, host, account, clock, calendar, bars, strategy, disk and limits; send nothing."""
    from marsfolio.cli.paper.views import print_checks
    from marsfolio.paper.checks import check_account

    findings = check_account(options_of(ctx, state), state)
    print_checks(findings)
    raise typer.Exit(max((finding.exit_code for finding in findings), default=0))
