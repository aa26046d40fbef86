"""One session of the embedded account: orders and holdings in, what the simulation kernel made of them out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any

from brokers.embedded_account import EmbeddedAccount, EmbeddedOrder, Execution, Position, Status
from brokers.protocol import Movement, Side
from engine.account import empty_book
from engine.errors import DataError
from engine.ledger import Book, Flow, Reason, Rules
from engine.limits import NO_BAR, PARTIAL, SHRUNK
from engine.panel import MarketPanel
from engine.stored_book import Settled, open_book, settle_book
from engine.tradelog import REASONS

_ENOUGH = 1 - 1e-9  # of an order is all of it: fractions of shares do not add up exactly
_NUDGE = 1 + 1e-12  # the kernel's: a ratio such as 0.29 is a little off
_UNFILLED = {NO_BAR: "no bar in its session", PARTIAL: "volume cap", SHRUNK: "shrunk to cash"}


@dataclass(frozen=True, slots=True)
class Session:
    """What a session changed: the account at its close, the orders that are other than before, fills and flows."""

    account: EmbeddedAccount
    orders: tuple[EmbeddedOrder, ...]
    executions: tuple[Execution, ...]
    movements: tuple[Movement, ...]


def opened_account(account_id: str, cash: float, panel: MarketPanel, row: int, rules: Rules) -> EmbeddedAccount:
    """Return a new account at the close of a row of the panel.

    Raises
    ------
    InputError
        When costs read volumes that the panel lacks.
    """
    book = empty_book(cash, panel.n_symbols)
    settled = open_book(panel, row, book, rules)
    empty = EmbeddedAccount(account_id, panel.sessions[row].item(), cash, cash, 0.0, {})
    return _account_after(empty, panel, row, book, settled)


def settle(
    account: EmbeddedAccount,
    orders: Sequence[EmbeddedOrder],
    panel: MarketPanel,
    row: int,
    closed: datetime,
    rules: Rules,
) -> Session:
    """Carry an account through the session after the one settled last, which is a row of the panel.

    Parameters
    ----------
    orders : those that are open, oldest first. Those of this session fill or expire, those of sessions before
        expire, those of later ones wait and are restated where shares split.
    closed : when the session closed.

    Raises
    ------
    DataError
        When the row before is not the session settled last.
    InputError
        When costs read volumes that the panel lacks.
    """
    session: date = panel.sessions[row].item()
    if row < 1 or panel.sessions[row - 1].item() != account.settled:
        raise DataError(
            f"{panel.source}: {account.settled}, the session that the account settled last, must be in the data and "
            f"come before {session}: give it the bars it has had, later ones added"
        )
    due = [order for order in orders if order.session == session]
    book = _book_of(account, due, panel)
    settled = settle_book(panel, row, book, rules)
    results = [
        *_results(due, panel, row, book, settled, closed, rules.fractional),
        *(_expired(order, closed, "the data has no such session") for order in orders if order.session < session),
        *_restated([order for order in orders if order.session > session], panel, row, closed, rules.fractional),
    ]
    return Session(
        _account_after(account, panel, row, book, settled),
        tuple(results),
        tuple(_execution(fill, session, panel) for fill in settled.fills),
        tuple(_movement(flow, session, panel) for flow in settled.flows),
    )


def _book_of(account: EmbeddedAccount, due: Sequence[EmbeddedOrder], panel: MarketPanel) -> Book:
    book = empty_book(account.cash, panel.n_symbols)
    wanted: dict[str, float] = defaultdict(float)
    for order in due:
        wanted[order.symbol] += order.quantity if order.side is Side.BUY else -order.quantity
    for i, symbol in enumerate(panel.symbols):
        if symbol in account.positions:
            book.quantity[i], book.mark[i] = account.positions[symbol].quantity, account.positions[symbol].mark
        # Sales of all shares in fractions may sum to a little more.
        book.pending[i] = max(book.quantity[i] + wanted[symbol], 0.0)
    book.pending_row[0] = 0 if due else -1
    book.month_volume[0] = account.month_volume
    return book


def _account_after(
    before: EmbeddedAccount, panel: MarketPanel, row: int, book: Book, settled: Settled
) -> EmbeddedAccount:
    there = set(panel.symbols)
    elsewhere = {symbol: position for symbol, position in before.positions.items() if symbol not in there}
    pairs = zip(book.quantity.tolist(), book.mark.tolist(), strict=True)
    here = {symbol: Position(*pair) for symbol, pair in zip(panel.symbols, pairs, strict=True)}
    equity = settled.equity
    for position in elsewhere.values():
        if position.quantity != 0.0:
            equity += position.quantity * position.mark
    return replace(
        before,
        settled=panel.sessions[row].item(),
        cash=float(book.cash[0]),
        equity=equity,
        month_volume=float(book.month_volume[0]),
        positions=here | elsewhere,
    )


def _results(
    due: Sequence[EmbeddedOrder],
    panel: MarketPanel,
    row: int,
    book: Book,
    settled: Settled,
    closed: datetime,
    fractional: bool,
) -> list[EmbeddedOrder]:
    by_symbol: dict[str, list[EmbeddedOrder]] = defaultdict(list)
    for order in due:
        by_symbol[order.symbol].append(order)
    fills = {int(fill["symbol"]): fill for fill in settled.fills}
    column = {symbol: i for i, symbol in enumerate(panel.symbols)}
    results: list[EmbeddedOrder] = []
    for symbol, orders in by_symbol.items():
        if symbol not in column:
            results += [_expired(order, closed, _UNFILLED[NO_BAR]) for order in orders]
            continue
        i = column[symbol]
        if panel.split is not None and panel.split[row, i] != 1.0:
            before = book.quantity[i] - (fills[i]["quantity"] if i in fills else 0.0)
            orders = _restated_to(abs(book.pending[i] - before), orders, panel.split[row, i], fractional)
        if i in fills:
            results += _shared(fills[i], orders, closed)
        else:
            results += [_expired(order, closed, _why(settled.outcome[i])) for order in orders]
    return results


def _shared(fill: Any, orders: Sequence[EmbeddedOrder], closed: datetime) -> list[EmbeddedOrder]:
    """Give a fill to the orders of its symbol, first come, first served, costs in proportion."""
    shares = left = abs(float(fill["quantity"]))
    results = []
    for k, order in enumerate(orders):
        taken = left if k == len(orders) - 1 else min(left, order.quantity)
        left -= taken
        reason = REASONS[Reason(int(fill["reason"]))]
        if not taken:
            results.append(_expired(order, closed, reason))
            continue
        part = taken / shares
        done = replace(
            order,
            filled=taken,
            average_price=float(fill["price"]),
            commission=float(fill["commission"]) * part,
            slippage=float(fill["slippage"]) * part,
            changed=datetime.combine(order.session, time(), UTC),
            status=Status.FILLED if taken >= order.quantity * _ENOUGH else Status.EXPIRED,
            reason=reason,
        )
        results.append(done)
    return results


def _restated_to(total: float, orders: Sequence[EmbeddedOrder], ratio: float, fractional: bool) -> list[EmbeddedOrder]:
    """Express orders in the shares of after a split, so that they sum to ``total``, which the kernel came to."""
    *early, last = orders
    restated = [order.restated(_split(order.quantity, ratio, fractional), ratio) for order in early]
    return [*restated, last.restated(total - sum(order.quantity for order in restated), ratio)]


def _restated(
    later: Sequence[EmbeddedOrder], panel: MarketPanel, row: int, closed: datetime, fractional: bool
) -> list[EmbeddedOrder]:
    """Return those orders of later sessions whose shares split in this one."""
    if panel.split is None:
        return []
    ratios = {symbol: float(panel.split[row, i]) for i, symbol in enumerate(panel.symbols)}
    changed = [order for order in later if ratios.get(order.symbol, 1.0) != 1.0]
    restated = [
        replace(order.restated(_split(order.quantity, ratio, fractional), ratio), changed=closed)
        for order in changed
        if (ratio := ratios[order.symbol])
    ]
    return [
        new if new.quantity else _expired(old, closed, "less than one share after a split")
        for old, new in zip(changed, restated, strict=True)
    ]


def _split(quantity: float, ratio: float, fractional: bool) -> float:
    return quantity * ratio if fractional else float(math.floor(quantity * ratio * _NUDGE))


def _expired(order: EmbeddedOrder, closed: datetime, reason: str) -> EmbeddedOrder:
    return replace(order, status=Status.EXPIRED, changed=closed, reason=reason)


def _why(outcome: int) -> str:
    reasons = [words for bit, words in _UNFILLED.items() if outcome & bit]
    return ", ".join(reasons) or "too small to trade"


def _execution(fill: Any, session: date, panel: MarketPanel) -> Execution:
    names = ("quantity", "price", "commission", "slippage", "cash_after", "position_after")
    numbers = {name: float(fill[name]) for name in names}
    return Execution(session, panel.symbols[fill["symbol"]], reason=REASONS[Reason(int(fill["reason"]))], **numbers)


def _movement(flow: Any, session: date, panel: MarketPanel) -> Movement:
    symbol = panel.symbols[flow["symbol"]] if flow["symbol"] >= 0 else ""
    kind = Flow(int(flow["kind"])).name.lower()
    return Movement(session, kind, symbol, float(flow["amount"]), float(flow["quantity_change"]))
