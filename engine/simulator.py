"""The simulation kernel: sizing, fills, cash and marks, compiled once and shared by every way to run a strategy.

`plan_basket` turns target weights into target shares, `fill_basket` executes them, `settle` is one session of
an account, and `simulate` the whole loop for weights known beforehand. The Cerebro path calls the first three
one session at a time (through `engine.account`), so both give the same fills bit for bit.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from engine.arrays import BoolArray, FloatArray
from engine.compiled import compiled
from engine.costs import CostRates, commission, executed_price
from engine.limits import NO_BAR, SHRUNK, project_weights

OutcomeArray = np.ndarray[tuple[int], np.dtype[np.int8]]
FillArray = np.ndarray[tuple[int], np.dtype[np.void]]

FILL = np.dtype(
    [
        ("row", "i4"),
        ("symbol", "i4"),
        ("quantity", "f8"),
        ("price", "f8"),
        ("commission", "f8"),
        ("slippage", "f8"),
        ("cash_after", "f8"),
        ("position_after", "f8"),
        ("shrunk", "b1"),
    ],
    align=True,
)
"""One fill: row and symbol are column numbers, quantity is signed, money in account currency."""


class FillTiming(IntEnum):
    """When the orders of a decision at the close of session t execute."""

    NEXT_OPEN = 0
    NEXT_CLOSE = 1
    SAME_CLOSE = 2

    @classmethod
    def parse(cls, name: str) -> FillTiming:
        """Return the timing called ``next_open``, ``next_close`` or ``same_close``."""
        return cls[name.upper()]


_NEXT_OPEN = int(FillTiming.NEXT_OPEN)
_SAME_CLOSE = int(FillTiming.SAME_CLOSE)
DUST = 1e-12
"""A change of a holding by less than this fraction is rounding, not an order."""


class Bars(NamedTuple):
    """The bars of a run as the compiled functions read them; each (T, N)."""

    open: FloatArray
    close: FloatArray
    has_bar: BoolArray


class Book(NamedTuple):
    """What an account holds; changed in place."""

    cash: FloatArray  # (1,)
    quantity: FloatArray  # (N,) shares
    mark: FloatArray  # (N,) last close known, NaN before the first
    pending: FloatArray  # (N,) shares wanted by the basket that waits
    pending_row: np.ndarray[tuple[int], np.dtype[np.int64]]  # (1,) its decision's row, -1 for none


class Records(NamedTuple):
    """What happened, one row a session; changed in place."""

    equity: FloatArray  # (T,) at the close, before the fills of a same_close decision
    cash: FloatArray  # (T,)
    largest_weight: FloatArray  # (T,) largest weight of one symbol at the close
    traded: FloatArray  # (T,) notional traded for the fills booked in that session's row
    target_weight: FloatArray  # (T, N) after limits; NaN: no target
    executed_weight: FloatArray  # (T, N) shares held after the fills at the decision's close; NaN: not filled
    outcome: np.ndarray[tuple[int, int], np.dtype[np.int8]]  # (T, N) bits of engine.limits


class Rules(NamedTuple):
    """How orders are sized, limited, timed and charged."""

    rates: CostRates
    cap: float
    budget: float
    limited: bool
    fractional: bool
    timing: int


@compiled
def portfolio_value(cash: float, quantity: FloatArray, mark: FloatArray) -> float:
    """Return cash plus holdings at their marks; symbols not held need no mark."""
    value = cash
    for i in range(quantity.shape[0]):
        if quantity[i] != 0.0:
            value += quantity[i] * mark[i]
    return value


@compiled
def current_weights(equity: float, quantity: FloatArray, mark: FloatArray) -> FloatArray:
    """Return the (N,) weights held, as fractions of equity; 0 for what is not held."""
    weights = np.zeros(quantity.shape[0])
    for i in range(quantity.shape[0]):
        if quantity[i] != 0.0:
            weights[i] = quantity[i] * mark[i] / equity
    return weights


@compiled
def plan_basket(
    weights: FloatArray,
    equity: float,
    quantity: FloatArray,
    mark: FloatArray,
    close: FloatArray,
    has_bar: BoolArray,
    rules: Rules,
) -> tuple[FloatArray, FloatArray, OutcomeArray]:
    """Apply the limits to target weights and size them at the close of the decision's session.

    target_shares = floor(weight * equity / close), exact when ``rules.fractional``.

    Parameters
    ----------
    weights : (N,) targets; NaN keeps a symbol's shares, and so does a missing bar.
    equity : account value at this close.
    quantity, mark : (N,) shares held and the prices they are valued at.
    close, has_bar : (N,) this session's bars.

    Returns
    -------
    (N,) weights after limits (NaN: kept), (N,) target shares, (N,) outcome bits.
    """
    n = weights.shape[0]
    wanted = weights.copy()
    for i in range(n):
        if not has_bar[i]:
            wanted[i] = np.nan
    outcome = np.zeros(n, np.int8)
    if rules.limited:
        wanted, outcome = project_weights(wanted, current_weights(equity, quantity, mark), rules.cap, rules.budget)
    target = quantity.copy()
    for i in range(n):
        if not has_bar[i]:
            if weights[i] == weights[i] and (weights[i] != 0.0 or quantity[i] != 0.0):
                outcome[i] |= NO_BAR
        elif wanted[i] == wanted[i]:
            shares = wanted[i] * equity / close[i]
            target[i] = shares if rules.fractional else np.floor(shares)
    return wanted, target, outcome


@compiled
def _record_fill(
    fills: FillArray,
    n: int,
    row: int,
    i: int,
    delta: float,
    reference: float,
    book: Book,
    rates: CostRates,
    shrunk: bool,
) -> None:
    price = executed_price(reference, delta, rates)
    fee = commission(delta, price, rates)
    # The order of operations is part of the format: cash_after = cash_before -/+ quantity * price - commission.
    book.cash[0] = book.cash[0] - delta * price - fee
    book.quantity[i] += delta
    fills[n].row = row
    fills[n].symbol = i
    fills[n].quantity = delta
    fills[n].price = price
    fills[n].commission = fee
    fills[n].slippage = abs(delta) * abs(price - reference)
    fills[n].cash_after = book.cash[0]
    fills[n].position_after = book.quantity[i]
    fills[n].shrunk = shrunk


@compiled
def _affordable(delta: FloatArray, price: FloatArray, cash: float, rates: CostRates, fractional: bool) -> bool:
    """Shrink buys (N,) in place by one factor, again and again, until the cash pays for them; True if it had to."""
    shrunk = False
    while True:
        left = cash
        for i in range(delta.shape[0]):
            if delta[i] > 0.0:
                paid = executed_price(price[i], delta[i], rates)
                left = left - delta[i] * paid - commission(delta[i], paid, rates)
        if left >= 0.0:
            return shrunk
        shrunk = True
        # The factor must be below 1 even when the shortfall is a rounding error, or the loop would not end.
        factor = min(max(cash, 0.0) / (cash - left), 1.0 - 1.2e-16)
        for i in range(delta.shape[0]):
            if delta[i] > 0.0:
                delta[i] = delta[i] * factor if fractional else np.floor(delta[i] * factor)


@compiled
def fill_basket(
    book: Book,
    price: FloatArray,
    has_bar: BoolArray,
    rates: CostRates,
    fractional: bool,
    row: int,
    fills: FillArray,
    n: int,
    outcome: OutcomeArray,
) -> int:
    """Execute the pending basket: sells first, then the buys that the cash pays for.

    Parameters
    ----------
    book : the account; its pending targets are read, cash and quantity change.
    price, has_bar : (N,) reference prices; a symbol without a bar is not traded and its order is dropped.
    row : the session's row written into the fills.
    fills, n : buffer of `FILL` records and how many it holds already.
    outcome : (N,) bits; NO_BAR and SHRUNK are added.

    Returns
    -------
    How many records the buffer holds now.
    """
    delta = np.zeros(price.shape[0])
    for i in range(price.shape[0]):
        change = book.pending[i] - book.quantity[i]
        if abs(change) > DUST * book.quantity[i]:
            if has_bar[i]:
                delta[i] = change
            else:
                outcome[i] |= NO_BAR
    for i in range(price.shape[0]):
        if delta[i] < 0.0:
            _record_fill(fills, n, row, i, delta[i], price[i], book, rates, False)
            n += 1
    wanted = delta.copy()
    shrunk = _affordable(delta, price, book.cash[0], rates, fractional)
    for i in range(price.shape[0]):
        if wanted[i] > 0.0 and delta[i] < wanted[i]:
            outcome[i] |= SHRUNK
        if delta[i] > 0.0:
            _record_fill(fills, n, row, i, delta[i], price[i], book, rates, shrunk)
            n += 1
    return n


@compiled
def settle(t: int, bars: Bars, book: Book, records: Records, rules: Rules, fills: FillArray, n: int) -> int:
    """Carry an account through session t: fill what waits, mark at the close, record.

    A same_close basket of session t - 1 is booked here, at the prices of t - 1, so that the last decision of
    a run is not filled whatever the timing, and the first row of a run is its initial cash.
    """
    pending = book.pending_row[0]
    first_fill = n
    if pending >= 0:
        at = t - 1 if rules.timing == _SAME_CLOSE else t
        price = bars.open[at] if rules.timing == _NEXT_OPEN else bars.close[at]
        n = fill_basket(
            book,
            price,
            bars.has_bar[at],
            rules.rates,
            rules.fractional,
            at,
            fills,
            n,
            records.outcome[pending],
        )
        book.pending_row[0] = -1
        for i in range(book.quantity.shape[0]):
            if book.quantity[i] == 0.0:
                records.executed_weight[pending, i] = 0.0
            else:  # book.mark still holds the decision's close
                records.executed_weight[pending, i] = book.quantity[i] * book.mark[i] / records.equity[pending]
    for i in range(book.quantity.shape[0]):
        if bars.has_bar[t, i]:
            book.mark[i] = bars.close[t, i]
    records.equity[t] = portfolio_value(book.cash[0], book.quantity, book.mark)
    records.largest_weight[t] = current_weights(records.equity[t], book.quantity, book.mark).max()
    records.cash[t] = book.cash[0]
    traded = 0.0
    for k in range(first_fill, n):
        traded += abs(fills[k].quantity) * fills[k].price
    records.traded[t] = traded
    return n


@compiled
def decided_rows(weights: FloatArray, limited: bool, decided: BoolArray) -> bool:
    """Mark the rows (T, N) that hold a decision in ``decided`` (T,), and return whether all are clearly lawful.

    A row of NaN alone holds no decision. Not lawful are infinities and, without limits, negative weights and
    a sum above 1; whether it is above by more than the tolerance is for `check_weights` to say.
    """
    lawful = True
    for t in range(weights.shape[0]):
        total = 0.0
        known = 0
        bad = False
        for i in range(weights.shape[1]):
            weight = weights[t, i]
            if weight == weight:
                known += 1
                total += weight
                bad = bad or np.isinf(weight) or (weight < 0.0 and not limited)
        decided[t] = known > 0
        if bad or (total > 1.0 and not limited):
            lawful = False
    return lawful


@compiled
def simulate(
    weights: FloatArray,
    decided: BoolArray,
    start: int,
    stop: int,
    bars: Bars,
    book: Book,
    records: Records,
    rules: Rules,
    fills: FillArray,
) -> int:
    """Run sessions ``start:stop`` with target weights known beforehand.

    Parameters
    ----------
    weights : (T, N) targets decided at each close; NaN keeps a symbol's shares.
    decided : (T,) False where a session has no rebalance.
    fills : buffer for at least (stop - start) * N records.

    Returns
    -------
    How many fills were written.
    """
    n = 0
    for t in range(start, stop):
        n = settle(t, bars, book, records, rules, fills, n)
        if decided[t]:
            wanted, target, outcome = plan_basket(
                weights[t], records.equity[t], book.quantity, book.mark, bars.close[t], bars.has_bar[t], rules
            )
            # Element by element: numba compiles seconds of message formatting into an assignment of arrays.
            for i in range(target.shape[0]):
                records.target_weight[t, i] = wanted[i]
                records.outcome[t, i] = outcome[i]
                book.pending[i] = target[i]
            book.pending_row[0] = t
    return n
