"""Times as a reader's clock shows them, and when a session's work begins."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from brokers.protocol import SessionHours
from engine.errors import ConfigError
from live.timing import EXCHANGE, StartTime, in_words

MORNING = datetime(2024, 3, 5, 14, 30, tzinfo=UTC)
HALF_DAY = SessionHours(
    date(2024, 7, 3), datetime(2024, 7, 3, 13, 30, tzinfo=UTC), datetime(2024, 7, 3, 17, tzinfo=UTC)
)


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("America/New_York", "2024-03-05 09:30 in New York"),
        ("Europe/Berlin", "2024-03-05 15:30 CET (09:30 in New York)"),
        ("Asia/Tokyo", "2024-03-05 23:30 JST (09:30 in New York)"),
        ("Pacific/Auckland", "2024-03-06 03:30 NZDT (03-05 09:30 in New York)"),
    ],
)
def test_a_time_is_said_as_the_reader_and_the_exchange_have_it(zone: str, said: str) -> None:
    assert in_words(MORNING, ZoneInfo(zone)) == said


@pytest.mark.parametrize(
    ("text", "begins"), [("09:00", "09:00"), ("open-30m", "09:00"), ("close-15m", "12:45"), ("15:30", "12:45")]
)
def test_work_begins_as_asked_and_on_half_days_a_quarter_of_an_hour_before_the_close(text: str, begins: str) -> None:
    assert StartTime.parse(text).of(HALF_DAY).astimezone(EXCHANGE).strftime("%H:%M") == begins


def test_the_same_time_of_day_is_kept_over_a_change_of_clocks() -> None:
    for day in (date(2024, 3, 8), date(2024, 3, 11)):
        opened = datetime(day.year, day.month, day.day, 9, 30, tzinfo=EXCHANGE).astimezone(UTC)
        hours = SessionHours(day, opened, opened + timedelta(hours=6.5))
        assert StartTime.parse("09:00").of(hours).astimezone(EXCHANGE).hour == 9


@pytest.mark.parametrize("text", ["9", "25:00", "open", "open-30", "noon", "close-1h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--at must be a time in New York"):
        StartTime.parse(text)
