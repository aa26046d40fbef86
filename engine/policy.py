"""The policy protocol: observation in, target weights out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from engine.arrays import FloatArray
from engine.observation import Observation
from engine.panel import MarketPanel, Window


@dataclass(frozen=True, slots=True)
class Decision:
    """Target weights and why.

    Attributes
    ----------
    weights : (N,) >= 0 with sum <= 1, the rest is cash; NaN keeps a symbol's shares, and NaN alone is no
        decision. To hold, say NaN: asking for the weight held now may sell a share, since sizes are floored.
        Weights outside these bounds are an error, unless limits are set: these project any weights.
    agent_weights : weight of each agent of an ensemble by name; empty for other policies.
    """

    weights: FloatArray
    agent_weights: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Policy(Protocol):
    """Anything that maps an observation to target weights.

    Attributes
    ----------
    features : names of the features it reads; empty when it reads none.
    lookback_bars : bars of history it needs, this session's included.
    """

    features: tuple[str, ...]
    lookback_bars: int

    def decide(self, observation: Observation) -> Decision | None:
        """Return target weights, or None for no rebalance in this session."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what the policy carries from session to session, as JSON values."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state` returned."""
        ...


@runtime_checkable
class FittablePolicy(Policy, Protocol):
    """A policy that learns from bars before it decides; `marsfolio walk-forward` fits it anew in each window."""

    def fit(self, panel: MarketPanel, train: Window, validation: Window | None) -> None:
        """Learn from the rows ``train``, and choose by ``validation``; the panel ends with the last of them.

        Rows before ``train.first`` are history for features, not to be learnt from.
        """
        ...


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a learned policy decides what it decides in one session.

    Attributes
    ----------
    agents : A names, most cautious first; one for a single agent.
    agent_weights : (A,) weight of each agent in the decision, sum 1.
    proposals : (A, N) target weights that each agent alone would ask for, before limits; NaN where it asks for none.
    value, risk : (A,) predicted value and risk of its proposal; NaN where nothing predicts them.
    value_means, risk_means : what these numbers are, unit included.
    """

    agents: tuple[str, ...]
    agent_weights: FloatArray
    proposals: FloatArray
    value: FloatArray
    risk: FloatArray
    value_means: str
    risk_means: str


@runtime_checkable
class LearnedPolicy(Policy, Protocol):
    """A policy of one or several trained agents.

    Attributes
    ----------
    agent_names : A names, most cautious first.
    """

    agent_names: tuple[str, ...]

    def explain(self, observation: Observation) -> Explanation | None:
        """Return why `decide`, called next, decides as it does; None where it decides nothing. Changes no state."""
        ...


Decide = Callable[[Observation], Decision | None]


class StatelessPolicy:
    """Base for policies that carry nothing from one session to the next and read no features."""

    features: tuple[str, ...] = ()
    lookback_bars: int = 1

    def state(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Do nothing: there is no state."""
