"""Each part of the drift, made by a scenario that a trader can check by hand: one symbol, 100 shares, two closes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from panels import market, with_cells

from brokers.protocol import Movement, SessionHours, Side
from engine.costs import Costs
from engine.ledger import FillTiming
from engine.panel import MarketPanel
from engine.rebalancer import Terms
from live.books import EXTERNAL
from live.plan import Intent, Plan, Stage
from live.records import Close, Fill
from marsfolio.paper.drift import drift_table
from marsfolio.paper.drift_session import PARTS
from marsfolio.paper.folder import Book

MONDAY, TUESDAY = date(2024, 1, 1), date(2024, 1, 2)
OPEN, CLOSE = datetime(2024, 1, 2, 14, 30, tzinfo=UTC), datetime(2024, 1, 2, 21, tzinfo=UTC)
# Decided at 10; opens at 11 and closes at 12: 100 shares at the open gain 100.
PANEL = market("A", "10", "11/12")
FREE = Terms(cash=2000.0, costs=Costs(commission_bps=0.0))


def plan_to(target: float, held: float = 0.0) -> Plan:
    equity = 2000.0 + 10.0 * held
    return Plan(
        session=TUESDAY,
        decided=MONDAY,
        symbols=("A",),
        cash=2000.0,
        equity=equity,
        held=np.array([held]),
        target=np.array([target]),
        weights=np.array([10.0 * target / equity]),
        outcome=(0,),
        close=np.array([10.0]),
        agent_weights={},
        state={},
        data_hash="",
    )


def order(quantity: float = 100.0, **values: Any) -> Intent:
    return replace(Intent("o", 0, TUESDAY, "A", Side.BUY, 100.0, quantity, Stage.FINAL), **values)


def fill(quantity: float, price: float, time_utc: str = "2024-01-02T14:30:01Z", **values: Any) -> Fill:
    found = Fill("o-1", "o", TUESDAY, time_utc, "A", Side.BUY, quantity, price, 0.0, 0.0, 0.0, quantity, "rebalance")
    return replace(found, **values)


def drift(
    fills: list[Fill],
    orders: list[Intent] | None = None,
    movements: list[Movement] | None = None,
    held: float = 0.0,
    target: float | None = 100.0,
    marks: tuple[float, float] = (10.0, 12.0),
    panel: MarketPanel = PANEL,
    terms: Terms = FREE,
) -> dict[str, float]:
    """Return the parts that are not 0, having checked that all of them sum to the drift."""
    movements = movements or []
    cash = 2000.0 - sum(f.quantity * f.price + f.commission for f in fills) + sum(m.amount for m in movements)
    shares = held + sum(f.quantity for f in fills) + sum(m.quantity_change for m in movements)
    closes = [
        Close(MONDAY, 2000.0 + held * marks[0], 2000.0, 0.0, {"A": marks[0]}),
        Close(TUESDAY, cash + shares * marks[1], cash, 0.0, {"A": marks[1]}),
    ]
    plans = [] if target is None else [plan_to(target, held)]
    book = Book(closes, fills, movements, plans, {TUESDAY: orders or [order()]}, {"A": held} if held else {}, ("A",))
    table = drift_table(book, panel, terms, {TUESDAY: SessionHours(TUESDAY, OPEN, CLOSE)})
    (row,) = table.to_dict("records")
    assert sum(row[part] for part in PARTS) == pytest.approx(row["drift"], abs=1e-9)
    assert row["equity"] - row["expected"] == pytest.approx(row["drift"], abs=1e-9)
    return {part: round(row[part], 9) for part in PARTS if abs(row[part]) > 1e-9}


def test_a_fill_at_the_open_is_no_drift() -> None:
    assert drift([fill(100, 11.0)]) == {}


def test_a_price_off_the_open_is_price() -> None:
    assert drift([fill(100, 11.2)]) == {"price": -20.0}


def test_a_late_fill_is_timing() -> None:
    assert drift([fill(100, 11.5, "2024-01-02T14:41:00Z")]) == {"timing": -50.0}
    assert drift([fill(60, 11.1), fill(40, 11.5, "2024-01-02T15:00:00Z")]) == {"price": -6.0, "timing": -20.0}


def test_a_rejected_order_is_what_it_would_have_gained() -> None:
    assert drift([], [order(status="rejected")]) == {"rejected": -100.0}


def test_what_was_left_of_an_order_is_rejected_too() -> None:
    assert drift([fill(70, 11.0)], [order(filled=70.0)]) == {"rejected": -30.0}


def test_buys_shrunk_to_the_cash_are_cash() -> None:
    assert drift([fill(80, 11.0)], [order(80.0, reason="shrunk to cash")]) == {"cash": -20.0}
    assert drift([], [order(stage=Stage.DROPPED, reason="the cash, 1.00, does not pay for it")]) == {"cash": -100.0}


def test_buys_that_the_backtest_had_no_cash_for_either_are_no_drift() -> None:
    # 190 shares cost 2090 at the open: the backtest buys 181 as well.
    assert drift([fill(181, 11.0)], [order(181.0, wanted=190.0)], target=190.0) == {}


def test_commission_that_was_not_expected_is_costs() -> None:
    assert drift([fill(100, 11.0, commission=3.0)]) == {"costs": -3.0}
    dear = replace(FREE, costs=Costs(commission_bps=10.0))
    assert drift([fill(100, 11.0)], terms=dear) == {"costs": 1.1}


def test_slippage_that_the_venue_tells_of_is_costs_and_not_price() -> None:
    assert drift([fill(100, 11.1, slippage=10.0)]) == {"costs": -10.0}


def test_a_dividend_that_the_account_does_not_get_is_dividends() -> None:
    # Adjusted bars: 9.5 is what is left of Monday's 10 after a dividend of 0.5 a share.
    adjusted = market("A", "9.5", "11/12")
    assert drift([], held=100.0, target=None, panel=adjusted) == {
        "dividends": pytest.approx(-100 * 10 * (12 / 9.5 - 1.2)),
    }


def test_a_dividend_that_arrives_is_no_drift_but_of_its_reinvestment() -> None:
    raw = with_cells(PANEL, split={(1, 0): 1.0}, dividend={(1, 0): 0.5})
    paid = [Movement(TUESDAY, "dividend", "A", 50.0, 0.0)]
    assert drift([], movements=paid, held=100.0, target=None, panel=raw) == {}
    assert drift([], held=100.0, target=None, panel=raw) == {"dividends": -50.0}


def test_a_split_is_no_drift() -> None:
    # Two new shares for an old one; the bars are adjusted, the account's marks are those of each day.
    adjusted = market("A", "5", "5.5/6")
    doubled = [Movement(TUESDAY, EXTERNAL, "A", 0.0, 100.0)]
    assert drift([], movements=doubled, held=100.0, target=None, marks=(10.0, 6.0), panel=adjusted) == {}


def test_cash_from_elsewhere_and_flattened_positions_are_other() -> None:
    assert drift([fill(100, 11.0)], movements=[Movement(TUESDAY, EXTERNAL, "", 7.0, 0.0)]) == {"other": 7.0}
    sold = fill(100, 11.0, order_id="v1-2024-01-02-A-flatten-1", side=Side.SELL)
    book_of_sale = replace(sold, quantity=-100.0)  # cash and shares go the other way
    assert drift([book_of_sale], held=100.0, target=None) == {"other": -100.0}


def test_fills_at_the_close_are_compared_with_the_close() -> None:
    terms = replace(FREE, timing=FillTiming.NEXT_CLOSE)
    assert drift([fill(100, 12.0, "2024-01-02T20:59:00Z")], terms=terms) == {}
    assert drift([fill(100, 11.0)], terms=terms) == {"timing": 100.0}
