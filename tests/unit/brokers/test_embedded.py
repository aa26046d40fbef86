"""What an embedded account takes, fills and refuses; that its fills are a backtest's is in tests/parity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panels import market, weekdays, with_cells
from venues import World, at, scratch

from brokers.protocol import AccountState, Holding, Movement, OrderRefused, OrderReport, Refusal, Side, Venue
from engine.costs import Costs
from engine.errors import ConfigError, DataError, InputError
from engine.ledger import FillTiming
from engine.panel import MarketPanel
from engine.rebalancer import Terms

# Monday 2024-01-01 to Friday, open/close.
MARKET = market("A B", "10 20", "11/12 20", "13/12 -", "14 22", "15 23")
FREE = Terms(cash=1000.0, costs=Costs(commission_bps=0.0))
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch() as path:
        yield path


def world_of(folder: Path, panel: MarketPanel = MARKET, terms: Terms = FREE, **settings: Any) -> World:
    return World(panel, terms, folder / "account.db", **settings)


def refusal(world: World, text: str, **settings: Any) -> Refusal:
    with pytest.raises(OrderRefused) as caught:
        world.order(text, **settings)
    return caught.value.kind


def test_an_order_fills_in_its_session_at_its_open(folder: Path) -> None:
    world = world_of(folder, terms=replace(FREE, costs=Costs(commission_bps=10.0, slippage_bps=100.0)))
    venue: Venue = world.venue
    accepted = world.order("buy 10 A", "first")
    assert (accepted.status, accepted.is_open, accepted.filled, accepted.average_price) == ("accepted", True, 0.0, None)
    assert accepted.time_utc == at(date(2024, 1, 1), 21)
    world.close()
    # Open 11 and 1 % of slippage: 111.10 paid, and 0.1111 of commission; the close is 12.
    assert venue.order("first") == OrderReport(
        order_id="1",
        client_id="first",
        symbol="A",
        side=Side.BUY,
        quantity=10.0,
        filled=10.0,
        average_price=pytest.approx(11.11),
        status="filled",
        is_open=False,
        time_utc=datetime(2024, 1, 2, tzinfo=UTC),
        reason="rebalance",
        commission=pytest.approx(0.1111),
        slippage=pytest.approx(1.1),
    )
    account = venue.account()
    assert account == AccountState(account.account_id, pytest.approx(888.7889), pytest.approx(1008.7889))
    assert venue.holdings() == [Holding("A", 10.0, 10.0, 12.0)]
    assert venue.prices(["B", "A", "C"]) == {"A": 12.0, "B": 20.0}


def test_next_close_fills_at_the_close(folder: Path) -> None:
    world = world_of(folder, terms=replace(FREE, timing=FillTiming.NEXT_CLOSE))
    world.order("buy 10 A", "first")
    world.close()
    assert world.report("first").average_price == 12.0


def test_an_order_is_taken_until_its_session_closes(folder: Path) -> None:
    world = world_of(folder)
    world.clock.set(at(date(2024, 1, 2), 20, 59))
    world.order("buy 1 A", session=date(2024, 1, 2))
    world.clock.set(at(date(2024, 1, 2), 21))
    assert refusal(world, "buy 1 A", session=date(2024, 1, 2)) is Refusal.OTHER
    assert refusal(world, "buy 1 A", session=date(2024, 1, 1)) is Refusal.OTHER
    assert refusal(world, "buy 1 A", session=date(2024, 1, 6)) is Refusal.OTHER  # a Saturday


def test_an_order_waits_for_the_bars_of_its_session(folder: Path) -> None:
    world = world_of(folder)
    world.order("buy 1 A", "first")
    world.clock.set(at(date(2024, 1, 4), 12))
    assert world.report("first").is_open
    assert world.venue.settled == date(2024, 1, 1)
    world.row = 1
    assert world.report("first").status == "filled"
    assert world.venue.settled == date(2024, 1, 2)


def test_an_order_waits_for_the_close_of_its_session_whatever_the_data_knows(folder: Path) -> None:
    world = world_of(folder, shown=lambda _: MARKET)
    world.order("buy 1 A", "first")
    world.clock.set(at(date(2024, 1, 2), 20, 59))
    assert world.report("first").is_open
    world.clock.advance(timedelta(minutes=1))
    assert world.report("first").status == "filled"
    assert world.venue.settled == date(2024, 1, 2)


def test_a_client_id_is_good_for_one_order_for_ever(folder: Path) -> None:
    world = world_of(folder)
    world.order("buy 1 A", "first")
    assert refusal(world, "buy 1 A", client_id="first") is Refusal.DUPLICATE
    world.close()
    world.reopen()
    assert refusal(world, "buy 2 B", client_id="first") is Refusal.DUPLICATE
    # Sent again after its session has closed, because the first answer was lost: it must be found, not refused.
    assert refusal(world, "buy 1 A", client_id="first", session=date(2024, 1, 2)) is Refusal.DUPLICATE
    assert len(world.venue.orders(LONG_AGO)) == 1


def test_what_cannot_be_sold_or_bought_is_refused(folder: Path) -> None:
    world = world_of(folder)
    world.order("buy 5 A")
    assert refusal(world, "sell 1 A") is Refusal.OPPOSITE
    world.close()
    assert refusal(world, "sell 6 A") is Refusal.SHARES
    world.order("sell 3 A")
    assert world.venue.holdings() == [Holding("A", 5.0, 2.0, 12.0)]
    assert refusal(world, "sell 3 A") is Refusal.SHARES
    assert refusal(world, "sell 1 B") is Refusal.SHARES
    assert refusal(world, "buy 1.5 B") is Refusal.WHOLE
    for text in ("buy 1 C", "buy 0 B", "buy -1 B", "buy nan B", "buy inf B"):
        assert refusal(world, text) is Refusal.OTHER
    assert len(world.venue.orders(LONG_AGO)) == 2


def test_fractions_of_shares_are_taken_where_they_trade(folder: Path) -> None:
    world = world_of(folder, terms=replace(FREE, fractional=True))
    world.order("buy 0.3 A")
    world.close()
    world.order("sell 0.1 A")
    world.order("sell 0.2 A", "last")  # 0.1 + 0.2 is more than 0.3
    world.close()
    assert world.report("last").status == "filled"
    assert world.venue.holdings() == []


def test_buys_shrink_to_the_cash_that_is_there(folder: Path) -> None:
    world = world_of(folder)
    world.order("buy 60 A", "first")
    world.order("buy 30 B", "second")
    world.close()
    # 60 x 11 + 30 x 20 = 1,260 for 1,000: both times 1000 / 1260, floored.
    first, second = world.report("first"), world.report("second")
    assert (first.filled, second.filled) == (47.0, 23.0)
    for report in (first, second):
        assert (report.status, report.reason, report.is_open) == ("expired", "rebalance, shrunk to cash", False)
    assert world.venue.account().cash == 1000 - 47 * 11 - 23 * 20


def test_sales_pay_for_the_buys_of_the_same_session(folder: Path) -> None:
    world = world_of(folder)
    world.order("buy 90 A")
    world.close()
    world.close()
    world.order("buy 57 B", "buy")
    world.order("sell 90 A", "sell")
    world.close()
    # 10 of cash and 90 x 14 pay for 57 x 22 = 1,254.
    assert (world.report("sell").status, world.report("buy").status) == ("filled", "filled")


def test_an_order_for_a_symbol_without_a_bar_expires(folder: Path) -> None:
    world = world_of(folder)
    world.close()
    world.order("buy 1 B", "first")
    world.close()
    report = world.report("first")
    assert (report.status, report.filled, report.reason) == ("expired", 0.0, "no bar in its session")
    assert report.time_utc == at(date(2024, 1, 3), 21)


def test_an_order_for_a_session_that_the_data_passes_over_expires(folder: Path) -> None:
    sessions = weekdays(5)[[0, 1, 3]]  # a holiday of another market
    panel = market("A", "10", "11", "12", sessions=sessions)
    world = world_of(folder, panel)
    world.order("buy 1 A", "first", session=date(2024, 1, 3))
    world.close()
    assert world.report("first").is_open
    world.close()
    report = world.report("first")
    assert (report.status, report.reason) == ("expired", "the data has no such session")


def test_what_the_volume_cap_leaves_expires(folder: Path) -> None:
    panel = with_cells(MARKET, volume={(1, 0): 70.0})
    world = world_of(folder, panel, replace(FREE, costs=Costs(commission_bps=0.0, participation_cap=0.1)))
    world.order("buy 10 A", "first")
    world.close()
    report = world.report("first")
    assert (report.status, report.filled, report.reason) == ("expired", 7.0, "rebalance, volume cap")


def test_two_orders_for_a_symbol_share_a_fill_first_come_first_served(folder: Path) -> None:
    panel = with_cells(MARKET, volume={(1, 0): 10.0})
    costs = Costs(commission_bps=0.0, commission_minimum=1.0, half_spread=0.5, participation_cap=1.0)
    world = world_of(folder, panel, replace(FREE, costs=costs))
    for name, order in (("one", "buy 6 A"), ("two", "buy 6 A"), ("three", "buy 1 A")):
        world.order(order, name)
    world.close()
    one, two, three = (world.report(name) for name in ("one", "two", "three"))
    assert [(report.filled, report.status) for report in (one, two, three)] == [
        (6.0, "filled"),
        (4.0, "expired"),
        (0.0, "expired"),
    ]
    assert (one.commission, two.commission, three.commission) == pytest.approx((0.6, 0.4, 0.0))
    assert (one.slippage, two.slippage) == pytest.approx((3.0, 2.0))
    assert len(world.venue.executions(date(2024, 1, 1))) == 1


def test_an_order_can_be_canceled_until_its_session_is_settled(folder: Path) -> None:
    world = world_of(folder)
    first = world.order("buy 1 A", "first")
    world.clock.advance(timedelta(hours=1))
    for _ in range(2):
        world.venue.cancel(first)
        canceled = world.report("first")
        assert (canceled.status, canceled.is_open) == ("canceled", False)
        assert canceled.time_utc == at(date(2024, 1, 1), 22)
    second = world.order("buy 2 A", "second")
    world.close()
    world.venue.cancel(second)
    assert world.report("second").status == "filled"
    assert world.venue.holdings() == [Holding("A", 2.0, 2.0, 12.0)]
    with pytest.raises(OrderRefused, match="no order third"):
        world.venue.cancel(replace(first, client_id="third"))


def test_orders_are_listed_from_a_time_on(folder: Path) -> None:
    world = world_of(folder)
    world.order("buy 1 A", "first")
    world.close()
    later = world.clock.now()
    world.order("buy 1 A", "second")
    assert [report.client_id for report in world.venue.orders(LONG_AGO)] == ["first", "second"]
    assert [report.client_id for report in world.venue.orders(later)] == ["second"]
    assert [report.client_id for report in world.venue.orders(LONG_AGO, open_only=True)] == ["second"]
    assert world.venue.order("third") is None


def test_dividends_splits_and_interest_are_movements(folder: Path) -> None:
    panel = with_cells(MARKET, split={(2, 0): 1.5}, dividend={(3, 0): 0.5})
    world = world_of(folder, panel, replace(FREE, costs=Costs(commission_bps=0.0, cash_rate=0.36)))
    world.order("buy 5 A")
    for _ in range(3):
        world.close()
    found = world.venue.movements(date(2024, 1, 2))
    assert [(flow.session.day, flow.kind, flow.symbol, flow.quantity_change) for flow in found] == [
        (3, "interest", "", 0.0),
        (3, "split", "A", 2.5),
        (3, "cash_in_lieu", "A", -0.5),
        (4, "interest", "", 0.0),
        (4, "dividend", "A", 0.0),
    ]
    assert found[2].amount == 0.5 * 12 / 1.5
    assert found[4] == Movement(date(2024, 1, 4), "dividend", "A", 3.5, 0.0)
    assert world.venue.movements(date(2024, 1, 4)) == []


def test_a_split_restates_the_orders_that_are_open(folder: Path) -> None:
    panel = with_cells(MARKET, split={(1, 0): 3.0, (1, 1): 0.5})
    world = world_of(folder, panel)
    world.order("buy 10 A", "now")
    world.order("buy 7 A", "now too")
    world.order("buy 5 A", "later", session=date(2024, 1, 4))
    world.order("buy 1 B", "gone", session=date(2024, 1, 4))
    world.close()
    assert [(report.quantity, report.filled) for report in map(world.report, ("now", "now too"))] == [
        (30.0, 30.0),
        (21.0, 21.0),
    ]
    assert (world.report("later").quantity, world.report("later").is_open) == (15.0, True)
    assert (world.report("gone").status, world.report("gone").reason) == (
        "expired",
        "less than one share after a split",
    )


def test_a_symbol_that_leaves_the_data_keeps_its_last_price(folder: Path) -> None:
    world = world_of(folder)
    world.order("buy 10 A")
    world.order("buy 10 B")
    world.close()
    world.order("sell 10 B", "stuck")
    world.shown = lambda shown: shown.select(["A"])
    world.close()
    account = world.venue.account()
    assert account.equity == account.cash + 10 * 12 + 10 * 20
    assert (world.report("stuck").status, world.report("stuck").reason) == ("expired", "no bar in its session")
    assert world.venue.holdings() == [Holding("A", 10.0, 10.0, 12.0), Holding("B", 10.0, 10.0, 20.0)]
    assert refusal(world, "sell 10 B") is Refusal.OTHER
    world.shown = lambda shown: shown.select(["B", "A"])
    world.close()
    assert world.venue.prices(["A", "B"]) == {"A": 14.0, "B": 22.0}


def test_data_that_has_lost_the_session_settled_last_is_refused(folder: Path) -> None:
    world = world_of(folder)
    world.shown = lambda shown: shown.rows(1, len(shown)) if len(shown) > 1 else shown
    world.close()
    with pytest.raises(DataError, match="2024-01-01, the session that the account settled last, must be in the data"):
        world.venue.account()


def test_a_session_that_fails_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(folder)
    before = world.venue.account()
    world.order("buy 1 A", "first")

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("brokers.embedded_store.add_movements", fail)  # the last thing that is written
        world.close()
        with pytest.raises(ZeroDivisionError):
            world.venue.account()
    world.clock.set(at(date(2024, 1, 2), 20))
    assert world.venue.account() == before
    assert world.report("first").is_open
    world.clock.set(at(date(2024, 1, 2), 21))
    assert world.report("first").status == "filled"


def test_an_account_is_what_its_file_says(folder: Path) -> None:
    world = world_of(folder)
    account_id = world.venue.account().account_id
    assert account_id.startswith("SIM-")
    world.close()
    world.terms = replace(FREE, cash=5.0)
    world.reopen()
    assert world.venue.account() == AccountState(account_id, 1000.0, 1000.0)
    assert world.venue.settled == date(2024, 1, 2)
    world.path = folder / "another.db"
    world.reopen()
    assert world.venue.account().account_id != account_id


def test_two_processes_may_share_a_file(folder: Path) -> None:
    one, other = world_of(folder), world_of(folder)
    one.order("buy 1 A", "first")
    assert other.report("first").is_open
    for world in (other, one):
        world.close()
        assert world.report("first").status == "filled"
    assert len(one.venue.executions(date(2024, 1, 1))) == 1


def test_terms_and_starts_that_cannot_be_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="same_close"):
        world_of(folder, terms=replace(FREE, timing=FillTiming.SAME_CLOSE))
    world = world_of(folder)
    world.path = folder / "another.db"
    world.clock.set(at(date(2024, 1, 1), 20))
    with pytest.raises(InputError, match="2024-01-01 has not closed yet"):
        world.reopen()
    world.shown = lambda _: MARKET.rows(1, 3)
    with pytest.raises(InputError, match=r"session of panel \(2024-01-02 to 2024-01-03\), was 2024-01-01"):
        world.reopen()
    assert not world.path.exists()


def test_a_session_of_the_data_without_hours_is_refused(folder: Path) -> None:
    sessions = np.array(["2024-01-05", "2024-01-06"], dtype="datetime64[D]")  # Friday and Saturday
    world = world_of(folder, market("A", "10", "11", sessions=sessions))
    world.close()
    with pytest.raises(InputError, match="2024-01-06, which has no opening hours"):
        world.venue.account()
