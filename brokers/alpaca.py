"""AlpacaVenue: a paper account at Alpaca, behind the protocol that every venue has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import numpy as np

from brokers import alpaca_parsing as parsing
from brokers.alpaca_parsing import Asset
from brokers.alpaca_refusals import read_error, submit_error
from brokers.collecting import CollectingBroker, Snapshot
from brokers.credentials import Credentials
from brokers.protocol import (
    AccountState,
    Holding,
    Movement,
    Order,
    OrderReport,
    OutcomeUnknown,
    SessionHours,
    Venue,
)
from engine.arrays import FloatArray
from engine.errors import TemporaryError, TradingStopped
from engine.http import RequestFailed, Tries, answer, harden

if TYPE_CHECKING:
    from alpaca.common.rest import RESTClient

PAGE = 500
MOST_PAGES = 200
PAPER_PREFIX = "PA"

_INSTANT = timedelta(milliseconds=1)
_SYMBOLS_A_REQUEST = 100

T = TypeVar("T")

logger = logging.getLogger(__name__)


class AlpacaVenue:
    """A paper account at Alpaca; `brokers.protocol.Venue` says what each method does.

    Questions are tried again while they fail for now; an order is sent once, and only as a market order for the day.

    Parameters
    ----------
    credentials : keys and hosts, checked already.
    tries : how questions are repeated.
    """

    name = "alpaca"
    sizes_buys = False
    least_value = 1.0

    def __init__(self, credentials: Credentials, tries: Tries | None = None) -> None:
        from alpaca.data.historical.stock import StockHistoricalDataClient
        from alpaca.trading.client import TradingClient

        self._credentials = credentials
        self._tries = tries or Tries()
        keys = (credentials.key, credentials.secret)
        self._trading = TradingClient(*keys, raw_data=True, url_override=credentials.trading_url)
        self._data = StockHistoricalDataClient(*keys, raw_data=True, url_override=credentials.data_url)
        for client, url in ((self._trading, credentials.trading_url), (self._data, credentials.data_url)):
            self._tame(client, url)

    def now(self) -> datetime:
        """Return Alpaca's time, UTC."""
        return self._ask("clock", self._trading.get_clock, parsing.clock_time)

    def hours(self, first: date, last: date) -> list[SessionHours]:
        """Return the sessions from ``first`` to ``last``, oldest first."""
        from alpaca.trading.requests import GetCalendarRequest

        def parse(value: object) -> list[SessionHours]:
            sessions = {
                hours.session: hours for hours in map(parsing.session_hours, parsing.rows_of(value, "calendar"))
            }
            return [sessions[day] for day in sorted(sessions) if first <= day <= last]

        request = GetCalendarRequest(start=first, end=last)
        return self._ask("calendar", lambda: self._trading.get_calendar(request), parse)

    def account(self) -> AccountState:
        """Return the account.

        Raises
        ------
        TradingStopped
            When its number is not that of a paper account.
        """
        return self._ask("account", self._trading.get_account, self._parse_account)

    def holdings(self) -> list[Holding]:
        """Return the positions that are not 0."""

        def parse(value: object) -> list[Holding]:
            return [held for held in map(parsing.holding, parsing.rows_of(value, "positions")) if held.quantity != 0]

        return self._ask("positions", self._trading.get_all_positions, parse)

    def orders(self, since: datetime, open_only: bool = False) -> list[OrderReport]:
        """Return the orders submitted since a time, oldest first, all of them.

        Open ones are picked here: Alpaca's own filter might leave out one whose status we do not know.
        """
        found: dict[str, tuple[datetime, OrderReport]] = {}
        after = since - _INSTANT  # Alpaca leaves out what was submitted at that very instant
        for _ in range(MOST_PAGES):
            page = self._orders_after(after)
            known = len(found)
            found |= {report.order_id: (submitted, report) for submitted, report in page}
            if len(page) < PAGE:
                ordered = sorted(found.values(), key=lambda pair: pair[0])
                return [report for _, report in ordered if report.is_open or not open_only]
            if len(found) == known:
                break
            after = max(submitted for submitted, _ in page) - _INSTANT
        raise TemporaryError(f"Alpaca's list of orders since {since} does not end ({len(found)} orders read)")

    def order(self, client_id: str) -> OrderReport | None:
        """Return the order with this client id; None when Alpaca says that there is none."""

        def parse(value: object) -> OrderReport:
            report = parsing.order_report(parsing.row_of(value, "order"))
            if report.client_id != client_id:
                raise TemporaryError(f"asked for the order {client_id}, Alpaca answered with {report.client_id!r}")
            return report

        try:
            return self._ask("order", lambda: self._trading.get_order_by_client_id(client_id), parse)
        except RequestFailed as failure:
            # A page without an explanation comes from something in between, and proves nothing.
            if failure.status == 404 and failure.message:
                return None
            raise

    def submit(self, order: Order) -> OrderReport:
        """Send an order once; `Venue.submit` says what is raised.

        A quantity that must not be sent (not positive, not finite) is refused here.
        """
        fields = parsing.order_fields(order)
        try:
            # Not submit_order: its model would make a float of the quantity.
            value = answer(lambda: self._trading.post("/orders", fields), f"order {order.client_id}")
        except RequestFailed as failure:
            raise submit_error(failure) from failure
        try:
            report = parsing.order_report(parsing.row_of(value, "order"))
        except TemporaryError as error:
            raise OutcomeUnknown(f"order {order.client_id}: {error}") from error
        if (report.client_id, report.symbol, report.side) != (order.client_id, order.symbol, order.side):
            raise OutcomeUnknown(f"order {order.client_id}: Alpaca answered with another one, {report}")
        return report

    def cancel(self, report: OrderReport) -> None:
        """Ask to cancel an open order; what came of it is in its next report."""
        path = f"/orders/{quote(report.order_id, safe='')}"
        try:
            self._ask(f"cancel {report.client_id}", lambda: self._trading.delete(path), lambda _: None)
        except RequestFailed as failure:
            if failure.status not in (404, 422):
                raise
            logger.info("%s cannot be cancelled: %s", report.client_id, failure)

    def prices(self, symbols: Sequence[str]) -> Mapping[str, float]:
        """Return the latest trade prices of those symbols that have one; none when Alpaca refuses to tell."""
        found: dict[str, float] = {}
        for start in range(0, len(symbols), _SYMBOLS_A_REQUEST):
            query = {"symbols": ",".join(symbols[start : start + _SYMBOLS_A_REQUEST])}
            try:
                found |= self._latest_trades(query)
            except RequestFailed as failure:
                if failure.passes or failure.status == 401:
                    raise read_error(failure) from failure
                logger.warning("no latest prices: %s", failure)
                return {}
        return {symbol: found[symbol] for symbol in symbols if symbol in found}

    def movements(self, since: date) -> list[Movement]:
        """Return nothing: a paper account pays neither dividends nor interest."""
        return []

    def assets(self, symbols: Sequence[str]) -> dict[str, Asset]:
        """Return what Alpaca says of each symbol, asking once for each."""
        return {symbol: self._asset(symbol) for symbol in symbols}

    def close(self) -> None:
        """Give back the connections."""
        for client in (self._trading, self._data):
            client._session.close()

    def _asset(self, symbol: str) -> Asset:
        path, what = f"/assets/{quote(symbol, safe='')}", f"asset {symbol}"
        try:
            return self._ask(what, lambda: self._trading.get(path), lambda value: parsing.asset(value, symbol))
        except RequestFailed as failure:
            if failure.status != 404:
                raise
            return Asset(symbol, tradable=False, fractionable=False, status="unknown")

    def _orders_after(self, after: datetime) -> list[tuple[datetime, OrderReport]]:
        from alpaca.common.enums import Sort
        from alpaca.trading.enums import QueryOrderStatus
        from alpaca.trading.requests import GetOrdersRequest

        def parse(value: object) -> list[tuple[datetime, OrderReport]]:
            rows = parsing.rows_of(value, "orders")
            return [(parsing.submitted_at(row), parsing.order_report(row)) for row in rows]

        request = GetOrdersRequest(status=QueryOrderStatus.ALL, limit=PAGE, after=after, direction=Sort.ASC)
        return self._ask("orders", lambda: self._trading.get_orders(request), parse)

    def _latest_trades(self, query: dict[str, str]) -> dict[str, float]:
        def ask() -> dict[str, float]:
            return parsing.latest_trades(
                answer(lambda: self._data.get("/stocks/trades/latest", query), "latest trades")
            )

        return self._tries(ask)

    def _parse_account(self, value: object) -> AccountState:
        row = parsing.row_of(value, "account")
        account_number = row.get("account_number")
        is_paper = account_number is None or str(account_number).startswith(PAPER_PREFIX)
        if not is_paper and not self._credentials.on_loopback:
            raise TradingStopped(
                f"the account's number does not begin with {PAPER_PREFIX}, as those of paper accounts do: "
                "only paper accounts are traded"
            )
        return parsing.account_state(row)

    def _ask(self, what: str, call: Callable[[], object], parse: Callable[[object], T]) -> T:
        try:
            return self._tries(lambda: parse(answer(call, what)))
        except RequestFailed as failure:
            raise read_error(failure) from failure

    def _tame(self, client: RESTClient, url: str) -> None:
        # alpaca-py repeats POSTs after a 504; its constructor takes 0 for "as usual".
        client._retry = 0
        harden(client._session, url, self._credentials.redact, self._tries.left)


class AlpacaBroker(CollectingBroker):
    """A collecting broker for an account as it is now at a venue.

    Its equity is that of cash and ``symbols``; other holdings are not this strategy's to size by.

    Parameters
    ----------
    venue : asked for cash and holdings.
    symbols : N names, in the order of the panel's columns.
    mark : (N,) last closes.
    """

    def __init__(self, venue: Venue, symbols: Sequence[str], mark: FloatArray) -> None:
        held = {holding.symbol: holding.quantity for holding in venue.holdings()}
        quantity = np.array([held.get(symbol, 0.0) for symbol in symbols])
        cash = venue.account().cash
        equity = cash + float(np.sum(np.where(quantity == 0, 0.0, quantity * mark)))
        super().__init__(Snapshot(tuple(symbols), cash, equity, quantity, mark))
