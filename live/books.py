"""Booking: what the venue says of orders, holdings and cash becomes fills and movements in the journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date

import numpy as np

from brokers.protocol import AccountState, Holding, Movement, OrderReport
from engine.errors import TradingStopped
from engine.panel import MarketPanel
from live.deciding import equity_of
from live.journal import Journal
from live.plan import SMALLEST, Intent, Stage
from live.records import Close, Ledger
from live.writer import Writer

CENT = 0.005
EXTERNAL, ROUNDING = "external", "rounding"
"""Kinds of movement that no venue reports: done by hand, and fractions of a cent."""


def absorb(writer: Writer, intent: Intent, report: OrderReport) -> Intent:
    """Book what is new in a report of one of our orders, and return the order as it is now.

    Raises
    ------
    TradingStopped
        When the order at the venue is not the one we meant to send, or it is filled at no price.
    """
    intent = writer.current(intent)
    _check_same(intent, report)
    intent = _restated(intent, report)
    if report.filled > intent.filled + SMALLEST:
        intent = _booked(writer, intent, report)
    stage = Stage.OPEN if report.is_open else Stage.FINAL
    changed = replace(intent, stage=stage, order_id=report.order_id, status=report.status)
    if report.reason and not changed.reason:
        changed = replace(changed, reason=report.reason)
    if changed != intent:
        writer.put(changed)
        writer.note("order", client_id=intent.client_id, order_id=report.order_id, status=report.status)
    return changed


def _restated(intent: Intent, report: OrderReport) -> Intent:
    """Return an order in the shares of after a split, when there was one since it was sent."""
    if report.split == intent.split or report.quantity is None:
        return intent
    ratio = report.split / intent.split
    wanted = report.quantity if intent.wanted == intent.quantity else intent.wanted * ratio
    return replace(intent, quantity=report.quantity, wanted=wanted, split=report.split)


def _booked(writer: Writer, intent: Intent, report: OrderReport) -> Intent:
    if report.average_price is None or not report.average_price > 0:
        raise TradingStopped(
            f"the venue says that {report.filled:g} shares of order {intent.client_id} are filled, and at no price "
            f"({report.average_price}): look at the order there"
        )
    quantity = report.filled - intent.filled
    value = report.filled * report.average_price
    first = intent.filled == 0.0
    price = report.average_price if first else (value - intent.value) / quantity
    time_utc = "" if report.time_utc is None else report.time_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    writer.book(
        intent,
        quantity,
        price,
        report.commission - intent.commission,
        report.slippage - intent.slippage,
        time_utc,
        report.reason or "rebalance",
    )
    return replace(intent, filled=report.filled, value=value, commission=report.commission, slippage=report.slippage)


def _check_same(intent: Intent, report: OrderReport) -> None:
    same = report.symbol == intent.symbol and report.side is intent.side
    restated = report.split != intent.split
    if same and (restated or report.quantity is None or abs(report.quantity - intent.quantity) <= SMALLEST):
        return
    raise TradingStopped(
        f"order {intent.client_id} at the venue is {report.side.value} {report.quantity} {report.symbol}, ours is "
        f"{intent.side.value} {intent.quantity:g} {intent.symbol}: another service trades this account; stop one of "
        "them"
    )


def open_books(writer: Writer, account: AccountState, holdings: Iterable[Holding], symbols: tuple[str, ...]) -> None:
    """Begin the books of an account with the cash and the shares of our symbols that are there."""
    held = {holding.symbol: holding.quantity for holding in holdings if holding.symbol in symbols}
    writer.set_value("account_id", account.account_id)
    writer.set_value("opening", {"cash": account.cash, "positions": held})
    writer.open_ledger(account.cash, held)
    writer.note("opening", account_id=account.account_id, cash=account.cash, positions=held)


def differences(
    ledger: Ledger, account: AccountState, holdings: Mapping[str, Holding], symbols: tuple[str, ...]
) -> list[tuple[str, float]]:
    """Return what the account has more than our books: (symbol, shares), and ("", money) for cash."""
    found = []
    for symbol in symbols:
        there = holdings[symbol].quantity if symbol in holdings else 0.0
        change = there - ledger.positions.get(symbol, 0.0)
        if abs(change) > SMALLEST:
            found.append((symbol, change))
    money = account.cash - ledger.cash
    if abs(money) > 1e-9 * max(1.0, abs(ledger.cash)):
        found.append(("", money))
    return found


def book_differences(writer: Writer, found: Iterable[tuple[str, float]], session: date, n_fills: int) -> list[str]:
    """Take over what the account has and our books have not, and return it in words.

    Parameters
    ----------
    n_fills : fills since the books last agreed: brokers round each to a cent.
    """
    words = []
    for symbol, change in found:
        if symbol:
            writer.move(Movement(session, EXTERNAL, symbol, 0.0, change))
            words.append(f"the account has {change:+g} shares of {symbol} that were not traded here")
        elif abs(change) <= CENT * max(n_fills, 1):
            writer.move(Movement(session, ROUNDING, "", change, 0.0))
        else:
            writer.move(Movement(session, EXTERNAL, "", change, 0.0))
            words.append(f"the account has {change:+,.2f} of cash that did not come from trading here")
    return words


def book_closes(journal: Journal, writer: Writer, panel: MarketPanel) -> None:
    """Book the account at the close of every session of the panel after the last one booked.

    Without any so far, only the panel's last session is booked: there the account begins.
    """
    last = journal.last_close()
    marks = {} if last is None else dict(last.marks)
    first = (
        len(panel) - 1 if last is None else int(np.searchsorted(panel.sessions, np.datetime64(last.session), "right"))
    )
    after = None if last is None else last.session
    ledger_now, fills, movements = journal.ledger(), journal.fills(after=after), journal.movements(after=after)
    for row in range(first, len(panel)):
        session = panel.sessions[row].item()
        for i in np.flatnonzero(panel.has_bar[row]):
            marks[panel.symbols[i]] = float(panel.close[row, i])
        ledger = ledger_now.as_of(session, fills, movements)
        held = np.array([ledger.positions.get(symbol, 0.0) for symbol in panel.symbols])
        mark = np.array([marks.get(symbol, np.nan) for symbol in panel.symbols])
        traded = 0.0
        for fill in fills:
            if fill.session == session:
                traded += fill.quantity * fill.price
        writer.close(Close(session, equity_of(ledger.cash, held, mark), ledger.cash, traded, dict(marks)))
