"""AlpacaBars: adjusted daily bars from Alpaca's market data, complete and plausible or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from data_feeds.bar_cache import BarCache, Kind
from data_feeds.bars import Bars, add_bar, check_coverage, check_jumps, check_sessions, panel_of
from engine.errors import ConfigError, InputError, TemporaryError, TradingStopped
from engine.http import RequestFailed, Tries, answer, harden
from engine.panel import MarketPanel

FEEDS = ("sip", "iex")
ADJUSTMENT = "all"
OVERLAP = 5
"""Sessions fetched again, whose prices tell whether history was restated."""

_PAGE = 10_000
_MOST_PAGES = 1_000
_IDLE_PAGES = 3
_SYMBOLS_A_REQUEST = 200
_NEW_YORK = ZoneInfo("America/New_York")

Row = Mapping[str, Any]
Query = dict[str, str | int]
Sessions = Callable[[date, date], Iterable[date]]
T = TypeVar("T")

logger = logging.getLogger(__name__)


class DataKeys(Protocol):
    """What is needed to ask for market data."""

    @property
    def key(self) -> str:
        """Names the account."""
        ...

    @property
    def secret(self) -> str:
        """Opens it."""
        ...

    @property
    def data_url(self) -> str:
        """Scheme and host, checked already."""
        ...

    def redact(self, text: str) -> str:
        """Return a text without both."""
        ...


class AlpacaBars:
    """A source of daily bars for decisions, adjusted for splits and dividends.

    Parameters
    ----------
    keys : keys and host.
    feed : ``sip``, the whole market, or ``iex``, one small exchange, which is never taken instead unasked.
    cache : folder for bars already fetched; None keeps none.
    sessions : returns the exchange's sessions between two dates, both included; None leaves gaps unnoticed.
    tries : how requests are repeated.

    Raises
    ------
    ConfigError
        When the feed is unknown.
    """

    def __init__(
        self,
        keys: DataKeys,
        feed: str = "sip",
        cache: Path | None = None,
        sessions: Sessions | None = None,
        tries: Tries | None = None,
    ) -> None:
        from alpaca.data.historical.stock import StockHistoricalDataClient

        if feed not in FEEDS:
            raise ConfigError(f"feed must be {' or '.join(FEEDS)}, was {feed!r}")
        self._host = urlsplit(keys.data_url).netloc
        self._feed = feed
        self._cache = None if cache is None else BarCache(cache)
        self._sessions = sessions
        self._tries = tries or Tries()
        self._client = StockHistoricalDataClient(keys.key, keys.secret, raw_data=True, url_override=keys.data_url)
        self._client._retry = 0
        harden(self._client._session, keys.data_url, keys.redact, self._tries.left)

    def panel(self, symbols: Sequence[str], last: date, lookback_bars: int) -> MarketPanel:
        """Return the bars of ``symbols``, in that order, of ``lookback_bars`` sessions that end with ``last``.

        Where history is shorter, all of it comes back.

        Raises
        ------
        TemporaryError
            When bars are stale, incomplete or implausible; names symbol, session and value.
        TradingStopped
            When the keys do not give access to the feed.
        InputError
            When there are no symbols, one is named twice, or ``lookback_bars`` is not positive.
        """
        if not symbols or len(set(symbols)) < len(symbols) or lookback_bars < 1:
            raise InputError(f"bars need distinct symbols and lookback_bars >= 1, were {symbols} and {lookback_bars}")
        first, expected = self._range(last, lookback_bars)
        kind = self.kind(symbols)
        bars, start = self._current(kind, first, last)
        check_coverage(bars, symbols, last)
        if expected is not None:
            check_sessions(bars, expected, first, last)
        check_jumps(bars)
        panel = panel_of(bars, symbols, lookback_bars, f"Alpaca ({self._feed})")
        if self._cache is not None:
            self._cache.save(kind, bars, start)
        return panel

    def kind(self, symbols: Sequence[str], adjustment: str = ADJUSTMENT) -> Kind:
        """Return what `fetch` is asked for."""
        return Kind(self._host, self._feed, adjustment, tuple(sorted(symbols)))

    def close(self) -> None:
        """Give back the connections."""
        self._client._session.close()

    def _range(self, last: date, lookback_bars: int) -> tuple[date, list[date] | None]:
        # Of 365 days at least 250 are sessions; two weeks more for holidays that fall together.
        first = last - timedelta(days=lookback_bars * 365 // 250 + 14)
        if self._sessions is None:
            return first, None
        expected = sorted(day for day in self._sessions(first, last) if day <= last)[-lookback_bars:]
        if not expected or expected[-1] != last:
            raise TemporaryError(f"bars: {last} is no session of the exchange's calendar")
        return expected[0], expected

    def _current(self, kind: Kind, first: date, last: date) -> tuple[Bars, date]:
        """Return bars up to ``last`` and the date they begin to be asked for, from the cache as far as it holds."""
        kept = None if self._cache is None else self._cache.load(kind)
        if kept is not None and kept[1] <= first:
            bars = {key: bar for key, bar in kept[0].items() if key[1] <= last}
            sessions = sorted({session for _, session in bars})
            if len(sessions) >= OVERLAP:
                tail = self.fetch(kind, sessions[-OVERLAP], last)
                if _agree(bars, tail, sessions[-OVERLAP], kind.symbols):
                    return bars | tail, kept[1]
                logger.info("bars were restated (a split or a dividend): all of them are fetched anew")
        return self.fetch(kind, first, last), first

    def fetch(self, kind: Kind, first: date, last: date) -> Bars:
        """Return what there is from ``first`` to ``last``, each bar checked by itself.

        Raises
        ------
        TemporaryError, TradingStopped
            As `panel` does.
        """
        bars: Bars = {}
        for start in range(0, len(kind.symbols), _SYMBOLS_A_REQUEST):
            query: Query = {
                "symbols": ",".join(kind.symbols[start : start + _SYMBOLS_A_REQUEST]),
                "timeframe": "1Day",
                "start": _midnight(first).isoformat(),
                # A bar is stamped with its midnight. A later end would be too recent for free data in the evening.
                "end": (_midnight(last) + timedelta(hours=1)).isoformat(),
                "adjustment": kind.adjustment,
                "feed": self._feed,
                "limit": _PAGE,
            }
            self._read_pages(query, bars, first, last)
        return bars

    def _read_pages(self, query: Query, bars: Bars, first: date, last: date) -> None:
        symbols = frozenset(str(query["symbols"]).split(","))
        tokens: set[str] = set()
        idle = 0
        for _ in range(_MOST_PAGES):
            known = len(bars)
            page, token = self.ask("/stocks/bars", query, _page)
            for symbol, row in page:
                session = _session(symbol, row)
                if symbol in symbols and first <= session <= last:
                    add_bar(bars, symbol, session, row)
            if token is None:
                return
            idle = idle + 1 if len(bars) == known else 0
            if token in tokens or idle == _IDLE_PAGES:
                break
            tokens.add(token)
            query = {**query, "page_token": token}
        raise TemporaryError(f"bars: the pages of Alpaca's answer do not end ({len(tokens) + 1} read)")

    def ask(self, path: str, query: Query, read: Callable[[object], T], version: str = "v2") -> T:
        """Return what ``read`` makes of the answer to a request of market data, which is tried again while it fails.

        Raises
        ------
        TemporaryError, TradingStopped
            As `panel` does.
        """
        try:
            return self._tries(lambda: read(answer(lambda: self._client.get(path, query, api_version=version), "bars")))
        except RequestFailed as failure:
            if failure.status == 401:
                raise TradingStopped(f"{failure}: look after the keys") from failure
            if failure.status == 403 or "subscription" in failure.message:
                raise TradingStopped(
                    f"{failure}: these keys do not give access to the feed {self._feed!r} for those dates; another "
                    "one has other prices and volumes, so that it must be asked for explicitly"
                ) from failure
            raise


def _page(value: object) -> tuple[list[tuple[str, Row]], str | None]:
    if not isinstance(value, dict) or "bars" not in value:
        raise TemporaryError(f"bars: Alpaca's answer must be an object with bars, was {repr(value)[:80]}")
    token, of_symbols = value.get("next_page_token"), value["bars"]
    # Null stands for no bars, as an empty object does.
    of_symbols = {} if of_symbols is None else of_symbols
    if not isinstance(of_symbols, dict) or not isinstance(token, str | None):
        raise TemporaryError(f"bars: Alpaca's answer must hold bars by symbol and a token, was {repr(value)[:80]}")
    rows = [
        (symbol, row) for symbol, some in of_symbols.items() for row in (some if isinstance(some, list) else [some])
    ]
    for symbol, row in rows:
        if not isinstance(row, dict):
            raise TemporaryError(f"bars: a bar of {symbol} must be a JSON object, was {repr(row)[:80]}")
    return rows, token or None


def _session(symbol: str, row: Row) -> date:
    """Return the date at the exchange: a daily bar is stamped with New York's midnight."""
    try:
        stamp = datetime.fromisoformat(row["t"])
    except (KeyError, TypeError, ValueError) as error:
        raise TemporaryError(f"bars: a bar of {symbol} must have a time t, was {repr(row.get('t'))[:80]}") from error
    return (stamp.astimezone(_NEW_YORK) if stamp.tzinfo is not None else stamp).date()


def _agree(kept: Bars, tail: Bars, since: date, symbols: Sequence[str]) -> bool:
    """Return whether what is fetched again has the prices it had, for each symbol; volumes are corrected later on."""
    again = {key: bar for key, bar in kept.items() if key[1] >= since}
    same = all(key in tail and tail[key][:4] == bar[:4] for key, bar in again.items())
    return same and {symbol for symbol, _ in again} == set(symbols)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), _NEW_YORK).astimezone(UTC)
