from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from data_feeds.calendar import exchange_hours
from engine.errors import ConfigError


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_half_days_close_early_and_holidays_are_no_sessions() -> None:
    assert exchange_hours(date(2024, 7, 3), date(2024, 7, 6)) == [
        (date(2024, 7, 3), at("2024-07-03 13:30"), at("2024-07-03 17:00")),
        (date(2024, 7, 5), at("2024-07-05 13:30"), at("2024-07-05 20:00")),
    ]


def test_hours_follow_new_yorks_summer_time() -> None:
    friday, monday = exchange_hours(date(2024, 3, 8), date(2024, 3, 11))
    assert (friday[1].hour, monday[1].hour) == (14, 13)


def test_sessions_of_the_data_that_the_calendar_lacks_are_open_as_new_york_usually_is() -> None:
    also = [date(2024, 7, 3), date(2024, 7, 4), date(2024, 7, 9)]
    found = exchange_hours(date(2024, 7, 3), date(2024, 7, 5), also=also)
    assert [hours[0].day for hours in found] == [3, 4, 5]
    assert found[0][2] == at("2024-07-03 17:00")
    assert found[1][1:] == (at("2024-07-04 13:30"), at("2024-07-04 20:00"))


def test_other_exchanges_have_hours_of_their_own() -> None:
    assert exchange_hours(date(2024, 7, 4), date(2024, 7, 4), "XHKG") == [
        (date(2024, 7, 4), at("2024-07-04 01:30"), at("2024-07-04 08:00"))
    ]


def test_a_range_without_sessions_is_empty() -> None:
    assert exchange_hours(date(2024, 1, 6), date(2024, 1, 7)) == []
    assert exchange_hours(date(2024, 1, 8), date(2024, 1, 5)) == []


def test_calendars_of_few_years_answer_for_these() -> None:
    # Shanghai's holidays are announced year by year and recorded from 1991 on.
    assert [hours[0] for hours in exchange_hours(date(1991, 6, 3), date(1991, 6, 4), "XSHG")]
    with pytest.raises(ConfigError, match="XSHG cannot say"):
        exchange_hours(date(1980, 6, 3), date(1980, 6, 4), "XSHG")


def test_an_unknown_calendar_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'XNYS'"):
        exchange_hours(date(2024, 1, 2), date(2024, 1, 3), "XNY")
