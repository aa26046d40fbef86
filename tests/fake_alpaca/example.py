"""A market of five sessions for tests to check by hand, and alpaca-py's clients of a server."""

from __future__ import annotations

from datetime import date, datetime, time

from alpaca.data.historical.stock import StockHistoricalDataClient
from alpaca.trading.client import TradingClient

from fake_alpaca.market import Bar, FakeMarket, Split, new_york
from fake_alpaca.server import FakeAlpaca

DAYS = (date(2024, 12, 20), date(2024, 12, 23), date(2024, 12, 24), date(2024, 12, 26), date(2024, 12, 27))


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """Return a time of December 2024 in New York."""
    return new_york(date(2024, 12, day), time(hour, minute))


def december() -> FakeMarket:
    """Return Friday 20th to Friday 27th: a half day on the 24th, closed on the 25th.

    AAA opens at 10, 20, 30, 40, 50 and ends each day 2 higher; BBB costs 100, and 25 after a split in four on the
    26th.
    """
    aaa = {day: Bar(10.0 * i, 10.0 * i + 4, 10.0 * i - 1, 10.0 * i + 2, 1000.0) for i, day in enumerate(DAYS, 1)}
    bbb = {day: Bar(100, 101, 99, 100, 500) for day in DAYS[:3]} | {day: Bar(25, 26, 24, 25, 2000) for day in DAYS[3:]}
    return FakeMarket({"AAA": aaa, "BBB": bbb}, half_days=[DAYS[2]], splits=[Split("BBB", DAYS[3], 4)])


def trading_client(server: FakeAlpaca, key: str | None = None) -> TradingClient:
    """Return a client that does not try again: it would wait 3 s each time."""
    client = TradingClient(key or server.key, server.secret, paper=True, url_override=server.url)
    client._retry = 0
    return client


def data_client(server: FakeAlpaca) -> StockHistoricalDataClient:
    """Return a client that does not try again."""
    client = StockHistoricalDataClient(server.key, server.secret, url_override=server.url)
    client._retry = 0
    return client
