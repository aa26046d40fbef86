"""Faults 1 to 10: crashes at every step, and orders of which nobody knows whether they arrived."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from crashes import Crash, crash, crash_at, crash_before_sending, crash_while_sending, die_when
from fake_alpaca import GET_ORDERS, LOOKUP, POST_ORDER, effects, match
from histories import words
from scenes import SHARES, Scene, at

from engine.errors import TemporaryError
from live.plan import PlanStatus, Stage
from live.session import Kind

LOST_ANSWERS = {
    "silence": effects.hang(),
    "reset": effects.reset(),
    "500": effects.status(500),
    "504": effects.status(504),
    "html": effects.html(),
    "no body": effects.empty(),
    "null": effects.null(),
    "garbage": effects.garbage(),
    "half of it": None,
}
"""Ways in which the answer to an order that was accepted does not come back."""


def test_01_a_plan_that_was_written_before_a_crash_is_sent_once(monday: Scene) -> None:
    desk = monday.desk(lambda desk: crash_at(desk, "plan", after=True))
    monday.fails(Crash, desk)
    assert not monday.server.posts()
    # Another decision would ask for other orders: the plan that was written is carried out.
    monday.weights = {"AAA": 0.1, "BBB": 0.1, "CCC": 0.1}
    assert monday.run().kind is Kind.DONE
    assert monday.held() == SHARES
    assert len(monday.server.posts()) == 3
    assert monday.run().kind is Kind.NOTHING
    monday.evening()
    monday.check_evening()


@pytest.mark.parametrize("how", LOST_ANSWERS)
def test_02_03_04_an_order_whose_answer_is_lost_is_looked_up_and_adopted(
    how: str, monday: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.http.READ_SECONDS", 0.2)
    effect = LOST_ANSWERS[how]
    lost = effects.truncated() if effect is None else effects.after_accept(effect)
    monday.server.faults.add(POST_ORDER, lost, nth=2)
    assert monday.run().kind is Kind.DONE
    assert monday.held() == SHARES
    assert len(monday.server.posts()) == 3
    assert monday.server.count("GET", "by_client_order_id") == 1
    monday.evening()
    monday.check_evening()


def test_04_a_duplicate_id_means_that_the_order_exists(monday: Scene) -> None:
    lost = effects.after_accept(effects.status(504))
    monday.server.faults.add(POST_ORDER, lost)
    # Hidden from all look-ups of the first run, so that the same id is sent again.
    monday.server.faults.add(LOOKUP, effects.status(404, {"code": 40410000, "message": "order not found"}), times=5)
    assert monday.run().kind is Kind.DONE
    posts = [post.body["client_order_id"] for post in monday.server.posts()]
    assert posts[0] == posts[1]
    assert monday.server.posts()[1].answer["message"] == "client_order_id must be unique"
    assert monday.held() == SHARES


def test_04_a_duplicate_that_is_never_shown_is_looked_up_again_in_the_next_run(monday: Scene) -> None:
    monday.server.faults.add(POST_ORDER, effects.after_accept(effects.status(504)))
    monday.server.faults.add(LOOKUP, effects.status(404, {"code": 40410000, "message": "order not found"}), times=10)
    assert "the venue has order v1-2024-06-03-AAA-buy-1 and does not show it" in monday.fails(TemporaryError)
    assert len(monday.server.posts()) == 2
    assert monday.run().kind is Kind.DONE
    assert monday.held() == SHARES
    monday.evening()
    monday.check_evening()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_05_a_crash_before_the_answer_is_written_ends_in_the_order_being_adopted(number: int, monday: Scene) -> None:
    monday.fails(Crash, monday.desk(lambda desk: crash_while_sending(desk, number)))
    assert len(monday.server.posts()) == number
    before = len(monday.server.requests)
    assert monday.run().kind is Kind.DONE
    assert len(monday.server.posts()) == 3
    assert monday.held() == SHARES
    # One list finds it: no look-up by id.
    assert not [r for r in monday.server.requests[before:] if "by_client" in r.path]
    monday.evening()
    monday.check_evening()


def sells_and_buys(monday: Scene) -> None:
    """Hold all of Monday's shares, and on Tuesday at 10:00 want AAA and BBB gone for CCC."""
    monday.run()
    monday.evening()
    monday.server.clock.set(at(10, day=1))
    monday.weights = {"AAA": 0.0, "BBB": 0.0, "CCC": 0.9}


def test_06_after_a_crash_between_sells_and_buys_the_stored_targets_are_bought(monday: Scene) -> None:
    sells_and_buys(monday)
    monday.fails(Crash, monday.desk(lambda desk: crash_while_sending(desk, 2)))
    assert monday.held() == {"CCC": 60.0}
    monday.weights = {"AAA": 0.5, "BBB": 0.0, "CCC": 0.0}
    assert monday.run().kind is Kind.DONE
    assert monday.held() == {"CCC": 180.0}
    monday.evening()
    monday.check_evening()


def test_06_the_restart_waits_for_sells_that_are_still_open(monday: Scene) -> None:
    sells_and_buys(monday)
    monday.server.faults.add(match("POST", "orders$", side="sell"), effects.late_fill(wait=timedelta(seconds=30)), 1, 2)
    monday.fails(Crash, monday.desk(lambda desk: crash_while_sending(desk, 2)))
    assert monday.run().kind is Kind.DONE
    assert monday.held() == {"CCC": 180.0}
    buy = monday.server.orders[-1]
    assert all(buy.submitted_at > sell.filled_at for sell in monday.server.orders[3:5] if sell.filled_at)


@pytest.mark.parametrize(
    "effect", [effects.reset(), effects.status(500), effects.html(502)], ids=["reset", "500", "502"]
)
def test_07_an_order_that_never_arrived_is_sent_again_under_its_id(effect: Any, monday: Scene) -> None:
    monday.server.faults.add(POST_ORDER, effect, nth=2)
    assert monday.run().kind is Kind.DONE
    posts = [post.body for post in monday.server.posts()]
    assert posts[1] == posts[2]
    assert len(posts) == 4
    assert monday.server.count("GET", "by_client_order_id", 404) == 5
    assert monday.held() == SHARES
    monday.evening()
    monday.check_evening()


def test_07_a_venue_that_swallows_every_order_is_given_up_and_goes_on_later(monday: Scene) -> None:
    monday.server.faults.add(POST_ORDER, effects.status(500), times=None)
    assert "never arrived; run again" in monday.fails(TemporaryError)
    assert len(monday.server.posts()) == 3
    monday.server.faults.clear()
    assert monday.run().kind is Kind.DONE
    assert monday.held() == SHARES


def test_08_a_look_up_that_lags_is_repeated_before_anything_is_sent_again(monday: Scene) -> None:
    monday.server.faults.add(POST_ORDER, effects.lookup_lag(4, in_lists=True))
    monday.server.faults.add(POST_ORDER, effects.after_accept(effects.reset()))
    assert monday.run().kind is Kind.DONE
    assert len(monday.server.posts()) == 3
    assert monday.held() == SHARES


def test_08_orders_left_on_their_way_are_looked_up_together_in_spaced_rounds(monday: Scene) -> None:
    monday.fails(Crash, monday.desk(lambda desk: crash_before_sending(desk, "AAA")))
    journal = monday.desk().journal
    with journal.writing() as writer:
        for intent in journal.intents():
            writer.put(replace(intent, stage=Stage.SENDING))
    before = len(monday.server.requests)
    assert monday.run().kind is Kind.DONE
    asked = [f"{r.method} {r.path}" for r in monday.server.requests[before:] if "orders" in r.path]
    # One list, then five rounds with all three, and only then orders.
    assert asked[:17] == ["GET /v2/orders", *["GET /v2/orders:by_client_order_id"] * 15, "POST /v2/orders"]
    looked = [r.now for r in monday.server.requests if "by_client" in r.path]
    assert [(moment - looked[0]).total_seconds() for moment in looked[::3]] == [0, 1, 3, 7, 11]
    assert monday.held() == SHARES


def test_08_an_order_that_was_sent_before_is_never_made_smaller_under_its_id(monday: Scene) -> None:
    monday.server.faults.add(match("POST", "orders$"), effects.reset(), nth=3)
    desk = monday.desk()
    desk.venue.order = crash  # type: ignore[method-assign,assignment]
    monday.fails(Crash, desk)
    monday.server.pay("CSW", -2000.0)
    assert "buy 60 CCC: not sent, the cash, 2,000.00, does not pay for it" in monday.run().remarks
    assert len(monday.server.posts()) == 3
    monday.evening()
    monday.check_evening()


ENTRIES = [("plan", 1), ("sending", 1), ("sending", 3), ("order", 1), ("fill", 1), ("fill", 3), ("done", 1)]


@pytest.mark.parametrize("after", [False, True], ids=["in the middle of", "right after"])
@pytest.mark.parametrize(("kind", "number"), ENTRIES)
def test_09_a_crash_while_the_journal_is_written_leaves_the_state_before_or_after(
    kind: str, number: int, after: bool, monday: Scene
) -> None:
    monday.fails(Crash, monday.desk(lambda desk: crash_at(desk, kind, number, after)))
    monday.run()
    assert monday.held() == SHARES
    assert len(monday.server.posts()) == 3
    monday.evening()
    monday.check_evening()


@pytest.mark.parametrize("number", range(1, 12))
def test_01_to_09_a_crash_at_any_request_of_a_day_with_sells_and_buys_converges(number: int, monday: Scene) -> None:
    sells_and_buys(monday)
    monday.server.faults.add(match(), effects.callback(lambda call: stop.append(1), "after"), nth=number)
    stop: list[int] = []
    desk = monday.desk()
    die_when(desk, stop)
    monday.fails(Crash, desk)
    assert monday.run().kind in (Kind.DONE, Kind.NOTHING)
    assert monday.held() == {"CCC": 180.0}
    monday.evening()
    monday.check_evening()


def test_10_sessions_missed_while_the_machine_was_off_are_not_made_up_for(monday: Scene) -> None:
    monday.server.faults.add(POST_ORDER, effects.never_fills(), times=None)
    assert monday.run().kind is Kind.UNFINISHED
    monday.server.faults.clear()
    monday.server.clock.set(at(10, day=3))
    monday.weights = {"AAA": 0.0, "BBB": 0.0, "CCC": 0.9}
    before = len(monday.server.posts())
    outcome = monday.run()
    assert outcome.kind is Kind.DONE
    assert "session 2024-06-03 ended, and not as planned: buy 300 AAA: 0 filled, expired" in words(outcome)
    assert [(day.day, status) for day, status, _ in monday.desk().journal.statuses()] == [
        (6, PlanStatus.DONE),
        (3, PlanStatus.DONE),
    ]
    assert len(monday.server.posts()) - before == 1
    assert monday.held() == {"CCC": 180.0}
    monday.evening()
    monday.check_evening()


def test_an_open_order_missing_on_the_list_is_looked_up_and_stays_open_with_an_alert(monday: Scene) -> None:
    monday.server.faults.add(match("POST", "orders$", symbol="BBB"), effects.never_fills())
    hidden = effects.rewrite("hidden", lambda rows: [row for row in rows if row["symbol"] != "BBB"])
    monday.server.faults.add(GET_ORDERS, hidden, times=None)
    gone = effects.status(404, {"code": 40410000, "message": "order not found"})
    monday.server.faults.add(LOOKUP, gone, times=2)
    outcome = monday.run()
    assert (outcome.kind, outcome.exit_code) == (Kind.UNFINISHED, 3)
    assert "does not show it now: it is taken as open" in monday.alerts()
    (open_order,) = monday.desk().journal.intents(live=True)
    assert open_order.symbol == "BBB"
    monday.evening()
    monday.check_evening()


def test_an_order_that_the_venue_lost_for_good_ends_with_its_session(monday: Scene) -> None:
    monday.server.faults.add(match("POST", "orders$", symbol="BBB"), effects.never_fills())
    monday.run()
    monday.server.orders.remove(monday.server.order("v1-2024-06-03-BBB-buy-1"))
    assert monday.run().kind is Kind.UNFINISHED
    assert monday.desk().journal.intents(live=True)
    monday.server.clock.set(at(10, day=1))
    assert monday.run().kind is Kind.DONE
    assert "session 2024-06-03 ended, and not as planned: buy 30 BBB: 0 filled, not found" in monday.alerts()
    assert monday.held() == SHARES
