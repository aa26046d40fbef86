"""When a session's work may begin and must end, by the exchange's hours and the broker's clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from brokers.protocol import SessionHours
from engine.errors import ConfigError

EXCHANGE = ZoneInfo("America/New_York")
CUT_OFF = timedelta(minutes=5)
"""Nothing is sent later than this before a close."""
LATEST_START = timedelta(minutes=15)
"""A session begins at least this long before its close: on half days, earlier than asked."""

BARS_DELAY = timedelta(minutes=20)
"""So long after a close its bars are asked for: free data is late by a quarter of an hour."""

_TIME = re.compile(r"(\d{1,2}):(\d{2})")
_RELATIVE = re.compile(r"(open|close)([+-])(\d+)m")


@dataclass(frozen=True, slots=True)
class StartTime:
    """When a session's work begins: a time of day at the exchange, or one relative to the open or the close.

    Attributes
    ----------
    anchor : ``open``, ``close`` or empty for a time of day.
    """

    text: str
    anchor: str
    offset: timedelta

    @classmethod
    def parse(cls, text: str) -> StartTime:
        """Return the start of ``09:00``, ``open-30m`` or ``close-15m``.

        Raises
        ------
        ConfigError
            When it is none of these.
        """
        if found := _TIME.fullmatch(text):
            hour, minute = int(found[1]), int(found[2])
            if hour < 24 and minute < 60:
                return cls(text, "", timedelta(hours=hour, minutes=minute))
        if found := _RELATIVE.fullmatch(text):
            minutes = int(found[3]) * (1 if found[2] == "+" else -1)
            return cls(text, found[1], timedelta(minutes=minutes))
        raise ConfigError(
            f"--at must be a time in New York such as 09:00, or relative such as open-30m or close-15m, was {text!r}"
        )

    def of(self, hours: SessionHours) -> datetime:
        """Return when the work of a session begins, UTC: at the latest 15 minutes before its close."""
        if self.anchor == "open":
            wanted = hours.open + self.offset
        elif self.anchor == "close":
            wanted = hours.close + self.offset
        else:
            minutes = int(self.offset.total_seconds()) // 60
            local = datetime.combine(hours.session, time(minutes // 60, minutes % 60), EXCHANGE)
            wanted = local.astimezone(hours.open.tzinfo)
        return min(wanted, hours.close - LATEST_START)


def exchange_date(now: datetime) -> date:
    """Return the date at the exchange."""
    return now.astimezone(EXCHANGE).date()


def in_words(moment: datetime, here: tzinfo | None = None) -> str:
    """Return a time as a reader's clock shows it, and the exchange's beside it where that is another.

    Parameters
    ----------
    here : the reader's zone; the machine's when None.
    """
    local, there = moment.astimezone(here), moment.astimezone(EXCHANGE)
    if local.utcoffset() == there.utcoffset():
        return f"{there:%Y-%m-%d %H:%M} in New York"
    day = "" if local.date() == there.date() else f"{there:%m-%d} "
    return f"{local:%Y-%m-%d %H:%M %Z} ({day}{there:%H:%M} in New York)"


def current_session(calendar: Sequence[SessionHours], now: datetime) -> SessionHours | None:
    """Return the session that is open, or that opens later the same date at the exchange; None after its cut-off."""
    today = exchange_date(now)
    for hours in calendar:
        if hours.session == today and now < hours.close - CUT_OFF:
            return hours
    return None


def next_session(calendar: Sequence[SessionHours], now: datetime) -> SessionHours | None:
    """Return the first session whose cut-off is still to come."""
    return next((hours for hours in calendar if now < hours.close - CUT_OFF), None)


def last_complete(calendar: Sequence[SessionHours], now: datetime) -> SessionHours | None:
    """Return the latest session that has closed."""
    closed = [hours for hours in calendar if hours.close <= now]
    return closed[-1] if closed else None
