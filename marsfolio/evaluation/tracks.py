"""One account over one test window: its arrays, its metrics, and equal weight brought to the same risk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import FloatArray, SessionArray
from engine.backtest import run_policy
from engine.metrics import annual_volatility, simple_returns
from engine.panel import MarketPanel, Window
from engine.policy import Policy
from engine.rebalancer import Schedule, Terms
from engine.result import Result
from strategies.baselines import ConstantExposure

_YEAR = 252.0
_ROUNDS = 6
_CLOSE_ENOUGH = 1e-4
_ARRAYS = ("sessions", "equity", "cash", "traded", "cost", "agent_weights")


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One account over T sessions.

    Attributes
    ----------
    equity, cash, traded, cost : (T,) account currency: values at each close, and the notional traded and the
        commission and slippage paid since the close before.
    agent_weights : (T, A) weight of each agent in the decision of a session, NaN without one; A is 0 for others.
    metrics : by name; NaN where undefined.
    """

    sessions: SessionArray
    equity: FloatArray
    cash: FloatArray
    traded: FloatArray
    cost: FloatArray
    agent_weights: FloatArray
    metrics: dict[str, float]

    @property
    def exposure(self) -> FloatArray:
        """(T,) share of the account in stocks at each close."""
        exposure: FloatArray = (self.equity - self.cash) / self.equity
        return exposure


@dataclass(frozen=True, slots=True)
class Course:
    """Where and how an account trades: the same for every method of a window."""

    panel: MarketPanel
    test: Window
    terms: Terms

    def run(self, make_policy: Callable[[], Policy], schedule: Schedule = Schedule.DAILY) -> Result:
        """Run a fresh policy over the test window in the kernel."""
        return run_policy(make_policy(), self.panel, self.test.first, self.test.last, self.terms, schedule)


def track_of(result: Result) -> Track:
    """Return what is kept of a run."""
    cost = result.per_session("commission") + result.per_session("slippage")
    return Track(
        result.sessions, result.equity, result.cash, result.traded, cost, result.agent_weights, metrics_of(result, cost)
    )


def metrics_of(result: Result, cost: FloatArray) -> dict[str, float]:
    """Return the numbers of metrics.json, and what an evaluation adds; NaN where undefined.

    Returns
    -------
    annual_traded : sum of |trades| over mean equity, a year; twice annual_turnover.
    total_cost : commission and slippage, account currency.
    cost_share : total_cost over the initial equity.
    cost_share_of_profit : total_cost over the profit before costs; NaN when there was none.
    mean_exposure : mean share of the account in stocks, first session left out (nothing is held in it yet).
    """
    known = {name: value for name, value in result.metrics().items() if not isinstance(value, str)}
    metrics = {name: np.nan if value is None else float(value) for name, value in known.items()}
    total = float(cost.sum())
    profit = float(result.equity[-1] - result.equity[0]) + total
    exposure = ((result.equity - result.cash) / result.equity)[1:]
    metrics["annual_traded"] = 2.0 * metrics["annual_turnover"]
    metrics["total_cost"] = total
    metrics["cost_share"] = total / float(result.equity[0])
    metrics["cost_share_of_profit"] = total / profit if profit > 0.0 else np.nan
    metrics["mean_exposure"] = float(exposure.mean()) if len(exposure) else np.nan
    return metrics


def same_volatility(course: Course, track: Track) -> Result:
    """Return equal weight, monthly, with as much cash as gives the track's realised volatility.

    It knows the volatility beforehand, which no strategy does: it answers whether less risk alone would have done as
    well. It is at most fully invested, as far as the limits allow; a rougher track is not matched.
    """
    return _matched(course, _volatility(track.equity), lambda result: _volatility(result.equity))


def same_exposure(course: Course, track: Track) -> Result:
    """Return equal weight, monthly, with as much cash as gives the track's mean exposure; limits as above."""
    return _matched(course, track.metrics["mean_exposure"], _mean_exposure)


def _matched(course: Course, target: float, measure: Callable[[Result], float]) -> Result:
    """Find the exposure whose run measures like the target: both measures are all but proportional to it."""
    exposure = min(max(target if 0.0 < target <= 1.0 else 0.0, 0.0), 1.0) if target == target else 0.0
    result = _equally(course, exposure)
    for _ in range(_ROUNDS):
        found = measure(result)
        if not found > 0.0 or abs(found / target - 1.0) <= _CLOSE_ENOUGH:
            break
        wanted = min(exposure * target / found, 1.0)
        if wanted == exposure:
            break
        exposure = wanted
        result = _equally(course, exposure)
    return result


def _equally(course: Course, exposure: float) -> Result:
    return course.run(lambda: ConstantExposure(exposure), Schedule.MONTHLY)


def _volatility(equity: FloatArray) -> float:
    return float(annual_volatility(simple_returns(equity), _YEAR))


def _mean_exposure(result: Result) -> float:
    return float((((result.equity - result.cash) / result.equity)[1:]).mean())


def arrays_of(name: str, track: Track) -> dict[str, Any]:
    """Return the arrays of a track under the names of a file."""
    return {f"{name}.{field}": getattr(track, field) for field in _ARRAYS}


def track_from(name: str, arrays: Any, metrics: dict[str, float]) -> Track:
    """Return the track that `arrays_of` took apart."""
    return Track(metrics=metrics, **{field: arrays[f"{name}.{field}"] for field in _ARRAYS})
