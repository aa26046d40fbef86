"""CollectingBroker: what stands in Cerebro in a paper session; it keeps the basket, and others carry it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import backtrader as bt
import numpy as np

from engine.arrays import FloatArray
from engine.errors import InputError
from engine.rebalancer import Basket, Portfolio, Terms


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """An account as a decision sees it: a `Portfolio` that does not move.

    Parameters
    ----------
    symbols : N names, in the order of the panel's columns.
    cash, equity : account currency, at the last close.
    quantity : (N,) shares held.
    mark : (N,) prices the holdings are valued at; NaN where there is none and nothing is held.

    Raises
    ------
    InputError
        When shapes disagree or the equity is not positive.
    """

    symbols: tuple[str, ...]
    cash: float
    equity: float
    quantity: FloatArray
    mark: FloatArray

    def __post_init__(self) -> None:
        shape = (len(self.symbols),)
        for name in ("quantity", "mark"):
            values = getattr(self, name)
            if values.shape != shape:
                raise InputError(f"{name} of an account must have shape {shape}, was {values.shape}")
        if not (np.isfinite(self.equity) and self.equity > 0 and np.isfinite(self.cash)):
            raise InputError(f"an account needs a positive equity, was {self.equity} (cash {self.cash})")


class CollectingBroker(bt.BrokerBase):
    """Answers from a snapshot and keeps the one basket of the session.

    Parameters
    ----------
    snapshot : the account at the close of the session that is decided in.

    Attributes
    ----------
    basket : the decision; None until there is one.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot
        self.startingcash = snapshot.cash
        self.basket: Basket | None = None

    @property
    def portfolio(self) -> Portfolio:
        """The account."""
        return self._snapshot

    def check_terms(self, terms: Terms) -> None:
        """Accept any terms: what a fill costs is the venue's affair."""

    def submit_basket(self, basket: Basket) -> None:
        """Keep the orders of the decision.

        Raises
        ------
        InputError
            When there is a basket already: a paper session decides once.
        """
        if self.basket is not None:
            raise InputError("a paper session takes one decision, this is a second one")
        self.basket = basket

    def getcash(self) -> float:
        """Return the cash."""
        return self._snapshot.cash

    def getvalue(self, datas: Any = None) -> float:
        """Return the account's value at the last close, or that of the holdings in ``datas`` alone."""
        if datas is None:
            return self._snapshot.equity
        positions = [self.getposition(data) for data in datas]
        return float(sum(position.size * position.price for position in positions if position.size))

    get_cash = getcash
    get_value = getvalue

    def getposition(self, data: Any) -> bt.Position:
        """Return the position of the symbol a feed is named after, at the last close; flat for the clock feed."""
        if data._name not in self._snapshot.symbols:
            return bt.Position()
        i = self._snapshot.symbols.index(data._name)
        return bt.Position(float(self._snapshot.quantity[i]), float(self._snapshot.mark[i]))

    def get_notification(self) -> None:
        """Return None: baskets raise no order notifications."""

    def buy(self, *args: Any, **kwargs: Any) -> None:
        """Refuse single orders.

        Raises
        ------
        InputError
            Always: paper trading takes baskets of target weights.
        """
        raise InputError("paper trading takes one basket of target weights per session (PortfolioStrategy), no orders")

    sell = cancel = buy
