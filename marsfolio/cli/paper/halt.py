"""`marsfolio paper halt` and `resume`: the kill switch."""

from __future__ import annotations

from typing import Annotated

import typer

from marsfolio.cli.paper.flags import STATE, State
from marsfolio.config import ConfigOption


def halt(
    state: State = STATE,
    reason: Annotated[str, typer.Option(help="Why, for those who read it later.")] = "halted by hand",
    flatten: Annotated[
        bool, typer.Option("--flatten", help="Also sell what the strategy holds, at the market.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Stop trading now: cancel our open orders, send no more until `resume`. Works while `run` runs."""
    from marsfolio.paper.switch import halt_account

    for line in halt_account(state, reason, flatten):
        typer.echo(line)


def resume(state: State = STATE, config: ConfigOption = None) -> None:
    """Trade again after a halt, and agree to a plan that a limit stopped."""
    from marsfolio.paper.switch import resume_account

    for line in resume_account(state):
        typer.echo(line)
