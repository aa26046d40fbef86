"""`marsfolio check-lookahead`: change the future at many dates, and see whether a past decision moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import LookAheadError
from marsfolio.choice import check_choice, costs_of, market_of, plan_of, terms_of
from marsfolio.cli.options import (
    Agent,
    Cap,
    Cash,
    CashBuffer,
    CommissionBps,
    CostsOption,
    Data,
    End,
    Fill,
    FillOption,
    Fractional,
    ModelFolder,
    Param,
    Rebalance,
    RebalanceOption,
    SlippageBps,
    Start,
    Strategy,
    Symbols,
    UniverseOption,
    Untrained,
    Weights,
)
from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    import numpy as np

    from engine.lookahead import Finding, Report
    from engine.trace import Difference
    from marsfolio.plans import AnyPlan

_WORDS = {"cut": "cut off", "multiply": "other prices", "shuffle": "its days shuffled", "thin": "bars taken out"}


def check_lookahead(
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
    commission_bps: CommissionBps = None,
    slippage_bps: SlippageBps = None,
    fill: FillOption = Fill.NEXT_OPEN,
    fractional: Fractional = False,
    cap: Cap = None,
    cash_buffer: CashBuffer = None,
    dates: Annotated[int, typer.Option(min=1, help="After how many sessions, spread over the run, to change it.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Where the dates are, and what the other futures are.")] = 0,
) -> None:
    """Change the future at many dates and report the first decision, order or fill of the past that moved.

    After each date the future is cut off in one run, and made another in a second one: prices multiplied, days
    shuffled, bars taken out, splits and dividends too. What a strategy decided, ordered, was filled and was worth up to
    the date must stay the same, bit for bit. Found is what comes from the bars that a run is given; a strategy that
    opens a file of its own looks ahead unseen. Ends with code 2 when something moved.
    """
    from marsfolio.cli.progress import progress_bar
    from marsfolio.compose import parse_symbols, window
    from marsfolio.plans import check_plan
    from strategies.loader import parse_params

    check_choice(model, untrained, strategy, param, weights, rebalance, agent)
    terms = terms_of(cash, costs_of(costs, commission_bps, slippage_bps), fill, fractional)
    params = parse_params(param or ())
    trained, market, terms = market_of(model, data, parse_symbols(symbols), terms, cap, cash_buffer, universe)
    span = window(market.panel, start, end, "--start/--end")
    plan = plan_of(trained, untrained, str(strategy), params, market, terms, span, rebalance, weights, agent)
    with progress_bar("sessions") as progress:
        report = check_plan(plan, dates, seed, progress)
    _print(report, plan, by_file=weights is not None)


def _print(report: Report, plan: AnyPlan, by_file: bool) -> None:
    n_sessions = plan.last - plan.first + 1
    if by_file:
        print("note: the file says the weights, so only what is made of them is checked: limits, fills and equity")
    if report.unrepeatable is not None:
        raise LookAheadError(_unrepeatable(*report.unrepeatable))
    if report.finding is not None:
        raise LookAheadError(_told(report.finding))
    if not report.compared:
        print(f"note: nothing was decided in {n_sessions} sessions, so there was nothing to compare")
    print(
        f"clean: with the future cut off, and made another, after {len(report.dates)} dates from {report.dates[0]} to "
        f"{report.dates[-1]}, {report.compared:,} decisions and orders, their fills and equity stayed the same, bit "
        f"for bit ({report.runs} runs, {report.sessions:,} sessions, {report.sessions / n_sessions:.1f} times the "
        "backtest)"
    )


def _unrepeatable(difference: Difference, session: np.datetime64) -> str:
    return (
        f"not repeatable: two runs on the same bars differ on {session} in {_what(difference)}, {difference.was} and "
        f"{difference.became}. Seed every source of randomness: a strategy that does not decide the same twice cannot "
        "be checked"
    )


def _told(finding: Finding) -> str:
    difference, ways = finding.difference, ", ".join(_WORDS[how] for how in finding.changes)
    return (
        f"look-ahead: {_what(difference)} of {finding.when} depends on what comes after {finding.session}: it was "
        f"{difference.was} and became {difference.became} with another future (each of these moves it: {ways})"
    )


def _what(difference: Difference) -> str:
    return f"the {difference.what} for {difference.symbol}" if difference.symbol else f"the {difference.what}"
