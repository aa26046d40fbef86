"""Which model or strategy runs, on which bars and terms: what flags or arguments say, as objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError
from marsfolio.config import read_toml

if TYPE_CHECKING:
    from agents.checkpoint import Model
    from engine.costs import Costs
    from engine.panel import Window
    from engine.rebalancer import Terms
    from marsfolio.compose import Market
    from marsfolio.plans import AnyPlan
    from strategies.loader import OwnStrategy

DAILY = "daily"


def is_own(strategy: str) -> bool:
    """Return whether a name is one of a user's own strategy, not of one that comes with this project."""
    return ":" in strategy or strategy.endswith(".py")


def costs_of(costs: str | None, commission_bps: float | None, slippage_bps: float | None) -> Costs:
    """Return the costs that these flags state.

    Raises
    ------
    ConfigError
        When a price list is unknown, a file is not one, a value is out of range, or a price list and a commission
        are both given.
    """
    from engine.costs import Costs, preset

    if costs is not None and commission_bps is not None:
        raise ConfigError(
            f"give either --costs or --commission-bps, not both: --costs is {costs} and --commission-bps is "
            f"{commission_bps:g} (one may come from the --config file)"
        )
    if costs is None:
        base = Costs() if commission_bps is None else Costs(commission_bps)
    elif costs.endswith(".toml"):
        base = Costs.from_table(read_toml(Path(costs)), costs)
    else:
        base = preset(costs)
    return base if slippage_bps is None else replace(base, slippage_bps=slippage_bps)


def terms_of(cash: float, costs: Costs, fill: str, fractional: bool) -> Terms:
    """Return the terms of trading that these flags state, without limits.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """
    from engine.ledger import FillTiming
    from engine.rebalancer import Terms

    return Terms(cash, costs, None, FillTiming.parse(fill), fractional)


def check_choice(
    model: Path | None,
    untrained: bool,
    strategy: str | None,
    param: Sequence[str] | None,
    weights: Path | None,
    rebalance: str,
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
    if model is not None and rebalance != DAILY:
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
    model: Path | Model | None,
    data: Path | Market | None,
    symbols: Sequence[str] | None,
    terms: Terms,
    cap: float | None,
    cash_buffer: float | None,
    universe: str | None = None,
) -> tuple[Model | None, Market, Terms]:
    """Return the model, if there is one, the bars it or a strategy trades, and the terms with their limits."""
    from engine.limits import MODEL_LIMITS
    from marsfolio.compose import load_market, market_of_model, with_limits

    if model is None:
        return None, load_market(data, symbols, universe), with_limits(terms, cap, cash_buffer, None)
    trained, market = market_of_model(model, data, symbols, universe)
    return trained, market, with_limits(terms, cap, cash_buffer, MODEL_LIMITS)


def plan_of(
    trained: Model | None,
    untrained: bool,
    strategy: str | OwnStrategy,
    params: Mapping[str, Any],
    market: Market,
    terms: Terms,
    span: Window,
    rebalance: str,
    weights: Path | None,
    agent: str | None = None,
) -> AnyPlan:
    """Return the backtest of the model, or of the strategy when there is none."""
    from engine.rebalancer import Schedule
    from marsfolio.compose import plan_model, plan_own, plan_strategy
    from strategies.loader import OwnStrategy, load_own

    if trained is not None:
        return plan_model(trained, market.panel, terms, span, not untrained, agent)
    if isinstance(strategy, OwnStrategy) or is_own(strategy):
        own = strategy if isinstance(strategy, OwnStrategy) else load_own(strategy, params)
        return plan_own(own, market.panel, terms, span, Schedule(rebalance))
    return plan_strategy(strategy, market.panel, terms, span, Schedule(rebalance), weights)
