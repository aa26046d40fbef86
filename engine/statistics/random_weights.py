"""Random target weights that look like a run's own: same sessions and exposure, like concentration and turnover."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.arrays import BoolArray, FloatArray
from engine.compiled import compiled
from engine.statistics.decisions import Decisions, drift_weights, held_weights

_ROUNDS = 3
_TOLERANCE = 0.01
_SMALLEST_SHAPE = 1e-4
_PILOT_CELLS = 200_000
_PILOT_STREAM = 2
_PATH_STREAM = 1


@dataclass(frozen=True, slots=True, eq=False)
class RandomWeights:
    """Long-only target weights without skill, in the sessions of a run's decisions.

    The weights of a decision are those of a symmetric Dirichlet distribution over the symbols with a bar, scaled to
    the exposure of the run's own decision; what the cap cuts goes to the others in proportion. At each later
    decision every symbol is, with the chance ``replaced``, given a new weight (independently, so that the
    distribution stays the same); the others drift with their prices.

    Attributes
    ----------
    shape : parameter of the Dirichlet distribution: near 0 one symbol gets all, infinity is equal weights.
    replaced : chance of a new weight, for each symbol at each decision.
    """

    decisions: Decisions
    shape: float
    replaced: float

    @classmethod
    def like(cls, decisions: Decisions, seed: int) -> RandomWeights:
        """Return the random weights whose concentration and turnover come closest to a run's.

        Shape and chance are found on pilot draws of their own; their number and all draws are the same whatever is
        drawn later. A turnover outside what the chances 0 to 1 reach gets the nearest of them.
        """
        cells = decisions.growth.size
        pilots = min(max(_PILOT_CELLS // cells, 4), 100)
        even = float(np.mean(1.0 / np.maximum(decisions.tradable.sum(axis=1), 1)))
        wanted = decisions.concentration - even
        found = cls(decisions, math.inf, 1.0)
        if not wanted > 1e-9 * even:  # equal weights, or nothing ever held
            return found._with_turnover(pilots, seed)[0]
        aim = wanted
        for _ in range(_ROUNDS):
            # Mean concentration of Dirichlet weights without cap and drift: (shape + 1) / (n shape + 1).
            shape = even * max(1.0 - even - aim, 0.0) / aim
            found, measured = cls(decisions, max(shape, _SMALLEST_SHAPE), 1.0)._with_turnover(pilots, seed)
            aim = min(aim * wanted / max(measured - even, 1e-3 * wanted), 1.0 - even)
        return found

    def draw(self, seed: int, path: int) -> FloatArray:
        """Return the (D, N) target weights of one path; NaN keeps the shares of a symbol without a bar.

        A path is the same whatever others are drawn.
        """
        return self._targets(*self._random(seed, _PATH_STREAM, path), self.replaced)

    def _random(self, seed: int, stream: int, path: int) -> tuple[FloatArray, FloatArray]:
        """Return (D, N) logarithms of gamma variables, where new weights are due, and uniform numbers."""
        # A generator for each kind of number: what a decision gets does not depend on how many follow it.
        gamma, power, uniform = (np.random.default_rng([seed, stream, path, kind]) for kind in range(3))
        chance = uniform.random(self.decisions.growth.shape)
        level = np.zeros(chance.shape)
        if math.isfinite(self.shape):
            due = self.decisions.entered | (chance < self.replaced)
            size = int(due.sum())
            # gamma(a) is gamma(a + 1) * uniform ** (1 / a); its logarithm does not underflow when a is small.
            level[due] = np.log(gamma.standard_gamma(self.shape + 1.0, size))
            level[due] -= power.standard_exponential(size) / self.shape
        return level, chance

    def _targets(self, level: FloatArray, chance: FloatArray, replaced: float) -> FloatArray:
        known = self.decisions
        return _random_targets(
            level, chance, replaced, known.growth, known.drift, known.tradable, known.exposure, known.cap
        )

    def _with_turnover(self, pilots: int, seed: int) -> tuple[RandomWeights, float]:
        """Return the weights with the chance that gives the run's turnover, and the concentration they have."""
        drawn = [self._random(seed, _PILOT_STREAM, path) for path in range(pilots)]
        growth, wanted = self.decisions.growth, self.decisions.turnover
        held = np.empty_like(growth)

        def measure(replaced: float) -> FloatArray:
            of_pilots = [held_weights(self._targets(*pair, replaced), growth, held) for pair in drawn]
            means: FloatArray = np.mean(of_pilots, axis=0)
            return means

        low, high = 0.0, 1.0
        chance, measured = high, measure(high)
        if measured[0] > (1.0 + _TOLERANCE) * wanted:
            for _ in range(16):
                chance = (low + high) / 2.0
                measured = measure(chance)
                if abs(measured[0] - wanted) <= _TOLERANCE * wanted:
                    break
                low, high = (chance, high) if measured[0] < wanted else (low, chance)
        return RandomWeights(self.decisions, self.shape, chance), float(measured[1])


@compiled
def _random_targets(
    fresh: FloatArray,
    chance: FloatArray,
    replaced: float,
    growth: FloatArray,
    drift: FloatArray,
    tradable: BoolArray,
    exposure: FloatArray,
    cap: float,
) -> FloatArray:
    """Return the (D, N) targets of one path; ``fresh`` and the level carried on are logarithms of unscaled weights."""
    d, n = fresh.shape
    targets = np.full((d, n), np.nan)
    level = np.full(n, -np.inf)
    held = np.zeros(n)
    for j in range(d):
        drift_weights(held, growth[j])
        left = exposure[j]
        for i in range(n):
            if tradable[j, i] and (level[i] == -np.inf or chance[j, i] < replaced):
                level[i] = fresh[j, i]
            else:
                level[i] += drift[j, i]
            if not tradable[j, i]:
                left -= held[i]
        _spread(max(left, 0.0), level, tradable[j], cap, targets[j])
        for i in range(n):
            if tradable[j, i]:
                held[i] = targets[j, i]
    return targets


@compiled
def _spread(exposure: float, level: FloatArray, tradable: BoolArray, cap: float, weights: FloatArray) -> None:
    """Write weights in proportion to exp(level), at most ``cap`` each, that sum to the exposure; NaN without a bar."""
    left = exposure
    below_cap = tradable.copy()
    while below_cap.any():
        _divide(left, level, below_cap, weights)
        spent = 0.0
        for i in range(level.shape[0]):
            if below_cap[i] and weights[i] > cap:
                weights[i] = cap
                below_cap[i] = False
                spent += cap
        if spent == 0.0:
            break
        left = max(left - spent, 0.0)
    _shave(weights, exposure)


@compiled
def _divide(amount: float, level: FloatArray, among: BoolArray, weights: FloatArray) -> None:
    # Scaled by the largest of those meant: beside a larger one that is at the cap, small ones might underflow.
    top, total = -np.inf, 0.0
    for i in range(level.shape[0]):
        if among[i]:
            top = max(top, level[i])
    for i in range(level.shape[0]):
        if among[i]:
            weights[i] = np.exp(level[i] - top)
            total += weights[i]
    for i in range(level.shape[0]):
        if among[i]:
            weights[i] *= amount / total


@compiled
def _shave(weights: FloatArray, most: float) -> None:
    # Rounding may leave the sum an ulp too high, and a sum above 1 makes the account look at each row again.
    for _ in range(8):
        total = 0.0
        for i in range(weights.shape[0]):
            if not np.isnan(weights[i]):
                total += weights[i]
        if not total > most:
            return
        for i in range(weights.shape[0]):
            weights[i] *= 1.0 - 4.0e-16
