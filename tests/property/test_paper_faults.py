"""Whatever fails, in whatever order, over some sessions: nothing is bought twice, and a clean run puts all right."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from crashing import CLEAN, FAILED, Point, check_converged, check_sound, session_in_child
from desks import desk_on
from fake_alpaca import POST_ORDER, Effect, FakeAlpaca, effects, match, new_york
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from summer import EQUAL, WEEK, summer
from venues import scratch

from engine.errors import MarsfolioError
from live.plan import PlanStatus
from live.session import Kind, run_session

ANYWHERE: dict[str, Effect] = {
    "500": effects.status(500),
    "504 after": effects.after_accept(effects.status(504)),
    "429": effects.rate_limited(3),
    "403": effects.status(403),
    "html": effects.html(),
    "reset": effects.reset(),
    "reset after": effects.after_accept(effects.reset()),
    "cut": effects.truncated(),
    "half a text": effects.truncated(announced=False),
    "garbage": effects.garbage(),
    "empty after": effects.after_accept(effects.empty()),
    "null after": effects.after_accept(effects.null()),
    "numbers": effects.json_numbers(),
    "unknown status": effects.unknown_status(),
    "minutes": effects.takes(timedelta(minutes=7)),
    "hours": effects.takes(timedelta(hours=4), before=False),
}
ON_ORDERS: dict[str, Effect] = {
    "halt": effects.never_fills(),
    "rejected": effects.reject_later(),
    "part": effects.partial_fill(fraction=0.4),
    "part, then all": effects.partial_fill(fraction=0.4, then="filled"),
    "late": effects.late_fill(reads=2),
    "lag": effects.lookup_lag(2),
    "lag in lists": effects.lookup_lag(2, in_lists=True),
    "old positions": effects.positions_lag(2),
    "stuck cancel": effects.pending_cancel(3),
}


@dataclass(frozen=True)
class Call:
    """One run of a session: when (a session of the week, a time of day), what fails, where it is killed."""

    day: int
    at: time
    faults: tuple[tuple[str, int, int], ...]
    point: Point | None


FAULTS = st.tuples(st.sampled_from([*ANYWHERE, *ON_ORDERS]), st.integers(1, 20), st.sampled_from([1, 1, 2, 30]))
POINTS = st.builds(
    Point, st.sampled_from(["request", "commit"]), st.integers(1, 30), st.sampled_from(["before", "after"])
)
CALLS = st.builds(
    Call,
    st.integers(0, 2),
    st.sampled_from([time(8), time(9, 29), time(9, 30), time(11), time(12, 54), time(15, 54), time(17)]),
    st.lists(FAULTS, max_size=3).map(tuple),
    st.none() | POINTS,
)


def add_faults(server: FakeAlpaca, call: Call) -> None:
    for name, nth, times in call.faults:
        if name in ANYWHERE:
            server.faults.add(match(), ANYWHERE[name], nth, times)
        else:
            server.faults.add(POST_ORDER, ON_ORDERS[name], 1 + nth % 6, times)


def carry_out(server: FakeAlpaca, path: Path, call: Call, moment: datetime) -> None:
    """Run a session once, and look at what is there now."""
    server.clock.set(max(server.clock.now, moment))
    add_faults(server, call)
    if call.point is None:
        with suppress(MarsfolioError):
            run_session(desk_on(server, path, EQUAL))
    else:
        assert session_in_child(server, path, EQUAL, call.point) in (CLEAN, FAILED, -signal.SIGKILL)
    server.faults.clear()
    if path.exists():
        check_sound(server, desk_on(server, path, EQUAL).journal)
    check_wanted(server, path)


def check_wanted(server: FakeAlpaca, path: Path) -> None:
    """Compare what is bought and sold with what was wanted."""
    if not server.orders:
        return
    wanted = {intent.client_id: intent.wanted for intent in desk_on(server, path, EQUAL).journal.intents()}
    for order in server.orders:
        assert order.qty is not None
        assert float(order.qty) <= wanted[order.client_order_id]


def last_session(server: FakeAlpaca, path: Path) -> None:
    """Trade a session in which all goes well."""
    day: date = next(day for day in (*WEEK[3:], date(2024, 7, 9)) if new_york(day, time(10)) > server.clock.now)
    server.clock.set(new_york(day, time(10)))
    desk: Any = desk_on(server, path, EQUAL)
    assert run_session(desk).kind is Kind.DONE
    assert run_session(desk).kind is Kind.NOTHING
    plan = desk.journal.last_plan()
    assert plan.session == day
    assert desk.journal.plan(day)[1] is PlanStatus.DONE
    check_converged(server, desk.journal)


@given(calls=st.lists(CALLS, min_size=1, max_size=5))
@settings(max_examples=25, phases=(Phase.generate,))
def test_whatever_fails_nothing_is_bought_twice_and_a_clean_run_converges(calls: list[Call]) -> None:
    with scratch() as folder, FakeAlpaca(summer(), now=new_york(WEEK[0], time(7))) as server:
        for call in sorted(calls, key=lambda call: (call.day, call.at)):
            carry_out(server, folder / "paper.db", call, new_york(WEEK[call.day], call.at))
        last_session(server, folder / "paper.db")
