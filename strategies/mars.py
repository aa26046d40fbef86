"""MarsStrategy: a trained MARS ensemble as a backtrader strategy."""

from __future__ import annotations

from typing import Any

from agents.policy import EnsemblePolicy
from engine.errors import InputError
from engine.limits import MODEL_LIMITS
from engine.rebalancer import Schedule, Terms
from strategies.portfolio import PortfolioStrategy


class MarsStrategy(PortfolioStrategy):
    """A PortfolioStrategy whose policy is an ensemble, with the overlay of arXiv 2508.01173 unless told otherwise.

    Raises
    ------
    InputError
        When the policy is not an ensemble, there are no limits, or the schedule is not daily.
    """

    params: Any = (("terms", Terms(limits=MODEL_LIMITS)),)

    def __init__(self) -> None:
        if not isinstance(self.p.policy, EnsemblePolicy):
            raise InputError(f"MarsStrategy needs a trained ensemble, was given {type(self.p.policy).__name__}")
        if self.p.terms.limits is None:
            raise InputError("MarsStrategy needs limits: an ensemble's targets are projected onto them")
        if self.p.schedule is not Schedule.DAILY:
            raise InputError(f"MarsStrategy decides in every session, as in training; schedule was {self.p.schedule}")
        super().__init__()
