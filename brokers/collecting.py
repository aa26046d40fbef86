"""CollectingBroker: what stands in Cerebro while a paper session decides; it keeps the basket and trades nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import backtrader as bt

from engine.arrays import FloatArray
from engine.errors import InputError
from engine.rebalancer import Basket, Portfolio, Terms


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An account at a close: cash, value, (N,) shares, and the (N,) prices they are valued at."""

    cash: float
    equity: float
    quantity: FloatArray
    mark: FloatArray


class CollectingBroker(bt.BrokerBase):
    """Answers from a snapshot of an account, and keeps the basket it is given.

    Attributes
    ----------
    basket : what the strategy has decided; None for no rebalance.
    """

    def __init__(self, snapshot: Snapshot, symbols: Sequence[str]) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._symbols = tuple(symbols)
        self.basket: Basket | None = None
        self.startingcash = snapshot.cash

    @property
    def portfolio(self) -> Portfolio:
        """The snapshot."""
        return self._snapshot

    def check_terms(self, terms: Terms) -> None:
        """Accept any terms: what trading costs, the venue decides."""

    def submit_basket(self, basket: Basket) -> None:
        """Keep the orders of one decision."""
        self.basket = basket

    def getcash(self) -> float:
        """Return the cash."""
        return self._snapshot.cash

    def getvalue(self, datas: Any = None) -> float:
        """Return the account's value, or that of the holdings in ``datas`` alone."""
        if datas is None:
            return self._snapshot.equity
        positions = [self.getposition(data) for data in datas]
        return float(sum(position.size * position.price for position in positions if position.size))

    get_cash = getcash
    get_value = getvalue

    def getposition(self, data: Any) -> bt.Position:
        """Return the position of the symbol a feed is named after; flat for the clock feed."""
        if data._name not in self._symbols:
            return bt.Position()
        i = self._symbols.index(data._name)
        return bt.Position(float(self._snapshot.quantity[i]), float(self._snapshot.mark[i]))

    def get_notification(self) -> None:
        """Return None: baskets raise no order notifications."""

    def buy(self, *args: Any, **kwargs: Any) -> None:
        """Refuse single orders.

        Raises
        ------
        InputError
            Always: this broker takes baskets of target weights.
        """
        raise InputError("on paper a strategy gives its broker one basket of target weights (PortfolioStrategy)")

    sell = cancel = buy
