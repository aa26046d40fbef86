"""SimulatedBroker: a backtrader broker whose account is the simulation kernel's."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from engine.account import Account
from engine.errors import InputError
from engine.rebalancer import Basket, Portfolio, Terms
from engine.result import Result


class SimulatedBroker(bt.BrokerBase):
    """Fills baskets of target shares against the bars of a panel feed.

    Parameters
    ----------
    account : the account to run, over the same panel and rows as the feed.
    feed : the clock; its ``row`` says which session has just closed.
    """

    def __init__(self, account: Account, feed: Any) -> None:
        super().__init__()
        self._account = account
        self._feed = feed
        self.startingcash = account.terms.cash

    @property
    def portfolio(self) -> Portfolio:
        """The account."""
        return self._account

    def check_terms(self, terms: Terms) -> None:
        """Refuse a strategy whose terms are not the account's: it would size for other costs, limits or shares.

        Raises
        ------
        InputError
            Naming both.
        """
        if terms != self._account.terms:
            raise InputError(
                f"the strategy trades on {terms}, the account on {self._account.terms}: give both the same"
            )

    def submit_basket(self, basket: Basket) -> None:
        """Take the orders of one decision; they execute in the next session."""
        self._account.submit(basket)

    def next(self) -> None:
        """Settle the session that has just closed; Cerebro calls this before the strategy decides."""
        self._account.settle(self._feed.row)

    def result(self) -> Result:
        """Return everything recorded."""
        return self._account.result()

    def getcash(self) -> float:
        """Return the cash."""
        return self._account.cash

    def getvalue(self, datas: Any = None) -> float:
        """Return the account's value at the last close, or that of the holdings in ``datas`` alone."""
        if datas is None:
            return self._account.equity
        positions = [self.getposition(data) for data in datas]
        return float(sum(position.size * position.price for position in positions if position.size))

    get_cash = getcash
    get_value = getvalue

    def getposition(self, data: Any) -> bt.Position:
        """Return the position of the symbol a feed is named after; flat for the clock feed.

        Its price is the last close, not what was paid: the trade log knows that.
        """
        symbols = self._account.panel.symbols
        if data._name not in symbols:
            return bt.Position()
        i = symbols.index(data._name)
        return bt.Position(float(self._account.quantity[i]), float(self._account.mark[i]))

    def get_notification(self) -> None:
        """Return None: baskets raise no order notifications."""

    def buy(self, *args: Any, **kwargs: Any) -> None:
        """Refuse single orders.

        Raises
        ------
        InputError
            Always: this broker takes baskets of target weights.
        """
        raise InputError(
            "SimulatedBroker takes one basket of target weights per session (PortfolioStrategy); for single "
            "orders run the strategy on brokers.orders.OrderBroker with data_feeds.feeds.panel_feeds"
        )

    sell = cancel = buy
