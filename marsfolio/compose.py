"""Composition: from what a user says to the objects that do it.

What needs torch is imported where a model is used, so that runs without one start faster.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_feeds.files import read_panel, read_weights
from data_feeds.sample import load_sample
from data_feeds.universe import Universe, read_universe
from engine.arrays import FloatArray
from engine.clock import Clock, SystemClock
from engine.errors import ConfigError, DataError
from engine.limits import Limits
from engine.panel import MarketPanel, Window
from engine.policy import Policy
from engine.rebalancer import Schedule, Terms
from engine.result import Result
from engine.walkforward import Fold
from marsfolio.plans import AnyPlan, OrderPlan, Plan
from marsfolio.runs import CLOSES_ONLY_REMARK, Run
from strategies.loader import OwnPolicy, OwnStrategy, blaming
from strategies.portfolio import PortfolioStrategy
from strategies.registry import WEIGHTS, baseline
from strategies.stitched import StitchedPolicy
from strategies.weights_file import WeightsPolicy

if TYPE_CHECKING:
    from agents.checkpoint import Model
    from agents.methods import AnyTrainer
    from agents.settings import AnySettings


@dataclass(frozen=True)
class Market:
    """A panel and what a reader should know about it."""

    panel: MarketPanel
    notes: tuple[str, ...] = ()


def load_market(
    data: Path | Market | None, symbols: Sequence[str] | None = None, universe: str | None = None
) -> Market:
    """Return the bars of a file or a store, those in memory, or the bundled sample when there is neither.

    Parameters
    ----------
    universe : a bundled @NAME or a file; its members are read, and held while they are members.

    Raises
    ------
    DataError
        When the file or the list of symbols breaks a rule.
    ConfigError
        When the universe does.
    """
    if universe is not None:
        return _of_universe(load_market(data, symbols), read_universe(universe))
    if isinstance(data, Market):
        # In the panel's order, as a file's would be.
        known = data.panel.symbols
        ordered = sorted(symbols or (), key=lambda symbol: known.index(symbol) if symbol in known else len(known))
        return replace(data, panel=data.panel.select(ordered)) if symbols is not None else data
    if data is None:
        panel = load_sample()
        return Market(panel.select(list(symbols)) if symbols else panel, ("using the bundled sample",))
    panel, notes = read_panel(data, symbols)
    return Market(panel, notes)


def _of_universe(market: Market, universe: Universe) -> Market:
    panel = market.panel
    known = [symbol for symbol in panel.symbols if symbol in universe.spans]
    if not known:
        raise DataError(f"{panel.source} has bars of no member of the universe {universe.source}")
    panel = panel.select(known)
    members = universe.members(panel.sessions, panel.symbols)
    notes = [*market.notes, f"universe {universe.source}: {len(known)} of its {len(universe.spans)} symbols have bars"]
    everyone = universe.members(panel.sessions, universe.symbols)
    absent = [name for i, name in enumerate(universe.symbols) if name not in known and everyone[:, i].any()]
    if absent:
        notes.append(
            f"{len(absent)} members have no bars ({', '.join(absent[:10])}{' ...' if len(absent) > 10 else ''}): what "
            "became of them is missing from the result, which flatters it"
        )
    return Market(replace(panel, member=members), tuple(notes))


def check_universe(universe: str | None, settings: AnySettings | None) -> None:
    """Refuse to train on a universe that changes what would keep the shares of those that leave it.

    Raises
    ------
    ConfigError
        Naming the way out.
    """
    from agents.profiles.settings import ProfileSettings

    if universe is not None and settings is not None and not isinstance(settings, ProfileSettings):
        raise ConfigError(
            "--universe goes with the setting marsfolio and its ablations, and with strategies: the environment of "
            "other settings keeps what leaves; train these on --symbols that never leave"
        )


def parse_symbols(text: str | None) -> list[str] | None:
    """Return the symbols of a comma-separated list; None for None."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def parse_session(text: str | None, name: str) -> np.datetime64 | None:
    """Return an ISO date; None for None.

    Raises
    ------
    ConfigError
        When it is not a date; ``name`` is the flag it came from.
    """
    if text is None:
        return None
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        try:
            return np.datetime64(text, "D")
        except ValueError:
            pass
    raise ConfigError(f"{name} must be a date such as 2024-01-02, was {text!r}")


def parse_window(panel: MarketPanel, text: str, name: str) -> Window:
    """Return the rows of a window written A:B, clipped to the data.

    Raises
    ------
    ConfigError
        When it is not two dates in order.
    InputError
        When the data has no session inside.
    """
    start_text, separator, end_text = text.partition(":")
    if not separator:
        raise ConfigError(f"{name} must be two dates such as 2018-01-01:2022-12-31, was {text!r}")
    return window(panel, start_text or None, end_text or None, name)


def window(panel: MarketPanel, start: str | None, end: str | None, name: str) -> Window:
    """Return the rows between two dates, both included and either open, clipped to the data."""
    begin, stop = parse_session(start, name), parse_session(end, name)
    if begin is not None and stop is not None and begin > stop:
        raise ConfigError(f"{name} must begin before it ends, was {start} to {end}")
    return panel.window(begin, stop)


def with_limits(terms: Terms, cap: float | None, cash_buffer: float | None, default: Limits | None) -> Terms:
    """Return the terms with the limits of two flags; what is not given comes from the default."""
    if cap is None and cash_buffer is None:
        return replace(terms, limits=default)
    base = default or Limits()
    limits = Limits(base.cap if cap is None else cap, base.cash_buffer if cash_buffer is None else cash_buffer)
    return replace(terms, limits=limits)


def provenance_of(
    panel: MarketPanel, model: Model | None = None, weights: Path | None = None, own: OwnStrategy | None = None
) -> dict[str, Any]:
    """Return what a run's config.toml says of its data, its model, its file of target weights and its strategy's."""
    of_model = {} if model is None else {"seed": model.manifest["seed"], "model_hash": model.hash}
    of_weights = {} if weights is None else {"weights_hash": hashlib.sha256(weights.read_bytes()).hexdigest()}
    of_strategy = {} if own is None else {"strategy_hash": own.hash or None}
    return {"data_hash": panel.content_hash, **of_model, **of_weights, **of_strategy}


def remarks_of(plan: AnyPlan, market: Market, model: Model | None, result: Result) -> list[str]:
    """Return what a reader of a run should know beyond the result's own remarks."""
    panel = plan.panel
    found = [CLOSES_ONLY_REMARK, *market.notes] if panel.closes_only else [*market.notes]
    if isinstance(plan, OrderPlan):
        return found
    policy = plan.make_policy()
    found += _short_history(policy, plan.first, model is not None or bool(policy.features), result)
    if model is not None:
        seen = model.manifest["train"][0], model.manifest["validation"][1]
        if str(panel.sessions[plan.first]) <= seen[1] and str(panel.sessions[plan.last]) >= seen[0]:
            found.append(
                f"in sample: the model was trained and chosen on sessions from {seen[0]} to {seen[1]}, "
                "and this run looks at some of them"
            )
    if plan.weights is not None:
        asked = int((~np.isnan(plan.weights[plan.first : plan.last + 1]).all(axis=1)).sum())
        passed = asked - int(result.decided.sum())
        if passed:
            found.append(
                f"{passed} of {asked} dates of the weights file were passed over: rebalance is {plan.schedule}"
            )
    return found


def _short_history(policy: Policy, first: int, reads_features: bool, result: Result) -> list[str]:
    missing = policy.lookback_bars - 1 - first
    waited = int(result.decided.argmax()) if result.decided.any() else len(result.decided)
    if missing > 0 and reads_features:
        return [
            f"the data begins {first} sessions before the run and features use {policy.lookback_bars}: "
            f"the first {missing} decisions see less history than in training"
        ]
    if missing > 0 and waited:
        return [
            f"cash for the first {waited} sessions: the strategy reads {policy.lookback_bars} sessions and the data "
            f"begins {first} before the run; a later --start avoids that"
        ]
    return []


def absolute_benchmark(text: str | None) -> dict[str, str]:
    """Return the ``--benchmark`` option with an absolute path, to repeat the run from any folder."""
    if text is None:
        return {}
    path, symbol = _split_benchmark(text)
    return {"benchmark": str(path.resolve()) + (f":{symbol}" if symbol else "")}


def absolute_universe(text: str | None) -> dict[str, str]:
    """Return the ``--universe`` option with an absolute path, to repeat the run from any folder."""
    return {} if text is None else {"universe": text if text.startswith("@") else str(Path(text).resolve())}


def trainer_of(
    panel: MarketPanel, train: Window, validation: Window, settings: AnySettings, terms: Terms, seed: int, out: Path
) -> AnyTrainer:
    """Return the trainer of some settings, with the bundled sample as background for those that learn from one.

    Raises
    ------
    ConfigError
        When the windows do not suit the settings.
    """
    from agents.methods import make_trainer

    background = load_sample() if settings.wants_background else None
    return make_trainer(panel, train, validation, settings, terms, seed, out, background)


def plan_model(
    model: Model, panel: MarketPanel, terms: Terms, span: Window, trained: bool = True, agent: str | None = None
) -> Plan:
    """Return the backtest of a model, of its agents as they were before training, or of one agent alone.

    Raises
    ------
    ConfigError
        When there is no such agent.
    """
    from strategies.mars import MarsStrategy

    make_policy: Callable[[], Policy] = model.policy if trained else model.untrained_policy
    if agent is not None:
        model.agent_policy(agent)
        make_policy = partial(model.agent_policy, agent)
    return Plan(panel, make_policy, MarsStrategy, terms, span.first, span.last)


def fitted(own: OwnStrategy, folds: Sequence[Fold], panel: MarketPanel) -> list[Callable[[], Policy]]:
    """Return, for each fold, what makes copies of a user's policy fitted in it.

    Each is fitted on a panel that ends with the last session it may know.

    Raises
    ------
    ConfigError
        When the strategy has no ``fit``.
    """
    makers: list[Callable[[], Policy]] = []
    for fold in folds:
        known = panel.rows(0, fold.last_known + 1)
        with blaming(own.source, own.name):
            policy = None if own.places_orders else own.make_policy(known)
            if not isinstance(policy, OwnPolicy) or not policy.can_fit:
                raise ConfigError(
                    f"--strategy {own.name} has no method fit(panel, train, validation), so there is nothing to train "
                    "anew in each window: use marsfolio backtest"
                )
            policy.fit(known, fold.train, fold.validation)
        makers.append(partial(copy.deepcopy, policy))
    return makers


def plan_stitched(
    makers: Sequence[Callable[[], Policy]],
    folds: Sequence[Fold],
    panel: MarketPanel,
    terms: Terms,
    own: OwnStrategy | None = None,
) -> Plan:
    """Return one backtest over the test windows of all folds, with the policy of each in its own.

    Parameters
    ----------
    makers : what makes a fresh policy of each fold.
    own : where they come from, when they are the user's.
    """
    starts = panel.sessions[[fold.test.first for fold in folds]]

    def make_policy() -> Policy:
        return StitchedPolicy(starts, [make() for make in makers])

    return Plan(panel, make_policy, PortfolioStrategy, terms, folds[0].test.first, folds[-1].test.last, own=own)


def plan_own(own: OwnStrategy, panel: MarketPanel, terms: Terms, span: Window, schedule: Schedule) -> AnyPlan:
    """Return the backtest of a user's own strategy.

    Raises
    ------
    ConfigError
        When an ordinary backtrader strategy is asked to rebalance.
    """
    if not own.places_orders:
        make_policy = partial(own.make_policy, panel)
        span_ = (span.first, span.last)
        return Plan(panel, make_policy, own.strategy, terms, *span_, schedule, params=own.params, own=own)
    if panel.member is not None:
        raise ConfigError(f"--universe is for target weights, and {own.name} places orders of whatever it likes")
    if schedule is not Schedule.DAILY:
        raise ConfigError(f"--rebalance is for target weights, and {own.name} places orders when it likes")
    return OrderPlan(panel, own.strategy, own.params, terms, span.first, span.last, own)


def plan_strategy(
    name: str, panel: MarketPanel, terms: Terms, span: Window, schedule: Schedule, weights: Path | None
) -> Plan:
    """Return the backtest of a named strategy.

    Raises
    ------
    ConfigError
        When the name is unknown, or a weights file is missing or out of place.
    """
    if (name == WEIGHTS) != (weights is not None):
        raise ConfigError(
            "--strategy weights needs --weights FILE" if weights is None else "--weights goes with --strategy weights"
        )
    if weights is not None:
        table = read_weights(weights, panel)
        make_policy = partial(WeightsPolicy, panel.sessions, table)
        return Plan(panel, make_policy, PortfolioStrategy, terms, span.first, span.last, schedule, table)
    make = baseline(name, 1.0 if terms.limits is None else terms.limits.cap)
    return Plan(panel, make, PortfolioStrategy, terms, span.first, span.last, schedule)


def holding(plan: AnyPlan) -> Plan:
    """Return the backtest that buys the same symbols once, in equal parts, on the same terms without limits."""
    terms = replace(plan.terms, limits=None)
    return plan_strategy("buy_and_hold", plan.panel, terms, Window(plan.first, plan.last), Schedule.DAILY, None)


def market_of_model(
    path: Path | Model,
    data: Path | Market | None,
    symbols: Sequence[str] | None = None,
    universe: str | None = None,
) -> tuple[Model, Market]:
    """Return a model and the bars it trades: of its symbols in its order, or of any where it is not tied to some.

    Parameters
    ----------
    path : the model, or its folder.
    symbols : those to trade, for a model that may; all in the data for None.
    universe : as for `load_market`.

    Raises
    ------
    DataError
        When the data lacks one of the symbols.
    ConfigError
        When symbols are given for a model that trades those it was trained on.
    """
    from agents.checkpoint import load_model

    model = load_model(path) if isinstance(path, Path) else path
    if model.symbols is None:
        return model, load_market(data, symbols, universe)
    if symbols is not None:
        raise ConfigError(f"--symbols goes with a model of any universe: {model.path} trades those it was trained on")
    market = load_market(data, model.symbols, universe)
    return model, Market(market.panel.select(model.symbols), market.notes)


def load_benchmark(
    text: str | None, panel: MarketPanel, span: Window, cash: float
) -> tuple[FloatArray | None, list[str]]:
    """Return what the initial cash would be worth in a benchmark at each session's close, and remarks.

    Parameters
    ----------
    text : ``FILE`` of bars with one symbol, or ``FILE:SYMBOL``.

    Returns
    -------
    (T,) its last known close, scaled to ``cash`` at the first session; None for None. A benchmark that ends
    before the run is remarked on.

    Raises
    ------
    DataError
        When the file has several symbols and none is named, or no bar by the first session.
    """
    if text is None:
        return None, []
    path, symbol = _split_benchmark(text)
    bars, _ = read_panel(path, None if symbol is None else [symbol])
    if bars.n_symbols != 1:
        raise DataError(
            f"--benchmark {text}: the file has {bars.n_symbols} symbols; name one, as in {path}:{bars.symbols[0]}"
        )
    sessions = panel.sessions[span.first : span.last + 1]
    rows = np.searchsorted(bars.sessions, sessions, side="right") - 1
    if rows[0] < 0:
        raise DataError(
            f"--benchmark {text}: its first bar is of {bars.sessions[0]}, after the run's start {sessions[0]}"
        )
    growth = np.ones(len(bars)) if bars.growth is None else bars.growth[:, 0]
    close = (bars.close[:, 0] * np.cumprod(growth))[rows]  # dividends reinvested, where the file has them
    last = bars.sessions[-1]
    remarks = [f"the benchmark ends on {last} and is held at its last close"] if last < sessions[-1] else []
    return np.asarray(cash * (close / close[0])), remarks


def log_look(model: Model, metrics: Mapping[str, Any], data_hash: str, clock: Clock | None = None) -> None:
    """Add an evaluation to the model's log of looks at test windows."""
    from agents.checkpoint import append_look

    entry = {
        "time_utc": (clock or SystemClock()).now().isoformat(timespec="seconds"),
        "model_hash": model.hash,
        "data_hash": data_hash,
        **{name: metrics[name] for name in ("start", "end", "total_return", "sharpe_ratio", "max_drawdown")},
    }
    append_look(model.path, entry)


def _split_benchmark(text: str) -> tuple[Path, str | None]:
    name, _, symbol = text.rpartition(":")
    return (Path(name), symbol) if name and not Path(text).exists() else (Path(text), None)


def market_of_run(run: Run, data: Path | None = None) -> Market:
    """Return the bars of a run, as its options name them.

    Parameters
    ----------
    data : a file to read instead.

    Raises
    ------
    DataError
        When the file is missing or breaks a rule, or lacks a symbol.
    """
    options = run.options
    path = Path(options["data"]) if data is None and "data" in options else data
    chosen = parse_symbols(options.get("symbols")), options.get("universe")
    try:
        if "model" in options:
            return market_of_model(Path(options["model"]), path, *chosen)[1]
        return load_market(path, *chosen)
    except DataError as error:
        raise DataError(f"the bars of {run.path}: {error}; --data names another file") from error


def benchmark_of_run(run: Run, panel: MarketPanel, cash: float) -> tuple[FloatArray | None, list[str]]:
    """Return what the benchmark column of a run's equity.csv must say, and remarks; None when nothing can tell.

    Parameters
    ----------
    panel : the bars of the run.
    cash : its initial cash, account currency.
    """
    text = run.options.get("benchmark")
    rows = np.flatnonzero(np.isin(panel.sessions.astype(str), run.equity["session"].to_numpy(dtype=str)))
    unchecked = "the benchmark in equity.csv is not checked"
    if text is None or not len(rows):
        return None, [f"{unchecked}: config.toml does not name its file"] if "benchmark" in run.equity else []
    try:
        return load_benchmark(str(text), panel, Window(int(rows[0]), int(rows[-1])), cash)[0], []
    except DataError as error:
        return None, [f"{unchecked}: {error}"]
