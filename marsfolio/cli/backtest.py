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
        bool, typer.Option("--untrained", help="The model's ensemble as it was before training.")
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
    from marsfolio.compose import load_benchmark, log_look, provenance_of, window
    from marsfolio.runs import recording, write_run

    _check_choice(model, untrained, strategy, weights, symbols, rebalance)
    terms = terms_of(cash, commission_bps, slippage_bps, fill, fractional)
    with recording(out, KIND):
        trained, market, terms = _market(model, data, symbols, terms, cap, cash_buffer)
        span = window(market.panel, start, end, "--start/--end")
        plan = _plan(trained, untrained, str(strategy), market, terms, span, rebalance, weights)
        held = load_benchmark(benchmark, market.panel, span, cash)
        result = plan.run(engine.value)
        if trained is not None and not untrained:
            log_look(trained, result, market.panel.content_hash)
        remarks = _remarks(plan, market)
        write_run(out, KIND, result, KIND, resolved(ctx), provenance_of(market.panel, trained), held, remarks)
        print_metrics({strategy or "mars": result.metrics()}, f"Backtest written to {out}", remarks + result.remarks())


def _check_choice(
    model: Path | None,
    untrained: bool,
    strategy: str | None,
    weights: Path | None,
    symbols: str | None,
    rebalance: Rebalance,
) -> None:
    if (model is None) == (strategy is None):
        raise ConfigError("give either --model FOLDER or --strategy NAME")
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


def _remarks(plan: Plan, market: Market) -> list[str]:
    """Return what a reader of the run should know about its data and warm-up."""
    from marsfolio.runs import CLOSES_ONLY_REMARK

    found = [CLOSES_ONLY_REMARK] if market.panel.closes_only else []
    found += market.notes
    missing = plan.policy.lookback_bars - 1 - plan.first
    if plan.policy.features and missing > 0:
        found.append(
            f"the data begins {plan.first} sessions before the run and features use {plan.policy.lookback_bars}: "
            f"the first {missing} decisions see less history than in training"
        )
    return found
