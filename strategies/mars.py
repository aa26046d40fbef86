"""MarsStrategy: a trained MARS ensemble as a backtrader strategy."""

from __future__ import annotations

from typing import Any

from engine.errors import InputError
from engine.limits import MODEL_LIMITS
from engine.policy import LearnedPolicy
from engine.rebalancer import Schedule, Terms
from strategies.portfolio import PortfolioStrategy


class MarsStrategy(PortfolioStrategy):
    """A PortfolioStrategy whose policy is a trained ensemble, with the limits of arXiv 2508.01173 by default.

    Raises
    ------
    InputError
        When the policy is not a learned one, there are no limits, or the schedule is not daily.
    """

    params: Any = (("terms", Terms(limits=MODEL_LIMITS)),)

    def __init__(self) -> None:
        if not isinstance(self.p.policy, LearnedPolicy):
            raise InputError(f"MarsStrategy needs a policy of trained agents, was given {type(self.p.policy).__name__}")
        if self.p.terms.limits is None:
            raise InputError("MarsStrategy needs limits: an ensemble's targets are projected onto them")
        if self.p.schedule is not Schedule.DAILY:
            raise InputError(f"MarsStrategy decides in every session, as in training; schedule was {self.p.schedule}")
        super().__init__()
