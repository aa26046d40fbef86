"""Fees, spreads, impact, the participation cap and interest: bars, targets and the fills they must give."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from panels import ENGINES, market, run_targets, targets, with_cells

from engine.arrays import FloatArray
from engine.backtest import run_weights
from engine.costs import Costs, Tier
from engine.errors import InputError
from engine.ledger import FillTiming
from engine.panel import MarketPanel
from engine.rebalancer import Terms
from engine.result import Result


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(
    engine: str, panel: MarketPanel, weights: FloatArray, cash: float = 1000.0, timing: str = "next_open", **costs: Any
) -> Result:
    terms = Terms(cash, Costs(**{"commission_bps": 0.0, **costs}), None, FillTiming.parse(timing))
    return run_targets(engine, weights, panel, terms)


def check(result: Result, *expected: tuple[int, str, float, float, float, float]) -> None:
    """Compare row, symbol, shares (sells negative), price, commission and the cash after."""
    fills = result.trades.fills
    found = [(int(fill["row"]), result.symbols[fill["symbol"]], fill["quantity"]) for fill in fills]
    assert found == [fill[:3] for fill in expected]
    # Written decimals are not binary fractions: allow their rounding, far below a cent.
    for k, name in enumerate(("price", "commission", "cash_after"), start=3):
        np.testing.assert_allclose(fills[name], [fill[k] for fill in expected], rtol=0, atol=1e-8, err_msg=name)


TEN = market("A", "10", "10", "10", "10")
IN_AND_OUT = targets("0.5", "0", "", "")


def test_a_commission_by_share_has_a_minimum(engine: str) -> None:
    weights = targets("0.5", "0.1", "", "")
    result = run(engine, TEN, weights, commission_per_share=0.02, commission_minimum=0.9)
    # 50 shares: 1.00. Equity is then 999: 9 shares stay, 41 are sold for 0.82, which is below the minimum.
    check(result, (1, "A", 50, 10, 1.0, 499.0), (2, "A", -41, 10, 0.9, 908.1))


def test_a_commission_has_a_maximum_that_wins_over_the_minimum(engine: str) -> None:
    result = run(engine, TEN, IN_AND_OUT, commission_per_share=0.2, commission_minimum=8, commission_maximum_bps=100)
    # 50 shares would pay 10, and at least 8; 1 % of 500 is 5.
    check(result, (1, "A", 50, 10, 5, 495), (2, "A", -50, 10, 5, 990))


def test_sales_alone_pay_the_fees_on_sales(engine: str) -> None:
    result = run(engine, TEN, IN_AND_OUT, commission_bps=10, sell_fee_bps=20, sell_fee_per_share=0.01)
    check(result, (1, "A", 50, 10, 0.5, 499.5), (2, "A", -50, 10, 0.5 + 1.0 + 0.5, 997.5))


def test_half_the_spread_is_lost_each_way(engine: str) -> None:
    result = run(engine, TEN, IN_AND_OUT, half_spread=0.05)
    check(result, (1, "A", 50, 10.05, 0, 497.5), (2, "A", -50, 9.95, 0, 995))
    np.testing.assert_allclose(result.trades.table()["slippage"], [2.5, 2.5])


TIERS = (Tier(60, per_share=0.05), Tier(120, per_share=0.01))


def test_an_order_across_a_border_pays_both_rates_and_the_month_remembers(engine: str) -> None:
    result = run(engine, TEN, IN_AND_OUT, commission_per_share=0.1, commission_tiers=TIERS)
    # 50 at 0.10; then 10 at 0.10 and 40 at 0.05.
    check(result, (1, "A", 50, 10, 5, 495), (2, "A", -50, 10, 3, 992))


def test_the_orders_of_one_basket_count_one_after_another(engine: str) -> None:
    panel = market("A B", "10 5", "10 5", "10 5")
    result = run(engine, panel, targets("0.4 0.4", "", ""), commission_per_share=0.1, commission_tiers=TIERS)
    # 40 A at 0.10; of 80 B 20 at 0.10 and 60 at 0.05.
    check(result, (1, "A", 40, 10, 4, 596), (1, "B", 80, 5, 5, 191))


def test_what_fits_the_cash_is_found_with_the_tiers_that_the_basket_itself_reaches(engine: str) -> None:
    panel = market("A B", "10 10", "10 10", "10 10")
    costs: dict[str, Any] = {"commission_per_share": 0.3, "commission_tiers": (Tier(60, per_share=0.0),)}
    result = run(engine, panel, targets("0.495 0.495", "", ""), **costs)
    # 49 at 0.30, then 11 at 0.30 and 38 free: 980 + 18 fits, which 49 + 49 at 0.30 would not.
    check(result, (1, "A", 49, 10, 14.7, 495.3), (1, "B", 49, 10, 3.3, 2.0))


def test_tiers_may_count_money(engine: str) -> None:
    tiers = (Tier(300, bps=50), Tier(800, bps=10))
    result = run(engine, TEN, IN_AND_OUT, commission_bps=100, commission_tiers=tiers, tier_unit="notional")
    # 300 at 1 %, 200 at 0.5 %; then 300 at 0.5 % and 200 at 0.1 %.
    check(result, (1, "A", 50, 10, 4, 496), (2, "A", -50, 10, 1.7, 994.3))


@pytest.mark.parametrize(
    ("timing", "rows", "fees"),
    [
        # Filled on 30 and 31 January, 1 and 2 February: 50 at 0.1; 10 at 0.1 and 40 at 0.05; anew; the same.
        ("next_open", [1, 2, 3, 4], [5, 3, 5, 3]),
        ("next_close", [1, 2, 3, 4], [5, 3, 5, 3]),
        # Filled on 29, 30 and 31 January at the close, though booked a session later; then 1 February.
        ("same_close", [0, 1, 2, 3], [5, 3, 20 * 0.05 + 30 * 0.01, 5]),
    ],
)
def test_the_month_begins_anew_with_its_first_session(
    engine: str, timing: str, rows: list[int], fees: list[float]
) -> None:
    days = ["2024-01-29", "2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02"]
    panel = market("A", *["10"] * 5, sessions=np.array(days, dtype="datetime64[D]"))
    weights = targets("0.0505", "0", "0.0505", "0", "")
    result = run(engine, panel, weights, 10_000, timing, commission_per_share=0.1, commission_tiers=TIERS)
    fills = result.trades.fills
    assert fills["quantity"].tolist() == [50, -50, 50, -50]
    assert fills["row"].tolist() == rows
    np.testing.assert_allclose(fills["commission"], fees, rtol=1e-9)


def test_impact_grows_with_the_root_of_the_part_of_the_volume(engine: str) -> None:
    panel = with_cells(TEN, volume={(1, 0): 5000, (2, 0): 200})
    result = run(engine, panel, IN_AND_OUT, impact=1.0)
    # Fewer than five returns: 2 % a day. sqrt(50 / 5000) of it is 0.2 %, sqrt(50 / 200) of it 1 %.
    check(result, (1, "A", 50, 10.02, 0, 499), (2, "A", -50, 9.9, 0, 994))


def test_impact_uses_the_volatility_of_the_sessions_before_the_fill(engine: str) -> None:
    closes = [10, 11, 10, 11, 10, 11, 10, 30, 30]
    panel = with_cells(market("A", *[str(price) for price in closes]), volume={(7, 0): 30_000})
    weights = targets("", "", "", "", "", "", "0.9", "", "")
    result = run(engine, panel, weights, impact=1.0)
    # Six returns, up a tenth and down an eleventh by turns. The jump of the fill's own session is not among them.
    # 90 shares were wanted at 10, and 33 fit at 30: after the shrinking to 1000 / 2700 * 90 = 33, 33 / 30,000.
    sigma = np.std([1 / 10, -1 / 11] * 3, ddof=1)
    price = 30 * (1 + sigma * math.sqrt(33 / 30_000))
    check(result, (7, "A", 33, price, 0, 1000 - 33 * price))


def test_the_cap_leaves_the_rest_to_the_next_decision(engine: str) -> None:
    panel = with_cells(TEN, volume={(1, 0): 105, (2, 0): 0, (3, 0): 300})
    result = run(engine, panel, targets("0.5", "0.5", "0.5", ""), participation_cap=0.2)
    # 21 of 105; nobody trades; the 29 that are still missing.
    check(result, (1, "A", 21, 10, 0, 790), (3, "A", 29, 10, 0, 500))
    assert result.trades.table()["reason"].tolist() == ["rebalance, volume cap", "rebalance"]
    assert result.decision_table()["limit_applied"].tolist() == ["volume_cap", "volume_cap", ""]


def test_what_the_cap_leaves_is_not_ordered_again_by_itself(engine: str) -> None:
    panel = with_cells(TEN, volume={(1, 0): 105})
    result = run(engine, panel, targets("0.5", "", "", ""), participation_cap=0.2)
    check(result, (1, "A", 21, 10, 0, 790))


def test_the_cap_holds_for_sales_too(engine: str) -> None:
    panel = with_cells(TEN, volume={(2, 0): 99})
    result = run(engine, panel, IN_AND_OUT, participation_cap=0.1)
    check(result, (1, "A", 50, 10, 0, 500), (2, "A", -9, 10, 0, 590))


def test_an_order_may_be_cut_by_the_cap_and_by_the_cash(engine: str) -> None:
    panel = with_cells(market("A B", "10 10", "20 20", "20 20"), volume={(1, 0): 40})
    result = run(engine, panel, targets("0.5 0.5", "", ""), participation_cap=1.0)
    # 40 of 50 A and 50 B would cost 1,800: 1000 / 1800 of each.
    check(result, (1, "A", 22, 20, 0, 560), (1, "B", 27, 20, 0, 20))
    assert result.trades.table()["reason"].tolist() == [
        "rebalance, volume cap, shrunk to cash",
        "rebalance, shrunk to cash",
    ]


@pytest.mark.parametrize("costs", [{"impact": 0.1}, {"participation_cap": 0.5}])
def test_costs_that_read_volumes_refuse_bars_without_them(costs: dict[str, float]) -> None:
    panel = with_cells(TEN, volume={(2, 0): np.nan})
    with pytest.raises(
        InputError, match="panel: A on 2024-01-03 has no volume, which impact and participation_cap read"
    ):
        run("weights", panel, IN_AND_OUT, **costs)
    terms = Terms(costs=Costs(**costs))
    assert run_weights(IN_AND_OUT, panel, 0, 1, terms).sessions[-1] == panel.sessions[1]


def test_a_symbol_without_a_bar_needs_no_volume() -> None:
    panel = market("A B", "10 10", "10 -", "10 10")
    result = run("weights", panel, targets("0.5 0.5", "", ""), impact=0.1)
    assert len(result.trades) == 1


def test_a_purchase_for_less_than_its_commission_is_made_while_there_is_cash(engine: str) -> None:
    result = run(engine, TEN, targets("0.01", "", "", ""), commission_minimum=15)
    check(result, (1, "A", 1, 10, 15, 975))


def test_a_purchase_for_less_than_its_commission_is_dropped_when_cash_is_short(engine: str) -> None:
    panel = market("A B", "10 10", "10 10", "10 10")
    result = run(engine, panel, targets("0.01 0.99", "", ""), commission_minimum=15)
    # 10 + 15 and 990 + 15 are 30 too many. 1 A becomes none; 1000 / 1030 * 99 = 96 B cost 975.
    check(result, (1, "B", 96, 10, 15, 25))
    result = run(engine, panel, targets("0.02 0.98", "", ""), commission_minimum=15)
    # 1000 / 1030 * 2 is 1 A, for 10 and a commission of 15: dropped.
    check(result, (1, "B", 95, 10, 15, 35))
    assert result.remarks() == ["buys were shrunk to the cash present after 1 decisions"]
    assert result.decision_table()["limit_applied"].tolist() == ["shrunk_to_cash"] * 2


def test_cash_below_the_smallest_commission_buys_nothing(engine: str) -> None:
    result = run(engine, TEN, targets("1", "", "", ""), cash=40.0, commission_minimum=41)
    check(result)


def test_a_sale_whose_fee_the_cash_cannot_pay_is_not_made(engine: str) -> None:
    panel = market("A B", "5 995", "5 995", "5 995", "5 995")
    result = run(engine, panel, targets("0.005 0.995", "0 0.995", "0 0", ""), sell_fee_per_share=10)
    # 5 for A less 10 of fees, with no cash at all. A stands before B, whose sale would have paid: it is tried first.
    check(result, (1, "A", 1, 5, 0, 995), (1, "B", 1, 995, 0, 0), (3, "B", -1, 995, 10, 985))
    assert result.decision_table()["limit_applied"].tolist() == ["", "", "shrunk_to_cash", "", "shrunk_to_cash", ""]


def test_interest_over_a_weekend_comes_before_the_fills_and_counts_three_days(engine: str) -> None:
    days = np.array(["2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"], dtype="datetime64[D]")
    panel = market("A", "10", "10", "10", "10", sessions=days)
    result = run(engine, panel, targets("", "1", "", ""), cash=100_000.0, cash_rate=0.036)
    # 10 a day on 100,000 until Friday; 30 on Friday's 100,010 until Monday morning; nothing is left to earn on Tuesday
    # but what 10,001 shares (sized on Friday) left of it.
    monday = 100_010 + 100_010 * 0.036 * 3 / 360
    left = monday - 100_010
    np.testing.assert_allclose(result.cash, [100_000, 100_010, left, left * (1 + 0.036 / 360)], rtol=1e-12)
    table = result.cash_flow_table()
    assert table[["session", "kind", "symbol", "quantity_change"]].values.tolist() == [
        [day, "interest", "", 0.0] for day in ("2024-01-05", "2024-01-08", "2024-01-09")
    ]
    np.testing.assert_allclose(table["amount"], [10, 30.003, left * 0.036 / 360], rtol=1e-12)


def test_interest_is_on_the_cash_that_a_same_close_decision_left() -> None:
    result = run("weights", TEN, targets("0.5", "", "", ""), timing="same_close", cash_rate=0.36)
    np.testing.assert_allclose(result.trades.flows["amount"], [0.5, 500.5 * 0.001, 501.0005 * 0.001], rtol=1e-12)
