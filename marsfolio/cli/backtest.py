"""`marsfolio backtest`: run a model or a strategy over past bars and write a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import ConfigError
from marsfolio.cli.options import (
    Cap,
    Cash,
    CashBuffer,
    CommissionBps,
    Data,
    Engine,
    Fill,
    FillOption,
    Fractional,
    Rebalance,
    SlippageBps,
    Symbols,
    terms_of,
)
from marsfolio.config import ConfigOption, resolved

if TYPE_CHECKING:
    from agents.checkpoint import Model
    from engine.panel import Window
    from engine.rebalancer import Terms
    from marsfolio.compose import Market, Plan

KIND = "backtest"


def backtest(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    config: ConfigOption = None,
    data: Data = None,
    symbols: Symbols = None,
    model: Annotated[Path | None, typer.Option(help="Folder that `marsfolio train` wrote.")] = None,
    untrained: Annotated[
        bool, typer.Option("--untrained/--no-untrained", help="The model's ensemble as it was before training.")
    ] = False,
    strategy: Annotated[str | None, typer.Option(help="equal_weight, buy_and_hold or weights.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Target weights: a CSV or parquet of date, symbol, weight.")
    ] = None,
    rebalance: Annotated[Rebalance, typer.Option(help="How often a strategy may rebalance.")] = Rebalance.DAILY,
    start: Annotated[str | None, typer.Option(help="First session, YYYY-MM-DD; the data's first when absent.")] = None,
    end: Annotated[str | None, typer.Option(help="Last session, YYYY-MM-DD; the data's last when absent.")] = None,
    cash: Cash = 1_000_000.0,
    commission_bps: CommissionBps = 10.0,
    slippage_bps: SlippageBps = 0.0,
    fill: FillOption = Fill.NEXT_OPEN,
    fractional: Fractional = False,
    cap: Cap = None,
    cash_buffer: CashBuffer = None,
    engine: Annotated[
        Engine, typer.Option(help="backtrader's Cerebro, or the kernel alone: same fills.")
    ] = Engine.CEREBRO,
    benchmark: Annotated[str | None, typer.Option(help="Bars of a benchmark: FILE, or FILE:SYMBOL.")] = None,
) -> None:
    """Run a model or a strategy over past bars with costs, and write a run folder."""
    from marsfolio.cli.results import print_metrics
    from marsfolio.compose import absolute_benchmark, load_benchmark, log_look, provenance_of, remarks_of, window
    from marsfolio.runs import recording, write_run

    _check_choice(model, untrained, strategy, weights, symbols, rebalance)
    terms = terms_of(cash, commission_bps, slippage_bps, fill, fractional)
    with recording(out, KIND):
        trained, market, terms = _market(model, data, symbols, terms, cap, cash_buffer)
        span = window(market.panel, start, end, "--start/--end")
        plan = _plan(trained, untrained, str(strategy), market, terms, span, rebalance, weights)
        held, of_benchmark = load_benchmark(benchmark, market.panel, span, cash)
        result = plan.run(engine.value)
        if trained is not None and not untrained:
            log_look(trained, result, market.panel.content_hash)
        remarks = remarks_of(plan, market, trained, result) + of_benchmark
        options = {**resolved(ctx), **absolute_benchmark(benchmark)}
        write_run(out, KIND, result, KIND, options, provenance_of(market.panel, trained, weights), held, remarks)
    print_metrics({strategy or "mars": result.metrics()}, f"Backtest written to {out}", remarks + result.remarks())


def _check_choice(
    model: Path | None,
    untrained: bool,
    strategy: str | None,
    weights: Path | None,
    symbols: str | None,
    rebalance: Rebalance,
) -> None:
    if model is None and strategy is None:
        raise ConfigError("give either --model FOLDER or --strategy NAME")
    if model is not None and strategy is not None:
        raise ConfigError(
            f"give either --model FOLDER or --strategy NAME, not both: --model is {model} and --strategy is {strategy} "
            "(one may come from the --config file)"
        )
    if model is not None and (weights is not None or symbols is not None):
        raise ConfigError("--weights and --symbols go with --strategy; a model trades the symbols it was trained on")
    if model is not None and rebalance is not Rebalance.DAILY:
        raise ConfigError("--rebalance goes with --strategy; a model decides in every session, as in its training")
    if model is None and untrained:
        raise ConfigError("--untrained goes with --model")


def _market(
    model: Path | None,
    data: Path | None,
    symbols: str | None,
    terms: Terms,
    cap: float | None,
    cash_buffer: float | None,
) -> tuple[Model | None, Market, Terms]:
    from engine.limits import MODEL_LIMITS
    from marsfolio.compose import load_market, market_of_model, parse_symbols, with_limits

    if model is None:
        return None, load_market(data, parse_symbols(symbols)), with_limits(terms, cap, cash_buffer, None)
    trained, market = market_of_model(model, data)
    return trained, market, with_limits(terms, cap, cash_buffer, MODEL_LIMITS)


def _plan(
    trained: Model | None,
    untrained: bool,
    strategy: str,
    market: Market,
    terms: Terms,
    span: Window,
    rebalance: Rebalance,
    weights: Path | None,
) -> Plan:
    from engine.rebalancer import Schedule
    from marsfolio.compose import plan_model, plan_strategy

    if trained is not None:
        return plan_model(trained, market.panel, terms, span, not untrained)
    return plan_strategy(strategy, market.panel, terms, span, Schedule(rebalance.value), weights)
