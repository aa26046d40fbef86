"""EmbeddedVenue: a brokerage account in one SQLite file, whose orders the simulation kernel fills."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from brokers import embedded_store as store
from brokers.embedded_account import EmbeddedAccount, EmbeddedOrder, Execution, Status
from brokers.embedded_session import opened_account, settle
from brokers.protocol import (
    AccountState,
    Holding,
    Movement,
    Order,
    OrderRefused,
    OrderReport,
    Refusal,
    SessionHours,
    Side,
)
from brokers.sqlite_file import BUSY_TIMEOUT, SqliteFile
from engine.clock import Clock
from engine.errors import ConfigError, InputError
from engine.ledger import FillTiming
from engine.panel import MarketPanel
from engine.rebalancer import Terms

logger = logging.getLogger(__name__)

_ROUNDING = 1 + 1e-9  # fractions of shares do not add up exactly
_DAY = timedelta(days=1)


class EmbeddedVenue:
    """A venue that needs no keys: it fills orders as a backtest does, share for share.

    An order for a session is taken while the clock is before that session's close. It fills when the clock is past
    it and the panel has its bars, by the same compiled functions as in a backtest; what does not fill then expires.
    Quantities are in shares of the session settled last: over a split, open orders are restated as exchanges do.

    Each session is one transaction, and so is each order: a process that is killed leaves the file as it was before
    or as it is after. Other processes may use the file meanwhile.

    Parameters
    ----------
    path : the file; it is made when there is none, and otherwise says itself what was opened when.
    panel : returns the bars as they are now; they may grow from day to day, and columns may change places.
    terms : cash (of a new account), costs, whole shares or fractions, next_open or next_close. Limits are not read.
    clock : the venue's time.
    hours : returns the sessions between two dates; it must know every session of the panel.
    start : the session at whose close a new account opens, with its cash; not read when the file exists.
    busy_timeout : seconds to wait for another process.
    durable : wait until the disk has each transaction; only a replay, which can be done again, may do without.

    Raises
    ------
    ConfigError
        When the timing is same_close, which no order can have that is sent after the close.
    InputError
        When ``start`` is no session of the panel, or has not closed yet; and from every method, what the panel
        breaks: DataError when it lacks the session settled last.
    RunFolderError
        When the file is damaged, empty, of a later version or none of ours; from every method.
    TemporaryError
        When another process holds the file for too long; from every method.
    """

    name = "simulated"
    sizes_buys = True
    least_value = 0.0

    def __init__(
        self,
        path: Path,
        panel: Callable[[], MarketPanel],
        terms: Terms,
        clock: Clock,
        hours: Callable[[date, date], list[SessionHours]],
        start: date,
        busy_timeout: float = BUSY_TIMEOUT,
        durable: bool = True,
    ) -> None:
        if terms.timing is FillTiming.SAME_CLOSE:
            raise ConfigError("timing same_close cannot be traded: an order is sent after the close it would fill at")
        self._file = SqliteFile(path, "a simulated account", store.APPLICATION_ID, store.FORMAT, busy_timeout, durable)
        self._panel = panel
        self._terms = terms
        self._rules = terms.rules
        self._clock = clock
        self._hours = hours
        if not path.exists():
            self._open(start)
        self._file.check()

    @property
    def settled(self) -> date:
        """The session settled last."""
        return self._account().settled

    def now(self) -> datetime:
        """Return the venue's time, UTC."""
        return self._clock.now()

    def hours(self, first: date, last: date) -> list[SessionHours]:
        """Return the sessions from ``first`` to ``last``, oldest first."""
        return self._hours(first, last)

    def account(self) -> AccountState:
        """Return the account at the close of the session settled last."""
        account = self._account()
        return AccountState(account.account_id, account.cash, account.equity)

    def holdings(self) -> list[Holding]:
        """Return the positions that are not 0, sorted by symbol."""
        self._settle()
        with self._file.read() as connection:
            account, orders = store.read_account(connection), store.open_orders(connection)
        return [
            Holding(symbol, held.quantity, held.quantity - _claimed(orders, symbol), held.mark)
            for symbol, held in account.positions.items()
            if held.quantity != 0.0
        ]

    def orders(self, since: datetime, open_only: bool = False) -> list[OrderReport]:
        """Return the orders submitted since a time, oldest first."""
        self._settle()
        with self._file.read() as connection:
            orders = store.orders_since(connection, since)
        return [order.report() for order in orders if order.status is Status.ACCEPTED or not open_only]

    def order(self, client_id: str) -> OrderReport | None:
        """Return the order with this client id; None when there is none."""
        self._settle()
        with self._file.read() as connection:
            order = store.find_order(connection, client_id)
        return None if order is None else order.report()

    def submit(self, order: Order) -> OrderReport:
        """Take an order.

        Raises
        ------
        OrderRefused
            When its client id exists, its session is none, has closed or is settled, the panel does not have its
            symbol, its quantity is not positive (or not whole, where shares are), it would sell what is not there,
            or an open order goes the other way.
        """
        panel = self._settle()
        with self._file.write() as connection:
            if store.find_order(connection, order.client_id) is not None:
                raise OrderRefused(f"the client id {order.client_id} exists already", Refusal.DUPLICATE)
            self._check(order, panel, store.read_account(connection), store.open_orders(connection))
            now = self._clock.now()
            taken = EmbeddedOrder(
                0, order.client_id, order.session, order.symbol, order.side, float(order.quantity), now, now
            )
            taken = store.add_order(connection, taken)
        logger.info("accepted %s: %s %s %s", order.client_id, order.side, order.quantity, order.symbol)
        return taken.report()

    def cancel(self, report: OrderReport) -> None:
        """Cancel an order that is not settled; nothing happens to one that is closed.

        Raises
        ------
        OrderRefused
            When there is no such order.
        """
        self._settle()
        with self._file.write() as connection:
            order = store.find_order(connection, report.client_id)
            if order is None:
                raise OrderRefused(f"there is no order {report.client_id} to cancel", Refusal.OTHER)
            if order.status is Status.ACCEPTED:
                canceled = replace(order, status=Status.CANCELED, changed=self._clock.now())
                store.update_orders(connection, [canceled])
                logger.info("canceled %s", order.client_id)

    def prices(self, symbols: Sequence[str]) -> Mapping[str, float]:
        """Return the last closes known of those symbols that have one."""
        positions = self._account().positions
        known = {symbol: positions[symbol].mark for symbol in symbols if symbol in positions}
        return {symbol: mark for symbol, mark in known.items() if not math.isnan(mark)}

    def movements(self, since: date) -> list[Movement]:
        """Return interest, dividends, splits and cash for fractions of shares of the sessions after ``since``."""
        self._settle()
        with self._file.read() as connection:
            return store.movements_since(connection, since)

    def executions(self, since: date) -> list[Execution]:
        """Return the fills of the sessions after ``since``, in the order in which they moved cash."""
        self._settle()
        with self._file.read() as connection:
            return store.executions_since(connection, since)

    def _account(self) -> EmbeddedAccount:
        self._settle()
        with self._file.read() as connection:
            return store.read_account(connection)

    def _open(self, start: date) -> None:
        panel = self._panel()
        row = int(np.searchsorted(panel.sessions, np.datetime64(start, "D")))
        if row == len(panel) or panel.sessions[row].item() != start:
            raise InputError(
                f"an account opens at the close of a session of {panel.source} ({panel.sessions[0]} to "
                f"{panel.sessions[-1]}), was {start}"
            )
        if self._closes(panel, start, start)[start] > self._clock.now():
            raise InputError(f"an account opens at a close of the past, {start} has not closed yet")
        account_id = f"SIM-{secrets.token_hex(4).upper()}"
        account = opened_account(account_id, self._terms.cash, panel, row, self._rules)
        self._file.create(store.METADATA, lambda connection: store.write_account(connection, account))

    def _settle(self) -> MarketPanel:
        """Settle every session that has closed and whose bars are known, one transaction each."""
        panel = self._panel()
        with self._file.read() as connection:
            settled = store.read_settled(connection)
        for row, closed in self._due(panel, settled):
            with self._file.write() as connection:
                account = store.read_account(connection)
                if account.settled >= panel.sessions[row].item():
                    continue  # another process was faster
                self._settle_row(connection, account, panel, row, closed)
        return panel

    def _due(self, panel: MarketPanel, settled: date) -> Iterator[tuple[int, datetime]]:
        now = self._clock.now()
        # No exchange is more than a day ahead of UTC.
        first, stop = np.searchsorted(
            panel.sessions, [np.datetime64(settled), np.datetime64(now.date() + _DAY)], "right"
        )
        if first >= stop:
            return
        closes = self._closes(panel, panel.sessions[first].item(), panel.sessions[stop - 1].item())
        for row in range(first, stop):
            closed = closes[panel.sessions[row].item()]
            if closed > now:
                return
            yield row, closed

    def _closes(self, panel: MarketPanel, first: date, last: date) -> dict[date, datetime]:
        closes = {hours.session: hours.close for hours in self._hours(first, last)}
        for session in panel.sessions[panel.sessions >= np.datetime64(first)].tolist():
            if session > last:
                break
            if session not in closes:
                raise InputError(f"{panel.source} has the session {session}, which has no opening hours")
        return closes

    def _settle_row(
        self, connection: sa.Connection, account: EmbeddedAccount, panel: MarketPanel, row: int, closed: datetime
    ) -> None:
        session = settle(account, store.open_orders(connection), panel, row, closed, self._rules)
        store.write_account(connection, session.account)
        store.update_orders(connection, session.orders)
        store.add_executions(connection, session.executions)
        store.add_movements(connection, session.movements)
        logger.info("settled %s: %d fills", session.account.settled, len(session.executions))

    def _check(
        self, order: Order, panel: MarketPanel, account: EmbeddedAccount, orders: Sequence[EmbeddedOrder]
    ) -> None:
        hours = [hours for hours in self._hours(order.session, order.session) if hours.session == order.session]
        if not hours:
            raise OrderRefused(f"{order.session} is no session", Refusal.OTHER)
        if order.session <= account.settled or self._clock.now() >= hours[0].close:
            raise OrderRefused(f"the session {order.session} has closed", Refusal.OTHER)
        if order.symbol not in panel.symbols:
            raise OrderRefused(f"{panel.source} has no bars for {order.symbol}", Refusal.OTHER)
        _check_quantity(order.quantity, self._terms.fractional)
        same = [other for other in orders if other.symbol == order.symbol]
        if any(other.side is not order.side for other in same):
            raise OrderRefused(f"an open order for {order.symbol} goes the other way", Refusal.OPPOSITE)
        held = account.positions[order.symbol].quantity if order.symbol in account.positions else 0.0
        if order.side is Side.SELL and order.quantity > (available := held - _claimed(same, order.symbol)) * _ROUNDING:
            raise OrderRefused(
                f"{available} shares of {order.symbol} are available, not {order.quantity}", Refusal.SHARES
            )


def _check_quantity(quantity: float, fractional: bool) -> None:
    if not (math.isfinite(quantity) and quantity > 0):
        raise OrderRefused(f"quantity must be positive and finite, was {quantity}", Refusal.OTHER)
    if not fractional and not float(quantity).is_integer():
        raise OrderRefused(f"quantity must be whole, was {quantity}", Refusal.WHOLE)


def _claimed(orders: Sequence[EmbeddedOrder], symbol: str) -> float:
    return sum(order.quantity for order in orders if order.symbol == symbol and order.side is Side.SELL)
