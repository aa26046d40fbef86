"""FakeMarket: opening hours and prices of a small exchange, and what was known of them at any moment."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from engine.panel import MarketPanel

NEW_YORK = ZoneInfo("America/New_York")
OPEN, CLOSE, EARLY_CLOSE = time(9, 30), time(16), time(13)


class Bar(NamedTuple):
    """A raw daily bar."""

    open: float
    high: float
    low: float
    close: float
    volume: float = 1000.0


class Hours(NamedTuple):
    """Regular hours of a session, UTC."""

    open: datetime
    close: datetime


@dataclass(frozen=True)
class Split:
    """A split: ``ratio`` new shares for an old one, from midnight in New York of its date on."""

    symbol: str
    day: date
    ratio: float


def new_york(day: date, at: time = time()) -> datetime:
    """Return that time of day in New York, UTC; midnight by default, the stamp of a daily bar."""
    return datetime.combine(day, at, NEW_YORK).astimezone(UTC)


def new_york_date(moment: datetime) -> date:
    """Return the date in New York."""
    return moment.astimezone(NEW_YORK).date()


class FakeMarket:
    """An exchange whose whole future is written down.

    Within a session the price moves in a straight line from the open to the close; outside it is the last close.
    Tests may edit ``bars``; hours change through `close_session` and `set_hours`.

    Parameters
    ----------
    bars : raw bars of each symbol and date. A session without a bar is a halt: nothing fills.
    sessions : open days; every date with a bar by default. Other weekdays are holidays.
    half_days : sessions that end at 13:00.
    splits : they also change positions held overnight.
    dividends : cash a share by (symbol, ex-date). They change adjusted bars only: paper accounts get none.
    later_sessions : so many weekdays after the last session are open, without bars.
    """

    def __init__(
        self,
        bars: Mapping[str, Mapping[date, Bar]],
        sessions: Iterable[date] | None = None,
        half_days: Iterable[date] = (),
        splits: Iterable[Split] = (),
        dividends: Mapping[tuple[str, date], float] | None = None,
        later_sessions: int = 15,
    ) -> None:
        self.bars = {symbol: {day: Bar(*bar) for day, bar in rows.items()} for symbol, rows in bars.items()}
        days = sorted({day for rows in bars.values() for day in rows} if sessions is None else set(sessions))
        self.sessions: list[date] = []
        self.hours: dict[date, Hours] = {}
        self.splits = sorted(splits, key=lambda split: split.day)
        self.dividends: dict[str, dict[date, float]] = {}
        for (symbol, day), cash in (dividends or {}).items():
            self.dividends.setdefault(symbol, {})[day] = cash
        halves = set(half_days)
        for day in [*days, *_weekdays_after(days[-1], later_sessions)]:
            self.set_hours(day, close=EARLY_CLOSE if day in halves else CLOSE)

    @classmethod
    def from_panel(
        cls, panel: MarketPanel, half_days: Iterable[date] = (), splits: Iterable[Split] = (), later_sessions: int = 15
    ) -> FakeMarket:
        """Return the market of a panel; its splits and dividends, where it has them, are added to ``splits``."""
        days: list[date] = panel.sessions.tolist()
        bars: dict[str, dict[date, Bar]] = {}
        for i, symbol in enumerate(panel.symbols):
            columns = (panel.open[:, i], panel.high[:, i], panel.low[:, i], panel.close[:, i], panel.volume[:, i])
            rows = zip(*(column.tolist() for column in columns), strict=True)
            bars[symbol] = {day: Bar(*row) for day, row in zip(days, rows, strict=True) if not math.isnan(row[3])}
        found: list[Split] = list(splits)
        dividends: dict[tuple[str, date], float] = {}
        if panel.split is not None and panel.dividend is not None:
            for t, i in zip(*(panel.split != 1.0).nonzero(), strict=True):
                found.append(Split(panel.symbols[i], days[t], float(panel.split[t, i])))
            for t, i in zip(*(panel.dividend != 0.0).nonzero(), strict=True):
                dividends[panel.symbols[i], days[t]] = float(panel.dividend[t, i])
        return cls(bars, days, half_days, found, dividends, later_sessions)

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols, sorted."""
        return tuple(sorted(self.bars))

    def set_hours(self, day: date, open_: time = OPEN, close: time = CLOSE) -> None:
        """Make a day a session with those hours, New York time."""
        if day not in self.hours:
            self.sessions.insert(bisect_left(self.sessions, day), day)
        self.hours[day] = Hours(new_york(day, open_), new_york(day, close))

    def close_session(self, day: date) -> None:
        """Make a session a holiday after all."""
        self.sessions.remove(day)
        del self.hours[day]

    def session_at(self, moment: datetime) -> date | None:
        """Return the session that is open at a moment (the close itself is outside); None when closed."""
        day = new_york_date(moment)
        hours = self.hours.get(day)
        return day if hours is not None and hours.open <= moment < hours.close else None

    def next_hours(self, moment: datetime) -> tuple[datetime, datetime]:
        """Return the next open and the next close after a moment."""
        near = bisect_left(self.sessions, new_york_date(moment))
        coming = [self.hours[day] for day in self.sessions[near : near + 3]]
        try:
            return (
                next(hours.open for hours in coming if hours.open > moment),
                next(hours.close for hours in coming if hours.close > moment),
            )
        except StopIteration:
            raise ValueError(f"the market has no session after {moment}: raise later_sessions") from None

    def bar_at(self, symbol: str, day: date, moment: datetime) -> Bar | None:
        """Return the raw bar of a day as far as it was known: partial during the session, None before."""
        bar, hours = self.bars.get(symbol, {}).get(day), self.hours.get(day)
        if bar is None or hours is None or moment < hours.open:
            return None
        if moment >= hours.close:
            return bar
        part = (moment - hours.open) / (hours.close - hours.open)
        last = bar.open if part == 0 else round(bar.open + (bar.close - bar.open) * part, 4)
        return Bar(bar.open, max(bar.open, last), min(bar.open, last), last, round(bar.volume * part, 0))

    def price_at(self, symbol: str, moment: datetime) -> float | None:
        """Return the last price, for today's shares; None when there was never one."""
        day = next(self.days_with_bars(symbol, moment), None)
        if day is None:
            return None
        bar = self.bar_at(symbol, day, moment)
        assert bar is not None
        return bar.close / self.split_ratio(symbol, day, new_york_date(moment))

    def days_with_bars(self, symbol: str, moment: datetime) -> Iterator[date]:
        """Return the sessions of which a symbol has a bar, newest first; the running one is among them."""
        for row in range(bisect_right(self.sessions, new_york_date(moment)) - 1, -1, -1):
            if self.bar_at(symbol, self.sessions[row], moment) is not None:
                yield self.sessions[row]

    def split_ratio(self, symbol: str, after: date, until: date) -> float:
        """Return the product of the splits of a symbol with ``after`` < date <= ``until``."""
        return math.prod(s.ratio for s in self.splits if s.symbol == symbol and after < s.day <= until)

    def dividend_factor(self, symbol: str, after: date, until: date) -> float:
        """Return the product of 1 - dividend / close before, over ex-dates ``after`` < date <= ``until``."""
        factor = 1.0
        for day, cash in self.dividends.get(symbol, {}).items():
            if after < day <= until:
                before = self.price_at(symbol, self.hours[day].open - timedelta(minutes=1))
                factor *= 1.0 if before is None else 1.0 - cash / before
        return factor


def _weekdays_after(day: date, count: int) -> Sequence[date]:
    days = (day + timedelta(days=i) for i in range(1, 2 * count + 8))
    return [later for later in days if later.weekday() < 5][:count]
