"""What a portfolio must do, in plain Python, sharing no code with the engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Row = Sequence[float]


class OracleFill(NamedTuple):
    """One fill; quantity is signed (buys > 0), price has the slippage in it."""

    row: int
    symbol: int
    quantity: float
    price: float
    commission: float
    cash_after: float


@dataclass
class Oracle:
    """An account that follows target weights.

    Parameters
    ----------
    timing : next_open, next_close or same_close.
    """

    cash: float = 1_000_000.0
    commission_bps: float = 0.0
    slippage_bps: float = 0.0
    timing: str = "next_open"
    fractional: bool = False
    fills: list[OracleFill] = field(default_factory=list)
    equity_rows: list[float] = field(default_factory=list)
    cash_rows: list[float] = field(default_factory=list)

    def run(self, opens: Sequence[Row], closes: Sequence[Row], weights: Sequence[Row]) -> Oracle:
        """Trade (T, N) bars, NaN where missing, to (T, N) weights, NaN where shares are kept."""
        n = len(closes[0])
        self.held = [0.0] * n
        self.last_close = [math.nan] * n
        orders: dict[int, float] = {}
        for t in range(len(closes)):
            if self.timing == "next_open":
                self._execute(orders, opens[t], t)
            elif self.timing == "next_close":
                self._execute(orders, closes[t], t)
            elif orders:
                self._execute(orders, closes[t - 1], t - 1)
            for i in range(n):
                if not math.isnan(closes[t][i]):
                    self.last_close[i] = closes[t][i]
            self.equity_rows.append(self._equity())
            self.cash_rows.append(self.cash)
            orders = self._orders(weights[t], closes[t])
        return self

    def _equity(self) -> float:
        value = self.cash
        for shares, price in zip(self.held, self.last_close, strict=True):
            if shares:
                value += shares * price
        return value

    def _orders(self, weights: Row, close: Row) -> dict[int, float]:
        equity = self._equity()
        orders = {}
        for i, (weight, price) in enumerate(zip(weights, close, strict=True)):
            if math.isnan(weight) or math.isnan(price):
                continue
            shares = weight * equity / price
            change = (shares if self.fractional else math.floor(shares)) - self.held[i]
            if abs(change) > 1e-12 * self.held[i]:  # less is rounding in fractional mode
                orders[i] = change
        return orders

    def _execute(self, orders: dict[int, float], prices: Row, row: int) -> None:
        possible = {i: quantity for i, quantity in orders.items() if not math.isnan(prices[i])}
        for i, quantity in possible.items():
            if quantity < 0:
                self._fill(i, quantity, prices[i], row)
        buys = {i: quantity for i, quantity in possible.items() if quantity > 0}
        while (left := self._cash_after(buys, prices)) < 0:
            # A cost one rounding error above the cash would give a factor of 1 and no end.
            factor = min(self.cash / (self.cash - left), math.nextafter(1.0, 0.0))
            buys = {i: q * factor if self.fractional else math.floor(q * factor) for i, q in buys.items()}
        for i, quantity in buys.items():
            if quantity > 0:
                self._fill(i, quantity, prices[i], row)

    def _cash_after(self, buys: dict[int, float], prices: Row) -> float:
        left = self.cash
        for i, quantity in buys.items():
            price, fee = self._price_and_fee(quantity, prices[i])
            left = left - quantity * price - fee
        return left

    def _price_and_fee(self, quantity: float, reference: float) -> tuple[float, float]:
        worse = self.slippage_bps * 1e-4
        price = reference * (1 + worse if quantity > 0 else 1 - worse)
        return price, abs(quantity) * price * (self.commission_bps * 1e-4)

    def _fill(self, i: int, quantity: float, reference: float, row: int) -> None:
        price, fee = self._price_and_fee(quantity, reference)
        self.cash = self.cash - quantity * price - fee
        self.held[i] += quantity
        self.fills.append(OracleFill(row, i, quantity, price, fee, self.cash))
