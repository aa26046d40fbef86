"""Rules for how much to hold: equal weights of all symbols, times an exposure read from the market's past.

The market is what `strategies.history.market_returns` says. A rule is decided in each session that may rebalance, and
trades 1/N back to equal parts on the way. Before the data is as long as a rule's look-back there is no decision.
"""

from __future__ import annotations

import numpy as np

from engine.arrays import FloatArray
from engine.observation import Observation
from engine.policy import Decision, StatelessPolicy
from strategies.baselines import equal_parts
from strategies.history import YEAR, market_returns


class MarketTiming(StatelessPolicy):
    """Base: equal weights times an exposure.

    Parameters
    ----------
    n_returns : daily returns of the market that the exposure is read from, > 0.
    """

    def __init__(self, n_returns: int) -> None:
        self.lookback_bars = n_returns + 1

    def decide(self, observation: Observation) -> Decision | None:
        """Return exposure/n for each of the n symbols with a bar; None when the data is too short."""
        returns = market_returns(observation, self.lookback_bars - 1)
        return None if returns is None else equal_parts(observation, self.exposure(returns))

    def exposure(self, returns: FloatArray) -> float:
        """Return the part of the equity to hold, in [0, 1], after (n_returns,) returns of the market."""
        raise NotImplementedError


class VolatilityTarget(MarketTiming):
    """Exposure = target / volatility of the last month, at most 1.

    Moreira and Muir (2017), "Volatility-Managed Portfolios", with the standard deviation in place of the variance and
    without leverage.

    Parameters
    ----------
    target : annual volatility, > 0.
    n_returns : daily returns that the volatility is measured over, >= 2.
    """

    def __init__(self, target: float = 0.15, n_returns: int = 21) -> None:
        super().__init__(n_returns)
        self._target = target

    def exposure(self, returns: FloatArray) -> float:
        """Return target / volatility, at most 1; 1 for a market that does not move."""
        volatility = float(returns.std(ddof=1)) * YEAR**0.5
        return self._target / volatility if volatility > self._target else 1.0


class DipRule(MarketTiming):
    """More after a fall: exposure = sigmoid(-z), followed slowly.

    z is the market's return of the last quarter in units of the volatility of such returns: daily volatility of the
    last year times the root of the quarter's length. At z = 0 half is held, a standard deviation lower 73 %, higher
    27 %. Of the gap to it, the exposure closes ``follow`` a session: it is the exponentially weighted mean of the last
    quarter's values. Without that the rule buys while the market falls still.

    Parameters
    ----------
    quarter, year : sessions of the return (and of the mean), and of the volatility; > 0, and year >= quarter.
    follow : weight of the last value in the mean, before all are scaled to sum to 1; in (0, 1].
    """

    def __init__(self, quarter: int = 63, year: int = YEAR, follow: float = 0.05) -> None:
        super().__init__(year + quarter - 1)
        self._quarter, self._year = quarter, year
        decay = (1.0 - follow) ** np.arange(quarter)[::-1]
        self._mean_of = decay / decay.sum()

    def exposure(self, returns: FloatArray) -> float:
        """Return the weighted mean of sigmoid(-z) over the last quarter."""
        years = np.lib.stride_tricks.sliding_window_view(returns, self._year)
        rise = np.prod(1.0 + years[:, -self._quarter :], axis=1) - 1.0
        unit = years.std(axis=1, ddof=1) * self._quarter**0.5
        z = np.divide(rise, unit, out=np.zeros_like(rise), where=unit > 0)
        return float(self._mean_of @ (0.5 - 0.5 * np.tanh(z / 2.0)))  # sigmoid(-z), which cannot overflow


class TrendFilter(MarketTiming):
    """All of the equity while the market stands above its mean of the last 200 sessions, otherwise none.

    Faber (2007), "A Quantitative Approach to Tactical Asset Allocation", in sessions instead of months, and with one
    market of all symbols.

    Parameters
    ----------
    n_levels : sessions of the mean, this one included, >= 2.
    """

    def __init__(self, n_levels: int = 200) -> None:
        super().__init__(n_levels - 1)

    def exposure(self, returns: FloatArray) -> float:
        """Return 1 above the mean, 0 otherwise."""
        level = np.cumprod(np.concatenate([[1.0], 1.0 + returns]))
        return float(level[-1] > level.mean())
