"""A market of made-up symbols in June and July 2024: Independence Day is a holiday, the day before a half day."""

from __future__ import annotations

from datetime import date, datetime, time

import numpy as np
from fake_alpaca import Bar, FakeMarket, new_york

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
EQUAL = dict.fromkeys(SYMBOLS, 0.15)
HALF_DAY, HOLIDAY = date(2024, 7, 3), date(2024, 7, 4)
WEEK = (date(2024, 7, 1), date(2024, 7, 2), HALF_DAY, date(2024, 7, 5), date(2024, 7, 8))
"""Five sessions with the holiday and a weekend in them."""


def at(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    """Return a time of 2024 in New York."""
    return new_york(date(2024, month, day), time(hour, minute))


def summer(symbols: tuple[str, ...] = SYMBOLS) -> FakeMarket:
    """Return the sessions from 10 June to 19 July.

    In each session every second symbol rises by 4 % and the others fall back: equal weights sell three and buy three.
    """
    days = np.busday_offset("2024-06-10", np.arange(30), holidays=["2024-06-19", str(HOLIDAY)])
    bars = {}
    for i, symbol in enumerate(symbols):
        base = 20.0 + 5.0 * i
        close = [round(base * (1.04 if (i + t) % 2 else 1.0), 2) for t in range(len(days))]
        first = [base, *close[:-1]]
        rows = zip(days.tolist(), first, close, strict=True)
        bars[symbol] = {day: Bar(a, max(a, b), min(a, b), b) for day, a, b in rows}
    return FakeMarket(bars, half_days=[HALF_DAY])
