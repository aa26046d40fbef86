"""A process killed with an open account, at any point of a session, leaves it as before or as after."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from panels import as_raw, random_panel, run_targets
from venues import World, at, replay, scratch, send_basket

from brokers import embedded_store
from engine.costs import PRESETS
from engine.rebalancer import Terms

pytestmark = pytest.mark.process
PANEL = as_raw(random_panel(5, 8, 3, holes=0.0), 5)
WEIGHTS = np.random.default_rng(5).dirichlet(np.ones(3), 8)
TERMS = Terms(100_000.0, PRESETS["ibkr-tiered"])
STEPS = ("read_account", "write_account", "update_orders", "add_executions", "add_movements", "add_order")


def _die_in_session(path: Path, row: int, step: str, after: bool) -> None:
    """Take up the account of the file, send the orders of a row, settle the next one and die in a step of it."""
    original = getattr(embedded_store, step)

    def die(*arguments: object) -> None:
        if after:
            original(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    world = World(PANEL, TERMS, path, row=row)
    if step != "add_order":
        send_basket(world, WEIGHTS[row])
    setattr(embedded_store, step, die)
    if step == "add_order":
        send_basket(world, WEIGHTS[row])
    world.close()
    assert world.venue.settled
    raise AssertionError("still alive")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_changes_no_fill(step: str, after: bool) -> None:
    with scratch() as folder:
        path = folder / "account.db"
        world = World(PANEL, TERMS, path)
        sessions = replay(world, WEIGHTS)
        for _ in range(3):
            next(sessions)
        child = multiprocessing.get_context("fork").Process(target=_die_in_session, args=(path, world.row, step, after))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        world.reopen()
        # Whoever sends orders again learns that they are there, by their ids.
        sent = {report.client_id for report in world.venue.orders(at(world.session(), 21))}
        assert bool(sent) == (step != "add_order")
        if not sent:
            send_basket(world, WEIGHTS[world.row])
        world.close()
        for _ in replay(world, WEIGHTS):
            pass
        result = run_targets("weights", WEIGHTS, PANEL, TERMS)
        executions = world.venue.executions(world.session(0))
        assert [fill.cash_after for fill in executions] == result.trades.fills["cash_after"].tolist()
        assert world.venue.account().equity == result.equity[-1]
        assert [entry.name for entry in folder.iterdir()] == ["account.db"]
