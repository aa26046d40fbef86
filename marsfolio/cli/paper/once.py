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
    if dry_run:
        outcome = rehearse(options, state)
    else:
        with working(options, state):
            outcome = work(options, state)
    from marsfolio.cli.paper.views import print_outcome

    print_outcome(outcome)
    raise typer.Exit(outcome.exit_code)


def work(options: PaperOptions, state: Path) -> Outcome:
    """Run one session of the account in a state folder that is held."""
    from live.session import Kind, run_session
    from live.waiting import COMMAND_SECONDS, SystemWaiter
    from marsfolio.paper.account import open_account
    from marsfolio.paper.folder import write_folder
    from marsfolio.paper.stopping import stopped_by_signals

    waiter = SystemWaiter(COMMAND_SECONDS)
    with stopped_by_signals(waiter.stop):
        desk = open_account(options, state, waiter).desk
        try:
            outcome = run_session(desk)
            if outcome.kind is not Kind.NOTHING:
                desk.tell(outcome.message, outcome.exit_code != 0)
            return outcome
        except MarsfolioError as error:
            if not isinstance(error, Interrupted):
                desk.tell(str(error), True)
            raise
        finally:
            write_folder(state, desk.journal, desk.recipe.symbols, desk.recipe.terms)
            desk.journal.dispose()


def rehearse(options: PaperOptions, state: Path) -> Outcome:
    """Decide for a session without sending anything; the state folder is not touched, nor made."""
    from tempfile import TemporaryDirectory

    from live.session import run_session
    from live.waiting import COMMAND_SECONDS, SystemWaiter
    from marsfolio.paper.account import open_account

    with TemporaryDirectory() as folder:
        desk = open_account(options, state, SystemWaiter(COMMAND_SECONDS), rehearsal=Path(folder)).desk
        try:
            return run_session(desk, dry_run=True)
        finally:
            desk.journal.dispose()
