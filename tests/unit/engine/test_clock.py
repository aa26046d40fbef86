from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from engine.clock import SystemClock, VirtualClock
from engine.errors import InputError

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)


def test_a_virtual_clock_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock(NOON)
    assert clock.now() == clock.now() == NOON
    clock.advance(timedelta(hours=1))
    assert clock.now() == NOON + timedelta(hours=1)
    clock.set(NOON - timedelta(days=1))
    assert clock.now() == NOON - timedelta(days=1)


def test_a_virtual_clock_tells_utc_whatever_it_was_set_to() -> None:
    clock = VirtualClock(datetime(2024, 1, 2, 7, tzinfo=timezone(timedelta(hours=-5))))
    assert clock.now() == NOON
    assert clock.now().tzinfo is UTC


def test_a_time_without_a_zone_and_a_step_back_are_refused() -> None:
    with pytest.raises(InputError, match="time zone"):
        VirtualClock(datetime(2024, 1, 2))
    with pytest.raises(InputError, match="positive time"):
        VirtualClock(NOON).advance(timedelta(seconds=-1))


def test_the_system_clock_tells_utc() -> None:
    assert SystemClock().now().tzinfo is UTC
