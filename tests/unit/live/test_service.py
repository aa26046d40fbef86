"""The service tick by tick, on the loopback venue whose clock is moved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from desks import desk_on
from fake_alpaca import GET_BARS, POST_ORDER, FakeAlpaca, effects, match
from fake_alpaca.market import new_york_date
from summer import EQUAL, HALF_DAY, HOLIDAY, SYMBOLS, WEEK, at, summer

from engine.errors import Interrupted
from live.plan import PlanStatus
from live.service import HEALTH_FILE, RETRY_SECONDS, Service
from live.timing import StartTime

MINUTE = timedelta(minutes=1)
TIMES = ((8, 59), (9, 0), (9, 31), (12, 44), (12, 46), (13, 30), (15, 44), (15, 46), (15, 56), (16, 30))
"""New York: a tick on both sides of every start and end."""


class World:
    """A service on a loopback venue, as often as it is started."""

    def __init__(self, folder: Path) -> None:
        self.server = FakeAlpaca(summer(), now=at(7, 1, 6))
        self.folder = folder
        self.told: list[tuple[str, bool]] = []
        self.worked = 0
        self.start()

    def start(self, at: str = "09:00") -> Service:
        desk = desk_on(self.server, self.folder / "paper.db", EQUAL, told=self.told)
        self.service = Service(desk, StartTime.parse(at), self.folder, self._count)
        return self.service

    def _count(self, outcome: object) -> None:
        self.worked += 1

    def go(self, until: datetime, step: timedelta = 20 * MINUTE) -> None:
        """Tick at every step until a time."""
        while self.server.clock.now < until:
            self.server.clock.set(min(self.server.clock.now + step, until))
            self.service.tick()

    def go_to(self, moment: datetime) -> None:
        """Tick once, at a time."""
        self.server.clock.set(moment)
        self.service.tick()

    @property
    def alerts(self) -> list[str]:
        return [line for line, alert in self.told if alert]

    @property
    def plans(self) -> dict[date, PlanStatus]:
        return {day: status for day, status, _ in reversed(self.service.desk.journal.statuses())}

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / HEALTH_FILE).read_text())
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    with world.server:
        yield world


@pytest.mark.parametrize("start", ["09:00", "open-30m", "close-15m"])
def test_five_sessions_with_a_holiday_and_a_half_day_are_five_rebalances(world: World, start: str) -> None:
    world.start(start)
    for day in range(1, 9):
        for hour, minute in TIMES:
            world.go_to(at(7, day, hour, minute))
    assert world.plans == dict.fromkeys(WEEK, PlanStatus.DONE)
    days = [new_york_date(request.now) for request in world.server.posts()]
    assert sorted(set(days)) == list(WEEK)
    # The first session buys, the others sell three and buy three; none is sent twice.
    assert [days.count(day) for day in WEEK] == [6, 6, 6, 6, 6]
    assert len({request.body["client_order_id"] for request in world.server.posts()}) == 30
    last = max(request.now for request in world.server.posts() if new_york_date(request.now) == HALF_DAY)
    assert last < world.server.market.hours[HALF_DAY].close - timedelta(minutes=5)
    closes = [close.session for close in world.service.desk.journal.closes()]
    assert closes == [date(2024, 6, 28), *WEEK]
    assert HOLIDAY not in closes
    assert not world.alerts


def test_a_restart_at_every_tick_changes_nothing(world: World) -> None:
    for day in (1, 2):
        for hour, minute in TIMES:
            world.start()
            world.go_to(at(7, day, hour, minute))
    assert list(world.plans) == list(WEEK[:2])
    assert len(world.server.posts()) == 12


def test_a_start_in_mid_session_trades_it_at_once(world: World) -> None:
    world.go_to(at(7, 1, 14))
    assert world.plans == {WEEK[0]: PlanStatus.DONE}
    assert world.health()["last_session"] == "2024-07-01"


def test_before_its_start_a_session_is_left_alone(world: World) -> None:
    world.go_to(at(7, 1, 8, 59))
    assert not world.plans
    assert world.health()["next_start_utc"] == "2024-07-01T13:00:00Z"
    world.go_to(at(7, 1, 9))
    assert list(world.plans) == [WEEK[0]]


def test_after_its_cut_off_a_session_is_left_alone(world: World) -> None:
    world.go_to(at(7, 1, 15, 55))
    assert not world.plans
    assert not world.server.posts()


def test_a_service_that_slept_for_days_tells_what_it_missed_once_and_trades_the_current_session(world: World) -> None:
    world.go(at(7, 1, 17))
    world.go_to(at(7, 8, 10))
    world.start()
    world.go(at(7, 8, 18))
    assert list(world.plans) == [WEEK[0], WEEK[4]]
    assert world.alerts == [
        "sessions 2024-07-02, 2024-07-03, 2024-07-05 were missed: nothing was traded, and nothing is made up for it"
    ]


def test_what_passed_before_the_first_start_was_not_missed(world: World) -> None:
    world.go_to(at(7, 5, 20))
    world.start()
    world.go_to(at(7, 6, 20))
    assert not world.told
    world.go_to(at(7, 8, 20))
    assert world.alerts == ["session 2024-07-08 was missed: nothing was traded, and nothing is made up for it"]


def test_a_pause_between_two_orders_past_the_cut_off_sends_no_more(world: World) -> None:
    # A machine that slept: the clock since boot ran on, so that the broker's is read anew before the next order.
    world.server.faults.add(POST_ORDER, effects.takes(timedelta(hours=7)), nth=3)
    world.go_to(at(7, 1, 9, 40))
    assert len(world.server.posts()) == 3
    world.go(at(7, 1, 20))
    assert len(world.server.posts()) == 3
    # The third arrived after the close, when the venue queues orders for the next session: it is cancelled before.
    assert [order.status for order in world.server.orders] == ["filled", "filled", "canceled"]
    assert "session 2024-07-01: buy 428 DDD: not sent, the session is about to close: nothing more is sent" in (
        world.alerts
    )


def test_a_pause_between_two_ticks_past_the_cut_off_sends_no_more(world: World) -> None:
    world.server.faults.add(match("POST", "^/v2/orders$", symbol="AAA"), effects.never_fills())
    world.go_to(at(7, 1, 9))
    world.go_to(at(7, 1, 15, 56))
    world.go_to(at(7, 1, 17))
    assert len(world.server.posts()) == 6
    assert [order.status for order in world.server.orders] == ["expired"] + 5 * ["filled"]
    assert world.plans == {WEEK[0]: PlanStatus.DONE}


def test_trouble_that_stays_is_told_once_and_nothing_is_sent(world: World) -> None:
    world.server.account.trading_blocked = True
    world.go(at(7, 1, 9), 30 * MINUTE)
    world.go(at(7, 1, 10), MINUTE)
    world.go(at(7, 1, 15), 30 * MINUTE)
    assert len(world.alerts) == 1
    assert "may not trade" in world.alerts[0]
    assert not world.server.posts()
    health = world.health()
    assert health["status"] in ("needs a person", "troubled")
    assert "may not trade" in health["trouble"]
    assert health["broker_time_utc"] == "2024-07-01T19:00:00Z"


def test_the_service_goes_on_when_trouble_is_mended(world: World) -> None:
    world.server.account.trading_blocked = True
    world.go_to(at(7, 1, 10))
    world.server.account.trading_blocked = False
    world.go_to(at(7, 1, 10, 1))
    assert world.plans == {WEEK[0]: PlanStatus.DONE}
    assert world.health() | {"time_utc": ""} == {
        "status": "idle",
        "time_utc": "",
        "broker_time_utc": "2024-07-01T14:01:00Z",
        "next_start_utc": "2024-07-02T13:00:00Z",
        "last_session": "2024-07-01",
        "trouble": None,
        "pid": world.health()["pid"],
    }


def test_trouble_with_other_numbers_is_the_same_trouble(world: World) -> None:
    world.server.clock.set(at(7, 1, 9, 40))
    for seconds in (7, 12, 1300):
        world.server.faults.clear()
        world.server.faults.add(GET_BARS, effects.status(403, {"message": f"again in {seconds} s"}), times=None)
        world.go_to(world.server.clock.now + MINUTE)
        assert f"again in {seconds} s" in world.health()["trouble"]
    assert len(world.alerts) == 1
    # After a quiet hour it is news again.
    world.server.faults.clear()
    world.server.faults.add(GET_BARS, effects.status(403, {"message": "again in 5 s"}), times=None)
    world.go_to(world.server.clock.now + 61 * MINUTE)
    assert len(world.alerts) == 2


def test_an_unanswered_clock_is_told_and_asked_again(world: World) -> None:
    world.go_to(at(7, 1, 8))
    world.server.faults.add(match("GET", "^/v2/clock"), effects.reset(), times=None)
    world.go_to(at(7, 1, 10))
    assert world.health()["broker_time_utc"] is None
    world.server.faults.clear()
    world.server.clock.advance(timedelta(seconds=RETRY_SECONDS))
    world.service.tick()
    assert world.plans == {WEEK[0]: PlanStatus.DONE}


def test_an_order_that_never_fills_is_told_once_an_hour_at_most_and_at_the_end(world: World) -> None:
    world.server.faults.add(match("POST", "^/v2/orders$", symbol="AAA"), effects.never_fills())
    world.go(at(7, 1, 9, 40))
    world.go(at(7, 1, 9, 44), MINUTE)
    world.go(at(7, 1, 12), 30 * MINUTE)
    assert len([line for line, _ in world.told if "still open" in line]) == 1
    world.go(at(7, 1, 18))
    assert len(world.server.posts()) == 6
    assert world.plans[WEEK[0]] is PlanStatus.DONE


def test_the_brokers_clock_going_back_sends_nothing_again(world: World) -> None:
    world.go(at(7, 2, 10))
    sent = len(world.server.posts())
    world.server.clock._now = at(7, 1, 9, 40)
    for _ in range(3):
        world.service.tick()
        world.server.clock.advance(MINUTE)
    assert len(world.server.posts()) == sent
    # Nor for a session that was not traded then.
    world.server.clock._now = at(6, 27, 9, 40)
    world.service.tick()
    assert len(world.server.posts()) == sent
    assert date(2024, 6, 27) not in world.plans


def test_money_that_came_from_elsewhere_is_told_by_the_service(world: World) -> None:
    world.go(at(7, 1, 18))
    world.server.pay("CSD", 500.0)
    world.go(at(7, 2, 18))
    assert world.alerts == ["the account has +500.00 of cash that did not come from trading here"]


def test_the_evening_is_booked_once(world: World) -> None:
    world.go(at(7, 1, 12))
    worked = world.worked
    world.go(at(7, 1, 16, 19), 5 * MINUTE)
    assert world.worked == worked
    world.go(at(7, 1, 23), 5 * MINUTE)
    assert world.worked == worked + 1
    assert world.service.desk.journal.last_close().session == WEEK[0]


def test_bars_that_come_late_are_booked_later_in_the_evening(world: World) -> None:
    world.go(at(7, 1, 12))
    fault = world.server.faults.add(GET_BARS, effects.status(503), times=None)
    world.go(at(7, 1, 17))
    assert world.service.desk.journal.last_close().session == date(2024, 6, 28)
    fault.times = 1
    world.go(at(7, 1, 18))
    assert world.service.desk.journal.last_close().session == WEEK[0]


def test_stopping_in_the_middle_of_a_session_leaves_the_rest_to_the_next_start(world: World) -> None:
    waiter: Any = world.service.desk.waiter

    def stop(call: object) -> None:
        waiter.stopping = True

    world.server.faults.add(POST_ORDER, effects.callback(stop), nth=2)
    with pytest.raises(Interrupted):
        world.go_to(at(7, 1, 9, 40))
    assert len(world.server.posts()) == 2
    world.start()
    world.go_to(at(7, 1, 9, 45))
    assert [request.body["symbol"] for request in world.server.posts()] == list(SYMBOLS)


def test_a_health_file_that_cannot_be_written_stops_nothing(world: World) -> None:
    (world.folder / HEALTH_FILE).mkdir()
    (world.folder / HEALTH_FILE / "in the way").touch()
    world.go_to(at(7, 1, 10))
    assert world.plans == {WEEK[0]: PlanStatus.DONE}
