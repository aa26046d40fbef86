"""`marsfolio evaluate`: seeds x windows x methods, one table, one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marsfolio.choice import costs_of, terms_of
from marsfolio.cli.options import (
    Cap,
    Cash,
    CashBuffer,
    CommissionBps,
    CostsOption,
    Data,
    Fill,
    FillOption,
    Fractional,
    NullPaths,
    SlippageBps,
    Symbols,
    UniverseOption,
)
from marsfolio.config import ConfigOption, resolved

if TYPE_CHECKING:
    from marsfolio.evaluation.plan import Evaluation

COMMAND = "evaluate"


def evaluate(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the evaluation; one that was interrupted goes on.")],
    windows: Annotated[
        list[str],
        typer.Option(help="NAME=TRAIN_A:TRAIN_B/VALIDATION_A:VALIDATION_B/TEST_A:TEST_B; may be given again."),
    ],
    methods: Annotated[
        list[str],
        typer.Option(
            help="A setting (marsfolio), an ablation (published/static) or a baseline, with how often it "
            "rebalances if not daily (equal_weight:monthly); may be given again."
        ),
    ],
    seeds: Annotated[list[int], typer.Option(help="Seeds of the learned methods; may be given again.")],
    config: ConfigOption = None,
    data: Data = None,
    symbols: Symbols = None,
    universe: UniverseOption = None,
    episodes: Annotated[
        list[str] | None,
        typer.Option(help="Episodes of what is trained: N for all, or SETTING=N; the setting's own when absent."),
    ] = None,
    update_every: Annotated[
        list[str] | None,
        typer.Option(help="Environment steps per update, likewise, where a setting counts in them."),
    ] = None,
    cash: Cash = 1_000_000.0,
    costs: CostsOption = None,
    commission_bps: CommissionBps = None,
    slippage_bps: SlippageBps = None,
    fill: FillOption = Fill.NEXT_OPEN,
    fractional: Fractional = False,
    cap: Cap = None,
    cash_buffer: CashBuffer = None,
    null_paths: NullPaths = 100,
    resamples: Annotated[int, typer.Option(min=1, help="Resamples of the intervals.")] = 2000,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Strategies tried, for the deflated Sharpe ratio. When absent: as many as have been looked at in "
            "a window, and at least the methods compared.",
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one a processor core when absent.")] = None,
) -> None:
    """Evaluate methods over windows and seeds, beside baselines, chance and intervals: one table, one page."""
    from engine.limits import MODEL_LIMITS
    from marsfolio.compose import absolute_universe, parse_symbols, with_limits
    from marsfolio.evaluation.asked import Asked, plan_evaluation
    from marsfolio.evaluation.output import write_output
    from marsfolio.evaluation.plan import evaluating

    # The same limits for every method: a difference is then one of method.
    terms = with_limits(
        terms_of(cash, costs_of(costs, commission_bps, slippage_bps), fill, fractional), cap, cash_buffer, MODEL_LIMITS
    )
    overrides = {"episodes": episodes or [], "update_every": update_every or []}
    asked = Asked(windows, methods, seeds, overrides, null_paths)
    plan = plan_evaluation(out, data, parse_symbols(symbols), asked, terms, universe)
    with evaluating(out):
        _compute(plan, jobs)
        answer = write_output(plan, {**resolved(ctx), **absolute_universe(universe)}, resamples, trials, _statistics)
    _say(plan, answer)


def _compute(plan: Evaluation, jobs: int | None) -> None:
    import os

    from engine.errors import Interrupted
    from marsfolio.cli.progress import CellProgress
    from marsfolio.evaluation.grid import compute_all

    cells = plan.cells()
    left = [cell for cell in cells if not cell.folder.is_dir()]
    with CellProgress(len(cells), len(cells) - len(left)) as progress:
        try:
            compute_all(left, jobs or os.cpu_count() or 1, progress)
        except KeyboardInterrupt:
            raise Interrupted(
                f"{progress.finished} of {len(cells)} cells are in {plan.out}; the same command goes on from there, to "
                "the same table"
            ) from None


def _statistics(done: int, total: int) -> None:
    """Show how far the table is."""


def _say(plan: Evaluation, answer: str) -> None:
    from marsfolio.evaluation.looks import count_looks, read_looks

    for note in plan.notes:
        print(f"note: {note}")
    for test, count in count_looks(read_looks(plan.out)).items():
        print(f"looks at test window {test}: {count['looks']}, of {count['configurations']} configurations")
    print(answer)
    print(f"Evaluation written to {plan.out}: report.html, summary.md, results.csv")
