"""Two state folders that trade one account: the second notices before it sends anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from desks import desk_on
from fake_alpaca import FakeAlpaca
from summer import EQUAL, at, summer

from engine.errors import TradingStopped
from live.session import Kind, run_session

OTHER = {"AAA": 0.3, "BBB": 0.05, "CCC": 0.3}


@pytest.fixture
def server() -> Iterator[FakeAlpaca]:
    with FakeAlpaca(summer(), now=at(7, 1, 9)) as server:
        yield server


@pytest.mark.parametrize("weights", [OTHER, EQUAL], ids=["another strategy", "the same strategy"])
@pytest.mark.parametrize("hour", [9, 10], ids=["orders open", "orders filled"])
def test_the_second_stops_and_a_person_is_told(
    server: FakeAlpaca, tmp_path: Path, weights: dict[str, float], hour: int
) -> None:
    run_session(desk_on(server, tmp_path / "one.db", EQUAL))
    server.clock.set(at(7, 1, hour, 1))
    for _ in range(2):
        with pytest.raises(TradingStopped, match="v1-2024-07-01-AAA-buy-1 is at the broker") as caught:
            run_session(desk_on(server, tmp_path / "two.db", weights))
        assert caught.value.exit_code == 4
    assert len(server.posts()) == 6


def test_both_planned_before_either_sent_one_stops_at_the_first_id_that_is_taken(
    server: FakeAlpaca, tmp_path: Path
) -> None:
    first, second = desk_on(server, tmp_path / "one.db", EQUAL), desk_on(server, tmp_path / "two.db", OTHER)
    submit = first.venue.submit

    def meanwhile(order: object) -> object:
        first.venue.submit = submit  # type: ignore[method-assign]
        with pytest.raises(TradingStopped, match="another service trades this account"):
            run_session(second)
        return submit(order)  # type: ignore[arg-type]

    second_submit = second.venue.submit
    # The first has planned and sends; the second plans in between, and meets the first one's order.
    first.venue.submit = meanwhile  # type: ignore[assignment, method-assign]

    def later(order: object) -> object:
        submit(first.journal.intents()[0].order)
        return second_submit(order)  # type: ignore[arg-type]

    second.venue.submit = later  # type: ignore[assignment, method-assign]
    assert run_session(first).kind is Kind.QUEUED
    assert len({order.client_order_id for order in server.orders}) == len(server.orders) == 6
