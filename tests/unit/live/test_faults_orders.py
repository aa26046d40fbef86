"""Faults 20 to 29: orders that are refused, rejected, filled in part, or in the way of each other.

One cannot occur. Fault 26 within a session: no session both buys and sells a symbol, so only an order of an earlier
session or somebody else's can stand on the other side; the first is cancelled before anything is decided, the second is
reported and left alone.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from fake_alpaca import effects, match
from histories import words
from scenes import FOR_CCC, PRICES, SHARES, Scene, at, post, scene, tuesday

from engine.errors import TradingStopped
from live.session import Kind

SELL = match("POST", "orders$", side="sell")


def test_20_a_symbol_that_is_refused_leaves_the_others_as_they_were_planned(monday: Scene) -> None:
    monday.server.assets["BBB"].tradable = False
    outcome = monday.run()
    assert (outcome.kind, outcome.exit_code) == (Kind.UNFINISHED, 3)
    assert monday.held() == {"AAA": 300.0, "CCC": 60.0}
    assert "buy 30 BBB was refused" in monday.alerts()
    assert len(monday.server.posts()) == 3
    monday.evening()
    monday.check_evening()
    monday.server.assets["BBB"].tradable = True
    monday.server.clock.set(at(10, day=1))
    assert monday.run().kind is Kind.DONE
    assert monday.held() == SHARES


@pytest.mark.parametrize("hour", [8, 10])
def test_21_an_order_that_is_rejected_later_is_noticed_and_not_held(
    hour: int, caplog: pytest.LogCaptureFixture
) -> None:
    with scene(caplog, now=at(hour)) as account:
        account.server.faults.add(post("BBB"), effects.reject_later(at_open=True))
        if hour == 8:
            assert account.run().kind is Kind.QUEUED
            account.server.clock.set(at(9, 45))
        outcome = account.run()
        assert (outcome.kind, outcome.exit_code) == (Kind.UNFINISHED, 3)
        assert "buy 30 BBB: 0 filled, rejected" in words(outcome)
        assert account.desk().journal.ledger().positions == {"AAA": 300.0, "CCC": 60.0}
        account.evening()
        account.check_evening()


def test_22_what_a_partial_fill_left_over_is_bought_the_next_day(monday: Scene) -> None:
    monday.server.faults.add(post("AAA"), effects.partial_fill(0.5, then="canceled"))
    outcome = monday.run()
    assert (outcome.kind, outcome.exit_code) == (Kind.UNFINISHED, 3)
    evening = monday.evening()
    assert evening.exit_code == 3
    assert "buy 300 AAA: 150 filled, canceled" in monday.alerts()
    monday.check_evening()
    monday.server.clock.set(at(10, day=1))
    assert monday.run().kind is Kind.DONE
    assert monday.server.posts()[-1].body["qty"] == "150"
    assert monday.held() == SHARES


def test_22_each_share_of_an_order_that_fills_in_parts_is_booked_once(monday: Scene) -> None:
    monday.server.faults.add(post("AAA"), effects.partial_fill(0.5, then="filled"))
    assert monday.run().kind is Kind.DONE
    fills = [fill.quantity for fill in monday.desk().journal.fills() if fill.symbol == "AAA"]
    assert fills == [150.0, 150.0]
    monday.evening()
    monday.check_evening()


def test_23_nothing_is_bought_with_the_money_of_a_sale_that_does_not_fill(monday: Scene) -> None:
    tuesday(monday, FOR_CCC)
    monday.server.faults.add(SELL, effects.never_fills(), times=2)
    before = monday.server.clock.now
    outcome = monday.run()
    assert (outcome.kind, outcome.exit_code) == (Kind.UNFINISHED, 3)
    assert (monday.server.clock.now - before).total_seconds() < 180
    # A tenth of the money was cash: 1,000 / (50 * 1.01).
    assert monday.held() == {"AAA": 300.0, "BBB": 30.0, "CCC": 79.0}
    assert "buys were shrunk to the cash present, 1,000.00" in monday.alerts()
    monday.evening()
    monday.check_evening()


def test_23_before_the_open_only_what_the_cash_pays_for_is_queued(monday: Scene) -> None:
    tuesday(monday, FOR_CCC, hour=8)
    assert monday.run().kind is Kind.QUEUED
    assert [post.body["side"] for post in monday.server.posts()[3:]] == ["sell", "sell"]
    monday.server.clock.set(at(9, 31, day=1))
    assert monday.run().kind is Kind.DONE
    assert monday.held() == {"CCC": 180.0}


def test_24_an_order_the_venue_finds_too_dear_is_made_smaller_once(monday: Scene) -> None:
    monday.server.account.multiplier = Decimal(1)

    def withdraw(call: Any) -> None:
        monday.server.pay("CSW", -2000.0)

    monday.server.faults.add(post("CCC"), effects.callback(withdraw))
    outcome = monday.run()
    # 2,000 / (50 * 1.01) shares.
    assert monday.held() == {"AAA": 300.0, "BBB": 30.0, "CCC": 39.0}
    assert "buy 60 CCC was refused" in monday.alerts()
    assert "sent again for 39" in monday.alerts()
    assert len(monday.server.posts()) == 4
    assert outcome.kind is Kind.DONE
    monday.evening()
    monday.check_evening()


def test_24_an_order_that_is_always_too_dear_is_not_tried_for_ever(monday: Scene) -> None:
    dear = effects.status(403, {"code": 40310000, "message": "insufficient buying power"})
    monday.server.faults.add(post("CCC"), dear, times=None)
    outcome = monday.run()
    assert (outcome.kind, outcome.exit_code) == (Kind.UNFINISHED, 3)
    assert len(monday.server.posts()) <= 4
    assert "CCC was refused" in monday.alerts()


def test_24_buys_are_sized_by_cash_and_never_by_the_power_to_borrow(monday: Scene) -> None:
    # Planned for 9,000; by the time of buying only 4,500 are there, though 18,000 could be borrowed.
    monday.run_before_sending()
    monday.server.pay("CSW", -5500.0)
    monday.run()
    assert monday.server.account.cash >= 0
    spent = sum(shares * PRICES[symbol] for symbol, shares in monday.held().items())
    assert 4000 < spent <= 4500
    monday.evening()
    monday.check_evening()


def test_25_no_more_is_sold_than_is_there_when_the_order_is_sent(monday: Scene) -> None:
    tuesday(monday, FOR_CCC)

    def by_hand(call: Any) -> None:
        monday.server.trade("AAA", "sell", 100)

    monday.server.faults.add(post("AAA"), effects.callback(by_hand))
    monday.run()
    assert "sell 300 AAA was refused" in monday.alerts()
    assert "AAA" not in monday.held()
    assert [order.qty for order in monday.server.orders if order.symbol == "AAA"] == [300, 100, 200]
    monday.evening()
    monday.check_evening()


def test_25_shares_that_another_order_holds_are_not_sold(monday: Scene) -> None:
    tuesday(monday, FOR_CCC)
    monday.server.trade("AAA", "sell", 100, type="limit", limit_price=30)
    monday.run()
    assert monday.server.order("v1-2024-06-04-AAA-sell-1").qty == 200
    assert monday.held()["AAA"] == 100
    monday.evening()
    monday.check_evening()


def left_overnight(monday: Scene) -> None:
    """Leave half of Monday's order for BBB open until Tuesday at 10:00, as a glitch would; then want BBB sold."""
    monday.server.faults.add(post("BBB"), effects.partial_fill(0.5))
    monday.run()
    monday.server.order("v1-2024-06-03-BBB-buy-1").time_in_force = "gtc"
    monday.server.clock.set(at(10, day=1))
    monday.server.faults.clear()
    monday.weights = {"AAA": 0.3, "BBB": 0.0, "CCC": 0.3}


def test_26_an_order_left_from_yesterday_is_cancelled_before_the_other_side_is_sent(monday: Scene) -> None:
    left_overnight(monday)
    assert monday.run().kind is Kind.DONE
    assert monday.server.order("v1-2024-06-03-BBB-buy-1").status == "canceled"
    assert not [post for post in monday.server.posts() if post.status == 403]
    assert monday.held() == {"AAA": 300.0, "CCC": 60.0}
    monday.evening()
    monday.check_evening()


def test_26_somebody_elses_order_on_the_other_side_is_reported_and_left_alone(monday: Scene) -> None:
    tuesday(monday, FOR_CCC)
    theirs = monday.server.trade("AAA", "buy", 1, type="limit", limit_price=1)
    outcome = monday.run()
    assert (outcome.kind, outcome.exit_code) == (Kind.UNFINISHED, 3)
    assert "wash trade" in monday.alerts()
    assert theirs.is_open
    assert monday.held()["AAA"] == 300


def test_27_nothing_is_reversed_while_a_cancel_is_pending(monday: Scene) -> None:
    left_overnight(monday)
    monday.server.order("v1-2024-06-03-BBB-buy-1").conduct.cancel_reads = None
    monday.server.faults.add(match("DELETE"), effects.pending_cancel(), times=None)
    before = len(monday.server.posts())
    told = monday.fails(TradingStopped)
    assert "orders of session 2024-06-03 for BBB are open and cannot be cancelled" in told
    assert len(monday.server.posts()) == before
    # Once the venue is done with it, the next run goes on.
    monday.server.order("v1-2024-06-03-BBB-buy-1").conduct.cancel_reads = 0
    assert monday.run().kind is Kind.DONE
    assert monday.held() == {"AAA": 300.0, "CCC": 60.0}


def test_28_a_symbol_that_takes_whole_shares_only_is_bought_in_whole_shares(fractions: Scene) -> None:
    fractions.server.assets["AAA"].fractionable = False
    assert fractions.run().kind is Kind.DONE
    assert fractions.held() == {"AAA": 300.0, "BBB": 30.005, "CCC": 60.0}
    assert "buy 300.05 AAA was refused" in fractions.alerts()
    assert "sent again for 300" in fractions.alerts()


def test_28_the_fraction_that_cannot_be_sold_any_more_is_reported_and_kept(fractions: Scene) -> None:
    tuesday(fractions, FOR_CCC)
    fractions.server.assets["AAA"].fractionable = False
    fractions.run()
    assert fractions.held()["AAA"] == 0.05
    assert "sell 300.05 AAA was refused" in fractions.alerts()
    fractions.evening()
    fractions.check_evening()


def test_29_a_holding_that_cannot_be_sold_is_kept_and_the_rest_is_traded_within_the_cash(monday: Scene) -> None:
    tuesday(monday, FOR_CCC)
    monday.server.assets["BBB"].status = "inactive"
    outcome = monday.run()
    assert (outcome.kind, outcome.exit_code) == (Kind.UNFINISHED, 3)
    assert "sell 30 BBB was refused" in monday.alerts()
    # 3,000 of AAA and 1,000 of cash pay for 79 more shares at 50 * 1.01.
    assert monday.held() == {"BBB": 30.0, "CCC": 139.0}
    monday.evening()
    monday.check_evening()
