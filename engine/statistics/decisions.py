"""The decisions of a run as random ones must match them: sessions, exposure, turnover and concentration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.arrays import BoolArray, FloatArray, IntArray
from engine.compiled import compiled
from engine.errors import InputError
from engine.limits import Limits
from engine.panel import MarketPanel
from engine.result import Result


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """What the random weights of a run share with it: D decisions over N symbols.

    Attributes
    ----------
    rows : (D,) rows of the panel at whose close the run decided.
    tradable : (D, N) True where a symbol has a bar then and may be held.
    entered : (D, N) True at a symbol's first decision with a bar.
    growth : (D, N) last known close, splits undone, over the one at the decision before; 1 at the first, and where
        unknown.
    drift : (D, N) logarithm of the growth over the symbols' mean: new weights must not lose to a market that rises.
    exposure : (D,) sum of the run's target weights, symbols it kept included.
    cap : largest weight of one symbol.
    turnover : half of what the run's targets trade in all, over equity, before costs and rounding.
    concentration : mean sum of squared weights, each over their sum; NaN when nothing was ever held.
    """

    rows: IntArray
    tradable: BoolArray
    entered: BoolArray
    growth: FloatArray
    drift: FloatArray
    exposure: FloatArray
    cap: float
    turnover: float
    concentration: float

    @classmethod
    def of(cls, result: Result, panel: MarketPanel, first: int) -> Decisions:
        """Return the decisions of a run whose first session is row ``first`` of the panel.

        Raises
        ------
        InputError
            When the run is not of this panel and row, or decided nothing.
        """
        n_rows = len(result.sessions)
        covered = panel.sessions[first : first + n_rows] if first >= 0 else panel.sessions[:0]
        if result.symbols != panel.symbols or not np.array_equal(result.sessions, covered):
            raise InputError(
                f"the run is not of these bars: it has {len(result.symbols)} symbols from {result.sessions[0]} to "
                f"{result.sessions[-1]}; give the panel it ran on and the row of its first session, was {first}"
            )
        decided = np.flatnonzero(result.decided)
        if not len(decided):
            raise InputError("the run has no decisions that random ones could stand beside")
        growth = _growth(panel, first, n_rows, decided)
        held = np.empty_like(growth)
        turnover, concentration = held_weights(result.target_weight[decided], growth, held)
        limits = result.terms.limits or Limits()
        tradable = panel.investable[first + decided]
        return cls(
            rows=first + decided,
            tradable=tradable,
            entered=tradable & (np.cumsum(tradable, axis=0) == 1),
            growth=growth,
            drift=np.log(growth / growth.mean(axis=1, keepdims=True)),
            exposure=np.minimum(held.sum(axis=1), limits.budget),
            cap=limits.cap,
            turnover=turnover,
            concentration=concentration,
        )


def _growth(panel: MarketPanel, first: int, n_rows: int, decided: IntArray) -> FloatArray:
    part = slice(first, first + n_rows)
    has_bar = panel.has_bar[part]
    last_bar = np.maximum.accumulate(np.where(has_bar, np.arange(n_rows)[:, None], 0), axis=0)[decided]
    # What one share of the first session has become: at raw prices, a split alone moves no weight.
    value = panel.close[part] * (1.0 if panel.split is None else np.cumprod(panel.split[part], axis=0))
    mark = np.take_along_axis(value, last_bar, axis=0)
    growth = np.ones_like(mark)
    growth[1:] = mark[1:] / mark[:-1]
    growth[np.isnan(growth)] = 1.0
    return growth


@compiled
def drift_weights(held: FloatArray, growth: FloatArray) -> None:
    """Change the weights held (N,), in place, to what they are when prices have grown (N,) and cash has not."""
    value = 1.0
    for i in range(held.shape[0]):
        value += held[i] * (growth[i] - 1.0)
    for i in range(held.shape[0]):
        held[i] = held[i] * growth[i] / value


@compiled
def held_weights(targets: FloatArray, growth: FloatArray, held: FloatArray) -> tuple[float, float]:
    """Write the weights held after each decision into ``held`` (D, N); return turnover and mean concentration.

    NaN targets drift. Costs, rounding to shares and the prices between decision and fill are left out.
    """
    d, n = targets.shape
    turnover, concentration, invested = 0.0, 0.0, 0
    before = np.zeros(n)
    for j in range(d):
        drift_weights(before, growth[j])
        kept, wanted = 0.0, 0.0
        for i in range(n):
            if np.isnan(targets[j, i]):
                kept += before[i]
            else:
                wanted += targets[j, i]
        # What is kept may leave no cash for all of the targets.
        paid = min(1.0, max(1.0 - kept, 0.0) / wanted) if wanted > 0.0 else 0.0
        exposure = kept + wanted * paid
        for i in range(n):
            held[j, i] = before[i] if np.isnan(targets[j, i]) else targets[j, i] * paid
            if exposure > 0.0:
                concentration += (held[j, i] / exposure) ** 2
            turnover += abs(held[j, i] - before[i]) / 2.0
            before[i] = held[j, i]
        invested += exposure > 0.0
    return turnover, concentration / invested if invested > 0 else np.nan
