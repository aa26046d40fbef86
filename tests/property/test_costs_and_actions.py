"""On random numbers: what holds for every price list, and for every split and dividend."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import OracleCosts
from panels import SEEDS, all_costs, as_raw, random_panel, random_weights, run_targets, with_volumes

from engine.costs import PRESETS, Costs, commission, executed_price, interest
from engine.ledger import FillTiming
from engine.limits import PARTIAL
from engine.observation import restatement
from engine.rebalancer import Terms
from engine.risk import UNKNOWN_VOLATILITY, VOLATILITY_WINDOW, trailing_returns, trailing_volatility

LISTS = st.one_of(all_costs(), st.sampled_from(list(PRESETS.values())))
QUANTITIES = st.floats(0.01, 1e6).map(lambda shares: round(shares, 2))
SIGNS = st.sampled_from([1, -1])
PRICES = st.floats(0.01, 1000)
TRADED = st.floats(0, 1e8)


@given(costs=LISTS, quantity=QUANTITIES, sign=SIGNS, price=PRICES, traded=TRADED)
def test_the_commission_is_the_oracles(costs: Costs, quantity: float, sign: int, price: float, traded: float) -> None:
    expected = OracleCosts(**asdict(costs)).commission(sign * quantity, price, traded)
    # Parts of an order are differences of totals: 1e-16 of what was traded in the month, over the order's size.
    rtol = 1e-12 + 1e-15 * traded / (quantity * (price if costs.tier_unit == "notional" else 1.0))
    np.testing.assert_allclose(commission(sign * quantity, price, traded, costs.rates), expected, rtol=rtol)


@given(
    costs=LISTS, quantity=QUANTITIES, sign=SIGNS, price=PRICES, volatility=st.floats(0, 0.2), volume=st.floats(1, 1e9)
)
def test_the_executed_price_is_the_oracles(
    costs: Costs, quantity: float, sign: int, price: float, volatility: float, volume: float
) -> None:
    expected = OracleCosts(**asdict(costs)).price(sign * quantity, price, volatility, volume)
    found = executed_price(price, sign * quantity, volatility, volume, costs.rates)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@given(costs=LISTS, cuts=st.lists(QUANTITIES, min_size=2, max_size=5), price=PRICES, traded=st.floats(0, 1e5))
def test_without_bounds_an_order_in_parts_pays_what_it_pays_whole(
    costs: Costs, cuts: list[float], price: float, traded: float
) -> None:
    rates = replace(costs, commission_minimum=0.0, commission_maximum_bps=None).rates
    unit = 1.0 if rates.tier_by_shares else price
    parts, done = 0.0, traded
    for cut in cuts:
        parts += commission(cut, price, done, rates)
        done += cut * unit
    whole = commission(sum(cuts), price, traded, rates)
    # A part of a cent on each million: thresholds are met by differences of totals.
    np.testing.assert_allclose(parts, whole, rtol=1e-9, atol=1e-6)


@given(cash=st.floats(-1e6, 1e6), days=st.integers(0, 10), earned=st.floats(0, 0.1), owed=st.floats(0, 0.2))
def test_interest_is_simple_by_calendar_days_over_360(cash: float, days: int, earned: float, owed: float) -> None:
    rates = Costs(cash_rate=earned, margin_rate=owed).rates
    expected = cash * days / 360 * (earned if cash > 0 else owed)
    np.testing.assert_allclose(interest(cash, float(days), rates), expected, rtol=1e-12, atol=1e-300)


@given(costs=all_costs())
def test_a_price_list_survives_its_table(costs: Costs) -> None:
    assert Costs.from_table(costs.table()) == costs


@given(seed=SEEDS, cap=st.sampled_from([0.01, 0.1, 0.29]), impact=st.sampled_from([0.0, 0.3]), fractional=st.booleans())
def test_no_order_takes_more_than_its_part_of_the_sessions_volume(
    seed: int, cap: float, impact: float, fractional: bool
) -> None:
    panel = with_volumes(random_panel(seed, 15, 3), seed)
    weights = random_weights(seed, 15, 3, True, 0.1, 0.1)
    terms = Terms(costs=Costs(10, participation_cap=cap, impact=impact), fractional=fractional)
    result = run_targets("weights", weights, panel, terms)
    fills = result.trades.fills
    volume = panel.volume[fills["row"], fills["symbol"]]
    assert (np.abs(fills["quantity"]) <= cap * volume).all()
    assert (volume > 0).all()
    # Each fill that was cut says so, and belongs to the decision of the session before.
    cut = fills["reason"] & 2 > 0
    decision = fills["row"][cut] - 1
    assert ((result.outcome[decision, fills["symbol"][cut]] & PARTIAL) > 0).all()


@given(seed=SEEDS, timing=st.sampled_from(FillTiming))
def test_raw_prices_with_their_splits_give_the_equity_of_adjusted_prices(seed: int, timing: FillTiming) -> None:
    adjusted = random_panel(seed, 20, 3, cents=False)
    raw = as_raw(adjusted, seed, often=0.2, dividends=False)
    weights = random_weights(seed, 20, 3, False, 0.2, 0.2)
    terms = Terms(costs=Costs(0.0), timing=timing, fractional=True)
    one, other = (run_targets("weights", weights, panel, terms) for panel in (adjusted, raw))
    np.testing.assert_allclose(other.equity, one.equity, rtol=1e-9)
    np.testing.assert_allclose(other.cash, one.cash, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(other.target_weight, one.target_weight, rtol=1e-9)
    np.testing.assert_allclose(other.executed_weight, one.executed_weight, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(trailing_returns(raw), trailing_returns(adjusted), rtol=1e-9, atol=1e-12)


@given(seed=SEEDS)
def test_in_whole_shares_the_fraction_that_a_split_leaves_is_paid_at_the_close_before(seed: int) -> None:
    # Bought once and held: whatever else moves is a split.
    adjusted = random_panel(seed, 12, 3, holes=0.0)
    raw = as_raw(adjusted, seed, often=0.2, dividends=False)
    weights = np.full((12, 3), np.nan)
    weights[0] = 0.3
    result = run_targets("weights", weights, raw, Terms(costs=Costs(0.0)))
    assert np.array_equal(result.final_quantity, np.rint(result.final_quantity))
    flows = result.trades.flows
    before = raw.close[flows["row"] - 1, flows["symbol"]]
    paid = flows["amount"] > 0
    ratio = raw.split[flows["row"], flows["symbol"]]
    fraction = -flows["quantity_change"][paid]
    assert ((fraction > 0) & (fraction < 1)).all()
    np.testing.assert_allclose(flows["amount"][paid], (fraction * before[paid] / ratio[paid]), rtol=1e-9)


@given(seed=SEEDS, rate=st.floats(0.001, 0.2), idle=st.integers(2, 20))
def test_idle_cash_earns_each_calendar_day(seed: int, rate: float, idle: int) -> None:
    panel = random_panel(seed, idle, 1, holes=0.0)
    result = run_targets("weights", np.full((idle, 1), np.nan), panel, Terms(costs=Costs(cash_rate=rate)))
    days = np.diff(panel.sessions).astype(int)
    np.testing.assert_allclose(result.equity[1:], 1e6 * np.cumprod(1 + rate * days / 360), rtol=1e-12)
    np.testing.assert_allclose(result.trades.flows["amount"].sum(), result.equity[-1] - 1e6, rtol=1e-9)


@given(seed=SEEDS, holes=st.sampled_from([0.0, 0.1, 0.5]), raw=st.booleans(), first=st.integers(0, 40))
def test_the_volatility_before_a_session_is_that_of_pandas(seed: int, holes: float, raw: bool, first: int) -> None:
    panel = random_panel(seed, 45, 3, holes)
    panel = as_raw(panel, seed) if raw else panel
    close = pd.DataFrame(panel.close)
    back = close if panel.growth is None else close * panel.growth
    returns = back / close.shift(1) - 1
    expected = returns.rolling(VOLATILITY_WINDOW, min_periods=5).std().shift(1).fillna(UNKNOWN_VOLATILITY)
    found = trailing_volatility(panel, first, 44)
    # pandas carries its sums along, ours are fresh: both lose digits where the returns of a window are equal.
    np.testing.assert_allclose(found, expected.to_numpy()[first:], rtol=1e-7, atol=1e-9)


@settings(max_examples=20)
@given(seed=SEEDS, row=st.integers(0, 19), dividends=st.booleans())
def test_restated_prices_are_adjusted_prices_with_the_last_as_traded(seed: int, row: int, dividends: bool) -> None:
    panel = as_raw(random_panel(seed, 20, 3, holes=0.0), seed, 0.2, dividends)
    restated = panel.close[: row + 1] * restatement(panel.growth[: row + 1])
    np.testing.assert_array_equal(restated[-1], panel.close[row])
    np.testing.assert_allclose(
        restated[1:] / restated[:-1] - 1, trailing_returns(panel)[1 : row + 1], rtol=1e-9, atol=1e-12
    )
