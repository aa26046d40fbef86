"""`marsfolio paper run`: the service, in the foreground, until it is told to stop; or a replay of past sessions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import ConfigError
from marsfolio.cli.paper.flags import STATE, State, account_flags, options_of, working
from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    from live.session import Outcome
    from live.timing import StartTime
    from marsfolio.paper.options import PaperOptions


@account_flags
def run(
    ctx: typer.Context,
    state: State = STATE,
    config: ConfigOption = None,
    replay: Annotated[
        str | None,
        typer.Option(
            metavar="A:B", help="Past sessions of a simulated account, one after the other: as fast as it goes."
        ),
    ] = None,
) -> None:
    """Rebalance once in every session until SIGTERM or Ctrl-C; one line a session, alerts beside it."""
    from live.timing import StartTime

    options = options_of(ctx, state)
    start = StartTime.parse(options.at)
    if replay is not None and options.broker != "simulated":
        raise ConfigError("--replay goes with --broker simulated: a real account has no past sessions to trade")
    with working(options, state):
        if replay is None:
            _serve(options, state, start)
        else:
            _replay(options, state, start, replay)


def _serve(options: PaperOptions, state: Path, start: StartTime) -> None:
    from live.scheduler import serve
    from live.service import TICK_SECONDS, Service
    from live.waiting import SystemWaiter
    from marsfolio.cli.paper.views import say
    from marsfolio.paper.account import open_account
    from marsfolio.paper.folder import write_folder

    waiter = SystemWaiter()
    account = open_account(options, state, waiter)
    desk, notify = account.desk, account.desk.tell

    def tell(line: str, alert: bool) -> None:
        say(line, alert)
        notify(line, alert)

    def after(outcome: Outcome | None) -> None:
        write_folder(state, desk.journal, desk.recipe.symbols, desk.recipe.terms)

    desk.tell = tell
    service = Service(desk, start, state, after)
    say(f"{desk.recipe.name} on {options.broker}, {len(desk.recipe.symbols)} symbols, at {options.at}: Ctrl-C ends it")
    try:
        serve(service.tick, waiter.stop, state, TICK_SECONDS)
    finally:
        service.write_health("stopped")
        desk.journal.dispose()
    say("stopped; nothing is under way")


def _replay(options: PaperOptions, state: Path, start: StartTime, text: str) -> None:
    from engine.clock import VirtualClock
    from live.replay import ReplayWaiter, replay
    from marsfolio.cli.paper.views import print_replay
    from marsfolio.cli.progress import replay_progress
    from marsfolio.paper.account import open_account, replay_sessions
    from marsfolio.paper.folder import write_folder
    from marsfolio.paper.setup import panel_of
    from marsfolio.paper.stopping import stopped_by_signals

    panel = panel_of(options)
    sessions = replay_sessions(panel, options.calendar, text)
    clock = VirtualClock(sessions[0].close)
    waiter = ReplayWaiter(clock)
    with stopped_by_signals(waiter.stop):
        account = open_account(options, state, waiter, clock, sessions[0].session, panel=panel)
        desk = account.desk
        try:
            with replay_progress() as shown:
                replay(desk, clock, start, sessions, shown)
        finally:
            result = write_folder(state, desk.journal, desk.recipe.symbols, desk.recipe.terms)
            desk.journal.dispose()
    print_replay(result, state)
