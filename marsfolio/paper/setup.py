"""From the options of a paper account to the objects that trade it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.clock import Clock
from engine.errors import ConfigError, InputError, RunFolderError, TemporaryError, TradingStopped
from engine.ledger import FillTiming
from engine.limits import MODEL_LIMITS
from engine.panel import MarketPanel
from engine.policy import Policy
from engine.rebalancer import Schedule, Terms
from live.deciding import Recipe, no_check
from live.guards import Guards
from live.journal import Journal
from marsfolio.choice import costs_of, is_own
from marsfolio.compose import load_market, market_of_model, parse_symbols, with_limits
from marsfolio.paper.options import BROKERS, CONFIG_FILE, DATABASE_VARIABLE, JOURNAL_FILE, KIND, PaperOptions
from marsfolio.runs import write_config
from strategies.loader import load_own, parse_params
from strategies.portfolio import PortfolioStrategy
from strategies.registry import WEIGHTS, baseline

if TYPE_CHECKING:
    from agents.checkpoint import Model

ACCOUNT_FILE = "simulated.db"
BARS_FOLDER = "bars"
LOCK_FILE = "lock"
SKEW_SECONDS = 60.0


@contextmanager
def state_folder(state: Path) -> Iterator[None]:
    """Hold a state folder, made when there is none, so that no other process works on it.

    Raises
    ------
    TemporaryError
        When another process holds it.
    RunFolderError
        When it cannot be written.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        file = (state / LOCK_FILE).open("a+")
    except OSError as error:
        raise RunFolderError(f"--state {state} cannot be written: {error.strerror}; nothing was sent") from error
    with file:
        try:
            # The system releases it when the process dies, however it dies.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise TemporaryError(
                f"another process (pid {holder}) is working on {state}: nothing was sent by this one; "
                "see `marsfolio paper status`"
            ) from error
        try:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            _check_writable(state)
        except OSError as error:
            raise RunFolderError(f"--state {state} cannot be written: {error.strerror}; nothing was sent") from error
        yield


def _check_writable(state: Path) -> None:
    probe = state / ".probe"
    try:
        probe.write_bytes(b"x" * 65536)
    finally:
        probe.unlink(missing_ok=True)


def terms_of_options(options: PaperOptions) -> Terms:
    """Return the terms of trading; limits as for a backtest: those of models by default, none for strategies."""
    costs = costs_of(options.costs, options.commission_bps, options.slippage_bps)
    terms = Terms(options.cash, costs, None, FillTiming.parse(options.fill), options.fractional)
    default = MODEL_LIMITS if options.model is not None else None
    return with_limits(terms, options.cap, options.cash_buffer, default)


def check_options(options: PaperOptions) -> None:
    """Refuse options that do not go together.

    Raises
    ------
    ConfigError
        Saying which and why.
    """
    if options.broker not in BROKERS:
        raise ConfigError(f"--broker must be {' or '.join(BROKERS)}, was {options.broker!r}")
    if (options.model is None) == (options.strategy is None):
        raise ConfigError(
            "give either --model FOLDER or --strategy NAME --symbols A,B,... (once; --state remembers it)"
        )
    if options.strategy is not None and options.broker == "alpaca" and options.symbols is None:
        raise ConfigError("--strategy needs --symbols A,B,...: the symbols to hold")
    if options.model is not None and (options.weights is not None or options.param):
        raise ConfigError("--weights and --param go with --strategy")
    if options.agent is not None and options.model is None:
        raise ConfigError("--agent goes with --model")
    if options.model is not None and options.rebalance != "daily":
        raise ConfigError("--rebalance goes with --strategy; a model decides in every session")
    if options.broker == "alpaca" and options.data is not None:
        raise ConfigError("--data goes with --broker simulated; with alpaca the bars come from there")
    if options.history < 2:
        raise ConfigError(f"--history must be at least 2 sessions, was {options.history}")


@dataclass(frozen=True)
class Chosen:
    """The strategy of an account, before it is known where its bars come from.

    Attributes
    ----------
    identity : what makes it this strategy and no other; a state folder keeps one.
    """

    recipe: Recipe
    identity: dict[str, Any]


def choose(options: PaperOptions, panel: MarketPanel | None) -> Chosen:
    """Return the strategy that options name.

    Parameters
    ----------
    panel : all bars there are, for --broker simulated; None where they come from the broker.

    Raises
    ------
    ConfigError
        When symbols are missing or not the model's.
    CheckpointError
        When the model is damaged.
    """
    terms = terms_of_options(options)
    limits = None if terms.limits is None else [terms.limits.cap, terms.limits.cash_buffer]
    common = {"broker": options.broker, "limits": limits, "fractional": options.fractional}
    if options.model is not None:
        return _of_model(options, panel, terms, common)
    return _of_strategy(options, panel, terms, common)


def _of_model(options: PaperOptions, panel: MarketPanel | None, terms: Terms, common: dict[str, Any]) -> Chosen:
    from agents.checkpoint import load_model, verify_model
    from strategies.mars import MarsStrategy

    path = Path(str(options.model))
    model = load_model(path)
    symbols = _symbols_of_model(options, model, panel)
    make: Callable[[], Policy] = model.policy if options.agent is None else partial(model.agent_policy, options.agent)
    identity = {**common, "model": model.hash, "agent": options.agent, "symbols": list(symbols)}
    recipe = Recipe(
        name=f"{Path(str(options.model)).name}{'' if options.agent is None else '/' + options.agent}",
        identity=model.hash,
        strategy=MarsStrategy,
        make_policy=lambda panel: make(),
        symbols=symbols,
        lookback_bars=make().lookback_bars,
        terms=terms,
        check=partial(_check_unchanged, path, model.hash, verify_model),
    )
    return Chosen(recipe, identity)


def _check_unchanged(path: Path, known: str, hashed: Callable[[Path], str]) -> None:
    """Stop when what decides is not what this account began with: a service may run for months."""
    try:
        found = hashed(path)
    except (InputError, OSError) as error:
        raise TradingStopped(f"nothing was traded: {error}") from error
    if found != known:
        raise TradingStopped(
            f"{path} was changed while the service ran (its hash is {found[:12]}, was {known[:12]}): nothing was "
            "traded; put it back, or give what is there now a --state of its own"
        )


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _symbols_of_model(options: PaperOptions, model: Model, panel: MarketPanel | None) -> tuple[str, ...]:
    wanted = parse_symbols(options.symbols)
    if model.symbols is not None:
        if wanted is not None and set(wanted) != set(model.symbols):
            raise ConfigError(f"--symbols: the model trades the {len(model.symbols)} symbols it was trained on alone")
        return model.symbols
    if wanted is not None:
        return tuple(sorted(wanted))  # as bars from a file come
    if panel is None:
        raise ConfigError("--symbols A,B,... is needed: this model trades any symbols, and must be told which")
    return panel.symbols


def _of_strategy(options: PaperOptions, panel: MarketPanel | None, terms: Terms, common: dict[str, Any]) -> Chosen:
    name = str(options.strategy)
    wanted = parse_symbols(options.symbols)
    symbols = tuple(sorted(wanted)) if wanted is not None else () if panel is None else panel.symbols
    identity = {
        **common,
        "strategy": name,
        "rebalance": options.rebalance,
        "param": list(options.param),
        "symbols": list(symbols),
    }
    strategy: type[Any] = PortfolioStrategy
    params: dict[str, Any] = {}
    lookback = options.history
    make_policy: Callable[[MarketPanel], Policy]
    check: Callable[[], None] = no_check
    if is_own(name):
        own = load_own(name, parse_params(options.param))
        if own.places_orders:
            raise ConfigError(
                f"--strategy {name} places single orders: on paper a strategy decides on target weights "
                "(a policy, a function of an observation, or a PortfolioStrategy)"
            )
        identity["file"] = own.hash
        strategy, params, make_policy = own.strategy, dict(own.params), own.make_policy
        check = partial(_check_unchanged, own.source, own.hash, _file_hash)
    elif name == WEIGHTS:
        make_policy = _weights_policy(options)
    else:
        make = baseline(name, 1.0 if terms.limits is None else terms.limits.cap)
        lookback = max(lookback, make().lookback_bars)

        def make_policy(panel: MarketPanel) -> Policy:
            return make()

    recipe = Recipe(
        name=name.rpartition(":")[2],
        identity=str(identity.get("file", name)),
        strategy=strategy,
        make_policy=make_policy,
        symbols=symbols,
        lookback_bars=lookback,
        terms=terms,
        schedule=Schedule(options.rebalance),
        params=params,
        check=check,
    )
    return Chosen(recipe, identity)


def _weights_policy(options: PaperOptions) -> Callable[[MarketPanel], Policy]:
    """Return what makes a policy of a weights file anew for each session: the file grows from day to day."""
    if options.weights is None:
        raise ConfigError("--strategy weights needs --weights FILE")
    path = Path(options.weights)

    def make(panel: MarketPanel) -> Policy:
        from data_feeds.files import read_weights
        from strategies.weights_file import WeightsPolicy

        return WeightsPolicy(panel.sessions, read_weights(path, panel))

    return make


def settle_identity(journal: Journal, identity: dict[str, Any], state: Path) -> None:
    """Keep what the account runs, or refuse when it is not what the state folder was made for.

    Raises
    ------
    ConfigError
        Naming what differs.
    """
    known = journal.value("identity")
    if known is None:
        with journal.writing() as writer:
            writer.set_value("identity", identity)
            writer.note("identity", **identity)
        return
    for name in sorted({*known, *identity}):
        if known.get(name) != identity.get(name):
            raise ConfigError(
                f"--state {state} belongs to another account or strategy: its {name} is {_short(known.get(name))}, now "
                f"{_short(identity.get(name))}; give each strategy a --state of its own"
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def remember(state: Path, options: PaperOptions, identity: dict[str, Any]) -> None:
    """Write the state folder's config.toml, so that later commands need no flags but --state."""
    beside = state / f".{CONFIG_FILE}.new"
    write_config(
        beside, KIND, KIND, options.table(), {"identity": {k: v for k, v in identity.items() if v is not None}}
    )
    beside.replace(state / CONFIG_FILE)


def journal_of(
    options: PaperOptions, state: Path, clock: Clock | None = None, durable: bool = True, new: bool = True
) -> Journal:
    """Open the journal of a state folder.

    Parameters
    ----------
    new : make one when there is none.

    Raises
    ------
    RunFolderError
        When it is missing where it should be, or damaged.
    """
    if options.database is not None:
        return Journal(options.database, clock, durable)
    path = state / JOURNAL_FILE
    if not path.exists() and (state / CONFIG_FILE).exists():
        raise RunFolderError(
            f"{path} does not exist, though the folder was used before: name the database that has the journal in "
            f"{DATABASE_VARIABLE}, restore the file from a copy, or choose another --state"
        )
    if not path.exists() and not new:
        raise RunFolderError(f"{path} does not exist: nothing was traded with this --state yet")
    return Journal.at(path, clock, durable)


def panel_of(options: PaperOptions) -> MarketPanel:
    """Return all bars of the simulated broker's file, of the account's symbols."""
    data = None if options.data is None else Path(options.data)
    wanted = parse_symbols(options.symbols)
    if options.model is not None:
        _, market = market_of_model(Path(options.model), data, wanted if _chooses(options) else None)
        return market.panel
    return load_market(data, wanted).panel


def _chooses(options: PaperOptions) -> bool:
    from agents.checkpoint import load_model

    return load_model(Path(str(options.model))).symbols is None


def guards_of(options: PaperOptions) -> Guards:
    """Return the limits of a session."""
    return Guards(options.max_turnover, options.max_orders, options.max_notional, options.max_loss)
