"""From the words of a user to an evaluation that is ready to be computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.panel import MarketPanel
from engine.rebalancer import Terms
from marsfolio.compose import Market, absolute_universe, check_universe, load_market
from marsfolio.evaluation.methods import Overrides, parse_methods
from marsfolio.evaluation.periods import parse_periods
from marsfolio.evaluation.plan import Evaluation, check_seeds
from marsfolio.runs import CLOSES_ONLY_REMARK


@dataclass(frozen=True)
class Asked:
    """What is to be compared.

    Attributes
    ----------
    windows : NAME=TRAIN/VALIDATION/TEST each.
    methods : a setting, an ablation or a baseline each.
    overrides : episodes and update_every to texts, N for all or SETTING=N.
    """

    windows: Sequence[str]
    methods: Sequence[str]
    seeds: Sequence[int]
    overrides: Mapping[str, Sequence[str]]
    null_paths: int


def plan_evaluation(
    out: Path,
    data: Path | None,
    symbols: Sequence[str] | None,
    asked: Asked,
    terms: Terms,
    universe: str | None = None,
) -> Evaluation:
    """Return the evaluation of what is asked, in the folder ``out``.

    Raises
    ------
    ConfigError
        When a window, method or seed is not one.
    """
    periods = parse_periods(list(asked.windows))
    chosen = parse_methods(list(asked.methods), Overrides({key: list(texts) for key, texts in asked.overrides.items()}))
    numbers = check_seeds(asked.seeds)
    for method in chosen:
        check_universe(universe, method.settings)
    market = load_market(data, symbols, universe)
    hashes = {one.name: _hash(market.panel, one.fold(market.panel).test.last) for one in periods}
    return Evaluation(
        out.absolute(),
        None if data is None else data.absolute(),
        None if symbols is None else tuple(symbols),
        periods,
        chosen,
        numbers,
        terms,
        asked.null_paths,
        hashes,
        _notes(market, [remark for one in periods for remark in one.clipped(market.panel)]),
        **absolute_universe(universe),
    )


def _hash(panel: MarketPanel, last: int) -> str:
    return panel.rows(0, last + 1).content_hash


def _notes(market: Market, more: list[str]) -> tuple[str, ...]:
    return (*market.notes, *more, *((CLOSES_ONLY_REMARK,) if market.panel.closes_only else ()))
