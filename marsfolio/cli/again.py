"""A finished run, ready to be run again: what its config.toml says, read as the command line reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from engine.errors import RunFolderError
from marsfolio.choice import costs_of, market_of, plan_of, terms_of
from marsfolio.cli import backtest, walk_forward

if TYPE_CHECKING:
    import numpy as np

    from engine.panel import MarketPanel, Window
    from engine.rebalancer import Terms
    from marsfolio.plans import AnyPlan
    from marsfolio.runs import Run

COMMANDS = (backtest.KIND, walk_forward.COMMAND)
"""The commands whose runs can be run again; that of a demo is `marsfolio backtest`."""


@dataclass(frozen=True)
class Again:
    """A run's plan, made anew.

    Attributes
    ----------
    provenance : what the run's config.toml would say of data, model and costs if it were made now.
    """

    plan: AnyPlan
    provenance: Mapping[str, Any]


def run_again(ctx: typer.Context, run: Run, data: Path | None, session: np.datetime64) -> Again:
    """Return the plan of a run.

    Parameters
    ----------
    ctx : of the running command, whose root knows all commands.
    data : bars to read instead of those that the run names.
    session : of the run; a walk's policies of later windows are left out.

    Raises
    ------
    RunFolderError
        When the run is of no command that can be run again, or the bars lack one of its sessions.
    InputError
        As the run's command does, when bars, model or strategy are gone or break a rule.
    """
    if run.command not in COMMANDS:
        raise RunFolderError(
            f"{run.path} is a run of kind {run.kind!r}; known are those of {' and '.join(COMMANDS)}: give one of these"
        )
    root: Any = ctx.find_root()
    command = root.command.commands[run.command]
    said = command.make_context(run.command, ["--config", str(run.path / "config.toml")], parent=root).params
    said = {**said, "data": said["data"] if data is None else data}
    terms = terms_of(said["cash"], _costs(said), said["fill"], said["fractional"])
    if run.command == walk_forward.COMMAND:
        return _walk(run, said, terms, session)
    return _backtest(run, said, terms)


def _costs(said: Mapping[str, Any]) -> Any:
    bps = said["commission_bps"]
    dearest = max(bps) if isinstance(bps, tuple) else bps  # of a cost ladder, the run is that of the highest
    return costs_of(said["costs"], dearest, said["slippage_bps"])


def _backtest(run: Run, said: Mapping[str, Any], terms: Terms) -> Again:
    from marsfolio.compose import parse_symbols, provenance_of
    from marsfolio.plans import Plan
    from strategies.loader import parse_params

    symbols, more = parse_symbols(said["symbols"]), (said["cap"], said["cash_buffer"], said["universe"])
    trained, market, terms = market_of(said["model"], said["data"], symbols, terms, *more)
    span = span_of(run, market.panel)
    choice = said["untrained"], str(said["strategy"]), parse_params(said["param"] or ())
    plan = plan_of(trained, *choice, market, terms, span, said["rebalance"], said["weights"], said["agent"])
    own = plan.own if isinstance(plan, Plan) else None
    return Again(plan, {**provenance_of(market.panel, trained, said["weights"], own), "costs": terms.costs.table()})


def _walk(run: Run, said: Mapping[str, Any], terms: Terms, session: np.datetime64) -> Again:
    import numpy as np

    from engine.limits import MODEL_LIMITS
    from engine.walkforward import Walk
    from marsfolio.compose import fitted, load_market, parse_symbols, plan_stitched, provenance_of, with_limits
    from strategies.loader import load_own, parse_params

    strategy = said["strategy"]
    own = None if strategy is None else load_own(strategy, parse_params(said["param"] or ()))
    terms = with_limits(terms, said["cap"], said["cash_buffer"], MODEL_LIMITS if own is None else None)
    panel = load_market(said["data"], parse_symbols(said["symbols"])).panel
    walk = Walk(
        said["train_sessions"],
        said["test_sessions"],
        said["validation_sessions"],
        said["purge"],
        said["embargo"],
        said["anchored"],
    )
    folds = walk.folds(span_of(run, panel))
    after = int(np.searchsorted(panel.sessions, session)) + 1  # whose fills are the decision's
    begun = [fold for fold in folds if fold.test.first <= after]
    found = {**provenance_of(panel, own=own), "costs": terms.costs.table()}
    if own is not None:
        return Again(plan_stitched(fitted(own, begun, panel), begun, panel, terms, own), found)
    from agents.checkpoint import load_model

    models = [load_model(run.path / walk_forward.MODELS / f"{number:02d}") for number in range(1, len(begun) + 1)]
    plan = plan_stitched([model.policy for model in models], begun, panel, terms)
    return Again(plan, {**found, "model_hashes": [model.hash for model in models]})


def span_of(run: Run, panel: MarketPanel) -> Window:
    """Return the rows of a run's sessions.

    Raises
    ------
    RunFolderError
        When the bars lack its first or last session.
    """
    from engine.panel import Window

    rows = {str(session): row for row, session in enumerate(panel.sessions)}
    ends = [str(run.equity["session"].iloc[place]) for place in (0, -1)]
    for session in ends:
        if session not in rows:
            raise RunFolderError(
                f"{panel.source} has no session {session}, and {run.path} has: they are not the bars of the run; "
                "--data names another file"
            )
    return Window(rows[ends[0]], rows[ends[1]])
