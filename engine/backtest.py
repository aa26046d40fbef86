"""The kernel's two ways to run a backtest: a policy session by session, or weights known beforehand."""

from __future__ import annotations

from engine.account import Account
from engine.arrays import FloatArray
from engine.observation import feature_table
from engine.panel import MarketPanel
from engine.policy import Policy
from engine.rebalancer import Rebalancer, Schedule, Terms
from engine.result import Result


def run_policy(
    policy: Policy,
    panel: MarketPanel,
    first: int,
    last: int,
    terms: Terms,
    schedule: Schedule = Schedule.DAILY,
) -> Result:
    """Run a policy over the rows ``first`` to ``last`` of a panel, without backtrader.

    The policy carries its state away from the run: give each run a fresh one.

    Raises
    ------
    PolicyError
        When the policy returns weights that are not a long-only portfolio.
    """
    account = Account(panel, first, last, terms)
    features = feature_table(panel, policy.features, policy.lookback_bars, first, last)
    rebalancer = Rebalancer(panel, features, terms, schedule)
    for row in range(first, last + 1):
        account.settle(row)
        basket = rebalancer.next(row, account, policy.decide)
        if basket is not None:
            account.submit(basket)
    return account.result()


def run_weights(weights: FloatArray, panel: MarketPanel, first: int, last: int, terms: Terms) -> Result:
    """Run target weights known beforehand in one compiled loop.

    Parameters
    ----------
    weights : (T, N) for all rows of the panel; a row of NaN alone means no rebalance, NaN keeps a
        symbol's shares.
    """
    account = Account(panel, first, last, terms)
    account.simulate(weights)
    return account.result()
