"""What a PortfolioStrategy needs of a broker."""

from __future__ import annotations

from typing import Protocol

from engine.rebalancer import Basket, Portfolio


class BasketBroker(Protocol):
    """A backtrader broker that takes one basket per decision and owns what cash allows."""

    @property
    def portfolio(self) -> Portfolio:
        """Cash, holdings and marks at the last close."""
        ...

    def submit_basket(self, basket: Basket) -> None:
        """Take the orders of one decision."""
        ...
