"""What OrderBroker adds to backtrader's matching, in tables that a trader can check by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ordinary import (
    BUY_100,
    FLAT,
    RandomOrders,
    Script,
    assert_books_balance,
    costing,
    fills,
    play,
    run_ours,
    with_actions,
)
from panels import SEEDS, market, random_panel

from engine.costs import Costs, Tier
from engine.ledger import FillTiming
from engine.rebalancer import Terms
from marsfolio.runs import open_run, write_run


def test_every_order_pays_the_minimum_commission() -> None:
    ours = play(FLAT, {0: lambda s: s.buy(size=5), 1: lambda s: s.sell(size=5)}, costing(commission_minimum=1.0))
    assert fills(ours) == [(1, 5, 10, 1.0), (2, -5, 10, 1.0)]
    assert ours.result.cash.tolist() == [10_000, 9_949, 9_998, 9_998, 9_998]


def test_an_order_that_turns_a_position_pays_one_commission() -> None:
    # backtrader books the turn in two steps, 5 closed and 3 opened; the minimum is due once.
    ours = play(FLAT, {0: lambda s: s.buy(size=5), 1: lambda s: s.sell(size=8)}, costing(commission_minimum=1.0))
    assert fills(ours) == [(1, 5, 10, 1.0), (2, -8, 10, 1.0)]
    assert ours.result.trades.table()["position_after"].tolist() == [5, -3]
    assert ours.strategy.analyzers.diary.orders[-1][6] == 1.0


def test_a_turn_that_cash_does_not_pay_for_closes_the_position_for_its_own_commission() -> None:
    script: Script = {0: lambda s: s.sell(size=100), 1: lambda s: s.buy(size=667)}
    ours = play(market("A", "10", "10", "20", "20"), script, costing(commission_per_share=0.01))
    # At the close's 10 the cash of 10,999 lets 667 pass; at 20 the 100 closed leave 8,998, and 567 cost 11,340.
    assert fills(ours) == [(1, -100, 10, 1.0), (2, 100, 20, 1.0)]
    assert [status for _, status, _ in ours.strategy.told][-2:] == ["Partial", "Margin"]


def test_tiers_count_what_was_traded_in_the_month_and_begin_anew() -> None:
    sessions = np.array(["2024-01-29", "2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02"], "datetime64[D]")
    panel = replace(FLAT, sessions=sessions)
    terms = costing(commission_per_share=0.02, commission_tiers=(Tier(150, per_share=0.01),))
    buy: Script = {row: lambda s: s.buy(size=100) for row in range(4)}
    # 100 at 2 cents; 50 at 2 and 50 at 1; in February again 100 at 2, then 50 and 50.
    assert fills(play(panel, buy, terms)) == [
        (1, 100, 10, 2.0),
        (2, 100, 10, 1.5),
        (3, 100, 10, 2.0),
        (4, 100, 10, 1.5),
    ]


def test_sale_fees_and_the_maximum_come_from_the_price_list() -> None:
    terms = costing(commission_per_share=1.0, commission_maximum_bps=50.0, sell_fee_per_share=0.1)
    ours = play(FLAT, {0: lambda s: s.buy(size=10), 1: lambda s: s.sell(size=10)}, terms)
    assert fills(ours) == [(1, 10, 10, 0.5), (2, -10, 10, 1.5)]


def test_a_strategy_that_asks_for_the_commission_is_told_that_of_one_order() -> None:
    asked = []

    def ask(strategy: bt.Strategy) -> None:
        info = strategy.broker.getcommissioninfo(strategy.data)
        asked.extend([info.getcommission(10, 10.0), info.getcommission(10, 10.0)])

    play(FLAT, {1: ask}, costing(commission_minimum=1.0))
    assert asked == [1.0, 1.0]


def test_market_and_stop_orders_pay_spread_and_slippage_and_it_is_written_down() -> None:
    panel = market("A", "10", "10", "10", "8/7", "7")
    script: Script = {
        0: lambda s: s.buy(size=10),
        1: lambda s: s.sell(size=10, exectype=bt.Order.Stop, price=9.0),
    }
    ours = play(panel, script, costing(half_spread=0.02, slippage_bps=100.0))
    # 10 + 1 % + 0.02; the stop at 9 is passed overnight and executes at the open of 8, less 1 % and 0.02.
    assert fills(ours) == [(1, 10, 10.12, 0), (3, -10, 7.9, 0)]
    assert ours.result.trades.fills["slippage"] == pytest.approx([1.2, 1.0])
    assert ours.result.trades.table()["reason"].tolist() == ["market order", "stop order"]


def test_a_limit_order_never_executes_worse_than_its_limit() -> None:
    panel = replace(market("A", "10", "9.9/10.2", "10", "10"), low=np.array([[10], [9.5], [9.0], [9.0]]))
    script: Script = {
        0: lambda s: s.buy(size=10, exectype=bt.Order.Limit, price=9.95),
        1: lambda s: s.buy(size=10, exectype=bt.Order.Limit, price=9.5),
        2: lambda s: s.buy(size=10, exectype=bt.Order.StopLimit, price=10.0, plimit=10.01),
    }
    ours = play(panel, script, costing(slippage_bps=100.0))
    # Opened at 9.9, below the limit: 9.999 with slippage, so 9.95. Touched in the session: the limit itself.
    # A stop limit triggered at 10: 10.1 with slippage, so 10.01.
    assert fills(ours) == [(1, 10, 9.95, 0), (2, 10, 9.5, 0), (3, 10, 10.01, 0)]
    assert ours.result.trades.fills["slippage"] == pytest.approx([0.5, 0.0, 0.1])


def test_a_participation_cap_fills_in_parts_and_the_rest_stays_working() -> None:
    ours = play(FLAT, {0: lambda s: s.buy(size=250)}, costing(participation_cap=0.1, commission_minimum=1.0))
    # 1,000 shares trade in each session: 100, 100 and 50; each fill is a commission of its own.
    assert fills(ours) == [(1, 100, 10, 1.0), (2, 100, 10, 1.0), (3, 50, 10, 1.0)]
    assert [(row, status) for row, status, _ in ours.strategy.told[2:]] == [
        (1, "Partial"),
        (2, "Partial"),
        (3, "Completed"),
    ]
    table = ours.result.trades.table()
    assert table["order_id"].tolist() == ["order-1"] * 3
    assert table["fill_id"].tolist() == ["order-1-1", "order-1-2", "order-1-3"]


def test_a_part_of_a_whole_order_is_whole_and_a_session_without_volume_trades_nothing() -> None:
    panel = replace(FLAT, volume=np.array([[1000.0], [15.0], [0.0], [1000.0], [1000.0]]))
    terms = costing(participation_cap=0.1)
    assert fills(play(panel, {0: lambda s: s.buy(size=3)}, terms)) == [(1, 1, 10, 0), (3, 2, 10, 0)]
    fractional = replace(terms, fractional=True)
    assert fills(play(panel, {0: lambda s: s.buy(size=3)}, fractional)) == [(1, 1.5, 10, 0), (3, 1.5, 10, 0)]


def test_impact_grows_with_the_root_of_the_share_of_volume() -> None:
    ours = play(FLAT, {0: lambda s: s.buy(size=250)}, costing(impact=0.5))
    # Volatility unknown: 2 % a day. 0.5 * 0.02 * sqrt(250 / 1000) = 0.5 %.
    assert fills(ours) == [(1, 250, 10.05, 0)]


def test_cash_earns_and_margin_costs_interest_by_calendar_days() -> None:
    terms = costing(cash_rate=0.036, margin_rate=0.36)
    # FLAT begins on a Monday. 10,000 * 1 day * 0.0001 = 1; then all is invested and 10,001 - 10,000 = 1 is left.
    ours = play(FLAT, {0: lambda s: s.buy(size=1000)}, terms)
    assert ours.result.cash == pytest.approx([10_000, 1, 1.0001, 1.00020001, 1.000300030001])
    assert ours.result.cash_flow_table()["kind"].unique().tolist() == ["interest"]
    # Short 100 at 10, bought back at 130: 11,000 - 13,000 = -2,000, plus interest, costs 0.1 % a day.
    panel = market("A", "10", "10", "130", "130", "130")
    ours = play(panel, {0: lambda s: s.sell(size=100), 1: lambda s: s.buy(size=100)}, costing(margin_rate=0.36))
    assert ours.result.cash == pytest.approx([10_000, 11_000, -2_000, -2_002, -2_004.002])


def test_dividends_are_paid_to_the_long_and_by_the_short() -> None:
    panel = with_actions(FLAT, dividend={2: 0.5})
    assert play(panel, BUY_100).result.cash.tolist() == [10_000, 9_000, 9_050, 9_050, 9_050]
    ours = play(panel, {0: lambda s: s.sell(size=100)})
    assert ours.result.cash.tolist() == [10_000, 11_000, 10_950, 10_950, 10_950]
    assert ours.result.cash_flow_table()["amount"].tolist() == [-50.0]
    assert ours.strategy.broker.getcash() == 10_950
    # Bought at the open of the day itself: too late.
    assert play(panel, {1: lambda s: s.buy(size=100)}).result.cash[-1] == 9_000


def test_a_split_restates_position_open_trade_and_pnl() -> None:
    panel = with_actions(market("A", "30", "30", "10", "12", "12"), split={2: 3.0})
    paid: list[float] = []
    script: Script = {0: lambda s: s.buy(size=100), 2: lambda s: (paid.append(s.position.price), s.close())}
    ours = play(panel, script)
    assert paid == [10.0]
    # 100 at 30 become 300 at 10, sold at 12: 3,600 - 3,000.
    assert fills(ours) == [(1, 100, 30, 0), (3, -300, 12, 0)]
    assert ours.strategy.closed == [(pytest.approx(600), pytest.approx(600))]
    assert ours.result.equity.tolist() == [10_000, 10_000, 10_000, 10_600, 10_600]
    assert ours.result.round_trip_table()[["quantity", "pnl"]].to_numpy().tolist() == [[300, 600]]


@pytest.mark.parametrize(("side", "sign"), [("buy", 1), ("sell", -1)])
def test_a_fraction_of_a_share_is_settled_in_cash_for_long_and_short(side: str, sign: int) -> None:
    panel = with_actions(market("A", "10", "10", "20", "20", "20"), split={2: 0.5})
    ours = play(panel, {0: lambda s: getattr(s, side)(size=101), 3: lambda s: s.close()})
    # 101 become 50.5: half a share at the old close's 20 is 10, received or paid.
    flows = ours.result.cash_flow_table()
    assert flows["kind"].tolist() == ["split", "cash_in_lieu"]
    assert flows["amount"].tolist() == [0.0, 10.0 * sign]
    assert flows["quantity_change"].tolist() == [-50.5 * sign, -0.5 * sign]
    assert fills(ours)[1][1] == -50 * sign
    assert len(ours.strategy.closed) == 1


def test_open_orders_are_restated_over_a_split() -> None:
    panel = with_actions(market("A", "30", "30", "10", "9/9", "9"), split={2: 3.0})
    script: Script = {
        0: lambda s: s.buy(size=10, exectype=bt.Order.Limit, price=28.5),
        1: lambda s: s.buy(size=10),
    }
    # 10 at 28.5 become 30 at 9.5, and a market order for 10 is one for 30 when it executes.
    assert fills(play(panel, script)) == [(2, 30, 10, 0), (3, 30, 9, 0)]


def test_the_children_of_a_bracket_are_restated_with_it() -> None:
    panel = with_actions(market("A", "30", "30", "10", "12", "12"), split={2: 3.0})
    script: Script = {0: lambda s: s.buy_bracket(size=10, price=30.0, stopprice=24.0, limitprice=34.5)}
    ours = play(panel, script)
    assert fills(ours) == [(1, 10, 30, 0), (3, -30, 12, 0)]
    assert ours.strategy.told[-1][1] == "Canceled"


@pytest.mark.parametrize("placed", [0, 1], ids=["accepted", "just submitted"])
def test_an_order_for_less_than_a_share_after_a_split_is_cancelled(placed: int) -> None:
    panel = with_actions(market("A", "10", "10", "100", "100"), split={2: 0.1})
    ours = play(panel, {placed: lambda s: s.buy(size=9, exectype=bt.Order.Limit, price=5.0)})
    assert fills(ours) == []
    assert ours.strategy.told[-1][:2] == (2, "Canceled")


def test_a_trailing_stop_trails_by_an_amount_of_the_new_shares() -> None:
    panel = with_actions(market("A", "30", "30", "10/11", "10.5/10", "9"), split={2: 3.0})
    trail: dict[str, Any] = {"size": 10, "trailamount": 3.0}
    script: Script = {
        0: lambda s: s.buy(size=10),
        1: lambda s: s.sell(exectype=bt.Order.StopTrail, **trail),
    }
    # The stop at 27 is at 9 after the split and, 1 below the close of 11, at 10.
    assert fills(play(panel, script)) == [(1, 10, 30, 0), (3, -30, 10, 0)]
    seen: list[float] = []

    def place(strategy: bt.Strategy) -> None:
        order = strategy.sell(exectype=bt.Order.StopTrailLimit, price=30.0, plimit=29.4, **trail)
        script[2] = lambda _: seen.extend([order.created.price, order.created.pricelimit])

    script[1] = place
    play(panel, script)
    assert seen == pytest.approx([10.0, 9.8])


@given(seed=SEEDS, timing=st.sampled_from(FillTiming), fractional=st.booleans(), data=st.data())
def test_cash_holdings_fills_and_flows_agree_whatever_the_costs(
    seed: int, timing: FillTiming, fractional: bool, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    panel = random_panel(seed, 30, 3, holes=0.2)
    split = np.where(panel.has_bar & (rng.random(panel.close.shape) < 0.05), rng.choice([0.1, 2.0, 1.5]), 1.0)
    dividend = np.where(panel.has_bar & (rng.random(panel.close.shape) < 0.1), rng.uniform(0, 2), 0.0)
    cap = data.draw(st.sampled_from([None, 0.05]))
    costs = Costs(5, 3, 0.01, 1.0, None, (Tier(500, 1.0),), "shares", 0.3, 0.0, 0.01, 0.1, cap, 0.02, 0.05)
    terms = Terms(data.draw(st.sampled_from([5_000.0, 1e6])), costs, None, timing, fractional)
    ours = run_ours(RandomOrders, replace(panel, split=split, dividend=dividend), terms, seed=seed, largest=200)
    assert_books_balance(ours.result)
    result, positions = ours.result, ours.strategy.broker.positions
    assert (result.cash[-1], result.equity[-1]) == (ours.strategy.broker.getcash(), ours.strategy.broker.getvalue())
    held = [positions[data].size for data in ours.strategy.datas]
    np.testing.assert_allclose(held, result.final_quantity, rtol=1e-9, atol=1e-9)
    value = result.cash[-1] + np.nansum(result.final_quantity * result.final_mark)
    assert result.equity[-1] == pytest.approx(value, rel=1e-12)
    assert np.isfinite(result.equity).all()


def test_a_run_of_single_orders_is_a_run_folder_with_report_trades_and_metrics(tmp_path: Path) -> None:
    panel = with_actions(random_panel(1, 60, 1, holes=0.0), split={30: 2.0}, dividend={20: 0.5})
    ours = run_ours(RandomOrders, panel, Terms(1e5, Costs(10, 5, cash_rate=0.02)), seed=4)
    write_run(tmp_path / "run", "backtest", ours.result, "backtest", {}, {})
    run = open_run(tmp_path / "run")
    assert run.metrics["n_fills"] == len(run.trades) > 10
    assert not run.trades["fill_id"].duplicated().any()
    assert (run.trades["position_after"] < 0).any()
    assert {"interest", "split", "dividend"} <= set(run.cash_flows["kind"])
    assert len(run.decisions) == 0
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    trips = run.round_trips["pnl"].sum() + run.cash_flows["amount"].sum()
    assert trips == pytest.approx(run.metrics["final_equity"] - run.metrics["initial_equity"])


def test_fills_of_one_order_share_its_id_in_every_repetition() -> None:
    panel = random_panel(2, 30, 2, holes=0.0)
    tables = [run_ours(RandomOrders, panel, seed=1).result.trades.table() for _ in range(2)]
    pd.testing.assert_frame_equal(*tables)
