"""Bars, targets and the fills they must give, in numbers a trader can check by hand."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Oracle, OracleBars
from panels import ENGINES, market, panel_of, run_strategy, run_targets, targets

from engine.account import Account
from engine.arrays import FloatArray
from engine.backtest import run_weights
from engine.costs import Costs
from engine.errors import InputError, PolicyError
from engine.ledger import FillTiming
from engine.limits import Limits
from engine.panel import MarketPanel
from engine.policy import Policy
from engine.rebalancer import Basket, Schedule, Terms
from engine.result import Result
from strategies.baselines import BuyAndHold, EqualWeight
from strategies.weights_file import WeightsPolicy


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ENGINES[1:])
def policy_engine(request: pytest.FixtureRequest) -> str:
    """Known weights have no schedule and no policy."""
    return str(request.param)


def terms(
    cash: float = 1000.0,
    commission: float = 0.0,
    slippage: float = 0.0,
    timing: str = "next_open",
    fractional: bool = False,
) -> Terms:
    return Terms(cash, Costs(commission, slippage), None, FillTiming.parse(timing), fractional)


def fills(result: Result) -> list[tuple[int, str, float, float, float]]:
    """Row, symbol, shares (sells negative), price and the cash after it."""
    return [
        (int(fill["row"]), result.symbols[fill["symbol"]], fill["quantity"], fill["price"], fill["cash_after"])
        for fill in result.trades.fills
    ]


def check(
    result: Result,
    expected: list[tuple[int, str, float, float, float]],
    equity: list[float] | None = None,
    cash: list[float] | None = None,
) -> None:
    # Written decimals are not binary fractions: allow their rounding, far below a cent.
    assert [fill[:3] for fill in fills(result)] == [fill[:3] for fill in expected]
    np.testing.assert_allclose([f[3:] for f in fills(result)], [f[3:] for f in expected], rtol=0, atol=1e-9)
    if equity is not None:
        np.testing.assert_allclose(result.equity, equity, rtol=0, atol=1e-9)
    if cash is not None:
        np.testing.assert_allclose(result.cash, cash, rtol=0, atol=1e-9)


def test_target_shares_are_rounded_down_at_the_close_of_the_decision(engine: str) -> None:
    panel = market("A", "30/30", "28/32", "31/33")
    result = run_targets(engine, targets("1", "", ""), panel, terms())
    # floor(1000 / 30) = 33 shares, bought at 28: 924.
    check(result, [(1, "A", 33, 28, 76)], equity=[1000, 76 + 33 * 32, 76 + 33 * 33], cash=[1000, 76, 76])


def test_a_weight_of_zero_sells_everything(engine: str) -> None:
    panel = market("A", "10", "10", "12/13", "14")
    result = run_targets(engine, targets("0.5", "0", "", ""), panel, terms())
    check(result, [(1, "A", 50, 10, 500), (2, "A", -50, 12, 1100)], equity=[1000, 1000, 1100, 1100])


def test_a_share_dearer_than_its_target_is_not_bought(engine: str) -> None:
    result = run_targets(engine, targets("0.5", ""), market("A", "501", "501"), terms())
    check(result, [], equity=[1000, 1000])


def test_sells_come_first_and_pay_for_the_buys(engine: str) -> None:
    panel = market("A B", "10 20", "10 20", "10 20", "10 20")
    result = run_targets(engine, targets("0 1", "1 0", "", ""), panel, terms())
    # A stands before B in the data; its purchase waits for B's sale all the same.
    check(result, [(1, "B", 50, 20, 0), (2, "B", -50, 20, 1000), (2, "A", 100, 10, 0)])


def test_buys_shrink_by_one_factor_when_the_market_opens_higher(engine: str) -> None:
    panel = market("A B", "10 20", "20 20", "20 20")
    result = run_targets(engine, targets("0.5 0.5", "", ""), panel, terms())
    # 50 A at 20 and 25 B at 20 cost 1,500. 1000 / 1500 of 50 is 33.3, of 25 is 16.7: 33 and 16 for 980.
    check(result, [(1, "A", 33, 20, 340), (1, "B", 16, 20, 20)], cash=[1000, 20, 20])
    assert list(result.trades.table()["reason"]) == ["rebalance, shrunk to cash"] * 2
    assert result.remarks() == ["buys were shrunk to the cash present after 1 decisions"]
    assert set(result.decision_table()["limit_applied"]) == {"shrunk_to_cash"}


def test_a_shrunk_purchase_may_spend_the_last_cent_and_not_more(engine: str) -> None:
    result = run_targets(engine, targets("1", ""), market("A", "10", "12.5"), terms())
    check(result, [(1, "A", 80, 12.5, 0)])


def test_a_commission_alone_makes_a_full_purchase_shrink(engine: str) -> None:
    result = run_targets(engine, targets("1", ""), market("A", "10", "10"), terms(commission=10))
    # 100 shares cost 1,001 with commission, 99 cost 990.99.
    check(result, [(1, "A", 99, 10, 9.01)])


def test_the_sale_of_another_symbol_is_executed_whole_when_buys_shrink(engine: str) -> None:
    panel = market("A B", "10 10", "10 10", "5 20", "5 20")
    result = run_targets(engine, targets("1 0", "0 1", "", ""), panel, terms())
    # 100 A bring 500 only, and 100 B at 20 would cost 2,000: a quarter of them is bought.
    check(result, [(1, "A", 100, 10, 0), (2, "A", -100, 5, 500), (2, "B", 25, 20, 0)])


def test_commission_and_slippage_are_money_in_the_fill(engine: str) -> None:
    panel = market("A", "100", "100", "100", "100")
    result = run_targets(engine, targets("0.5", "0", "", ""), panel, terms(100_000, commission=10, slippage=50))
    # Buy 500 at 100.50 = 50,250, commission 50.25; sell 500 at 99.50 = 49,750, commission 49.75.
    check(
        result,
        [(1, "A", 500, 100.5, 49_699.75), (2, "A", -500, 99.5, 99_400.0)],
        equity=[100_000, 99_699.75, 99_400, 99_400],
    )
    table = result.trades.table()
    assert table["commission"].tolist() == pytest.approx([50.25, 49.75])
    assert table["slippage"].tolist() == pytest.approx([250.0, 250.0])
    assert table["notional"].tolist() == pytest.approx([50_250.0, 49_750.0])
    # Costs appear once: all that is missing at the end is 100 of commission and 500 of slippage.
    assert result.equity[-1] == pytest.approx(100_000 - 100 - 500)


def test_a_symbol_without_a_bar_at_the_decision_keeps_its_shares(engine: str) -> None:
    panel = market("A B", "10 20", "10 20", "10 -", "10 30", "10 30")
    result = run_targets(engine, targets("0.5 0.5", "", "0 0", "", ""), panel, terms())
    # B has no bar when all is to be sold: only A goes, B stays at its last close until the next one.
    check(
        result,
        [(1, "A", 50, 10, 500), (1, "B", 25, 20, 0), (3, "A", -50, 10, 500)],
        equity=[1000, 1000, 1000, 500 + 25 * 30, 500 + 25 * 30],
    )
    assert result.remarks() == ["1 targets or orders were dropped because the symbol had no bar"]


def test_an_order_without_a_bar_at_the_fill_is_dropped_for_good(engine: str) -> None:
    panel = market("A B", "10 20", "10 -", "10 20", "10 20")
    result = run_targets(engine, targets("0.5 0.5", "", "", ""), panel, terms())
    check(result, [(1, "A", 50, 10, 500)], cash=[1000, 500, 500, 500])
    assert result.decision_table()["limit_applied"].tolist() == ["", "no_bar"]
    assert result.remarks() == ["1 targets or orders were dropped because the symbol had no bar"]


def test_a_symbol_that_stops_trading_is_valued_at_its_last_close_and_reported(engine: str) -> None:
    panel = market("A B", "10 20", "10 20/22", "10 -", "10 -")
    result = run_targets(engine, targets("0 0.5", "", "", ""), panel, terms())
    check(result, [(1, "B", 25, 20, 500)], equity=[1000, 1050, 1050, 1050])
    assert result.remarks() == ["B stopped trading on 2024-01-02: 25 shares are valued at that close, 22.0"]


def test_a_symbol_that_starts_late_is_bought_once_it_has_a_bar(engine: str) -> None:
    panel = market("A B", "10 -", "10 -", "10 20", "10 20")
    result = run_targets(engine, targets("0.5 0.5", "", "0.5 0.5", ""), panel, terms())
    check(result, [(1, "A", 50, 10, 500), (3, "B", 25, 20, 0)])


def test_a_weight_of_nan_keeps_the_shares_whatever_they_have_become_worth(engine: str) -> None:
    panel = market("A B", "10 20", "10 20", "40 20", "40 20")
    result = run_targets(engine, targets("0.5 0.25", "", "keep 0", ""), panel, terms())
    check(result, [(1, "A", 50, 10, 500), (1, "B", 12, 20, 260), (3, "B", -12, 20, 500)])
    assert np.isnan(result.target_weight[2]).tolist() == [True, False]


def test_a_row_without_any_weight_is_no_rebalance(engine: str) -> None:
    panel = market("A", "10", "20", "40", "40")
    result = run_targets(engine, targets("0.5", "", "", ""), panel, terms())
    assert result.decided.tolist() == [True, False, False, False]
    check(result, [(1, "A", 50, 20, 0)])


@pytest.mark.parametrize(
    ("timing", "row", "price", "equity"),
    [
        ("next_open", 1, 11, [1000, 450 + 50 * 12, 450 + 50 * 14]),
        ("next_close", 1, 12, [1000, 400 + 50 * 12, 400 + 50 * 14]),
        ("same_close", 0, 10, [1000, 500 + 50 * 12, 500 + 50 * 14]),
    ],
)
def test_each_timing_fills_at_its_own_price(
    engine: str, timing: str, row: int, price: float, equity: list[float]
) -> None:
    panel = market("A", "9/10", "11/12", "13/14")
    result = run_targets(engine, targets("0.5", "", ""), panel, terms(timing=timing))
    check(result, [(row, "A", 50, price, 1000 - 50 * price)], equity=equity)
    assert result.trades.table()["session"].tolist() == [f"2024-01-0{row + 1}"]


@pytest.mark.parametrize("timing", ["next_open", "next_close", "same_close"])
def test_the_first_row_is_the_initial_cash_and_the_last_decision_is_not_filled(engine: str, timing: str) -> None:
    panel = market("A", "10", "10", "10")
    result = run_targets(engine, targets("0.1", "0.2", "0.3"), panel, terms(timing=timing, commission=10))
    assert (result.equity[0], result.cash[0]) == (1000, 1000)
    assert [(row, quantity) for row, _, quantity, _, _ in fills(result)] == (
        [(0, 10), (1, 9)] if timing == "same_close" else [(1, 10), (2, 9)]
    )
    assert result.decided.all()
    assert np.isnan(result.executed_weight[-1]).all()


def test_a_run_of_one_session_decides_and_trades_nothing(engine: str) -> None:
    result = run_targets(engine, targets("1"), market("A", "10"), terms())
    check(result, [], equity=[1000], cash=[1000])
    assert result.decided.tolist() == [True]


def test_fractions_of_shares_are_exact(engine: str) -> None:
    panel = market("A B", "32 8", "32 16", "32 16")
    result = run_targets(engine, targets("0.5 0.25", "0 0.5", ""), panel, terms(fractional=True))
    # 500 / 32 = 15.625 A; 250 / 8 = 31.25 B, which cost 500 at 16. Equity stays 1,000, and half of it 31.25 B.
    check(result, [(1, "A", 15.625, 32, 500), (1, "B", 31.25, 16, 0), (2, "A", -15.625, 32, 500)])


def test_a_fractional_purchase_shrinks_to_exactly_the_cash(engine: str) -> None:
    result = run_targets(engine, targets("1", ""), market("A", "10", "14"), terms(fractional=True, commission=10))
    (fill,) = fills(result)
    assert fill[2] == pytest.approx(1000 / 14 / 1.001)
    assert 0 <= result.cash[-1] < 1e-9


def test_initial_cash_written_as_an_integer_still_has_cents(engine: str) -> None:
    result = run_targets(engine, targets("1", ""), market("A", "10.25", "10.25"), Terms(1000, Costs(0)))
    check(result, [(1, "A", 97, 10.25, 5.75)])


def test_bars_before_the_run_are_warm_up_without_decisions(engine: str) -> None:
    panel = market("A", "10", "10", "20", "25", "25")
    result = run_targets(engine, targets("1", "1", "0.5", "", ""), panel, terms(), first=2, last=3)
    check(result, [(1, "A", 25, 25, 375)], equity=[1000, 1000])
    assert result.sessions.tolist() == panel.sessions[2:4].tolist()


def test_the_oracle_of_the_property_tests_agrees_with_a_table(engine: str) -> None:
    panel = market("A B", "10 20", "20 20", "20 20")
    weights = targets("0.5 0.5", "", "")
    oracle = Oracle(cash=1000).run(OracleBars(panel.sessions.tolist(), panel.open, panel.close), weights)
    check(run_targets(engine, weights, panel, terms()), [(f.row, "AB"[f.symbol], *f[2:4], f[5]) for f in oracle.fills])


def decided_sessions(result: Result) -> list[str]:
    return [str(session) for session in result.sessions[result.decided]]


def run(engine: str, policy: Policy, panel: MarketPanel, schedule: Schedule = Schedule.DAILY) -> Result:
    return run_strategy(engine, policy, panel, terms(), schedule=schedule)


def days(*dates: str) -> tuple[MarketPanel, FloatArray]:
    sessions = np.array(dates, dtype="datetime64[D]")
    panel = market("A", *["10"] * len(dates), sessions=sessions)
    return panel, np.full((len(dates), 1), 0.5)


def test_weekly_means_the_first_session_of_each_iso_week(policy_engine: str) -> None:
    # 2024-12-30 (Monday) to 2025-01-03 is one ISO week; Monday 2025-01-06 is missing, so Tuesday comes first.
    panel, weights = days("2024-12-27", "2024-12-30", "2024-12-31", "2025-01-02", "2025-01-03", "2025-01-07")
    result = run(policy_engine, WeightsPolicy(panel.sessions, weights), panel, Schedule.WEEKLY)
    assert decided_sessions(result) == ["2024-12-27", "2024-12-30", "2025-01-07"]


def test_monthly_means_the_first_session_of_each_month(policy_engine: str) -> None:
    panel, weights = days("2023-12-28", "2023-12-29", "2024-01-02", "2024-01-31", "2024-02-01", "2025-02-03")
    result = run(policy_engine, WeightsPolicy(panel.sessions, weights), panel, Schedule.MONTHLY)
    assert decided_sessions(result) == ["2023-12-28", "2024-01-02", "2024-02-01", "2025-02-03"]


def test_a_weekly_strategy_that_has_nothing_to_say_on_monday_may_speak_on_tuesday(policy_engine: str) -> None:
    panel, weights = days("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-08")
    weights[0] = np.nan
    result = run(policy_engine, WeightsPolicy(panel.sessions, weights), panel, Schedule.WEEKLY)
    assert decided_sessions(result) == ["2024-01-02", "2024-01-08"]


def test_buy_and_hold_buys_once_what_has_a_bar_and_never_trades_again(policy_engine: str) -> None:
    panel = market("A B C", "10 20 -", "10 20 5", "30 10 5", "90 5 5")
    result = run(policy_engine, BuyAndHold(), panel)
    check(result, [(1, "A", 50, 10, 500), (1, "B", 25, 20, 0)], equity=[1000, 1000, 1750, 4625])
    assert result.decided.tolist() == [True, False, False, False]


def test_equal_weight_divides_by_the_symbols_with_a_bar(policy_engine: str) -> None:
    panel = market("A B", "10 -", "10 20", "10 20", "10 -", "10 20")
    result = run(policy_engine, EqualWeight(), panel)
    # B's shares stay on the session without its bar, and A's target is then the whole equity.
    check(result, [(1, "A", 100, 10, 0), (2, "A", -50, 10, 500), (2, "B", 25, 20, 0)], equity=[1000] * 5)
    np.testing.assert_array_equal(result.target_weight[[0, 1, 3]], [[1, np.nan], [0.5, 0.5], [1, np.nan]])


def test_a_zero_target_of_a_symbol_not_held_and_without_a_bar_is_no_dropped_order() -> None:
    panel = panel_of(np.array([[np.nan, 10.0], [np.nan, 10.0], [np.nan, 10.0], [5.0, 10.0]]))
    result = run_weights(np.tile([0.0, 1.0], (4, 1)), panel, 0, 3, Terms())
    assert not any("dropped" in remark for remark in result.remarks())


def test_an_account_refuses_sessions_outside_its_window() -> None:
    panel = panel_of(np.full((4, 2), 10.0))
    account = Account(panel, 1, 2, Terms())
    for row in (0, 2, 3):
        with pytest.raises(InputError, match=f"the next session to settle is row 1 of at most 2, was {row}"):
            account.settle(row)
    for first, last in ((-1, 2), (2, 1), (0, 4)):
        with pytest.raises(InputError, match=r"0 <= first <= last < 4"):
            Account(panel, first, last, Terms())


def test_an_account_takes_the_sessions_in_order_and_a_basket_of_the_last_alone() -> None:
    panel = panel_of(np.full((4, 2), 10.0))
    account = Account(panel, 0, 3, Terms())
    account.settle(0)
    nothing = np.zeros(2)
    for row in (-1, 1):
        with pytest.raises(InputError, match=f"of the session settled last, row 0, was of {row}"):
            account.submit(Basket(row, nothing, nothing, np.zeros(2, np.int8), {}))
    with pytest.raises(InputError, match="was 0"):
        account.settle(0)
    with pytest.raises(InputError, match="simulate needs a new one"):
        account.simulate(np.full((4, 2), np.nan))


def test_a_basket_shrunk_to_nothing_is_reported() -> None:
    panel = panel_of(np.array([[100.0], [100.0], [100.0]]), np.array([[100.0], [101.0], [101.0]]))
    result = run_weights(np.array([[1.0], [np.nan], [np.nan]]), panel, 0, 2, Terms(cash=100.0))
    assert len(result.trades) == 0
    assert result.remarks() == ["buys were shrunk to the cash present after 1 decisions"]


@pytest.mark.parametrize("engine", ENGINES)
def test_kept_shares_use_up_the_budget_of_the_others(engine: str) -> None:
    panel = panel_of(np.full((3, 3), 10.0))
    weights = np.array([[0.45, 0.0, 0.0], [np.nan, 0.5, 0.5], [np.nan, np.nan, np.nan]])
    terms = Terms(cash=1000.0, costs=Costs(0.0), limits=Limits(cap=0.5, cash_buffer=0.05))
    # 45 shares are kept: 95 % - 45 % is left for two targets of 50 %.
    result = run_targets(engine, weights, panel, terms)
    np.testing.assert_allclose(result.target_weight[1], [np.nan, 0.25, 0.25], rtol=1e-15)  # 0.95 - 0.45 rounds
    assert result.final_quantity.tolist() == [45.0, 24.0, 24.0]  # a hair below 25 shares, floored
    assert result.cash[-1] == 70.0


def test_a_row_that_is_lawful_by_a_hair_does_not_hide_the_next() -> None:
    panel = panel_of(np.full((4, 20), 10.0))
    weights = np.full((4, 20), (1 + 0.9e-9) / 20)
    weights[2] = 0.0
    weights[2, 0] = 5.0
    with pytest.raises(PolicyError, match=r"must sum to at most 1, the rest being cash; was 5\.0"):
        run_weights(weights, panel, 0, 3, Terms())


def test_fractional_buys_with_next_to_no_cash_left_come_to_an_end() -> None:
    random = np.random.default_rng(0)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.01, (300, 2)), axis=0))
    weights = np.full((300, 2), np.nan)
    weights[0] = 0.5
    weights[1:, 0] = 1.0
    result = run_weights(weights, panel_of(close), 0, 299, Terms(fractional=True))
    assert (result.cash >= 0).all()
    assert result.cash[-1] < 1e-6
