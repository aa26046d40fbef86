from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical.stock import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest, StockLatestTradeRequest, StockSnapshotRequest
from alpaca.data.timeframe import TimeFrame
from fake_alpaca import FakeAlpaca, FakeMarket
from fake_alpaca.example import DAYS, at
from panels import panel_of


def request(*symbols: str, **fields: Any) -> StockBarsRequest:
    fields = {"start": at(1, 0), **fields}
    return StockBarsRequest(symbol_or_symbols=list(symbols), timeframe=TimeFrame.Day, **fields)


def closes(data: StockHistoricalDataClient, *symbols: str, **fields: Any) -> dict[str, list[float]]:
    return {
        name: [bar.close for bar in bars]
        for name, bars in data.get_stock_bars(request(*symbols, **fields)).data.items()
    }


def test_bars_are_stamped_midnight_in_new_york(server: FakeAlpaca, data: StockHistoricalDataClient) -> None:
    bars = data.get_stock_bars(request("AAA"))["AAA"]
    assert [bar.timestamp.isoformat() for bar in bars] == ["2024-12-20T05:00:00+00:00"]
    assert (bars[0].open, bars[0].high, bars[0].low, bars[0].close, bars[0].volume) == (10, 14, 9, 12, 1000)


def test_the_running_session_has_a_partial_bar(server: FakeAlpaca, data: StockHistoricalDataClient) -> None:
    server.clock.set(at(23, 9, 45))
    server.clock.set(at(23, 13))
    # The subscription is 15 minutes late: 12:45, half way.
    assert closes(data, "AAA") == {"AAA": [12, 21]}
    server.has_sip = True
    server.clock.set(at(23, 16))
    assert closes(data, "AAA") == {"AAA": [12, 22]}


def test_recent_sip_data_need_a_subscription(server: FakeAlpaca, data: StockHistoricalDataClient) -> None:
    server.clock.set(at(23, 16, 5))
    with pytest.raises(APIError, match="subscription does not permit querying recent SIP data"):
        data.get_stock_bars(request("AAA", end=server.clock.now))
    assert closes(data, "AAA", end=server.clock.now, feed=DataFeed.IEX) == {"AAA": [12, 22]}
    server.clock.set(at(23, 16, 16))
    assert closes(data, "AAA", end=at(23, 16)) == {"AAA": [12, 22]}


def test_the_end_is_included_and_naive_times_are_utc(server: FakeAlpaca, data: StockHistoricalDataClient) -> None:
    server.clock.set(at(26, 20))
    assert closes(data, "AAA", end=at(24, 0)) == {"AAA": [12, 22, 32]}
    assert closes(data, "AAA", end=datetime(2024, 12, 24)) == {"AAA": [12, 22]}
    assert closes(data, "AAA", start=at(24, 0)) == {"AAA": [32, 42]}


def test_unknown_symbols_are_silently_absent(server: FakeAlpaca, data: StockHistoricalDataClient) -> None:
    assert set(closes(data, "AAA", "ZZZ")) == {"AAA"}
    assert closes(data, "ZZZ") == {}
    assert data.get("/stocks/ZZZ/bars", {"timeframe": "1Day"})["bars"] is None


def test_adjusted_bars_are_restated_after_a_split(server: FakeAlpaca, data: StockHistoricalDataClient) -> None:
    assert closes(data, "BBB", adjustment=Adjustment.ALL) == {"BBB": [100]}
    server.clock.set(at(27, 8))
    assert closes(data, "BBB") == {"BBB": [100, 100, 100, 25]}
    assert closes(data, "BBB", adjustment=Adjustment.ALL) == {"BBB": [25, 25, 25, 25]}
    assert [bar.volume for bar in data.get_stock_bars(request("BBB", adjustment=Adjustment.SPLIT))["BBB"]] == [2000] * 4


def test_a_page_counts_all_symbols_together(server: FakeAlpaca, data: StockHistoricalDataClient) -> None:
    server.clock.set(at(27, 8))
    first = data.get("/stocks/bars", {"symbols": "BBB,AAA", "timeframe": "1Day", "start": "2024-12-01", "limit": 6})
    assert {name: len(rows) for name, rows in first["bars"].items()} == {"AAA": 4, "BBB": 2}
    rest = data.get(
        "/stocks/bars",
        {
            "symbols": "BBB,AAA",
            "timeframe": "1Day",
            "start": "2024-12-01",
            "limit": 6,
            "page_token": first["next_page_token"],
        },
    )
    assert {name: len(rows) for name, rows in rest["bars"].items()} == {"BBB": 2}
    assert rest["next_page_token"] is None
    with pytest.raises(APIError) as caught:
        data.get("/stocks/bars", {"symbols": "AAA", "timeframe": "1Day", "limit": 10_001})
    assert caught.value.status_code == 400


def test_latest_trades_and_snapshots(server: FakeAlpaca, data: StockHistoricalDataClient) -> None:
    server.clock.set(at(23, 12, 45))
    trades = data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=["AAA", "ZZZ"]))
    assert {name: trade.price for name, trade in trades.items()} == {"AAA": 21}
    snapshot = data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="AAA"))["AAA"]
    assert (snapshot.daily_bar.close, snapshot.previous_daily_bar.close) == (21, 12)


def test_a_panel_makes_a_market_with_its_holidays_and_gaps() -> None:
    panel = panel_of(
        np.array([[10.0, 20.0], [11.0, np.nan], [12.0, 22.0]]), sessions=np.array(DAYS[1:4], "datetime64[D]")
    )
    market = FakeMarket.from_panel(panel, half_days=[DAYS[2]])
    assert market.symbols == ("S0", "S1")
    assert market.hours[DAYS[2]].close == at(24, 13)
    assert at(25, 0).date() not in market.hours
    assert market.price_at("S1", at(24, 16)) == 20
    assert market.next_hours(at(26, 16))[0] == at(27, 9, 30)


def test_dividends_change_fully_adjusted_bars_only() -> None:
    market = FakeMarket({"A": dict.fromkeys(DAYS, (100, 100, 100, 100))}, dividends={("A", DAYS[1]): 10.0})
    with FakeAlpaca(market, now=at(24, 0)) as server:
        client = StockHistoricalDataClient(server.key, server.secret, url_override=server.url)
        assert closes(client, "A", adjustment=Adjustment.ALL) == {"A": [90, 100]}
        assert closes(client, "A", adjustment=Adjustment.SPLIT) == {"A": [100, 100]}
        client._session.close()


def test_a_holiday_can_be_declared_late(server: FakeAlpaca) -> None:
    server.market.close_session(DAYS[1])
    server.clock.advance(timedelta(hours=4))
    assert server.market.session_at(server.clock.now) is None
    assert server.market.next_hours(server.clock.now)[0] == at(24, 9, 30)
