"""An account that single orders fill, at prices a broker's matching found: what an ordinary strategy trades on."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.account import bars_of, empty_book, empty_log, empty_records, result_of
from engine.arrays import FloatArray
from engine.costs import commission, executed_price, tier_volume
from engine.errors import ConfigError, InputError
from engine.ledger import FILL, Reason
from engine.panel import MarketPanel
from engine.rebalancer import Terms
from engine.result import Result
from engine.simulator import begin_session
from engine.tradelog import TradeLog


class PlacedOrder(NamedTuple):
    """An order as a strategy placed it.

    Attributes
    ----------
    row : row of the panel at whose close it was placed.
    symbol : number of its symbol in the panel.
    quantity : signed: buys > 0.
    kind : ``Market``, ``Close``, ``Limit``, ``Stop``, ``StopLimit``, ``StopTrail`` or ``StopTrailLimit``.
    price, limit : what triggers it and what bounds it, account currency; the close where it has none.
    """

    row: int
    symbol: int
    quantity: float
    kind: str
    price: float
    limit: float


class OrderAccount:
    """A simulated account over the rows ``first`` to ``last`` of a panel, filled order by order.

    A broker calls `begin` and `close` once a session, in order, and `place` and `fill` in between. Cash and
    quantities may be negative: who may borrow and sell short is the broker's to say. Rows are rows of the panel.

    Raises
    ------
    InputError
        When the rows are not 0 <= first <= last < T, or costs read volumes that the panel lacks.
    ConfigError
        When the terms have limits: these are for target weights, which single orders do not have.
    """

    def __init__(self, panel: MarketPanel, first: int, last: int, terms: Terms) -> None:
        if terms.limits is not None:
            raise ConfigError(
                "a cap and a cash buffer limit target weights, and this strategy places orders of its own size: run "
                f"it without --cap and --cash-buffer, was {terms.limits}"
            )
        self.panel = panel
        self.first = first
        self.last = last
        self.terms = terms
        self.placed: list[PlacedOrder] = []
        n_rows = last - first + 1
        self._rules = terms.rules
        self._bars = bars_of(panel, first, last, self._rules.rates)
        self._book = empty_book(terms.cash, panel.n_symbols)
        self._records = empty_records(n_rows, panel.n_symbols)
        self._log = empty_log(panel, n_rows, 0)
        self._fills: list[tuple[float, ...]] = []
        self._orders: list[int] = []
        self._traded = 0.0
        self._closed = first - 1

    @property
    def cash(self) -> float:
        """Cash now."""
        return float(self._book.cash[0])

    @property
    def equity(self) -> float:
        """Account value at the last close."""
        return self.terms.cash if self._closed < self.first else float(self._records.equity[self._closed - self.first])

    @property
    def quantity(self) -> FloatArray:
        """(N,) shares held, negative when short; a view, do not write."""
        return self._book.quantity

    @property
    def closed(self) -> int:
        """Row of the session that was closed last; ``first - 1`` before the first."""
        return self._closed

    def begin(self, row: int) -> list[tuple[int, float]]:
        """Book interest, splits and dividends before the open of a session; return column and ratio of each split.

        Raises
        ------
        InputError
            When the row is not the one after the last closed, or outside the account's.
        """
        if row != self._closed + 1 or row > self.last:
            raise InputError(f"the next session to begin is row {self._closed + 1} of at most {self.last}, was {row}")
        if row == self.first:  # nothing is held yet
            return []
        begin_session(row - self.first, self._bars, self._book, self._rules, self._log)
        if self.panel.split is None:
            return []
        ratios = self.panel.split[row]
        return [(int(column), float(ratios[column])) for column in np.flatnonzero(ratios != 1.0)]

    def place(self, order: PlacedOrder) -> int:
        """Write down an order and return its number, from 1, which its fills are recorded under."""
        self.placed.append(order)
        return len(self.placed)

    def takes(self, row: int, i: int, quantity: float) -> float:
        """Return how much of an order the session's volume takes (signed): 0 for nothing."""
        if not self._rules.rates.needs_volume:
            return quantity
        volume = float(self._bars.volume[row - self.first, i])
        most = self._rules.rates.participation * volume if volume > 0.0 else 0.0
        if most >= abs(quantity):
            return quantity
        return math.copysign(most if self.terms.fractional else math.floor(most), quantity)

    def price(self, row: int, i: int, quantity: float, reference: float) -> float:
        """Return what ``quantity`` shares (signed) execute at when the market shows ``reference``."""
        t, rates = row - self.first, self._rules.rates
        volatility = float(self._bars.volatility[t, i]) if rates.impact > 0.0 else 0.0
        return float(executed_price(reference, quantity, volatility, float(self._bars.volume[t, i]), rates))

    def fee(self, quantity: float, price: float) -> float:
        """Return the commission of a fill now, in account currency."""
        month_volume = float(self._book.month_volume[0])
        return float(commission(float(quantity), float(price), month_volume, self._rules.rates))

    def fill(
        self, row: int, i: int, quantity: float, price: float, reference: float, reason: Reason, order: int
    ) -> None:
        """Book a fill at the prices of a session.

        Parameters
        ----------
        quantity : signed: buys > 0.
        price, reference : executed, and what the market showed: slippage is the difference.
        order : a number that `place` returned.
        """
        book = self._book
        fee = self.fee(quantity, price)
        # The order of operations is part of the format: cash_after = cash_before -/+ quantity * price - commission.
        cash = self.cash - quantity * price - fee
        book.cash[0] = cash
        book.quantity[i] += quantity
        book.month_volume[0] += tier_volume(float(quantity), float(price), self._rules.rates)
        slippage = abs(quantity) * abs(price - reference)
        held = float(book.quantity[i])
        self._fills.append((row - self.first, i, quantity, price, fee, slippage, cash, held, reason))
        self._orders.append(order)
        self._traded += abs(quantity) * price

    def close(self, row: int) -> None:
        """Mark to the close of a session and record it."""
        t, book, records = row - self.first, self._book, self._records
        has_bar = self._bars.has_bar[t]
        book.mark[has_bar] = self._bars.close[t][has_bar]
        held = book.quantity != 0.0
        holdings = book.quantity[held] * book.mark[held]
        equity = self.cash + float(holdings.sum())
        records.equity[t] = equity
        records.cash[t] = self.cash
        records.largest_weight[t] = float(np.abs(holdings).max(initial=0.0)) / equity if equity > 0.0 else math.nan
        records.traded[t] = self._traded
        self._traded = 0.0
        self._closed = row

    def result(self) -> Result:
        """Return everything recorded so far; there are no target weights and no decisions among it."""
        trades = TradeLog(
            np.array(self._fills, dtype=FILL),
            self.panel.sessions[self.first : self.last + 1],
            self.panel.symbols,
            self._log.flows[: self._log.n_flows[0]],
            np.array(self._orders, dtype=np.int64),
        )
        return result_of(self.panel, self.terms, self._book, self._records, trades)
