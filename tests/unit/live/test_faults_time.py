"""Faults 11 to 19: sessions, clocks, and two runs at once."""

from __future__ import annotations

import os
import subprocess
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from fake_alpaca import Bar, FakeMarket, effects, match, new_york
from histories import words
from scenes import MONDAY, PRICES, SESSIONS, SHARES, Scene, at, scene

from brokers.protocol import SessionHours
from engine.clock import VirtualClock
from engine.errors import TemporaryError, TradingStopped
from live.plan import TOO_LATE, PlanStatus, Stage
from live.service import Service
from live.session import Kind
from live.timing import StartTime, current_session
from marsfolio.paper.setup import LOCK_FILE, state_folder


def status_of(monday: Scene, day: date = MONDAY) -> PlanStatus:
    found = monday.desk().journal.plan(day)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("later", [timedelta(), timedelta(seconds=40), timedelta(hours=5)], ids=str)
def test_11_a_second_run_of_a_session_sends_nothing(later: timedelta, monday: Scene) -> None:
    monday.run()
    monday.server.clock.advance(later)
    monday.weights = {"AAA": 0.0, "BBB": 0.0, "CCC": 0.9}
    desk = monday.desk()
    desk.clock = VirtualClock(monday.server.clock.now - timedelta(seconds=50))
    outcome = monday.run(desk)
    assert (outcome.kind, outcome.exit_code) == (Kind.NOTHING, 0)
    assert len(monday.server.posts()) == 3
    assert monday.held() == SHARES


def test_12_a_state_folder_is_held_by_one_process(tmp_path: Path) -> None:
    with (
        state_folder(tmp_path),
        pytest.raises(TemporaryError, match=rf"another process \(pid {os.getpid()}\) is working on .*nothing was sent"),
        state_folder(tmp_path),
    ):
        pass
    with state_folder(tmp_path):
        pass


def test_12_a_lock_left_by_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / LOCK_FILE).write_text(str(dead.pid))
    with state_folder(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text() == str(os.getpid())


def service_at(monday: Scene, start: str, folder: Path) -> Service:
    return Service(monday.desk(), StartTime.parse(start), folder)


def test_13_a_service_that_wakes_40_seconds_late_still_works(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with scene(caplog, now=at(9, 44, 50)) as monday:
        service = service_at(monday, "09:45", tmp_path)
        service.tick()
        assert not monday.server.posts()
        monday.server.clock.set(at(9, 45, 40))
        service.tick()
        assert monday.held() == SHARES


def test_13_a_service_that_wakes_after_the_cut_off_skips_the_session_and_says_so(monday: Scene, tmp_path: Path) -> None:
    service = service_at(monday, "10:00", tmp_path)
    service.tick()
    monday.evening()
    service.tick()
    monday.server.clock.set(at(15, 56, day=1))
    service.tick()
    monday.server.clock.set(at(16, 30, day=1))
    service.tick()
    assert len(monday.server.posts()) == 3
    assert "session 2024-06-04 was missed" in monday.alerts()


def test_13_a_single_run_after_the_cut_off_says_that_the_session_was_missed(monday: Scene) -> None:
    monday.run()
    monday.evening()
    monday.server.clock.set(at(15, 55, day=1))
    outcome = monday.run()
    assert (outcome.kind, outcome.exit_code) == (Kind.UNFINISHED, 3)
    assert "session 2024-06-04 was missed: nothing was traded" in monday.alerts()
    assert len(monday.server.posts()) == 3


@pytest.mark.parametrize("seconds", [-61, 61, 3600])
def test_14_a_machine_whose_clock_is_far_off_is_refused(seconds: int, monday: Scene) -> None:
    desk = monday.desk()
    desk.clock = VirtualClock(monday.server.clock.now + timedelta(seconds=seconds))
    assert f"clock is {abs(seconds)} s away from the broker's" in monday.fails(TradingStopped, desk)
    assert not monday.server.posts()


def test_14_the_brokers_clock_decides_which_session_it_is(monday: Scene) -> None:
    # The machine believes that the cut-off has not come yet.
    monday.server.clock.set(at(15, 55, 10))
    desk = monday.desk()
    desk.clock = VirtualClock(at(15, 54, 30))
    assert monday.run(desk).kind is Kind.NOTHING
    assert not monday.server.posts()


@pytest.mark.parametrize("friday", [date(2024, 3, 8), date(2024, 11, 1)], ids=str)
def test_15_work_begins_at_the_same_time_in_new_york_across_a_change_of_clocks(friday: date) -> None:
    monday = friday + timedelta(days=3)
    bars = {"AAA": {day: Bar(10, 10, 10, 10) for day in (friday, monday)}}
    market = FakeMarket(bars)
    for text, wanted in (("09:00", time(9)), ("open-30m", time(9)), ("close-15m", time(15, 45))):
        for day in (friday, monday):
            start = StartTime.parse(text).of(SessionHours(day, *market.hours[day]))
            assert start == new_york(day, wanted)
    before, after = (market.hours[day].open.hour for day in (friday, monday))
    assert abs(before - after) == 1


def test_15_a_paper_account_trades_on_both_sides_of_a_change_of_clocks(caplog: pytest.LogCaptureFixture) -> None:
    days = [date(2024, 10, 31), date(2024, 11, 1), date(2024, 11, 4)]
    market = FakeMarket({symbol: {day: Bar(p, p, p, p) for day in days} for symbol, p in PRICES.items()})
    with scene(caplog, now=new_york(days[1], time(9, 40)), market=market) as account:
        account.run()
        account.weights = {"AAA": 0.3, "BBB": 0.6, "CCC": 0.0}
        account.server.clock.set(new_york(days[2], time(9, 29)))
        assert account.run().kind is Kind.QUEUED
        account.server.clock.set(new_york(days[2], time(9, 31)))
        assert account.run().kind is Kind.DONE
        assert account.held() == {"AAA": 300.0, "BBB": 60.0}


def half_day() -> FakeMarket:
    bars = {symbol: {day: Bar(p, p, p, p) for day in SESSIONS} for symbol, p in PRICES.items()}
    return FakeMarket(bars, half_days=[MONDAY])


@pytest.mark.parametrize(("minute", "kind"), [(54, Kind.DONE), (55, Kind.NOTHING)])
def test_16_on_a_half_day_the_cut_off_follows_the_early_close(
    minute: int, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    with scene(caplog, now=at(12, minute), market=half_day()) as account:
        assert account.run().kind is kind
        assert len(account.server.posts()) == (3 if kind is Kind.DONE else 0)


def test_16_a_start_in_the_afternoon_comes_before_the_early_close() -> None:
    hours = SessionHours(MONDAY, *half_day().hours[MONDAY])
    assert StartTime.parse("close-15m").of(hours) == at(12, 45)
    assert StartTime.parse("15:30").of(hours) == at(12, 45)


def test_17_nothing_is_sent_on_a_holiday_or_at_the_weekend(caplog: pytest.LogCaptureFixture) -> None:
    market = FakeMarket({s: {d: Bar(p, p, p, p) for d in SESSIONS if d != MONDAY} for s, p in PRICES.items()})
    for day in (-2, -1, 0):
        with scene(caplog, now=at(11, day=day), market=market) as account:
            outcome = account.run()
            assert (outcome.kind, outcome.exit_code) == (Kind.NOTHING, 0)
            assert "the next session is 2024-06-04" in outcome.message
            assert not account.server.posts()


def test_17_a_holiday_that_nobody_foresaw_is_noticed_by_a_service_that_runs(monday: Scene) -> None:
    desk = monday.desk()
    monday.run(desk)
    monday.evening()
    monday.server.market.close_session(MONDAY + timedelta(days=1))
    monday.server.clock.set(at(10, day=1))
    assert monday.run(desk).kind is Kind.NOTHING
    assert len(monday.server.posts()) == 3


def test_18_a_run_at_night_belongs_to_one_session_only(caplog: pytest.LogCaptureFixture) -> None:
    with scene(caplog, now=at(20, day=-1)) as account:
        assert account.run().kind is Kind.NOTHING
        account.server.clock.set(at(0, 30))
        assert account.run().kind is Kind.QUEUED
        account.server.clock.set(at(8))
        assert account.run().kind is Kind.QUEUED
        account.server.clock.set(at(9, 31))
        assert account.run().kind is Kind.DONE
        assert len(account.server.posts()) == 3
        account.server.clock.set(at(20))
        assert account.run().kind is Kind.NOTHING
        assert len(account.server.posts()) == 3
        account.check_evening()


def test_19_what_is_left_at_the_cut_off_is_dropped_and_planned_anew_the_next_day(monday: Scene) -> None:
    monday.server.clock.set(at(15, 54, 50))
    monday.server.faults.add(match("POST", "orders$"), effects.takes(timedelta(seconds=6)), times=2)
    outcome = monday.run()
    assert (outcome.kind, outcome.exit_code) == (Kind.UNFINISHED, 3)
    assert f"buy 60 CCC: not sent, {TOO_LATE}" in words(outcome)
    assert status_of(monday) is PlanStatus.DROPPED
    assert monday.held() == {"AAA": 300.0, "BBB": 30.0}
    monday.evening()
    monday.check_evening()
    monday.server.clock.set(at(10, day=1))
    assert monday.run().kind is Kind.DONE
    assert monday.held() == SHARES
    assert monday.server.orders[-1].client_order_id == "v1-2024-06-04-CCC-buy-1"


def test_19_buys_whose_sells_fill_after_the_cut_off_are_dropped(monday: Scene) -> None:
    monday.run()
    monday.evening()
    monday.server.clock.set(at(15, 54, 50, day=1))
    monday.weights = {"AAA": 0.0, "BBB": 0.3, "CCC": 0.6}
    monday.server.faults.add(match("POST", "orders$", side="sell"), effects.late_fill(wait=timedelta(seconds=20)))
    outcome = monday.run()
    assert (outcome.kind, outcome.exit_code) == (Kind.UNFINISHED, 3)
    assert monday.held() == {"BBB": 30.0, "CCC": 60.0}
    monday.evening()
    monday.check_evening()


def test_19_a_process_that_slept_through_the_close_between_two_orders_sends_no_more(monday: Scene) -> None:
    def sleeps(call: Any) -> None:
        monday.server.clock.advance(timedelta(hours=7))

    monday.server.faults.add(match("POST", "orders$"), effects.callback(sleeps, "after"))
    outcome = monday.run()
    assert (outcome.kind, outcome.exit_code) == (Kind.UNFINISHED, 3)
    assert len(monday.server.posts()) == 1
    assert monday.run().exit_code == 3
    stages = [intent.stage for intent in monday.desk().journal.intents()]
    assert stages == [Stage.FINAL, Stage.DROPPED, Stage.DROPPED]
    assert "session 2024-06-03 ended, and not as planned: 2 orders never reached the venue" in monday.alerts()
    assert status_of(monday) is PlanStatus.DROPPED
    monday.check_evening()


def test_the_session_of_a_moment_ends_five_minutes_before_its_close() -> None:
    hours = SessionHours(MONDAY, at(9, 30), at(16))
    moments: list[tuple[datetime, bool]] = [(at(0, 0, 1), True), (at(15, 54, 59), True), (at(15, 55), False)]
    assert [current_session([hours], moment) is not None for moment, _ in moments] == [found for _, found in moments]
