"""The names of --strategy: all are listed, and each makes a policy of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from engine.errors import ConfigError
from engine.policy import Policy
from marsfolio.cli import app
from strategies.registry import BASELINES, STRATEGIES, baseline


def test_the_help_lists_every_name() -> None:
    page = CliRunner().invoke(app, ["backtest", "--help"], env={"COLUMNS": "1000"}).output
    assert ", ".join(STRATEGIES) in " ".join(page.split())  # wrapped at the terminal's width


@pytest.mark.parametrize("name", BASELINES)
def test_each_name_makes_a_fresh_policy_that_says_how_much_it_reads(name: str) -> None:
    one, other = BASELINES[name](), baseline(name)()
    assert isinstance(one, Policy)
    assert type(one) is type(other)
    assert one is not other
    assert 1 <= one.lookback_bars <= 400


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown strategy 'min_varience', did you mean 'min_variance': there are"):
        baseline("min_varience")


@pytest.mark.process
def test_the_names_alone_import_no_optimiser() -> None:
    code = "import strategies.registry, sys; print([m for m in ('skfolio', 'cvxpy', 'sklearn') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
