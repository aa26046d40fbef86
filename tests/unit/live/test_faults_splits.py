"""Fault 50: a split overnight. Shares, adjusted prices and our books tell one story, or nothing is traded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from desks import desk_on
from fake_alpaca import FakeAlpaca
from fake_alpaca.example import DAYS, at, december
from fake_alpaca.market import Bar, Split

from engine.errors import TemporaryError
from live.desk import Desk
from live.session import Kind, close_books, run_session
from live.splits import SPLIT
from marsfolio.paper.switch import _resume


@pytest.fixture
def server() -> Iterator[FakeAlpaca]:
    market = december()
    # AAA moves so little that only a split could make anybody trade.
    market.bars["AAA"] = {day: Bar(10, 10.2, 9.8, 10, 1000) for day in DAYS}
    with FakeAlpaca(market, cash=10_000.0, now=at(23, 10)) as server:
        yield server


@pytest.fixture
def desk(server: FakeAlpaca, tmp_path: Path) -> Desk:
    """Return a desk that has bought 300 AAA and 40 BBB, and has booked the close of the 24th."""
    desk = desk_on(server, tmp_path / "paper.db", {"AAA": 0.3, "BBB": 0.4}, cache=tmp_path / "bars")
    assert run_session(desk).kind is Kind.DONE
    server.clock.set(at(24, 14))
    assert "session 2024-12-24 was missed" in run_session(desk).remarks[0]
    assert desk.journal.last_close().session == DAYS[2]
    assert {symbol: held.qty for symbol, held in server.positions.items()} == {"AAA": 300, "BBB": 40}
    return desk


def equities(desk: Desk) -> list[float]:
    return [close.equity for close in desk.journal.closes()]


def test_a_split_overnight_is_no_loss_and_no_reason_to_trade(desk: Desk, server: FakeAlpaca) -> None:
    before = len(server.posts())
    server.clock.set(at(26, 9))
    outcome = run_session(desk)
    assert outcome.kind is Kind.DONE
    assert len(server.posts()) == before
    assert "BBB was split: +120 shares" in outcome.remarks
    assert [(m.session, m.kind, m.symbol, m.quantity_change) for m in desk.journal.movements()] == [
        (date(2024, 12, 26), SPLIT, "BBB", 120.0)
    ]
    server.clock.set(at(26, 17))
    assert run_session(desk).kind is Kind.NOTHING
    assert desk.journal.last_close().session == DAYS[3]
    assert equities(desk) == [10_000.0] * 4


def test_a_split_is_booked_before_the_close_that_comes_after_it_even_when_seen_late(
    desk: Desk, server: FakeAlpaca
) -> None:
    server.clock.set(at(27, 9))
    assert run_session(desk).kind is Kind.DONE
    assert [m.session for m in desk.journal.movements()] == [DAYS[3]]
    assert equities(desk) == [10_000.0] * 4


@pytest.mark.parametrize("hour", [8, 17])
def test_shares_that_came_as_by_a_split_that_no_price_shows_stop_the_session(
    desk: Desk, server: FakeAlpaca, hour: int
) -> None:
    server.hold("AAA", 600)
    server.clock.set(at(26, hour))
    before = len(server.posts())
    for _ in range(2):
        with pytest.raises(TemporaryError, match=r"300 shares became 600, and prices do not show it.*run again"):
            run_session(desk)
    assert len(server.posts()) == before
    assert desk.journal.movements() == []
    assert len(equities(desk)) == 3


def test_prices_restated_for_a_split_that_the_account_lacks_stop_the_session(desk: Desk, server: FakeAlpaca) -> None:
    server.clock.set(at(26, 9))
    server.positions["BBB"].qty = 40
    before = len(server.posts())
    for _ in range(2):
        with pytest.raises(TemporaryError, match=r"BBB: .* split of 4, and the account still has 40 shares"):
            run_session(desk)
    server.clock.set(at(26, 17))
    told = close_books(desk, desk.calendar(at(26, 17)), at(26, 17))
    assert "split of 4" in told[0]
    assert len(server.posts()) == before
    assert equities(desk) == [10_000.0] * 3
    server.positions["BBB"].qty = 160
    server.clock.set(at(27, 9))
    assert run_session(desk).kind is Kind.DONE
    assert equities(desk) == [10_000.0] * 4


def test_another_number_of_shares_than_prices_say_stops_the_session(desk: Desk, server: FakeAlpaca) -> None:
    server.clock.set(at(26, 9))
    server.positions["BBB"].qty = 80
    with pytest.raises(TemporaryError, match="40 shares became 80, and prices were restated as by a split of 4"):
        run_session(desk)
    assert len(server.posts()) == 2


def test_a_person_may_take_shares_and_prices_as_they_are(desk: Desk, server: FakeAlpaca) -> None:
    server.clock.set(at(26, 9))
    server.positions["BBB"].qty = 40
    with pytest.raises(TemporaryError, match="paper resume"):
        run_session(desk)
    assert "BBB are taken as they are" in _resume(desk.journal)[0]
    assert run_session(desk).kind is Kind.QUEUED


def test_shares_bought_by_hand_are_no_split(desk: Desk, server: FakeAlpaca) -> None:
    server.clock.set(at(26, 10))
    server.trade("AAA", "buy", 300)
    outcome = run_session(desk)
    assert "the account has +300 shares of AAA that were not traded here" in outcome.remarks
    assert SPLIT in {m.kind for m in desk.journal.movements() if m.symbol == "BBB"}
    assert {m.kind for m in desk.journal.movements() if m.symbol == "AAA"} == {"external"}


def test_a_reverse_split_pays_for_the_fraction_of_a_share(desk: Desk, server: FakeAlpaca) -> None:
    server.market.splits = [Split("AAA", DAYS[3], 0.125), *server.market.splits]
    for day in DAYS[3:]:
        server.market.bars["AAA"][day] = Bar(80, 81, 79, 80, 125)
    server.clock.set(at(26, 9))
    server.positions["AAA"].qty = 37  # of 37.5
    server.pay("CIL", 40.0)
    outcome = run_session(desk)
    assert "AAA was split: -263 shares" in outcome.remarks
    server.clock.set(at(26, 17))
    run_session(desk)
    assert equities(desk)[-1] == pytest.approx(10_000.0, abs=1e-6)
