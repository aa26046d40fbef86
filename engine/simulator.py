"""The simulation kernel: sizing, fills, cash and marks, compiled once and shared by every way to run a strategy.

`plan_basket` turns target weights into target shares, `fill_basket` executes them, `settle` is one session of
an account, and `simulate` the whole loop for weights known beforehand. The Cerebro path calls the first three
one session at a time (through `engine.account`), so both give the same fills bit for bit.
"""

from __future__ import annotations

import numpy as np

from engine.arrays import BoolArray, FloatArray
from engine.compiled import compiled, inlined
from engine.costs import CostRates, commission, executed_price, interest, tier_volume
from engine.ledger import Bars, Book, FillTiming, Flow, Log, OutcomeArray, Reason, Records, Rules
from engine.limits import NO_BAR, PARTIAL, SHRUNK, project_weights

_NEXT_OPEN = int(FillTiming.NEXT_OPEN)
_SAME_CLOSE = int(FillTiming.SAME_CLOSE)
_INTEREST, _DIVIDEND, _SPLIT, _CASH_IN_LIEU = (int(kind) for kind in Flow)
_SHRUNK, _PARTIAL = int(Reason.SHRUNK), int(Reason.PARTIAL)
DUST = 1e-12
"""A change of a holding by less than this fraction is rounding, not an order."""


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


@inlined
def _row_prices(at: int, bars: Bars, rules: Rules) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the (N,) reference prices of row ``at``, its volumes, and volatilities (anything, where not read)."""
    price = bars.open[at] if rules.timing == _NEXT_OPEN else bars.close[at]
    volatility = bars.volatility[at] if rules.rates.impact > 0.0 else price
    return price, bars.volume[at], volatility


@inlined
def _affordable(
    delta: FloatArray, price: FloatArray, volume: FloatArray, volatility: FloatArray, book: Book, rules: Rules
) -> bool:
    """Shrink buys (N,) in place by one factor, again and again, until the cash pays for them; True if it had to.

    Once it had to, a buy whose commission is more than what it buys is dropped: a minimum commission would
    otherwise never fit.
    """
    cash, rates = book.cash[0], rules.rates
    shrunk = False
    while True:
        left = cash
        traded = book.month_volume[0]
        for i in range(delta.shape[0]):
            if delta[i] > 0.0:
                paid = executed_price(price[i], delta[i], volatility[i], volume[i], rates)
                fee = commission(delta[i], paid, traded, rates)
                if shrunk and fee >= delta[i] * paid:
                    delta[i] = 0.0
                    continue
                left = left - delta[i] * paid - fee
                traded += tier_volume(delta[i], paid, rates)
        if left >= 0.0:
            return shrunk
        shrunk = True
        # The factor must be below 1 even when the shortfall is a rounding error, or the loop would not end.
        factor = min(max(cash, 0.0) / (cash - left), 1.0 - 1.2e-16)
        for i in range(delta.shape[0]):
            if delta[i] > 0.0:
                less = delta[i] * factor if rules.fractional else np.floor(delta[i] * factor)
                delta[i] = less if less < delta[i] else 0.0  # so close to nothing that it would shrink no more


@inlined
def _execute(
    sign: float,
    shrunk: bool,
    delta: FloatArray,
    at: int,
    price: FloatArray,
    volume: FloatArray,
    volatility: FloatArray,
    book: Book,
    rates: CostRates,
    log: Log,
    outcome: OutcomeArray,
) -> None:
    """Execute the buys (sign 1) or the sells (-1) of ``delta`` (N,), but no sale whose fees the cash cannot pay."""
    fills, n = log.fills, log.n_fills[0]
    cash, traded = book.cash[0], book.month_volume[0]
    for i in range(delta.shape[0]):
        if not delta[i] * sign > 0.0:
            continue
        paid = executed_price(price[i], delta[i], volatility[i], volume[i], rates)
        fee = commission(delta[i], paid, traded, rates)
        # The order of operations is part of the format: cash_after = cash_before -/+ quantity * price - commission.
        after = cash - delta[i] * paid - fee
        if sign < 0.0 and after < 0.0:
            outcome[i] |= SHRUNK
            continue
        cash = after
        traded += tier_volume(delta[i], paid, rates)
        book.quantity[i] += delta[i]
        fills[n].row = at
        fills[n].symbol = i
        fills[n].quantity = delta[i]
        fills[n].price = paid
        fills[n].commission = fee
        fills[n].slippage = abs(delta[i]) * abs(paid - price[i])
        fills[n].cash_after = cash
        fills[n].position_after = book.quantity[i]
        fills[n].reason = (_SHRUNK if shrunk else 0) | (_PARTIAL if outcome[i] & PARTIAL else 0)
        n += 1
    log.n_fills[0] = n
    book.cash[0] = cash
    book.month_volume[0] = traded


@inlined
def _orders(at: int, bars: Bars, book: Book, rules: Rules, outcome: OutcomeArray) -> FloatArray:
    """Return the (N,) changes that the pending basket asks for and the market lets happen, before cash has its say."""
    rates = rules.rates
    on_volume = rates.participation < np.inf or rates.impact > 0.0
    delta = np.zeros(book.pending.shape[0])
    for i in range(delta.shape[0]):
        change = book.pending[i] - book.quantity[i]
        if not abs(change) > DUST * book.quantity[i]:
            continue
        if not bars.has_bar[at, i]:
            outcome[i] |= NO_BAR
            continue
        if on_volume:
            volume = bars.volume[at, i]
            most = min(rates.participation * volume, abs(change)) if volume > 0.0 else 0.0
            if most < abs(change):
                outcome[i] |= PARTIAL
                most = most if rules.fractional else np.floor(most)
                change = most if change > 0.0 else -most
        delta[i] = change
    return delta


@inlined
def fill_basket(at: int, bars: Bars, book: Book, rules: Rules, log: Log, outcome: OutcomeArray) -> None:
    """Execute the pending basket at the prices of row ``at``: sells first, then the buys that the cash pays for.

    A symbol without a bar is not traded and its order is dropped; what the participation cap leaves is dropped too.

    Parameters
    ----------
    book : the account; its pending targets are read, cash and quantity change.
    outcome : (N,) bits; NO_BAR, PARTIAL and SHRUNK are added.
    """
    delta = _orders(at, bars, book, rules, outcome)
    price, volume, volatility = _row_prices(at, bars, rules)
    _execute(-1.0, False, delta, at, price, volume, volatility, book, rules.rates, log, outcome)
    wanted = delta.copy()
    shrunk = _affordable(delta, price, volume, volatility, book, rules)
    for i in range(delta.shape[0]):
        if wanted[i] > 0.0 and delta[i] < wanted[i]:
            outcome[i] |= SHRUNK
    _execute(1.0, shrunk, delta, at, price, volume, volatility, book, rules.rates, log, outcome)


@compiled
def _record_flow(t: int, i: int, kind: int, amount: float, quantity_change: float, log: Log) -> None:
    n = log.n_flows[0]
    log.flows[n].row = t
    log.flows[n].symbol = i
    log.flows[n].kind = kind
    log.flows[n].amount = amount
    log.flows[n].quantity_change = quantity_change
    log.n_flows[0] = n + 1


@compiled
def _split_shares(t: int, i: int, ratio: float, book: Book, rules: Rules, log: Log) -> None:
    """Turn each old share, held or wanted by an order that waits, into ``ratio`` new ones.

    Where shares are whole, the fraction of a holding is paid out at the close before, restated in new shares; a
    short position owes what a long one gets.
    """
    book.mark[i] /= ratio
    # A ratio such as 0.29 is a little off, and 100 * 0.29 would lose a share.
    exact, nudge = book.quantity[i] * ratio, 1.0 + 1e-12
    wanted = book.pending[i] * ratio
    book.pending[i] = wanted if rules.fractional else np.trunc(wanted * nudge)
    if exact == 0.0:
        return
    shares = exact if rules.fractional else np.trunc(exact * nudge)
    left = exact - shares if abs(exact - shares) > 1e-9 * abs(exact) else 0.0
    _record_flow(t, i, _SPLIT, 0.0, shares + left - book.quantity[i], log)
    book.quantity[i] = shares
    if left != 0.0:
        amount = left * book.mark[i]
        book.cash[0] += amount
        _record_flow(t, i, _CASH_IN_LIEU, amount, -left, log)


@inlined
def begin_session(t: int, bars: Bars, book: Book, rules: Rules, log: Log) -> None:
    """Book what happens before the open of session t: interest since the close before, splits, then dividends.

    Interest is simple, on the cash of the close before, for the calendar days in between. Dividends are booked
    on the day the share trades without them, not on the day they are paid; who is short pays them.
    """
    if bars.month[t] != bars.month[t - 1]:
        book.month_volume[0] = 0.0
    amount = interest(book.cash[0], bars.days[t], rules.rates)
    if amount != 0.0:
        book.cash[0] += amount
        _record_flow(t, -1, _INTEREST, amount, 0.0, log)
    if bars.split.shape[0] == 0:
        return
    for i in range(book.quantity.shape[0]):
        ratio = bars.split[t, i]
        if ratio != 1.0 and ratio == ratio:
            _split_shares(t, i, ratio, book, rules, log)
        dividend = bars.dividend[t, i] * book.quantity[i]
        if dividend != 0.0:
            book.cash[0] += dividend
            _record_flow(t, i, _DIVIDEND, dividend, 0.0, log)


@inlined
def _execute_pending(at: int, bars: Bars, book: Book, records: Records, rules: Rules, log: Log) -> None:
    pending = book.pending_row[0]
    if pending < 0:
        return
    fill_basket(at, bars, book, rules, log, records.outcome[pending])
    book.pending_row[0] = -1
    for i in range(book.quantity.shape[0]):
        if book.quantity[i] == 0.0:
            records.executed_weight[pending, i] = 0.0
        else:  # book.mark still holds the decision's close
            records.executed_weight[pending, i] = book.quantity[i] * book.mark[i] / records.equity[pending]


@inlined
def settle(t: int, bars: Bars, book: Book, records: Records, rules: Rules, log: Log) -> None:
    """Carry an account through session t: book cash flows, fill what waits, mark at the close, record.

    A same_close basket of session t - 1 is booked here, at the prices of t - 1 and before the cash flows of t,
    so that the last decision of a run is not filled whatever the timing, and the first row of a run is its
    initial cash.
    """
    first_fill = log.n_fills[0]
    if rules.timing == _SAME_CLOSE:
        _execute_pending(t - 1, bars, book, records, rules, log)
    if t > 0:
        begin_session(t, bars, book, rules, log)
    if rules.timing != _SAME_CLOSE:
        _execute_pending(t, bars, book, records, rules, log)
    value = book.cash[0]
    largest = 0.0
    for i in range(book.quantity.shape[0]):
        if bars.has_bar[t, i]:
            book.mark[i] = bars.close[t, i]
        if book.quantity[i] != 0.0:
            holding = book.quantity[i] * book.mark[i]
            value += holding
            largest = max(largest, holding)
    records.equity[t] = value
    records.largest_weight[t] = largest / value
    records.cash[t] = book.cash[0]
    traded = 0.0
    for k in range(first_fill, log.n_fills[0]):
        traded += abs(log.fills[k].quantity) * log.fills[k].price
    records.traded[t] = traded


@compiled
def settle_session(t: int, bars: Bars, book: Book, records: Records, rules: Rules, log: Log) -> None:
    """Do what `settle` does, compiled once for all who settle one session at a time."""
    settle(t, bars, book, records, rules, log)


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
    log: Log,
) -> None:
    """Run sessions ``start:stop`` with target weights known beforehand.

    Parameters
    ----------
    weights : (T, N) targets decided at each close; NaN keeps a symbol's shares.
    decided : (T,) False where a session has no rebalance.
    """
    for t in range(start, stop):
        settle(t, bars, book, records, rules, log)
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
