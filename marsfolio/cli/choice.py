"""Which model or strategy a command runs, on which bars: what its flags say, as objects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from marsfolio.cli.options import Rebalance, is_own

if TYPE_CHECKING:
    from agents.checkpoint import Model
    from engine.panel import Window
    from engine.rebalancer import Terms
    from marsfolio.compose import Market
    from marsfolio.plans import AnyPlan


def check_choice(
    model: Path | None,
    untrained: bool,
    strategy: str | None,
    param: list[str] | None,
    weights: Path | None,
    rebalance: Rebalance,
    agent: str | None = None,
) -> None:
    """Refuse flags that do not go together.

    Raises
    ------
    ConfigError
        Saying which and why.
    """
    if model is None and strategy is None:
        raise ConfigError("give either --model FOLDER or --strategy NAME")
    if model is not None and strategy is not None:
        raise ConfigError(
            f"give either --model FOLDER or --strategy NAME, not both: --model is {model} and --strategy is {strategy} "
            "(one may come from the --config file)"
        )
    if model is not None and weights is not None:
        raise ConfigError("--weights goes with --strategy")
    if model is not None and rebalance is not Rebalance.DAILY:
        raise ConfigError("--rebalance goes with --strategy; a model decides in every session, as in its training")
    if strategy is not None and is_own(strategy) and weights is not None:
        raise ConfigError("--weights goes with --strategy weights")
    if model is None and (untrained or agent is not None):
        raise ConfigError("--untrained and --agent go with --model")
    if untrained and agent is not None:
        raise ConfigError("give either --untrained or --agent, not both")
    if param and (strategy is None or not is_own(strategy)):
        raise ConfigError("--param goes with a --strategy of your own, FILE.py:NAME")


def market_of(
    model: Path | None,
    data: Path | None,
    symbols: str | None,
    terms: Terms,
    cap: float | None,
    cash_buffer: float | None,
    universe: str | None = None,
) -> tuple[Model | None, Market, Terms]:
    """Return the model, if there is one, the bars it or a strategy trades, and the terms with their limits."""
    from engine.limits import MODEL_LIMITS
    from marsfolio.compose import load_market, market_of_model, parse_symbols, with_limits

    if model is None:
        return None, load_market(data, parse_symbols(symbols), universe), with_limits(terms, cap, cash_buffer, None)
    trained, market = market_of_model(model, data, parse_symbols(symbols), universe)
    return trained, market, with_limits(terms, cap, cash_buffer, MODEL_LIMITS)


def plan_of(
    trained: Model | None,
    untrained: bool,
    strategy: str,
    param: list[str] | None,
    market: Market,
    terms: Terms,
    span: Window,
    rebalance: Rebalance,
    weights: Path | None,
    agent: str | None = None,
) -> AnyPlan:
    """Return the backtest of the model, or of the strategy when there is none."""
    from engine.rebalancer import Schedule
    from marsfolio.compose import plan_model, plan_own, plan_strategy
    from strategies.loader import load_own, parse_params

    if trained is not None:
        return plan_model(trained, market.panel, terms, span, not untrained, agent)
    if is_own(strategy):
        own = load_own(strategy, parse_params(param or ()))
        return plan_own(own, market.panel, terms, span, Schedule(rebalance.value))
    return plan_strategy(strategy, market.panel, terms, span, Schedule(rebalance.value), weights)
