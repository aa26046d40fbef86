"""The risk of a running portfolio, carried from session to session."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import FloatArray
from engine.compiled import compiled
from engine.errors import InputError
from engine.metrics.drawdown import max_drawdown
from engine.metrics.returns import conditional_value_at_risk, simple_returns, value_at_risk, volatility

SHORT_WINDOW = 30
"""Returns in the volatility, and sessions in the short drawdown."""
TAIL_WINDOW = 252
"""Returns in the tail losses."""
MIN_TAIL_RETURNS = 20
"""With fewer returns the 5 % tail is less than one of them."""

_KEPT = TAIL_WINDOW + 1
_CAPACITY = 8 * _KEPT


@dataclass(frozen=True, slots=True)
class PortfolioRisk:
    """The risk of a portfolio at the close of one session; losses are positive, undefined is NaN.

    Parameters
    ----------
    equity : account value in account currency.
    peak : highest equity so far.
    drawdown : fall from ``peak``, a fraction.
    volatility_30 : standard deviation (``ddof=1``) of up to the last 30 simple returns, per session; NaN with
        fewer than 2 returns.
    drawdown_30 : largest fall from a running peak inside the last 31 equities; NaN with one.
    value_at_risk_95, conditional_value_at_risk_95 : loss of one session in the 5 % tail of up to the last 252
        returns; NaN with fewer than 20.
    """

    equity: float = math.nan
    peak: float = math.nan
    drawdown: float = math.nan
    volatility_30: float = math.nan
    drawdown_30: float = math.nan
    value_at_risk_95: float = math.nan
    conditional_value_at_risk_95: float = math.nan


class RiskTracker:
    """Measure a portfolio session by session, over the whole past or a moving window.

    After each `update` the numbers equal, bit for bit, those of the plain functions on the equity so far.
    Memory and time of an update do not grow with the sessions.
    """

    __slots__ = ("_buffer", "_current", "_stop")

    def __init__(self) -> None:
        # The window slides along a longer buffer and moves back when it is full: it stays in order and in one
        # piece.
        self._buffer: FloatArray = np.empty(_CAPACITY)
        self._stop = 0
        self._current = PortfolioRisk()

    @property
    def current(self) -> PortfolioRisk:
        """The risk at the last session; all NaN before the first."""
        return self._current

    def update(self, equity: float) -> PortfolioRisk:
        """Add the equity of the next session and return the risk there.

        Parameters
        ----------
        equity : account value at the close, in account currency.

        Raises
        ------
        InputError
            When equity is not finite; the tracker stays as it was.
        """
        value = float(equity)
        if not math.isfinite(value):
            raise InputError(f"equity must be finite, was {value}: look for a missing price or a NaN cash balance")
        if self._stop == _CAPACITY:
            self._buffer[: _KEPT - 1] = self._buffer[_CAPACITY - _KEPT + 1 :]
            self._stop = _KEPT - 1
        self._buffer[self._stop] = value
        self._stop += 1
        peak = self._current.peak
        self._measure(peak if peak >= value else value)
        return self._current

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs, as JSON types; floats survive ``json`` exactly."""
        peak = self._current.peak
        return {"peak": None if math.isnan(peak) else peak, "equity": self._window().tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`; nothing of this tracker's own past remains.

        Raises
        ------
        InputError
            When ``state`` is not one that `state` returned; the tracker stays as it was.
        """
        values, peak = _checked_state(state)
        self._buffer[: len(values)] = values
        self._stop = len(values)
        self._current = PortfolioRisk()
        if len(values):
            self._measure(peak)

    def _window(self) -> FloatArray:
        return self._buffer[max(self._stop - _KEPT, 0) : self._stop]

    def _measure(self, peak: float) -> None:
        self._current = PortfolioRisk(*_portfolio_risk(self._window(), peak))


@compiled
def _portfolio_risk(equity: FloatArray, peak: float) -> tuple[float, float, float, float, float, float, float]:
    returns = simple_returns(equity)
    tail, conditional_tail = np.nan, np.nan
    if len(returns) >= MIN_TAIL_RETURNS:
        tail = value_at_risk(returns, 0.95)
        conditional_tail = conditional_value_at_risk(returns, 0.95)
    return (
        equity[-1],
        peak,
        (peak - equity[-1]) / peak if peak > 0.0 else np.nan,
        volatility(returns[-SHORT_WINDOW:]),
        max_drawdown(equity[-SHORT_WINDOW - 1 :]),
        tail,
        conditional_tail,
    )


def _checked_state(state: Mapping[str, Any]) -> tuple[FloatArray, float]:
    if set(state) != {"peak", "equity"}:
        raise InputError(f"the state of a risk tracker must have the keys peak and equity, had {sorted(state)}")
    try:
        values = np.array(state["equity"], dtype=np.float64)
        peak = math.nan if state["peak"] is None else float(state["peak"])
    except (TypeError, ValueError) as error:
        raise InputError(f"the state of a risk tracker must hold numbers: {error}") from error
    if values.ndim != 1 or len(values) > _KEPT or not np.isfinite(values).all():
        raise InputError(f"the state of a risk tracker must hold at most {_KEPT} finite equities, was {values}")
    if len(values) and not values.max() <= peak < math.inf:
        raise InputError(f"the peak of a risk tracker must be finite and at least {values.max()}, was {peak}")
    return values, peak
