"""WeightsPolicy: target weights known beforehand, one row a session."""

from __future__ import annotations

import numpy as np

from engine.arrays import FloatArray, SessionArray
from engine.observation import Observation
from engine.policy import Decision, StatelessPolicy


class WeightsPolicy(StatelessPolicy):
    """Plays back target weights.

    Parameters
    ----------
    sessions : (T,) sessions of the rows, increasing.
    weights : (T, N); a row of NaN alone means no rebalance.
    """

    def __init__(self, sessions: SessionArray, weights: FloatArray) -> None:
        self._sessions = sessions
        self._weights = weights

    def decide(self, observation: Observation) -> Decision | None:
        """Return the row of the observed session, or None when it has none."""
        row = int(np.searchsorted(self._sessions, observation.session))
        if row == len(self._sessions) or self._sessions[row] != observation.session:
            return None
        weights = self._weights[row]
        return None if np.isnan(weights).all() else Decision(weights)
