"""Faults 45 to 51, market data: a session trades on complete and plausible bars, or not at all.

Fault 50, a split overnight, has a module of its own: test_faults_splits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desks import desk_on
from fake_alpaca import GET_BARS, FakeAlpaca, bar_effects, effects
from fake_alpaca.example import DAYS, at, december

from engine.errors import TemporaryError, TradingStopped
from live.desk import Desk
from live.session import Kind, run_session


@pytest.fixture
def server() -> Iterator[FakeAlpaca]:
    # Thursday the 26th; decisions read the half day of the 24th and the days before.
    with FakeAlpaca(december(), cash=1000.0, now=at(26, 10)) as server:
        yield server


@pytest.fixture
def desk(server: FakeAlpaca, tmp_path: Path) -> Desk:
    return desk_on(server, tmp_path / "paper.db", {"AAA": 0.3, "BBB": 0.3}, 3, cache=tmp_path / "bars")


def refusal(desk: Desk, server: FakeAlpaca, kind: type[TemporaryError | TradingStopped] = TemporaryError) -> str:
    """Return why nothing was sent, and make sure that nothing was, nor was planned."""
    with pytest.raises(kind) as caught:
        run_session(desk)
    assert server.posts() == []
    assert desk.journal.last_plan() is None
    return str(caught.value)


def test_fault_45_stale_bars_are_not_traded_on_and_later_ones_are(desk: Desk, server: FakeAlpaca) -> None:
    server.faults.add(GET_BARS, bar_effects.stale_bars(), times=None)
    assert "bars are stale: none of 2024-12-24, the newest are of 2024-12-23" in refusal(desk, server)
    server.faults.clear()
    assert run_session(desk).kind is Kind.DONE


def test_fault_46_a_missing_symbol_is_neither_invented_nor_sold(desk: Desk, server: FakeAlpaca) -> None:
    server.hold("BBB", 10)
    server.faults.add(GET_BARS, bar_effects.missing_symbol("BBB"), times=None)
    assert "no bar on 2024-12-24 of BBB" in refusal(desk, server)
    assert server.positions["BBB"].qty == 10


@pytest.mark.parametrize(
    "value", [math.nan, None, 0, -12.0, "12.5", lambda close: close * 1000, lambda close: close / 1000, True]
)
def test_fault_47_a_price_that_is_none_never_reaches_the_model(desk: Desk, server: FakeAlpaca, value: Any) -> None:
    server.faults.add(GET_BARS, bar_effects.bad_value("AAA", "c", value), times=None)
    told = refusal(desk, server)
    assert "AAA on 2024-12-24: close" in told or "high" in told
    assert not list((desk.bars._cache._folder).glob("*"))


@pytest.mark.parametrize(
    "effect", [bar_effects.duplicate_bars(), bar_effects.unsorted_bars(), bar_effects.short_pages(1)], ids=str
)
def test_fault_48_bars_that_are_merely_untidy_decide_as_tidy_ones(
    desk: Desk, server: FakeAlpaca, tmp_path: Path, effect: Any
) -> None:
    server.faults.add(GET_BARS, effect, times=None)
    outcome = run_session(desk)
    server.faults.clear()
    tidy = desk_on(server, tmp_path / "tidy.db", {"AAA": 0.3, "BBB": 0.3}, 3)
    panel = tidy.bars.panel(("AAA", "BBB"), DAYS[2], 3)
    assert outcome.kind is Kind.DONE
    assert outcome.plan is not None
    assert outcome.plan.data_hash == panel.content_hash


def test_fault_48_pages_without_end_are_left(desk: Desk, server: FakeAlpaca) -> None:
    server.faults.add(GET_BARS, bar_effects.endless_pages(), times=None)
    assert "do not end" in refusal(desk, server)
    assert server.count("GET", "bars") < 10


def test_fault_49_the_running_session_is_not_decided_on(desk: Desk, server: FakeAlpaca) -> None:
    server.has_sip = True
    # Even when the service does not keep to the end that it was given.
    server.faults.add(GET_BARS, effects.callback(lambda call: call.request.query.pop("end", None)), times=None)
    outcome = run_session(desk)
    assert outcome.plan is not None
    assert outcome.plan.decided == DAYS[2]
    assert outcome.plan.close.tolist() == [32.0, 25.0]


@pytest.mark.parametrize("code", [42210000, 40010001])
def test_fault_51_a_feed_without_subscription_stops_and_is_not_replaced(
    desk: Desk, server: FakeAlpaca, code: int
) -> None:
    server.faults.add(GET_BARS, bar_effects.sip_forbidden(code), times=None)
    assert "do not give access to the feed 'sip'" in refusal(desk, server, TradingStopped)
    assert {request.query["feed"] for request in server.requests if "bars" in request.path} == {"sip"}


def test_restated_bars_of_the_last_decision_are_told(desk: Desk, server: FakeAlpaca) -> None:
    run_session(desk)
    server.market.bars["AAA"][DAYS[1]] = server.market.bars["AAA"][DAYS[1]]._replace(volume=999.0)
    server.clock.set(at(27, 10))
    # The cache knows the tail alone again: a corrected volume there is seen.
    outcome = run_session(desk)
    told = "bars up to 2024-12-24 were restated since that session was decided (a split, a dividend, a correction)"
    assert told in outcome.remarks


def test_bars_as_they_were_are_not_spoken_of(desk: Desk, server: FakeAlpaca) -> None:
    run_session(desk)
    server.clock.set(at(27, 10))
    assert not [remark for remark in run_session(desk).remarks if "restated" in remark]
