"""One session of an account against the same session of a backtest that begins with what the account had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np

from brokers.protocol import SessionHours, Side
from engine.account import empty_book
from engine.arrays import FloatArray
from engine.costs import tier_volume
from engine.ledger import FillTiming, Flow
from engine.limits import SHRUNK
from engine.panel import FIELDS, MarketPanel
from engine.rebalancer import Terms
from engine.risk import VOLATILITY_WINDOW
from engine.stored_book import Settled, settle_book
from live.books import EXTERNAL
from live.flattening import is_flattening_id
from live.records import Fill
from marsfolio.paper.folder import Book, lacked_cash

PARTS = ("price", "timing", "costs", "rejected", "cash", "dividends", "other")
LATE = timedelta(minutes=5)
"""A fill so far from the open is late: its difference to the open is timing, not price."""
RESTATED = 0.02
"""Part by which a price must jump without a return for shares that came meanwhile to be those of a split."""


@dataclass(frozen=True, slots=True)
class _Prices:
    """(N,) prices of a session at the level at which the account was valued; growth of one share's value."""

    before: FloatArray
    now: FloatArray
    growth: FloatArray
    reference: FloatArray


def explain_session(
    book: Book,
    panel: MarketPanel,
    known: FloatArray,
    terms: Terms,
    t: int,
    held: FloatArray,
    hours: SessionHours,
) -> tuple[float, dict[str, float]]:
    """Return the equity at which the backtest ends a session, and what took the account elsewhere.

    Parameters
    ----------
    known : (T, N) `known_closes` of the panel.
    t : which of the account's closes ends the session.
    held : (N,) shares at the close before.
    hours : of the session.

    Returns
    -------
    Account currency; each part is what the account has more for that reason.
    """
    session = book.closes[t].session
    row = int(np.searchsorted(panel.sessions, np.datetime64(session)))
    bars, prices = _priced(book, panel, known, terms, t, row)
    arrived = _arrived(book, session, held, prices)
    settled = _backtest(book, bars, terms, t, held, held + (0.0 if bars.has_actions else arrived[0]))
    wanted = np.zeros(len(held))
    for fill in settled.fills:
        wanted[fill["symbol"]] += fill["quantity"]
    costs = float(settled.fills["commission"].sum() + settled.fills["slippage"].sum())
    interest = float(settled.flows["amount"][settled.flows["kind"] == Flow.INTEREST].sum())
    gain = prices.now - prices.reference
    before, traded = book.closes[t - 1].equity, float(wanted @ gain) - costs + interest
    growing = float(held @ (prices.before * (prices.growth - 1.0)))
    if bars.has_actions:  # the kernel has paid dividends and split shares, fractions of which it pays out
        growing = settled.equity - before - traded
    fills = [fill for fill in book.fills if fill.session == session and not is_flattening_id(fill.order_id)]
    parts = dict.fromkeys(PARTS[:-1], 0.0)
    _add_fills(parts, fills, book, prices, hours, terms)
    _add_missed(parts, wanted, fills, book, session, settled, gain)
    parts["costs"] = costs - sum(fill.commission + fill.slippage for fill in fills)
    parts["dividends"] = float(held @ (prices.now - prices.before) + arrived[0] @ prices.now) + arrived[1] - growing
    return before + growing + traded, parts


def _priced(
    book: Book, panel: MarketPanel, known: FloatArray, terms: Terms, t: int, row: int
) -> tuple[MarketPanel, _Prices]:
    """Return the bars up to a session, as many as costs read, and its prices, at the level of the account's marks.

    Adjusted prices of the past are restated by every later dividend; only their ratios stay.
    """
    earlier = int(np.searchsorted(panel.sessions, np.datetime64(book.closes[t - 1].session)))
    before, now = (np.array([c.marks.get(s, 0.0) for s in book.symbols]) for c in book.closes[t - 1 : t + 1])
    growth = known[row] / known[earlier]
    bars = panel.rows(max(0, row - VOLATILITY_WINDOW - 1), row + 1)
    if panel.growth is not None:
        growth = growth * panel.growth[row]
    else:
        level = np.nan_to_num(now / known[row], nan=1.0)
        level[level == 0.0] = 1.0
        bars = replace(bars, **{name: getattr(bars, name) * level for name in FIELDS[:4]})
    executed = bars.close[-1] if terms.timing is FillTiming.NEXT_CLOSE else bars.open[-1]
    reference = np.where(np.isnan(executed), now, executed)
    return bars, _Prices(before, now, np.nan_to_num(growth, nan=1.0), reference)


def known_closes(close: FloatArray) -> FloatArray:
    """Return (T, N) the last close known at each session; NaN before the first."""
    rows = np.where(np.isnan(close), 0, np.arange(len(close))[:, None])
    last = np.maximum.accumulate(rows, axis=0)
    return np.asarray(close[last, np.arange(close.shape[1])])


def _arrived(book: Book, session: date, held: FloatArray, prices: _Prices) -> tuple[FloatArray, float]:
    """Return the (N,) shares and the money that holdings brought: dividends, splits, cash for fractions."""
    shares, money = np.zeros(len(held)), 0.0
    for movement in book.movements:
        if movement.session != session or not movement.symbol:
            continue
        i = book.symbols.index(movement.symbol)
        jump = abs(prices.before[i] * prices.growth[i] / prices.now[i] - 1.0) if prices.now[i] else 0.0
        if movement.kind != EXTERNAL or jump > RESTATED:
            shares[i] += movement.quantity_change
            money += movement.amount
    return shares, money


def _backtest(book: Book, bars: MarketPanel, terms: Terms, t: int, held: FloatArray, now: FloatArray) -> Settled:
    """Return one session of the kernel, from what the account had to what its plan wanted.

    Parameters
    ----------
    held, now : (N,) shares of the close before, and the same as the bars count them.
    """
    before = book.closes[t - 1]
    account = empty_book(before.cash, len(held))
    account.quantity[:] = now
    account.mark[:] = [before.marks.get(symbol, np.nan) for symbol in book.symbols]
    account.month_volume[0] = _month_volume(book, before.session, terms)
    plan = next((plan for plan in book.plans if plan.session == book.closes[t].session), None)
    if plan is not None and plan.target is not None:
        split = np.divide(now, held, out=np.ones(len(held)), where=held != 0.0)
        account.pending[:] = np.maximum((plan.held + plan.change) * split, 0.0)
        account.pending_row[0] = 0
    return settle_book(bars, len(bars) - 1, account, terms.rules)


def _month_volume(book: Book, last: date, terms: Terms) -> float:
    """Return what the account traded in the month of a session up to its close, as commission tiers count it."""
    rates = terms.rules.rates
    month = (last.year, last.month)
    fills = [fill for fill in book.fills if (fill.session.year, fill.session.month) == month and fill.session <= last]
    return float(sum(tier_volume(_signed(fill), fill.price, rates) for fill in fills))


def _signed(fill: Fill) -> float:
    return fill.quantity if fill.side is Side.BUY else -fill.quantity


def _add_fills(
    parts: dict[str, float], fills: Sequence[Fill], book: Book, prices: _Prices, hours: SessionHours, terms: Terms
) -> None:
    """Add what fills at other prices than the backtest's, or at another time, made of a session."""
    due = hours.close if terms.timing is FillTiming.NEXT_CLOSE else hours.open
    for fill in fills:
        i = book.symbols.index(fill.symbol)
        signed = _signed(fill)
        without_slippage = fill.price - float(np.sign(signed)) * fill.slippage / fill.quantity
        part = "timing" if _is_late(fill.time_utc, due) else "price"
        parts[part] += signed * float(prices.reference[i] - without_slippage)


def _is_late(time_utc: str, due: datetime) -> bool:
    # The simulated account knows no time of day.
    if not time_utc or time_utc.endswith("T00:00:00Z"):
        return False
    return abs(datetime.fromisoformat(time_utc) - due) > LATE


def _add_missed(
    parts: dict[str, float],
    wanted: FloatArray,
    fills: Sequence[Fill],
    book: Book,
    session: date,
    settled: Settled,
    gain: FloatArray,
) -> None:
    """Add what shares that were not traded, or traded beyond the backtest, would have gained up to the close."""
    missed = wanted.copy()
    for fill in fills:
        missed[book.symbols.index(fill.symbol)] -= _signed(fill)
    short = {order.symbol for order in book.orders.get(session, []) if lacked_cash(order)}
    for i, symbol in enumerate(book.symbols):
        lacked = symbol in short or bool(settled.outcome[i] & SHRUNK)
        parts["cash" if lacked else "rejected"] -= float(missed[i] * gain[i]) if missed[i] else 0.0
