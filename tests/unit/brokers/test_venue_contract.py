"""What every venue keeps to, whatever stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, timedelta

import numpy as np
import pytest
from fake_alpaca import FakeAlpaca
from fake_alpaca.example import DAYS, at, december
from venues import scratch

from brokers.alpaca import AlpacaVenue
from brokers.credentials import Credentials
from brokers.embedded import EmbeddedVenue
from brokers.protocol import Order, OrderRefused, Refusal, SessionHours, Side, Venue
from engine.clock import VirtualClock
from engine.costs import Costs
from engine.http import Tries
from engine.panel import FIELDS, MarketPanel
from engine.rebalancer import Terms

CASH = 1000.0


@dataclass
class World:
    """A venue before the open of Monday, December 23rd 2024, with 1000 in cash, no positions and no costs.

    AAA opens at 20, 30, 40 and 50 on the four sessions from then on, and BBB at 100, 100, 25 and 25, being split in
    four on the 26th; see `fake_alpaca.example.december`.

    Attributes
    ----------
    pass_session : moves on to where the orders of the next session are settled and its close is known.
    """

    venue: Venue
    pass_session: Callable[[], None]


@contextmanager
def alpaca_world() -> Iterator[World]:
    with FakeAlpaca(december(), cash=CASH, now=at(23, 8)) as server:
        venue = AlpacaVenue(Credentials(server.key, server.secret, server.url, server.url), Tries(sleep=lambda _: None))

        def pass_session() -> None:
            server.clock.to_close()
            server.clock.advance(timedelta(hours=1))

        yield World(venue, pass_session)
        venue.close()


@contextmanager
def embedded_world() -> Iterator[World]:
    market = december()
    bars = {symbol: [market.bars[symbol][day] for day in DAYS] for symbol in ("AAA", "BBB")}
    fields = {name: np.array([[getattr(bar, name) for bar in row] for row in bars.values()]).T for name in FIELDS}
    split = np.ones((len(DAYS), 2))
    split[3, 1] = 4.0
    days = np.array(DAYS, dtype="datetime64[D]")
    panel = MarketPanel(days, ("AAA", "BBB"), **fields, split=split, source="december")
    clock = VirtualClock(at(23, 8))

    def known() -> MarketPanel:
        return panel.rows(0, sum(market.hours[day].close <= clock.now() for day in DAYS))

    def hours(first: date, last: date) -> list[SessionHours]:
        return [SessionHours(day, *market.hours[day]) for day in DAYS if first <= day <= last]

    def pass_session() -> None:
        coming = next(market.hours[day].close for day in DAYS if market.hours[day].close > clock.now())
        clock.set(coming + timedelta(hours=1))

    with scratch() as folder:
        terms = Terms(cash=CASH, costs=Costs(commission_bps=0.0), fractional=True)
        yield World(EmbeddedVenue(folder / "account.db", known, terms, clock, hours, DAYS[0]), pass_session)


WORLDS: list[Callable[[], AbstractContextManager[World]]] = [alpaca_world, embedded_world]


@pytest.fixture(params=WORLDS, ids=lambda world: world.__name__)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with request.param() as world:
        yield world


@pytest.fixture
def venue(world: World) -> Venue:
    return world.venue


def order(symbol: str = "AAA", side: Side = Side.BUY, quantity: float = 10.0, day: date = DAYS[1], n: int = 1) -> Order:
    return Order(f"v1-{day}-{symbol}-{side}-{n}", day, symbol, side, quantity)


def test_it_has_a_name_and_says_who_sizes_buys(venue: Venue) -> None:
    assert venue.name in ("alpaca", "simulated")
    assert isinstance(venue.sizes_buys, bool)
    assert venue.least_value >= 0


def test_its_time_is_utc(venue: Venue) -> None:
    assert venue.now().utcoffset() == timedelta()
    assert venue.now().date() == DAYS[1]


def test_its_hours_are_those_of_the_exchange(venue: Venue) -> None:
    hours = venue.hours(DAYS[1], date(2024, 12, 26))
    assert [session.session for session in hours] == list(DAYS[1:4])
    for session in hours:
        assert session.open.utcoffset() == session.close.utcoffset() == timedelta()
        assert session.open.date() == session.session
    assert [(session.close - session.open).total_seconds() / 3600 for session in hours] == [6.5, 3.5, 6.5]
    assert venue.hours(date(2024, 12, 25), date(2024, 12, 25)) == []


def test_an_account_begins_with_its_cash(venue: Venue) -> None:
    account = venue.account()
    assert (account.cash, account.equity, account.blocked) == (CASH, CASH, "")
    assert account.account_id
    assert venue.holdings() == []
    assert venue.orders(venue.now() - timedelta(days=30)) == []
    assert venue.movements(DAYS[0]) == []


def test_an_order_before_the_open_waits(venue: Venue) -> None:
    report = venue.submit(order())
    assert (report.client_id, report.symbol, report.side) == (order().client_id, "AAA", Side.BUY)
    assert (report.quantity, report.filled, report.average_price) == (10.0, 0.0, None)
    assert (report.is_open, report.is_known) == (True, True)
    assert venue.order(order().client_id) == report
    assert venue.account().cash == CASH
    assert venue.holdings() == []


def test_an_order_nobody_sent_is_none(venue: Venue) -> None:
    assert venue.order("v1-2024-12-23-AAA-buy-7") is None


def test_an_order_sent_again_is_refused_as_a_duplicate_and_there_once(venue: Venue) -> None:
    venue.submit(order())
    with pytest.raises(OrderRefused) as caught:
        venue.submit(order())
    assert caught.value.kind is Refusal.DUPLICATE
    assert len(venue.orders(venue.now() - timedelta(days=1))) == 1


def test_an_id_is_never_free_again(world: World) -> None:
    world.venue.submit(order())
    world.pass_session()
    with pytest.raises(OrderRefused) as caught:
        world.venue.submit(replace(order(), session=DAYS[2]))
    assert caught.value.kind is Refusal.DUPLICATE


def test_an_order_fills_in_its_session(world: World) -> None:
    venue = world.venue
    venue.submit(order(quantity=10.0))
    world.pass_session()
    report = venue.order(order().client_id)
    assert report is not None
    assert (report.filled, report.average_price, report.is_open, report.is_known) == (10.0, 20.0, False, True)
    assert report.time_utc is not None
    assert report.time_utc.astimezone(UTC).date() == DAYS[1]
    # 10 shares at the open of 20; they close at 22.
    assert venue.account().cash == CASH - 200.0
    assert venue.account().equity == CASH - 200.0 + 220.0
    (held,) = venue.holdings()
    assert (held.symbol, held.quantity, held.available) == ("AAA", 10.0, 10.0)


def test_shares_may_be_fractions(world: World) -> None:
    world.venue.submit(order(quantity=0.123456789))
    world.pass_session()
    (held,) = world.venue.holdings()
    assert held.quantity == 0.123456789


def test_a_waiting_sale_claims_its_shares_and_then_brings_cash(world: World) -> None:
    venue = world.venue
    venue.submit(order(quantity=10.0))
    world.pass_session()
    venue.submit(order(side=Side.SELL, quantity=4.0, day=DAYS[2]))
    (held,) = venue.holdings()
    assert (held.quantity, held.available) == (10.0, 6.0)
    world.pass_session()
    (held,) = venue.holdings()
    assert (held.quantity, held.available) == (6.0, 6.0)
    assert venue.account().cash == CASH - 200.0 + 4 * 30.0


def test_more_than_is_held_cannot_be_sold(world: World) -> None:
    venue = world.venue
    venue.submit(order(quantity=10.0))
    world.pass_session()
    with pytest.raises(OrderRefused) as caught:
        venue.submit(order(side=Side.SELL, quantity=11.0, day=DAYS[2]))
    assert caught.value.kind is Refusal.SHARES


def test_positions_follow_splits(world: World) -> None:
    venue = world.venue
    venue.submit(order("BBB", quantity=2.0))
    for _ in range(3):
        world.pass_session()
    (held,) = venue.holdings()
    assert (held.symbol, held.quantity) == ("BBB", 8.0)
    assert venue.account().equity == CASH


def test_a_cancelled_order_does_not_fill(world: World) -> None:
    venue = world.venue
    report = venue.submit(order())
    venue.cancel(report)
    after = venue.order(report.client_id)
    assert after is not None
    assert (after.is_open, after.is_known, after.filled) == (False, True, 0.0)
    venue.cancel(report)  # asking again is harmless
    world.pass_session()
    assert venue.holdings() == []
    assert venue.account().cash == CASH


@pytest.mark.parametrize("quantity", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_quantity_is_refused(venue: Venue, quantity: float) -> None:
    with pytest.raises(OrderRefused):
        venue.submit(order(quantity=quantity))
    assert venue.orders(venue.now() - timedelta(days=1)) == []


def test_a_symbol_that_is_not_there_is_refused(venue: Venue) -> None:
    with pytest.raises(OrderRefused) as caught:
        venue.submit(order("ZZZ"))
    assert caught.value.kind is Refusal.OTHER


def test_orders_come_oldest_first_since_a_time(world: World) -> None:
    venue = world.venue
    begin = venue.now()
    for n in (3, 1, 2):
        venue.submit(order(quantity=1.0, n=n))
    world.pass_session()
    later = venue.now()
    venue.submit(order(quantity=1.0, day=DAYS[2], n=9))
    sent = [report.client_id[-1] for report in venue.orders(begin)]
    assert sent == ["3", "1", "2", "9"]
    assert [report.client_id[-1] for report in venue.orders(later)] == ["9"]
    assert [report.client_id[-1] for report in venue.orders(begin, open_only=True)] == ["9"]


def test_latest_prices_leave_out_what_has_none(venue: Venue) -> None:
    # Friday's closes.
    assert dict(venue.prices(["BBB", "ZZZ", "AAA"])) == {"AAA": 12.0, "BBB": 100.0}


def test_questions_change_nothing(world: World) -> None:
    venue = world.venue
    venue.submit(order())
    world.pass_session()

    def all_answers() -> list[object]:
        since = venue.now() - timedelta(days=9)
        return [venue.account(), venue.holdings(), venue.orders(since), venue.order(order().client_id)]

    assert all_answers() == all_answers()
