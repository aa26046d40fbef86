"""What trainings of all methods share: who hears of them, and how a model is scored."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch


class Losses(NamedTuple):
    """Mean losses over the agents of one update."""

    actor: float
    critic: float
    safety: float


@dataclass(frozen=True, slots=True)
class EpisodeReport:
    """One line of the training history.

    Attributes
    ----------
    equity : account value at the episode's end over its beginning, with exploration noise and costs.
    reward : mean reward of a step.
    actor_loss, critic_loss, safety_loss : means over the episode's updates and the agents.
    controller_loss : mean over the updates after this episode; NaN without any.
    agents_in_use : exp of the mean entropy of the controller's weights in this episode: 1 when a single agent
        decides at a time, A when all count alike.
    score : checkpoint score on the validation window; NaN where not validated.
    best : best score so far.
    """

    episode: int
    equity: float
    reward: float
    actor_loss: float
    critic_loss: float
    safety_loss: float
    controller_loss: float
    agents_in_use: float
    score: float
    best: float


class Reporter(Protocol):
    """Is told how training goes."""

    def step(self, episode: int, done: int, total: int, losses: Losses | None) -> None:
        """Hear of one environment step of an episode."""
        ...

    def episode(self, report: EpisodeReport) -> None:
        """Hear of a finished episode; its state is on disk by then."""
        ...

    def part(self, name: str, done: int, total: int) -> None:
        """Hear of one gradient step of a part of the agents, in a training without episodes."""
        ...


class Silence:
    """A reporter that says nothing."""

    def step(self, episode: int, done: int, total: int, losses: Losses | None) -> None:
        """Do nothing."""

    def episode(self, report: EpisodeReport) -> None:
        """Do nothing."""

    def part(self, name: str, done: int, total: int) -> None:
        """Do nothing."""


@contextmanager
def deterministic() -> Iterator[None]:
    """Let torch use deterministic algorithms alone, in this block: a setting of the whole process."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it a GPU's products are not
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def checkpoint_score(metrics: Mapping[str, Any]) -> float:
    """Return 0.4 * return + 0.4 * clip(Sharpe, -3, 5) / 5 - 0.2 * max drawdown (the authors' code).

    An undefined Sharpe ratio counts as 0.
    """
    sharpe = metrics["sharpe_ratio"] or 0.0
    return float(
        0.4 * metrics["total_return"] + 0.4 * min(max(sharpe, -3.0), 5.0) / 5.0 - 0.2 * metrics["max_drawdown"]
    )
