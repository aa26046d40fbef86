"""Yahoo Finance's daily bars for a store, through the package yfinance, which is an optional extra."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from math import isfinite
from typing import Any

from data_feeds.store import ADJUSTED, History, Row
from engine.errors import ConfigError, TemporaryError
from engine.http import RequestFailed, Tries

NOISE = 1e-6
"""Relative: adjusting prices leaves a high below the close by so little that only rounding is to blame."""
SECONDS = 15

Ask = Callable[[str, date, date, bool], Any]
"""Symbol, first day, day after the last, and whether to adjust, to a DataFrame as yfinance's ``history`` returns it."""


class YahooHistory:
    """A source of bars, adjusted for splits and dividends; or for splits alone, with dividends beside them.

    Yahoo has no prices as they were traded: its Close is adjusted for splits, and so are its dividends.

    Parameters
    ----------
    unadjusted : leave dividends beside the prices.
    ask : asks Yahoo; yfinance by default.
    tries : how requests are repeated.

    Raises
    ------
    ConfigError
        When yfinance is not installed.
    """

    rows_a_request = 0

    def __init__(self, unadjusted: bool = False, ask: Ask | None = None, tries: Tries | None = None) -> None:
        self._ask = ask or through_yfinance()
        self._tries = tries or Tries()
        self.adjustment = "split" if unadjusted else ADJUSTED
        self.identity: Mapping[str, str] = {"name": "yahoo"}

    def fetch(self, symbols: Sequence[str], first: date, last: date) -> dict[str, History]:
        """Return the bars from ``first`` to ``last`` of those symbols that have some.

        Raises
        ------
        TemporaryError
            When Yahoo fails or asks to wait for long, or a bar is implausible; names symbol, session and values.
        """
        adjusted = self.adjustment == ADJUSTED
        after = last + timedelta(days=1)
        found = {}
        for symbol in symbols:
            frame = self._tries(lambda symbol=symbol: self._ask(symbol, first, after, adjusted))  # type: ignore[misc]
            history = {
                day: row for day, row in _rows(symbol, frame, adjusted).items() if first <= day <= last
            }  # a later one is of a session that is not over
            if history:
                found[symbol] = history
        return found


def through_yfinance(session: Any = None) -> Ask:
    """Return what asks Yahoo through yfinance.

    Parameters
    ----------
    session : of requests or curl_cffi, in place of yfinance's own.

    Raises
    ------
    ConfigError
        When yfinance is not installed.
    """
    try:
        import yfinance
        from yfinance.data import YfData
        from yfinance.exceptions import YFRateLimitError, YFTickerMissingError
    except ImportError as error:
        raise ConfigError(
            "--source yahoo needs the package yfinance, which is not installed: run pip install -e '.[yahoo]' in the "
            "clone of marsfolio"
        ) from error
    yfinance.config.debug.hide_exceptions = False  # otherwise a failure is an empty table, as for an unknown symbol

    def ask(symbol: str, first: date, after: date, adjusted: bool) -> Any:
        # Answers are kept inside yfinance, failures among them: without this, trying again would ask nobody.
        YfData.cache_get.cache_clear()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it uses what pandas is about to change
                ticker = yfinance.Ticker(symbol, session=session)
                return ticker.history(start=first, end=after, auto_adjust=adjusted, actions=True, timeout=SECONDS)
        except YFTickerMissingError:
            return None
        except YFRateLimitError as error:
            raise RequestFailed("bars: Yahoo asks to wait (too many requests)", status=429) from error
        except Exception as error:  # what curl, requests and yfinance raise has no common base
            if getattr(getattr(error, "response", None), "status_code", None) == 404:
                return None  # of a symbol that Yahoo does not know, yfinance asks further
            why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise RequestFailed(f"bars: Yahoo did not answer for {symbol} ({why})") from error

    return ask


def _rows(symbol: str, frame: Any, adjusted: bool) -> History:
    """Return a table of yfinance as bars; None and one without rows are no bars."""
    if frame is None or frame.empty:
        return {}
    titles = ["Open", "High", "Low", "Close", "Volume", *([] if adjusted else ["Dividends", "Capital Gains"])]
    missing = [title for title in titles[:5] if title not in frame]
    if missing:
        raise TemporaryError(f"bars: {symbol}: Yahoo's table has no column {missing[0]}: yfinance may have changed")
    columns = [frame[title].tolist() if title in frame else [0.0] * len(frame) for title in titles]
    days = [stamp.date() for stamp in frame.index]
    return {day: _row(symbol, day, values) for day, *values in zip(days, *columns, strict=True)}


def _row(symbol: str, day: date, values: Sequence[float]) -> Row:
    opened, high, low, close, volume, *cash = (float(value) for value in values)
    top, bottom = max(opened, close), min(opened, close)
    high = top if top > high >= top * (1 - NOISE) else high
    low = bottom if bottom < low <= bottom * (1 + NOISE) else low
    dividend = sum(cash)
    sound = all(isfinite(value) for value in (opened, high, low, close, volume, dividend))
    if not (sound and 0 < low <= bottom and top <= high and volume >= 0 and dividend >= 0):
        prices = "/".join(f"{value:g}" for value in values)
        raise TemporaryError(
            f"bars: {symbol} on {day}: prices must be positive, with open and close between low and high, were {prices}"
        )
    return Row(opened, high, low, close, volume, dividend=dividend)
