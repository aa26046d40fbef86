"""Limits on target weights (cap, cash buffer, long only), as a projection that holds for every input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.arrays import FloatArray
from engine.compiled import compiled
from engine.errors import ConfigError

# What happened to a symbol's target, as bits; `outcome_label` names them in decisions.parquet.
CAPPED = 1
BUFFERED = 2
LONG_ONLY = 4
NO_BAR = 8
SHRUNK = 16
PARTIAL = 32
_LABELS = {
    CAPPED: "cap",
    BUFFERED: "cash_buffer",
    LONG_ONLY: "long_only",
    NO_BAR: "no_bar",
    SHRUNK: "shrunk_to_cash",
    PARTIAL: "volume_cap",
}

WEIGHT_TOLERANCE = 1e-9
"""How far above 1 the sum of a policy's weights may lie: floating-point noise, not leverage."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The risk overlay: the last thing that happens to target weights before they become orders.

    Parameters
    ----------
    cap : largest weight of one symbol, in (0, 1].
    cash_buffer : smallest weight of cash, in [0, 1).

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    cap: float = 1.0
    cash_buffer: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.cap <= 1:
            raise ConfigError(f"cap must be above 0 and at most 1, was {self.cap}")
        if not 0 <= self.cash_buffer < 1:
            raise ConfigError(f"cash_buffer must be at least 0 and below 1, was {self.cash_buffer}")

    @property
    def budget(self) -> float:
        """Largest sum of the symbols' weights."""
        return 1.0 - self.cash_buffer


MODEL_LIMITS = Limits(cap=0.20, cash_buffer=0.05)
"""The default for trained models (arXiv 2508.01173: no asset above 20 %, a cash buffer)."""


@compiled
def project_weights(
    weights: FloatArray, current: FloatArray, cap: float, budget: float
) -> tuple[FloatArray, np.ndarray[tuple[int], np.dtype[np.int8]]]:
    """Return the weights that obey the limits, and what was done to each.

    Negative weights become 0 and weights above the cap the cap (what is cut stays cash); if the sum is
    then above the budget, all are scaled by one factor. Applied twice, it changes nothing more.

    Parameters
    ----------
    weights : (N,) targets; NaN keeps a symbol's shares; infinities are allowed.
    current : (N,) weights held now; what is kept uses up budget and may lie above the cap (drift).
    cap : largest weight of one symbol, in (0, 1].
    budget : largest sum, in (0, 1].

    Returns
    -------
    (N,) weights in [0, cap] with NaN where it was, whose sum with the kept ones is at most the budget
    unless the kept ones alone exceed it (then the others are 0); and (N,) bits CAPPED, BUFFERED, LONG_ONLY.
    """
    n = weights.shape[0]
    result = weights.copy()
    outcome = np.zeros(n, np.int8)
    free = budget
    for i in range(n):
        if np.isnan(weights[i]):
            free -= current[i]
        elif weights[i] < 0.0:
            result[i] = 0.0
            outcome[i] |= LONG_ONLY
        elif weights[i] > cap:
            result[i] = cap
            outcome[i] |= CAPPED
    free = max(free, 0.0)
    total = _scaled_sum(result, 1.0)
    if total > free:
        for i in range(n):
            if result[i] > 0.0:
                outcome[i] |= BUFFERED
        total = _scaled_sum(result, free / total)
        # Rounding may leave the sum an ulp too high; the limit is a promise, so shave until it holds.
        while total > free:
            total = _scaled_sum(result, 1.0 - 4.0e-16)
    return result, outcome


@compiled
def _scaled_sum(weights: FloatArray, scale: float) -> float:
    """Multiply weights in place and return their sum; NaN is passed over."""
    total = 0.0
    for i in range(weights.shape[0]):
        if not np.isnan(weights[i]):
            weights[i] *= scale
            total += weights[i]
    return total


def outcome_label(bits: int) -> str:
    """Return the names of the bits, joined by ``+``; empty when nothing was done."""
    return "+".join(name for bit, name in _LABELS.items() if bits & bit)
