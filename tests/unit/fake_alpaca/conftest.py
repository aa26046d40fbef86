from __future__ import annotations

from collections.abc import Iterator

import pytest
from alpaca.data.historical.stock import StockHistoricalDataClient
from alpaca.trading.client import TradingClient
from fake_alpaca import FakeAlpaca
from fake_alpaca.example import at, data_client, december, trading_client


@pytest.fixture
def server() -> Iterator[FakeAlpaca]:
    """A server with 1000 of cash, before the open of the 23rd."""
    with FakeAlpaca(december(), cash=1000.0, now=at(23, 8)) as server:
        yield server


@pytest.fixture
def client(server: FakeAlpaca) -> Iterator[TradingClient]:
    client = trading_client(server)
    yield client
    client._session.close()


@pytest.fixture
def data(server: FakeAlpaca) -> Iterator[StockHistoricalDataClient]:
    client = data_client(server)
    yield client
    client._session.close()
