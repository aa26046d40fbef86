"""`marsfolio paper once`: what there is to do for the session that is open, or opens later today."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import Interrupted, MarsfolioError
from marsfolio.cli.paper.flags import STATE, State, account_flags, options_of, working
from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    from live.session import Outcome
    from marsfolio.paper.options import PaperOptions


@account_flags
def once(
    ctx: typer.Context,
    state: State = STATE,
    config: ConfigOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show every order and why; send and keep nothing.")
    ] = False,
) -> None:
    """Rebalance for the session that is open, or opens later today in New York; safe to repeat at any moment."""
    options = options_of(ctx, state)
    with working(state):
        outcome = work(options, state, dry_run)
    from marsfolio.cli.paper.views import print_outcome

    print_outcome(outcome)
    raise typer.Exit(outcome.exit_code)


def work(options: PaperOptions, state: Path, dry_run: bool) -> Outcome:
    """Run one session of the account in a state folder that is held."""
    from live.session import Kind, run_session
    from live.waiting import SystemWaiter
    from marsfolio.paper.account import open_account
    from marsfolio.paper.folder import write_folder
    from marsfolio.paper.stopping import stopped_by_signals

    waiter = SystemWaiter()
    with stopped_by_signals(waiter.stop):
        account = open_account(options, state, waiter, rehearsal=dry_run)
        desk = account.desk
        try:
            outcome = run_session(desk, dry_run)
            if not dry_run and outcome.kind is not Kind.NOTHING:
                desk.tell(outcome.message, outcome.exit_code != 0)
            return outcome
        except MarsfolioError as error:
            if not dry_run and not isinstance(error, Interrupted):
                desk.tell(str(error), True)
            raise
        finally:
            if not dry_run:
                write_folder(state, desk.journal, desk.recipe.symbols, desk.recipe.terms)
            desk.journal.dispose()
