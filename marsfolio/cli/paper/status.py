"""`marsfolio paper status`: the account, its holdings against the targets, the last sessions, the next run."""

from __future__ import annotations

from typing import Annotated

import typer

from marsfolio.cli.paper.flags import STATE, State
from marsfolio.config import ConfigOption


def status(
    state: State = STATE,
    offline: Annotated[
        bool, typer.Option("--offline", help="From the journal alone, without asking the broker.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Show the account, holdings against targets, the last sessions, the next run and trouble."""
    from marsfolio.cli.paper.views import print_status
    from marsfolio.paper.status import status_of

    print_status(status_of(state, offline))
