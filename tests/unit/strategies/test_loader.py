"""Every kind of thing that a user may name as a strategy, and every way to get it wrong."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panels import panel_of, run_strategy

from engine.errors import ConfigError, PolicyError, UserCodeError
from engine.panel import MarketPanel
from engine.rebalancer import Terms
from strategies.loader import OwnStrategy, blaming, load_own, parse_params

PANEL = panel_of(np.array([[10.0, 20.0], [11.0, 20.0], [12.0, 20.0]]))

CODE = """
import backtrader as bt
import numpy as np
from engine.policy import Decision, StatelessPolicy
from strategies.portfolio import PortfolioStrategy

FACTOR = 0.5

class Momentum(StatelessPolicy):
    def __init__(self, share=0.25):
        self.share = share
    def decide(self, observation):
        return Decision(np.full(len(observation.symbols), self.share))

class Counting(StatelessPolicy):
    def __init__(self):
        self.calls = 0
    def decide(self, observation):
        self.calls += 1
        return np.full(len(observation.symbols), 0.1 * self.calls)
    def state(self):
        return {"calls": self.calls}
    def restore(self, state):
        self.calls = state["calls"]

instance = Counting()

def make(share=0.125):
    return Momentum(share)

def of_panel(panel, share=0.5):
    return Momentum(share if panel.n_symbols == 2 else 0.0)

def plain(observation, share=0.2):
    return [share, FACTOR * share]

def nothing(observation):
    return None

def text(observation):
    return "buy"

class Half:
    def decide(self, observation):
        return None

def two(observation, other):
    return None

def any_names(observation, **names):
    return [names["a"], 0]

class Deciding(PortfolioStrategy):
    params = (("share", 0.3),)
    def decide(self, observation):
        return Decision(np.full(2, self.p.share))

class WithPolicy(PortfolioStrategy):
    params = (("policy", Counting()),)

class Forgetful(PortfolioStrategy):
    pass

class Ordinary(bt.Strategy):
    params = (("fast", 3), ("slow", 8))
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with one of each kind, in the current folder; sys.path is as before afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path / "mine.py"


def first_weights(own: OwnStrategy) -> list[float]:
    """Return the target weights of the first decision."""
    result = run_strategy("policy", own.make_policy(PANEL), PANEL, Terms())
    return [float(weight) for weight in result.target_weight[0]]


@pytest.mark.parametrize(
    ("name", "params", "weights"),
    [
        ("Momentum", {}, [0.25, 0.25]),
        ("Momentum", {"share": 0.1}, [0.1, 0.1]),
        ("instance", {}, [0.1, 0.1]),
        ("make", {}, [0.125, 0.125]),
        ("make", {"share": 0.5}, [0.5, 0.5]),
        ("of_panel", {}, [0.5, 0.5]),
        ("of_panel", {"share": 0.4}, [0.4, 0.4]),
        ("plain", {}, [0.2, 0.1]),
        ("plain", {"share": 0.6}, [0.6, 0.3]),
        ("any_names", {"a": 0.7}, [0.7, 0.0]),
        ("two", {"other": 1}, [np.nan, np.nan]),
        ("nothing", {}, [np.nan, np.nan]),
    ],
)
def test_policies_their_makers_and_plain_functions_decide(
    file: Path, name: str, params: dict[str, Any], weights: list[float]
) -> None:
    own = load_own(f"mine.py:{name}", params)
    np.testing.assert_array_equal(first_weights(own), weights)
    assert not own.places_orders
    assert own.name == f"{file}:{name}"
    assert own.hash == hashlib.sha256(file.read_bytes()).hexdigest()


def test_each_run_has_a_policy_of_its_own_and_its_state_is_the_users(file: Path) -> None:
    own = load_own("mine.py:instance")
    assert first_weights(own) == first_weights(own) == [0.1, 0.1]
    policy = own.make_policy(PANEL)
    policy.restore({"calls": 4})
    assert policy.state() == {"calls": 4}


def test_a_portfolio_strategy_brings_its_decision_or_its_policy(file: Path) -> None:
    deciding = load_own("mine.py:Deciding", {"share": 0.4})
    assert deciding.strategy.__name__ == "Deciding"
    assert deciding.params == {"share": 0.4}
    assert not deciding.places_orders
    own = load_own("mine.py:WithPolicy")
    policies = own.make_policy(PANEL), own.make_policy(PANEL)
    assert policies[0] is not policies[1]
    assert type(policies[0]).__name__ == "Counting"


def test_any_other_backtrader_strategy_places_orders(file: Path) -> None:
    own = load_own("mine.py:Ordinary", {"fast": 5})
    assert own.places_orders
    assert own.params == {"fast": 5}


def test_a_module_is_named_with_dots_and_found_in_the_current_folder(file: Path) -> None:
    (file.parent / "desk").mkdir()
    (file.parent / "desk" / "__init__.py").touch()
    (file.parent / "desk" / "books.py").write_text(CODE)
    own = load_own("desk.books:Momentum")
    assert first_weights(own) == [0.25, 0.25]
    assert own.name == "desk.books:Momentum"
    assert own.source == file.parent / "desk" / "books.py"


def test_a_file_finds_its_neighbours_and_hides_none_of_our_modules(file: Path) -> None:
    (file.parent / "helper_of_mine.py").write_text("SHARE = 0.35\n")
    (file.parent / "engine.py").write_text(
        "from helper_of_mine import SHARE\nfrom engine.errors import InputError\n"
        "def plain(observation):\n    return [SHARE, 0.0]\n"
    )
    assert first_weights(load_own("engine.py:plain")) == [0.35, 0.0]
    assert not (file.parent / "__pycache__" / "engine.cpython-311.pyc").exists()


def test_a_dataclass_in_a_file_works(file: Path) -> None:
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom engine.policy import *\n"
        "@dataclass\nclass Kept(StatelessPolicy):\n    share: float = 0.5\n"
        "    def decide(self, observation):\n        return [self.share, 0]\n"
    )
    assert first_weights(load_own("mine.py:Kept", {"share": 0.2})) == [0.2, 0.0]


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("none.py:X", {}, "none.py cannot be read: No such file or directory"),
        (
            "mine.py:Momentun",
            {},
            "has no 'Momentun', did you mean 'Momentum'; it has Momentum, Counting, instance, make",
        ),
        ("mine.py", {}, "name the strategy in the file, as in mine.py:NAME; it has Momentum"),
        ("mine.py:", {}, "name the strategy in the file"),
        ("no.such.module:X", {}, "there is no module 'no.such.module', here or among what is installed"),
        ("sys:path", {}, "there is no module 'sys'"),
        ("mine.py:FACTOR", {}, "must be a policy .* it is or makes a float"),
        ("mine.py:two", {}, "needs observation and other: give --param observation=VALUE"),
        ("mine.py:Forgetful", {}, r"must override decide\(observation\), or have a policy among its params"),
        ("mine.py:Momentum", {"shar": 1}, "has no such parameter, did you mean 'share'; it has share"),
        ("mine.py:nothing", {"a": 1}, "has no such parameter; it has observation"),
        ("mine.py:instance", {"a": 1}, "--param goes with a class or a function"),
        ("mine.py:Ordinary", {"fats": 1}, "has no such parameter, did you mean 'fast'; it has fast, slow"),
        ("mine.py:Deciding", {"terms": 1}, "has no such parameter; it has share"),
        ("mine.py:np", {}, "must be a policy"),
    ],
)
def test_a_wrong_name_or_parameter_is_said_with_what_there_is(
    file: Path, name: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_own(name, params)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Half", "has decide but is no whole policy: derive it from StatelessPolicy"),
        ("make", "must be a policy .* it is or makes a NoneType"),
    ],
)
def test_what_a_class_or_a_maker_makes_must_be_a_policy(file: Path, name: str, message: str) -> None:
    file.write_text(CODE + "\ndef make():\n    return None\n")
    with pytest.raises(ConfigError, match=message):
        load_own(f"mine.py:{name}").make_policy(PANEL)


def test_a_decision_that_is_no_numbers_is_refused_with_session_and_value(file: Path) -> None:
    with pytest.raises(PolicyError, match=r"mine.py:text must return .* 2 weights or None; on 2024-01-01 it .* 'buy'"):
        first_weights(load_own("mine.py:text"))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import no_such_thing",
            "importing .*mine.py raised ModuleNotFoundError: No module named 'no_such_thing', line 1",
        ),
        ("x = 1\ny = x +", r"importing .*mine.py raised SyntaxError: invalid syntax"),
        ("x = 1\nraise SystemExit(3)", "importing .*mine.py raised SystemExit: 3, line 2 .*__main__"),
    ],
)
def test_an_exception_on_import_is_the_users_and_says_where(file: Path, code: str, message: str) -> None:
    file.write_text(code)
    with pytest.raises(UserCodeError, match=message) as caught:
        load_own("mine.py:X")
    assert caught.value.exit_code == 2
    assert caught.value.__cause__ is not None


def test_an_exception_in_a_users_function_is_blamed_on_its_line_and_others_are_not(file: Path) -> None:
    file.write_text("def broken(observation):\n    return 1 / len(observation.symbols[:0])\n")
    own = load_own("mine.py:broken")
    with (
        pytest.raises(UserCodeError, match=r"broken raised ZeroDivisionError: .*mine.py, line 2, in broken"),
        blaming(own.source, "broken"),
    ):
        first_weights(own)
    with pytest.raises(ZeroDivisionError), blaming(own.source, "broken"):
        _ = 1 / len(PANEL.symbols[:0])


def test_parameters_are_read_as_toml_and_else_as_text() -> None:
    texts = ["a=1", "b=0.5", "c=true", "d=name", "e=[1, 2]", 'f="1"', "g=x = y", "h="]
    assert parse_params(texts) == {
        **{"a": 1, "b": 0.5, "c": True, "d": "name", "e": [1, 2], "f": "1"},
        **{"g": "x = y", "h": ""},
    }
    assert isinstance(parse_params(["a=1"])["a"], int)
    for text in ("a", "=1", "two words=1"):
        with pytest.raises(ConfigError, match="--param must be NAME=VALUE"):
            parse_params([text])
    with pytest.raises(ConfigError, match="--param a is given twice"):
        parse_params(["a=1", "a=2"])


def test_the_panel_that_a_maker_gets_is_the_one_of_the_run(file: Path) -> None:
    other = MarketPanel(
        PANEL.sessions,
        ("S0",),
        *(getattr(PANEL, f)[:, :1] for f in ("open", "high", "low", "close")),
        volume=PANEL.volume[:, :1],
    )
    own = load_own("mine.py:of_panel")
    result = run_strategy("policy", own.make_policy(other), other, Terms())
    assert result.target_weight[0].tolist() == [0.0]
