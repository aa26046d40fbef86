"""Splits and dividends beside raw prices: bars, targets and what an account must make of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from panels import ENGINES, market, run_strategy, run_targets, targets, with_cells

from engine.account import bars_of
from engine.costs import Costs
from engine.ledger import FILL, FLOW, Book, FillTiming, Flow, Log
from engine.limits import Limits
from engine.observation import feature_table
from engine.panel import MarketPanel
from engine.policy import StatelessPolicy
from engine.rebalancer import Terms
from engine.result import Result
from engine.simulator import begin_session


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def terms(cash: float = 1000.0, timing: str = "next_open", fractional: bool = False, bps: float = 0.0) -> Terms:
    return Terms(cash, Costs(bps), None, FillTiming.parse(timing), fractional)


def fills(result: Result) -> list[tuple[int, float, float, float]]:
    """Row, shares (sells negative), price and the position after it."""
    names = ["row", "quantity", "price", "position_after"]
    return [tuple(fill) for fill in result.trades.fills[names].tolist()]


def check_flows(result: Result, *expected: tuple[str, str, str, float, float]) -> None:
    """Compare session, kind, symbol, amount and change of shares."""
    table = result.cash_flow_table()
    assert list(table[["session", "kind", "symbol"]].itertuples(index=False, name=None)) == [f[:3] for f in expected]
    for k, name in enumerate(("amount", "quantity_change"), start=3):
        np.testing.assert_allclose(table[name], [flow[k] for flow in expected], rtol=0, atol=1e-9, err_msg=name)


def split(panel: MarketPanel, row: int, ratio: float, **others: Any) -> MarketPanel:
    return with_cells(panel, split={(row, 0): ratio}, **others)


def test_seven_shares_become_ten_and_the_half_is_paid_out(engine: str) -> None:
    panel = split(market("A", "30", "30", "20", "21"), 2, 1.5)
    result = run_targets(engine, targets("0.21", "", "", ""), panel, terms())
    # 7 * 3 / 2 = 10.5; half a new share at 30 / 1.5 = 20 is 10.
    assert fills(result) == [(1, 7, 30, 7)]
    check_flows(result, ("2024-01-03", "split", "A", 0, 3.5), ("2024-01-03", "cash_in_lieu", "A", 10, -0.5))
    np.testing.assert_allclose(result.equity, [1000, 1000, 1000, 800 + 210])
    assert (result.final_quantity.tolist(), result.cash.tolist()) == ([10], [1000, 790, 800, 800])


def test_fractions_of_shares_are_split_exactly(engine: str) -> None:
    panel = split(market("A", "30", "30", "20", "21"), 2, 1.5)
    result = run_targets(engine, targets("0.21", "", "", ""), panel, terms(fractional=True))
    check_flows(result, ("2024-01-03", "split", "A", 0, 3.5))
    assert result.final_quantity.tolist() == [10.5]
    np.testing.assert_allclose(result.equity, [1000, 1000, 1000, 790 + 220.5])


def test_a_reverse_split_of_fewer_shares_than_one_pays_them_out(engine: str) -> None:
    panel = split(market("A", "3", "3", "31", "35"), 2, 0.1)
    result = run_targets(engine, targets("0.021", "", "", ""), panel, terms())
    # 7 shares at 3 are 0.7 at 30, the close before restated; what they would be worth at the open does not count.
    check_flows(result, ("2024-01-03", "split", "A", 0, -6.3), ("2024-01-03", "cash_in_lieu", "A", 21, -0.7))
    assert result.final_quantity.tolist() == [0]
    np.testing.assert_allclose(result.equity, [1000, 1000, 1000, 1000])
    (trip,) = result.round_trip_table().to_dict("records")
    assert (trip["exit_session"], trip["exit_price"], trip["sessions_held"]) == ("2024-01-03", 0, 1)
    assert trip["pnl"] == pytest.approx(-21)  # the cash for it is a cash flow


def test_a_ratio_that_is_no_binary_fraction_loses_no_share(engine: str) -> None:
    assert 100 * 0.29 < 29
    panel = split(market("A", "1", "1", "3.5", "3.5"), 2, 0.29)
    result = run_targets(engine, targets("0.1", "", "", ""), panel, terms())
    check_flows(result, ("2024-01-03", "split", "A", 0, -71))
    assert result.final_quantity.tolist() == [29]


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        # 25 of the shares of the decision are 50 new ones.
        ("next_open", [(1, 50, 10.5, 50)]),
        ("next_close", [(1, 50, 11, 50)]),
        ("same_close", [(0, 25, 20, 25)]),
    ],
)
def test_an_order_that_waits_over_a_split_is_for_new_shares(
    engine: str, timing: str, expected: list[tuple[int, float, float, float]]
) -> None:
    panel = split(market("A", "20", "10.5/11", "11"), 1, 2)
    result = run_targets(engine, targets("0.5", "", ""), panel, terms(timing=timing))
    assert fills(result) == expected
    assert result.final_quantity.tolist() == [50]


def test_a_holding_and_its_order_are_split_alike(engine: str) -> None:
    panel = split(market("A", "20", "20", "10", "10"), 2, 2)
    result = run_targets(engine, targets("0.5", "0.8", "", ""), panel, terms())
    # 25 held and 40 wanted are 50 and 80.
    assert fills(result) == [(1, 25, 20, 25), (2, 30, 10, 80)]
    np.testing.assert_allclose(result.executed_weight[:2, 0], [0.5, 0.8])


def test_selling_everything_over_a_split_leaves_nothing(engine: str) -> None:
    panel = split(market("A", "30", "30", "20", "20"), 2, 1.5)
    result = run_targets(engine, targets("0.21", "0", "", ""), panel, terms())
    assert fills(result) == [(1, 7, 30, 7), (2, -10, 20, 0)]
    check_flows(result, ("2024-01-03", "split", "A", 0, 3.5), ("2024-01-03", "cash_in_lieu", "A", 10, -0.5))
    np.testing.assert_allclose(result.equity, 1000)


def test_shares_that_are_kept_over_a_split_are_no_order(engine: str) -> None:
    panel = split(market("A B", "30 10", "30 10", "20 10", "20 10"), 2, 1.5)
    result = run_targets(engine, targets("0.21 0.1", "keep 0", "", ""), panel, terms())
    assert [fill[:2] for fill in fills(result)] == [(1, 7), (1, 10), (2, -10)]
    assert result.trades.table()["symbol"].tolist() == ["A", "B", "B"]


def test_a_split_of_what_is_not_held_is_no_cash_flow(engine: str) -> None:
    result = run_targets(engine, targets("0", "", ""), split(market("A", "20", "10", "10"), 1, 2), terms())
    check_flows(result)


def test_a_dividend_goes_to_who_held_at_the_close_before(engine: str) -> None:
    panel = with_cells(market("A", "10", "10", "9", "9"), dividend={(2, 0): 1.0})
    held = run_targets(engine, targets("0.5", "", "", ""), panel, terms())
    check_flows(held, ("2024-01-03", "dividend", "A", 50, 0))
    np.testing.assert_allclose(held.equity, [1000, 1000, 550 + 450, 1000])
    bought_that_morning = run_targets(engine, targets("", "0.45", "", ""), panel, terms())
    check_flows(bought_that_morning)
    assert fills(bought_that_morning) == [(2, 45, 9, 45)]
    sold_that_morning = run_targets(engine, targets("0.5", "0", "", ""), panel, terms())
    check_flows(sold_that_morning, ("2024-01-03", "dividend", "A", 50, 0))
    np.testing.assert_allclose(sold_that_morning.cash, [1000, 500, 1000, 1000])


def test_who_buys_at_the_close_before_the_ex_date_gets_the_dividend(engine: str) -> None:
    panel = with_cells(market("A", "10", "9", "9"), dividend={(1, 0): 1.0})
    result = run_targets(engine, targets("0.5", "", ""), panel, terms(timing="same_close"))
    check_flows(result, ("2024-01-02", "dividend", "A", 50, 0))
    assert result.cash.tolist() == [1000, 550, 550]


def test_a_dividend_pays_for_what_is_bought_that_morning(engine: str) -> None:
    panel = with_cells(market("A B", "10 10", "10 10", "9 10", "9 10"), dividend={(2, 0): 1.0})
    result = run_targets(engine, targets("1 0", "0.9 0.1", "", ""), panel, terms())
    # 100 of dividends and 10 shares sold at 9 buy 10 B at 10.
    assert fills(result) == [(1, 100, 10, 100), (2, -10, 9, 90), (2, 10, 10, 10)]
    assert result.cash[-1] == 90


def test_a_dividend_on_the_day_of_a_split_is_for_new_whole_shares(engine: str) -> None:
    panel = split(market("A", "30", "30", "19", "19"), 2, 1.5, dividend={(2, 0): 1.0})
    result = run_targets(engine, targets("0.21", "", "", ""), panel, terms())
    check_flows(
        result,
        ("2024-01-03", "split", "A", 0, 3.5),
        ("2024-01-03", "cash_in_lieu", "A", 10, -0.5),
        ("2024-01-03", "dividend", "A", 10, 0),
    )
    np.testing.assert_allclose(result.equity, [1000, 1000, 790 + 20 + 190, 1000])


def test_a_holding_that_paused_over_days_is_split_on_its_first_bar_again(engine: str) -> None:
    panel = split(market("A B", "20 5", "20 5", "- 5", "10 5", "10 5"), 3, 2)
    result = run_targets(engine, targets("0.5 0", "", "", "", ""), panel, terms())
    check_flows(result, ("2024-01-04", "split", "A", 0, 25))
    np.testing.assert_allclose(result.equity, 1000)


def test_without_columns_of_actions_nothing_is_booked(engine: str) -> None:
    result = run_targets(engine, targets("0.5", "", ""), market("A", "20", "20", "10"), terms())
    check_flows(result)
    assert result.equity[-1] == 750


def test_a_weight_is_measured_in_new_shares_after_a_split(engine: str) -> None:
    panel = split(market("A", "20", "20", "10", "10"), 2, 2)
    limited = Terms(1000.0, Costs(0.0), Limits(cap=0.5))
    result = run_targets(engine, targets("0.5", "", "0.5", ""), panel, limited)
    assert fills(result) == [(1, 25, 20, 25)]  # 50 at 10 are half of 1,000 still
    assert result.remarks() == []


def test_each_fill_over_a_split_keeps_what_was_paid_in_the_round_trip() -> None:
    panel = split(market("A", "30", "30", "30", "20", "24", "24"), 3, 1.5)
    weights = targets("0.21", "0.33", "", "0", "", "")
    result = run_targets("weights", weights, panel, terms(bps=100))
    # 7 and, out of 997.90 at the next close, 3 at 30 become 10.5 and 4.5 at 20; sold at 24 with 1 % at each end.
    trips = result.round_trip_table()
    assert trips["quantity"].tolist() == [10.5, 4.5]
    np.testing.assert_allclose(trips[["entry_price", "exit_price"]], [[20, 24], [20, 24]])
    np.testing.assert_allclose(trips["costs"], [2.1 + 2.52, 0.9 + 1.08])
    np.testing.assert_allclose(trips["pnl"], [42 - 4.62, 18 - 1.98])
    np.testing.assert_allclose(trips["return"], [37.38 / 210, 16.02 / 90])
    assert trips["sessions_held"].tolist() == [3, 2]


def test_a_window_and_the_features_show_returns_and_not_splits() -> None:
    closes = [100 + k % 7 for k in range(60)]
    flat = market("A", *[str(close) for close in closes])
    raw = market("A", *[str(close * (2 if k < 50 else 1)) for k, close in enumerate(closes)])
    raw = split(raw, 50, 2)
    names = ("price", "macd", "rsi", "cci", "adx")
    np.testing.assert_allclose(
        feature_table(raw, names, 48, 50, 59).values, feature_table(flat, names, 48, 50, 59).values, rtol=1e-9
    )
    seen = []

    class Watch(StatelessPolicy):
        def decide(self, observation: Any) -> None:
            seen.append([observation.window(name, 4)[:, 0].tolist() for name in ("close", "volume")])

    run_strategy("policy", Watch(), raw, terms(), 51, 51)
    # 48: 106 (212 before the split), 49: 100, 50: 101, 51: 102; a thousand old shares are two thousand new ones.
    assert seen == [[[106, 100, 101, 102], [2000, 2000, 1000, 1000]]]


def test_a_short_position_owes_dividends_and_the_fraction_that_a_split_leaves() -> None:
    panel = split(market("A", "30", "20", "20"), 1, 1.5, dividend={(1, 0): 1.0})
    rules = Terms(costs=Costs(margin_rate=0.36)).rules
    book = Book(
        np.array([-1000.0]), np.array([-7.0]), np.array([30.0]), np.zeros(1), np.array([-1]), month_volume=np.zeros(1)
    )
    log = Log(np.empty(9, FILL), np.empty(9, FLOW), np.zeros(1, np.int64), np.zeros(1, np.int64))
    begin_session(1, bars_of(panel, 0, 2, rules.rates), book, rules, log)
    # A thousandth of the debt; -10.5 shares are -10, and half a share is bought back at 20.
    flows = [flow[2:] for flow in log.flows[: log.n_flows[0]].tolist()]
    assert [flow[0] for flow in flows] == [Flow.INTEREST, Flow.SPLIT, Flow.CASH_IN_LIEU, Flow.DIVIDEND]
    np.testing.assert_allclose([flow[1:] for flow in flows], [(-1, 0), (0, -3.5), (-10, 0.5), (-10, 0)])
    assert (book.quantity.tolist(), book.cash.tolist()) == ([-10], [-1021])
