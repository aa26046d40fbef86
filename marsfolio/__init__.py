"""Backtest, train, evaluate and paper-trade portfolio strategies: what the command line does, in a few calls.

The names below are imported when they are first used, so that the command line starts at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.checkpoint import Model
    from engine.observation import Observation
    from engine.policy import Decision, StatelessPolicy
    from marsfolio.api.backtests import Backtest, backtest
    from marsfolio.api.bars import Bars, read_bars
    from marsfolio.api.comparisons import Comparison, compare
    from marsfolio.api.evaluations import Evaluation, evaluate
    from marsfolio.api.training import load_model, train
    from marsfolio.api.views import RunView, open_run

_PLACES = {
    "marsfolio.api.backtests": ("Backtest", "backtest"),
    "marsfolio.api.bars": ("Bars", "read_bars"),
    "marsfolio.api.comparisons": ("Comparison", "compare"),
    "marsfolio.api.evaluations": ("Evaluation", "evaluate"),
    "marsfolio.api.training": ("load_model", "train"),
    "marsfolio.api.views": ("RunView", "open_run"),
    "agents.checkpoint": ("Model",),
    "engine.observation": ("Observation",),
    "engine.policy": ("Decision", "StatelessPolicy"),
}

__all__ = [
    "Backtest",
    "Bars",
    "Comparison",
    "Decision",
    "Evaluation",
    "Model",
    "Observation",
    "RunView",
    "StatelessPolicy",
    "backtest",
    "compare",
    "evaluate",
    "load_model",
    "open_run",
    "read_bars",
    "train",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    place = next((place for place, names in _PLACES.items() if name in names), None)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from marsfolio.installation import check_rooms

    check_rooms()
    found: object = getattr(import_module(place), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
