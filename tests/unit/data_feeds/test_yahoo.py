"""What YahooHistory makes of Yahoo's answers: through the real yfinance on a loopback server, and of its tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
import requests
from requests.adapters import HTTPAdapter
from scripted_server import Answer, ScriptedServer, scripted_server

from data_feeds.fetching import fetch_into
from data_feeds.files import read_panel
from data_feeds.yahoo import YahooHistory, through_yfinance
from engine.errors import ConfigError, TemporaryError
from engine.http import RequestFailed, Tries

DAYS = (date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4))
NEW_YORK = ZoneInfo("America/New_York")
CHART = "/v8/finance/chart/AAPL"


def chart(closes: tuple[float, ...] = (100.0, 102.0, 104.0), factor: float = 1.0) -> dict[str, Any]:
    """Return what Yahoo's chart service answers, in the shape recorded in 2024, with a dividend on the second day."""
    stamps = [int(datetime(day.year, day.month, day.day, 9, 30, tzinfo=NEW_YORK).timestamp()) for day in DAYS]
    quote = {
        "open": [close - 1 for close in closes],
        "high": [close + 1 for close in closes],
        "low": [close - 2 for close in closes],
        "close": list(closes),
        "volume": [1000, 2000, 3000],
    }
    adjusted = [close * factor if t == 0 else close for t, close in enumerate(closes)]
    meta = {
        "currency": "USD",
        "symbol": "AAPL",
        "exchangeName": "NMS",
        "instrumentType": "EQUITY",
        "exchangeTimezoneName": "America/New_York",
        "timezone": "EST",
        "gmtoffset": -18000,
        "priceHint": 2,
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "max"],
        "regularMarketTime": stamps[-1],
        "currentTradingPeriod": {
            part: {"timezone": "EST", "start": stamps[-1], "end": stamps[-1] + 23400, "gmtoffset": -18000}
            for part in ("pre", "regular", "post")
        },
    }
    dividend = {str(stamps[1]): {"amount": 0.5, "date": stamps[1]}}
    indicators = {"quote": [quote], "adjclose": [{"adjclose": adjusted}]}
    result = {"meta": meta, "timestamp": stamps, "events": {"dividends": dividend}, "indicators": indicators}
    return {"chart": {"result": [result], "error": None}}


class Loopback(HTTPAdapter):
    """Sends what is meant for Yahoo to a server on this machine."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        request.url = self._url + request.path_url
        return super().send(request, *args, **options)


@pytest.fixture
def yahoo() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        server.on("/v1/test/getcrumb", Answer(body=b"crumb"))
        server.on("/", Answer(body=b""))
        yield server


@pytest.fixture
def session(yahoo: ScriptedServer, tmp_path: Path) -> Iterator[requests.Session]:
    yfinance = pytest.importorskip("yfinance")
    yfinance.set_tz_cache_location(str(tmp_path))
    with requests.Session() as made:
        made.trust_env = False
        made.mount("https://", Loopback(yahoo.url))
        yield made


def source(session: requests.Session, unadjusted: bool = False) -> YahooHistory:
    return YahooHistory(unadjusted, through_yfinance(session), Tries(attempts=2, sleep=lambda seconds: None))


def test_prices_are_adjusted_for_dividends(yahoo: ScriptedServer, session: requests.Session) -> None:
    yahoo.on(CHART, chart(factor=0.995))
    found = source(session).fetch(["AAPL"], DAYS[0], DAYS[-1])
    assert {day: row.close for day, row in found["AAPL"].items()} == dict(zip(DAYS, (99.5, 102.0, 104.0), strict=True))
    assert found["AAPL"][DAYS[0]].high == pytest.approx(101 * 0.995)
    assert {(row.split, row.dividend) for row in found["AAPL"].values()} == {(1.0, 0.0)}
    query = yahoo.asked[-1].query
    assert datetime.fromtimestamp(int(query["period1"]), UTC) == datetime(2024, 1, 2, 5, tzinfo=UTC)
    assert query["interval"] == "1d"


def test_unadjusted_prices_have_dividends_beside_them(
    yahoo: ScriptedServer, session: requests.Session, tmp_path: Path
) -> None:
    yahoo.on(CHART, chart(factor=0.995))
    fetch_into(tmp_path / "store", source(session, unadjusted=True), ["AAPL"], DAYS[0], DAYS[-1])
    panel, notes = read_panel(tmp_path / "store")
    assert panel.close[:, 0].tolist() == [100.0, 102.0, 104.0]
    assert panel.dividend is not None
    assert panel.dividend[:, 0].tolist() == [0.0, 0.5, 0.0]
    assert "adjusted for splits" in notes[0]


def test_an_unknown_symbol_has_no_bars(yahoo: ScriptedServer, session: requests.Session) -> None:
    said = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
    yahoo.on("/v8/finance/chart/ZZZZ", Answer(404, {"chart": {"result": None, "error": said}}))
    assert source(session).fetch(["ZZZZ"], DAYS[0], DAYS[-1]) == {}


def test_what_passes_is_tried_again(yahoo: ScriptedServer, session: requests.Session) -> None:
    yahoo.on(CHART, Answer(fault="reset"), chart())
    assert len(source(session).fetch(["AAPL"], DAYS[0], DAYS[-1])["AAPL"]) == 3
    yahoo.on(CHART, Answer(429, {"message": "Too Many Requests"}))
    with pytest.raises(RequestFailed, match="too many requests"):
        source(session).fetch(["AAPL"], DAYS[0], DAYS[-1])


def table(**columns: list[float]) -> pd.DataFrame:
    values = {"Open": [100.0], "High": [101.0], "Low": [99.0], "Close": [100.0], "Volume": [10], "Dividends": [0.0]}
    return pd.DataFrame({**values, **columns}, index=pd.DatetimeIndex(["2024-01-02"], tz="America/New_York"))


def test_noise_of_rounding_is_no_fault_and_other_prices_are() -> None:
    def fetch(frame: pd.DataFrame) -> Any:
        return YahooHistory(ask=lambda *asked: frame).fetch(["A"], DAYS[0], DAYS[0])["A"][DAYS[0]]

    assert fetch(table(High=[99.99999])).high == 100.0
    assert fetch(table(Low=[100.00001])).low == 100.0
    for wrong in (table(High=[99.0]), table(Open=[0.0]), table(Close=[float("nan")]), table(Volume=[-1])):
        with pytest.raises(TemporaryError, match="A on 2024-01-02"):
            fetch(wrong)
    with pytest.raises(TemporaryError, match="no column Close"):
        fetch(table().drop(columns="Close"))


def test_bars_outside_the_span_are_left_out() -> None:
    # Yahoo adds the price of a running session to whatever it is asked for.
    assert YahooHistory(ask=lambda *asked: table()).fetch(["A"], DAYS[1], DAYS[2]) == {}


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(ConfigError, match=r"\.\[yahoo\]"):
        YahooHistory()
