"""`marsfolio backtest`: run a model or a strategy over past bars and write a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marsfolio.choice import check_choice, costs_of, market_of, plan_of, terms_of
from marsfolio.cli.ladder import FOLDER, Rungs, ladder_table, print_ladder, run_ladder, write_ladder
from marsfolio.cli.options import (
    Agent,
    Cap,
    Cash,
    CashBuffer,
    CostsOption,
    Data,
    End,
    Engine,
    Fill,
    FillOption,
    Fractional,
    ModelFolder,
    NullPaths,
    Param,
    Rebalance,
    RebalanceOption,
    SlippageBps,
    Start,
    Strategy,
    Symbols,
    Trials,
    UniverseOption,
    Untrained,
    Weights,
)
from marsfolio.config import ConfigOption, resolved

if TYPE_CHECKING:
    from engine.costs import Costs

KIND = "backtest"


def backtest(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    config: ConfigOption = None,
    data: Data = None,
    symbols: Symbols = None,
    universe: UniverseOption = None,
    model: ModelFolder = None,
    untrained: Untrained = False,
    agent: Agent = None,
    strategy: Strategy = None,
    param: Param = None,
    weights: Weights = None,
    rebalance: RebalanceOption = Rebalance.DAILY,
    start: Start = None,
    end: End = None,
    cash: Cash = 1_000_000.0,
    costs: CostsOption = None,
    commission_bps: Annotated[
        Rungs | None,
        typer.Option(
            parser=Rungs.parse,
            metavar="BPS[,BPS...]",
            help="Commission, basis points of the traded value; 10 when absent. Several make a cost ladder: "
            "the run is that of the highest, the others go below it.",
        ),
    ] = None,
    slippage_bps: SlippageBps = None,
    fill: FillOption = Fill.NEXT_OPEN,
    fractional: Fractional = False,
    cap: Cap = None,
    cash_buffer: CashBuffer = None,
    engine: Annotated[
        Engine, typer.Option(help="backtrader's Cerebro, or the kernel alone: same fills.")
    ] = Engine.CEREBRO,
    benchmark: Annotated[str | None, typer.Option(help="Bars of a benchmark: FILE, or FILE:SYMBOL.")] = None,
    null_paths: NullPaths = 100,
    trials: Trials = None,
) -> None:
    """Run a model or a strategy over past bars with costs, and write a run folder."""
    from marsfolio.backtesting import Judging, finish, stated_costs
    from marsfolio.cli.results import in_words, print_metrics
    from marsfolio.compose import (
        absolute_benchmark,
        absolute_universe,
        holding,
        load_benchmark,
        parse_symbols,
        window,
    )
    from marsfolio.runs import recording
    from strategies.loader import parse_params

    check_choice(model, untrained, strategy, param, weights, rebalance, agent)
    params = parse_params(param or ())
    ladder = _ladder(costs, commission_bps, slippage_bps)
    dearest = max(ladder)
    terms = terms_of(cash, ladder[dearest], fill, fractional)
    with recording(out, KIND):
        trained, market, terms = market_of(model, data, parse_symbols(symbols), terms, cap, cash_buffer, universe)
        span = window(market.panel, start, end, "--start/--end")
        plan = plan_of(trained, untrained, str(strategy), params, market, terms, span, rebalance, weights, agent)
        of_benchmark = load_benchmark(benchmark, market.panel, span, cash)
        results = run_ladder(plan, ladder, engine.value)
        result, judging = results[dearest], Judging(null_paths, trials)
        done = finish(plan, result, market, trained, not untrained, weights, of_benchmark, judging)
        stated = stated_costs(costs, None if commission_bps is None else commission_bps.stated, slippage_bps)
        options = {**resolved(ctx), **absolute_benchmark(benchmark), **absolute_universe(universe), **stated}
        options |= {} if plan.own is None else {"strategy": plan.own.name}
        done.write(out, options)
        if len(results) > 1:
            held = run_ladder(holding(plan), ladder, "kernel")
            table = ladder_table(results, held, done.benchmark)
            write_ladder(out, results, table, plan, options, done.provenance, done.benchmark, done.remarks)
    remarks = print_ladder(table, f"Cost ladder written to {out / FOLDER}") if len(results) > 1 else []
    name = "mars" if strategy is None else strategy.rpartition(":")[2]
    remarks = in_words(done.statistics) + remarks + done.remarks + result.remarks()
    print_metrics({name: result.metrics()}, f"Backtest written to {out}", remarks)


def _ladder(costs: str | None, rungs: Rungs | None, slippage_bps: float | None) -> dict[float, Costs]:
    """Return the costs of each commission in basis points; one when a price list or nothing is given."""
    if rungs is None or costs is not None:
        only = costs_of(costs, None if rungs is None else rungs[0], slippage_bps)
        return {only.commission_bps: only}
    return {bps: costs_of(None, bps, slippage_bps) for bps in rungs}
