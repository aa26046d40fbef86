"""Opening hours of exchanges."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from engine.errors import ConfigError, did_you_mean

DEFAULT_CALENDAR = "XNYS"
Hours = tuple[date, datetime, datetime]
"""A session's date at the exchange, and when it opens and closes, UTC."""

_NEW_YORK = ZoneInfo("America/New_York")
_OPEN, _CLOSE = time(9, 30), time(16)
_MARGIN = timedelta(days=14)  # so that no range is without a session, which exchange_calendars refuses


def exchange_hours(first: date, last: date, calendar: str = DEFAULT_CALENDAR, also: Iterable[date] = ()) -> list[Hours]:
    """Return the sessions of an exchange from ``first`` to ``last``, oldest first; half days close early.

    Parameters
    ----------
    calendar : a name of exchange_calendars, such as ``XNYS`` or ``XHKG``.
    also : dates of sessions that there are whatever the calendar says, such as those of a data file. One that
        the calendar lacks is open from 09:30 to 16:00 New York; one outside the range is left out.

    Raises
    ------
    ConfigError
        When the calendar is unknown, or does not know those years.
    """
    if first > last:
        return []
    known = {hours[0]: hours for hours in _schedule(calendar, first, last)}
    extra = {day: _usual_hours(day) for day in also if first <= day <= last and day not in known}
    return sorted((known | extra).values())


def _schedule(name: str, first: date, last: date) -> list[Hours]:
    part = _calendar_of(name, first, last).loc[str(first) : str(last)]
    rows = zip(part.index, part["open"], part["close"], strict=True)
    return [(day.date(), _utc(opened), _utc(closed)) for day, opened, closed in rows]


def _calendar_of(name: str, first: date, last: date) -> Any:
    # Whole decades, because a calendar takes half a second to make and the range moves on with every session; less
    # for those that know few years.
    decades = date(first.year // 10 * 10, 1, 1), date(last.year // 10 * 10 + 10, 12, 31)
    years = date(first.year, 1, 1), date(last.year, 12, 31)
    for start, end in (decades, years):
        try:
            return _calendar(name, start, end)
        except ConfigError:
            continue
    return _calendar(name, first - _MARGIN, last + _MARGIN)


@lru_cache(maxsize=8)
def _calendar(name: str, start: date, end: date) -> Any:
    import exchange_calendars  # a second, which only those pay who ask for hours
    from exchange_calendars.errors import InvalidCalendarName

    try:
        with warnings.catch_warnings():
            # exchange_calendars uses what pandas is about to change.
            warnings.simplefilter("ignore", DeprecationWarning)
            return exchange_calendars.get_calendar(name, start=str(start), end=str(end)).schedule
    except InvalidCalendarName as error:
        names = exchange_calendars.get_calendar_names()
        raise ConfigError(
            f"unknown calendar {name!r}{did_you_mean(name, names)}: give a name of exchange_calendars, such as XNYS"
        ) from error
    except ValueError as error:
        raise ConfigError(f"the calendar {name} cannot say when it was open from {start} to {end}: {error}") from error


def _usual_hours(day: date) -> Hours:
    opened, closed = (datetime.combine(day, at, _NEW_YORK).astimezone(UTC) for at in (_OPEN, _CLOSE))
    return day, opened, closed


def _utc(timestamp: Any) -> datetime:
    moment: datetime = timestamp.to_pydatetime()
    return moment.astimezone(UTC)
