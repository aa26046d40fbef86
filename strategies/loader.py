"""Strategies of the user's own, named as FILE.py:NAME or package.module:NAME."""

from __future__ import annotations

import copy
import hashlib
import importlib
import importlib.util
import inspect
import sys
import tomllib
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np

from engine.errors import ConfigError, MarsfolioError, PolicyError, UserCodeError, did_you_mean
from engine.observation import Observation
from engine.panel import MarketPanel, Window
from engine.policy import Decision, FittablePolicy, Policy
from strategies.portfolio import NoPolicy, PortfolioStrategy

_SET_BY_THE_RUN = ("policy", "terms", "schedule", "initial_state")
_KINDS = (
    "a policy (class, instance, or function without arguments that makes one), a function of an observation that "
    "returns weights, or a subclass of PortfolioStrategy or bt.Strategy"
)


@dataclass(frozen=True)
class OwnStrategy:
    """What a user's name stands for.

    Attributes
    ----------
    name : with an absolute path, so that it means the same in any folder.
    source, hash : the file, and its sha256; empty for an object that no name leads to.
    make_policy : returns a fresh policy for a run on a panel.
    strategy : the backtrader strategy that carries the policy out; an ordinary one has no policy.
    params : its parameters.
    """

    name: str
    source: Path
    hash: str
    make_policy: Callable[[MarketPanel], Policy]
    strategy: type[bt.Strategy] = PortfolioStrategy
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_named(self) -> bool:
        """True when the name leads to it in another process."""
        return bool(self.hash)

    @property
    def places_orders(self) -> bool:
        """True for an ordinary backtrader strategy, which places single orders."""
        return not issubclass(self.strategy, PortfolioStrategy)


def parse_params(texts: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of ``name=value`` texts: values as TOML writes them, anything else as text.

    Raises
    ------
    ConfigError
        When a text has no name, or a name comes twice.
    """
    params: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.isidentifier():
            raise ConfigError(f"--param must be NAME=VALUE, as in fast=10, was {text!r}")
        if name in params:
            raise ConfigError(f"--param {name} is given twice")
        try:
            params[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            params[name] = value
    return params


def load_own(name: str, params: Mapping[str, Any] | None = None) -> OwnStrategy:
    """Import what a user named.

    Raises
    ------
    ConfigError
        When the file or the name in it is missing, is of no kind that runs, or does not take the parameters.
    UserCodeError
        When importing it raises an exception.
    """
    place, _, attribute = name.rpartition(":") if ":" in name else (name, "", "")
    module, path, digest = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    if attribute not in vars(module):
        names = _candidates(module)
        hint = did_you_mean(attribute, names)
        listed = f"it has {', '.join(names)}" if names else "it defines nothing that could be one"
        raise ConfigError(
            f"--strategy {name}: {path} has no {attribute!r}{hint}; {listed}"
            if attribute
            else f"--strategy {name}: name the strategy in the file, as in {place}:NAME; {listed}"
        )
    full = f"{path}:{attribute}" if place.endswith(".py") else name
    return _own(vars(module)[attribute], params, full, path, digest)


def own_of(found: Any, params: Mapping[str, Any] | None = None) -> OwnStrategy:
    """Return the strategy that an object is: what `load_own` does for a name.

    The name is FILE.py:NAME where such a name leads to the object; otherwise it has no colon, and the hash is empty.

    Raises
    ------
    ConfigError
        When it is of no kind that runs, or does not take the parameters.
    """
    named = found if isinstance(found, type) or inspect.isfunction(found) else type(found)
    module = sys.modules.get(named.__module__)
    file = getattr(module, "__file__", None)
    name = next((name for name, value in vars(module).items() if value is found), None) if module and file else None
    if name is None or not str(file).endswith(".py"):
        return _own(found, params, named.__qualname__, Path(_file_of(named)), "")
    path = Path(str(file)).resolve()
    return _own(found, params, f"{path}:{name}", path, hashlib.sha256(path.read_bytes()).hexdigest())


def _file_of(named: Any) -> str:
    try:
        return inspect.getfile(named)
    except (TypeError, OSError):  # as of a class that was typed in
        return "<python>"


def _own(found: Any, params: Mapping[str, Any] | None, full: str, path: Path, digest: str) -> OwnStrategy:
    own = partial(OwnStrategy, full, path, digest)
    params = dict(params or {})
    if isinstance(found, type) and issubclass(found, bt.Strategy):
        keys: list[str] = getattr(found, "params")._getkeys()  # noqa: B009 - set by backtrader's metaclass
        _check_names(params, [key for key in keys if key not in _SET_BY_THE_RUN], full)
        return own(_default_policy(found, full), found, params)
    return own(_policy_maker(found, params, full))


@contextmanager
def blaming(source: Path | None, name: str = "") -> Iterator[None]:
    """Turn an exception that passed through a user's file, or rose inside backtrader, into one that says where.

    Raises
    ------
    UserCodeError
        Instead of any exception but this project's own.
    """
    try:
        yield
    except MarsfolioError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if frame.filename == str(source)]
        if Path(bt.__file__).parent in Path(frames[-1].filename).parents:  # as an indicator that divides by zero
            theirs = theirs or frames[-1:]
        if not theirs:
            raise
        place = f"{theirs[-1].filename}, line {theirs[-1].lineno}, in {theirs[-1].name}"
        raise UserCodeError(f"{name} raised {type(error).__name__}: {error} ({place})") from error


class OwnPolicy:
    """A user's policy, whose decisions may also be plain weights.

    Parameters
    ----------
    policy : whose features and state these are.
    decide : returns a `Decision`, an array of N weights, or None.
    name : begins messages about decisions that are none of these.
    """

    def __init__(self, policy: Policy, decide: Callable[[Observation], Any], name: str) -> None:
        self._policy, self._decide, self._name = policy, decide, name
        self.features = policy.features
        self.lookback_bars = policy.lookback_bars

    def decide(self, observation: Observation) -> Decision | None:
        """Return the decision.

        Raises
        ------
        PolicyError
            When it is neither a decision nor numbers.
        """
        found = self._decide(observation)
        if found is None or isinstance(found, Decision):
            return found
        try:
            return Decision(np.asarray(found, dtype=np.float64))
        except (TypeError, ValueError):
            raise PolicyError(
                f"{self._name} must return a Decision, an array of {len(observation.symbols)} weights or None; on "
                f"{observation.session} it returned {found!r}"
            ) from None

    @property
    def policy(self) -> Policy:
        """The user's policy itself."""
        return self._policy

    @property
    def can_fit(self) -> bool:
        """True when the policy learns from bars before it decides."""
        return isinstance(self._policy, FittablePolicy)

    def fit(self, panel: MarketPanel, train: Window, validation: Window | None) -> None:
        """Let the policy learn, if it can."""
        if isinstance(self._policy, FittablePolicy):
            self._policy.fit(panel, train, validation)

    def state(self) -> dict[str, Any]:
        """Return the policy's state."""
        return self._policy.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state` returned."""
        self._policy.restore(state)


def _import_file(path: Path) -> tuple[types.ModuleType, Path, str]:
    path = path.resolve()
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"--strategy {path} cannot be read: {error.strerror}") from error
    _find_modules_in(path.parent)
    # Not through the import system: a file may have the name of a module that is loaded, and leaves no cache behind.
    digest = hashlib.sha256(source).hexdigest()
    module = types.ModuleType(f"own_{path.stem}_{digest[:8]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    with _importing(path):
        exec(compile(source, str(path), "exec"), vars(module))
    return module, path, digest


def _import_module(name: str) -> tuple[types.ModuleType, Path, str]:
    _find_modules_in(Path.cwd())
    try:
        known = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        known = None
    if known is None or known.origin is None or not known.has_location:
        raise ConfigError(f"--strategy {name}: there is no module {name!r}, here or among what is installed")
    path = Path(known.origin)
    with _importing(path):
        module = importlib.import_module(name)
    return module, path, hashlib.sha256(path.read_bytes()).hexdigest()


def _find_modules_in(folder: Path) -> None:
    # Last, so that a file of the user's does not hide a module of ours.
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


@contextmanager
def _importing(path: Path) -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = f", line {frames[-1].lineno}" if frames else ""
        raise UserCodeError(
            f"importing {path} raised {type(error).__name__}: {error}{place} (what is to run as a script alone "
            'belongs below if __name__ == "__main__")'
        ) from error


def _candidates(module: types.ModuleType) -> list[str]:
    """Return the names of classes and functions that the module defines, and of instances that decide."""
    names = []
    for name, value in vars(module).items():
        defined = callable(value) and getattr(value, "__module__", None) == module.__name__
        if not name.startswith("_") and (defined or (hasattr(value, "decide") and not isinstance(value, type))):
            names.append(name)
    return names


def _default_policy(strategy: type[bt.Strategy], name: str) -> Callable[[MarketPanel], Policy]:
    if not issubclass(strategy, PortfolioStrategy):
        return lambda _: NoPolicy()
    policy = strategy.params.policy
    if policy is None and strategy.decide is PortfolioStrategy.decide:
        raise ConfigError(f"--strategy {name} must override decide(observation), or have a policy among its params")
    return lambda _: NoPolicy() if policy is None else copy.deepcopy(policy)


def _policy_maker(found: Any, params: dict[str, Any], name: str) -> Callable[[MarketPanel], Policy]:
    if not callable(found) or (hasattr(found, "decide") and not isinstance(found, type)):
        if params:
            raise ConfigError(f"--param goes with a class or a function, and {name} is an instance")
        _checked(found, name)
        return lambda _: _checked(copy.deepcopy(found), name)  # one that has run carries state
    needed = _needed(found, params, name)
    made = partial(found, **params)
    if not needed:
        return lambda _: _checked(made(), name)
    if needed == ["panel"]:
        return lambda panel: _checked(made(panel=panel), name)
    if len(needed) == 1 and not isinstance(found, type):
        return lambda _: OwnPolicy(NoPolicy(), made, name)
    raise ConfigError(f"--strategy {name} needs {' and '.join(needed)}: give --param {needed[0]}=VALUE")


def _needed(function: Callable[..., Any], params: Mapping[str, Any], name: str) -> list[str]:
    """Return the arguments that a call with ``params`` would lack, and refuse those that it would not take."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError as error:
        raise ConfigError(f"--strategy {name} must be {_KINDS}") from error
    named = {p.name: p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    if all(p.kind is not p.VAR_KEYWORD for p in parameters):
        _check_names(params, list(named), name)
    return [key for key, p in named.items() if p.default is p.empty and key not in params]


def _checked(policy: Any, name: str) -> Policy:
    if isinstance(policy, Policy):
        return OwnPolicy(policy, policy.decide, name)
    if hasattr(policy, "decide"):
        raise ConfigError(f"--strategy {name} has decide but is no whole policy: derive it from StatelessPolicy")
    raise ConfigError(f"--strategy {name} must be {_KINDS}; it is or makes a {type(policy).__name__}")


def _check_names(params: Mapping[str, Any], known: Sequence[str], name: str) -> None:
    for key in params:
        if key not in known:
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"--param {key}: {name} has no such parameter{did_you_mean(key, known)}; {there}")
