"""A run played again up to one session, and what its policy saw and said there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.arrays import FloatArray
from engine.errors import InputError, PolicyError, RunFolderError
from engine.observation import Observation
from engine.policy import Decision, Explanation, LearnedPolicy, Policy
from engine.result import Result
from engine.simulator import current_weights
from marsfolio.plans import AnyPlan, OrderPlan, Plan
from marsfolio.runs import Run
from strategies.loader import OwnPolicy
from strategies.portfolio import PortfolioStrategy, watched
from strategies.stitched import StitchedPolicy


@dataclass(frozen=True)
class Replayed:
    """A run played again up to the session after one session, or to its own end.

    Attributes
    ----------
    plan, result : the run, and what the replay recorded.
    row, t : the session's row in the panel, and in the result.
    observation : what the policy was shown; None where the schedule passed the session over.
    decision : what the policy answered, before limits.
    learned : why, where the policy is a learned one and there was a rebalance.
    quantity, mark : (N,) shares held at the close, and the prices they are valued at.
    """

    plan: Plan
    result: Result
    row: int
    t: int
    observation: Observation | None
    decision: Decision | None
    learned: Explanation | None
    quantity: FloatArray
    mark: FloatArray

    @property
    def decided(self) -> bool:
        """Whether there was a rebalance."""
        return bool(self.result.decided[self.t])

    @property
    def held(self) -> FloatArray:
        """(N,) weights held at the close."""
        weights: FloatArray = current_weights(float(self.result.equity[self.t]), self.quantity, self.mark)
        return weights


def session_of(run: Run, session: np.datetime64) -> int:
    """Return the row of a session in a run's equity.csv.

    Raises
    ------
    InputError
        When the run has no such session; names the nearest.
    """
    sessions = run.equity["session"].tolist()
    if str(session) in sessions:
        return sessions.index(str(session))
    after = int(np.searchsorted(np.array(sessions, dtype="datetime64[D]"), session))
    nearest = " and ".join(sessions[max(after - 1, 0) : after + 1])
    raise InputError(
        f"--session {session} is not a session of {run.path}, whose {len(sessions)} go from {sessions[0]} to "
        f"{sessions[-1]}; nearest: {nearest}"
    )


def replay(plan: AnyPlan, session: np.datetime64) -> Replayed:
    """Play a run again up to the session after ``session``, whose open or close fills its orders.

    Raises
    ------
    RunFolderError
        When the run is one of single orders, or the bars lack the session.
    """
    if isinstance(plan, OrderPlan):
        raise RunFolderError(
            f"{plan.strategy.__name__} places single orders and decides on no target weights, so there is none to "
            "explain: marsfolio trades shows its fills"
        )
    row = int(np.searchsorted(plan.panel.sessions, session))
    if row == len(plan.panel) or plan.panel.sessions[row] != session:
        raise RunFolderError(f"{plan.panel.source} has no session {session}: they are not the bars of the run")
    witness = _Witness(session)
    strategy = watched(plan.strategy, witness.after, witness.before)
    result = replace(plan, strategy=strategy, last=min(row + 1, plan.last)).run()
    t = row - plan.first
    quantity, mark = witness.quantity, witness.mark
    if witness.observation is None:
        until = replace(plan, last=row).run()
        quantity, mark = until.final_quantity, until.final_mark
    learned = witness.learned if result.decided[t] else None
    return Replayed(plan, result, row, t, witness.observation, witness.decision, learned, quantity, mark)


class _Witness:
    """Looks at one session's decision, before and after it is taken."""

    def __init__(self, session: np.datetime64) -> None:
        self._session = session
        self.observation: Observation | None = None
        self.decision: Decision | None = None
        self.learned: Explanation | None = None
        self.quantity: FloatArray = np.zeros(0)
        self.mark: FloatArray = np.zeros(0)

    def before(self, strategy: PortfolioStrategy, observation: Observation) -> None:
        if observation.session != self._session:
            return
        self.observation = observation
        portfolio = strategy.broker.portfolio
        self.quantity, self.mark = portfolio.quantity.copy(), portfolio.mark.copy()
        policy = _in_charge(strategy.policy, observation.session)
        if isinstance(policy, LearnedPolicy):
            self.learned = policy.explain(observation)
            _check_shapes(self.learned, observation)

    def after(self, observation: Observation, decision: Decision | None) -> None:
        if observation.session == self._session:
            self.decision = decision


def _check_shapes(learned: Explanation | None, observation: Observation) -> None:
    if learned is None:
        return
    a, n = len(learned.agents), len(observation.symbols)
    shapes = {"agent_weights": (a,), "proposals": (a, n), "value": (a,), "risk": (a,)}
    for name, shape in shapes.items():
        found = np.shape(getattr(learned, name))
        if found != shape:
            raise PolicyError(f"the policy's explanation of {observation.session}: {name} must be {shape}, was {found}")


def _in_charge(policy: Policy | None, session: np.datetime64) -> Policy | None:
    """Return the policy that decides in a session, out of what it is wrapped in."""
    while isinstance(policy, (StitchedPolicy, OwnPolicy)):
        policy = policy.in_charge(session) if isinstance(policy, StitchedPolicy) else policy.policy
    return policy
