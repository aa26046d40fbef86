"""Classic portfolio optimisers by skfolio, as policies.

All are long only and fully invested, and know a symbol by its last 250 daily returns. The covariance is that of Ledoit
and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices". With 50 symbols a decision
takes 35 to 100 ms on one core: a second a year with ``--rebalance monthly``, up to half a minute daily, the default.
With 500 it takes 1 to 3 s. skfolio is imported at the first decision, which takes some seconds more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.arrays import FloatArray
from engine.errors import ConfigError, PolicyError
from engine.observation import Observation
from engine.policy import Decision
from strategies.history import WeighedByPast, simple_returns

if TYPE_CHECKING:
    from skfolio.optimization import BaseOptimization
    from skfolio.prior import BasePrior

PERCENT = 100.0
"""Optimisers see returns in percent, which changes no weight: Clarabel fails on 487 symbols in fractions."""

DUST = 1e-6
"""Weights below this are what an interior-point solver leaves of a zero."""


class Optimised(WeighedByPast):
    """Base of the optimisers.

    Parameters
    ----------
    n_returns : daily returns that the optimiser sees, >= 2.
    cap : largest weight of one symbol, in (0, 1], as a constraint of the problem. With no more than 1/cap usable
        symbols there is nothing to choose: they get equal weights.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    def __init__(self, n_returns: int = 250, cap: float = 1.0) -> None:
        if n_returns < 2:
            raise ConfigError(f"n_returns must be at least 2, was {n_returns}")
        if not 0 < cap <= 1:
            raise ConfigError(f"cap must be above 0 and at most 1, was {cap}")
        super().__init__(n_returns + 1)
        self._cap = cap

    def decide(self, observation: Observation) -> Decision | None:
        """Return the optimal weights of the usable symbols.

        Raises
        ------
        PolicyError
            When the solver finds none; names the session.
        """
        from skfolio.exceptions import SkfolioError

        try:
            return super().decide(observation)
        except SkfolioError as error:
            raise PolicyError(
                f"{type(self).__name__} found no weights at the close of {observation.session}: {error} Use "
                "inverse_volatility or hrp, which need no solver, or leave out symbols (--symbols) whose bars of the "
                f"last {self.lookback_bars} sessions look odd (marsfolio data check)"
            ) from error

    def weigh(self, close: FloatArray, symbols: tuple[str, ...]) -> FloatArray:
        """Return the optimal weights, without the solver's dust."""
        from skfolio.moments import LedoitWolf
        from skfolio.prior import EmpiricalPrior

        n = len(symbols)
        if self._cap * n <= 1.0:
            return np.full(n, 1.0 / n)
        prior = EmpiricalPrior(covariance_estimator=LedoitWolf())
        found = self.optimiser(prior, self._cap).fit(PERCENT * simple_returns(close)).weights_
        kept = np.where(found < DUST, 0.0, found)
        weights: FloatArray = kept / kept.sum()
        return weights

    def optimiser(self, prior: BasePrior, cap: float) -> BaseOptimization:
        """Return skfolio's optimiser, to be fitted to returns."""
        raise NotImplementedError


class MinVariance(Optimised):
    """The portfolio of least variance (Markowitz 1952)."""

    def optimiser(self, prior: BasePrior, cap: float) -> BaseOptimization:
        """Return skfolio's optimiser, to be fitted to returns."""
        from skfolio.optimization import MeanRisk

        return MeanRisk(prior_estimator=prior, max_weights=cap)


class MeanVariance(Optimised):
    """The portfolio with the largest ratio of mean return to standard deviation (Markowitz 1952, Sharpe 1966).

    Means are those of the look-back, which is what makes it famous for its turnover. Where no portfolio under the cap
    has a positive mean, there is no such ratio to make large, and the one of least variance is taken.
    """

    def optimiser(self, prior: BasePrior, cap: float) -> BaseOptimization:
        """Return skfolio's optimiser, to be fitted to returns."""
        from skfolio.optimization import MeanRisk, ObjectiveFunction

        safest = MeanRisk(prior_estimator=prior, max_weights=cap)
        ratio = ObjectiveFunction.MAXIMIZE_RATIO
        return MeanRisk(objective_function=ratio, prior_estimator=prior, max_weights=cap, fallback=safest)


class RiskParity(Optimised):
    """Equal risk contributions: each symbol adds the same part to the portfolio's variance.

    Maillard, Roncalli and Teiletche (2010), "The Properties of Equally Weighted Risk Contribution Portfolios". A cap
    that binds makes the contributions unequal.
    """

    def optimiser(self, prior: BasePrior, cap: float) -> BaseOptimization:
        """Return skfolio's optimiser, to be fitted to returns."""
        from skfolio.optimization import RiskBudgeting

        # The same problem in other units, for when the solver stumbles over its conditioning.
        rescaled = RiskBudgeting(prior_estimator=prior, max_weights=cap, scale_objective=10.0)
        return RiskBudgeting(prior_estimator=prior, max_weights=cap, fallback=rescaled)


class HierarchicalRiskParity(Optimised):
    """Risk split between clusters of correlated symbols, from the top of their tree down; no solver.

    López de Prado (2016), "Building Diversified Portfolios that Outperform Out of Sample", with skfolio's defaults:
    Pearson distance, Ward's linkage, variance.
    """

    def optimiser(self, prior: BasePrior, cap: float) -> BaseOptimization:
        """Return skfolio's optimiser, to be fitted to returns."""
        from skfolio.optimization import HierarchicalRiskParity as Skfolios

        return Skfolios(prior_estimator=prior, max_weights=cap)
