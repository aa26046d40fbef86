"""On random markets: three engines and an oracle agree, and money is neither made nor lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Oracle
from panels import (
    ENGINES,
    SEEDS,
    Case,
    assert_same_run,
    cases,
    random_panel,
    random_weights,
    run_strategy,
    run_targets,
)

from engine.arrays import FloatArray
from engine.costs import Costs
from engine.ledger import FillTiming
from engine.limits import WEIGHT_TOLERANCE, Limits
from engine.rebalancer import Schedule, Terms
from engine.result import Result
from strategies.baselines import BuyAndHold, EqualWeight


def run(case: Case) -> Result:
    return run_targets("weights", case.weights, case.panel, case.terms)


def run_oracle(case: Case) -> Oracle:
    terms = case.terms
    oracle = Oracle(
        terms.cash, terms.costs.commission_bps, terms.costs.slippage_bps, terms.timing.name.lower(), terms.fractional
    )
    return oracle.run(case.panel.open.tolist(), case.panel.close.tolist(), case.weights.tolist())


def positions(rows: list[int], symbols: list[int], quantities: list[float], shape: tuple[int, int]) -> FloatArray:
    """(T, N) shares held after the fills dated up to each session."""
    traded = np.zeros(shape)
    np.add.at(traded, (rows, symbols), quantities)
    return np.cumsum(traded, axis=0)


@given(case=cases())
def test_known_weights_a_policy_and_cerebro_give_the_same_run_bit_for_bit(case: Case) -> None:
    known, policy, cerebro = (run_targets(engine, case.weights, case.panel, case.terms) for engine in ENGINES)
    assert_same_run(known, policy)
    assert_same_run(known, cerebro)


@given(case=cases(), cap=st.floats(0.05, 1), buffer=st.floats(0, 0.5))
def test_the_engines_agree_under_limits_too(case: Case, cap: float, buffer: float) -> None:
    terms = Terms(case.terms.cash, case.terms.costs, Limits(cap, buffer), case.terms.timing, case.terms.fractional)
    known, policy, cerebro = (run_targets(engine, case.weights, case.panel, terms) for engine in ENGINES)
    assert_same_run(known, policy)
    assert_same_run(known, cerebro)


@given(case=cases(), schedule=st.sampled_from(Schedule), hold=st.booleans(), data=st.data())
def test_the_engines_agree_on_baselines_schedules_and_windows(
    case: Case, schedule: Schedule, hold: bool, data: st.DataObject
) -> None:
    last = data.draw(st.integers(0, len(case.panel) - 1))
    first = data.draw(st.integers(0, last))
    results = [
        run_strategy(engine, (BuyAndHold if hold else EqualWeight)(), case.panel, case.terms, first, last, schedule)
        for engine in ENGINES[1:]
    ]
    assert_same_run(*results)


@given(case=cases(fractional=False))
def test_every_whole_share_of_the_oracle_is_traded(case: Case) -> None:
    result, oracle = run(case), run_oracle(case)
    fills = result.trades.fills
    assert fills[["row", "symbol", "quantity"]].tolist() == [fill[:3] for fill in oracle.fills]
    # 1e-9: what DESIGN grants the order of additions.
    np.testing.assert_allclose(fills["price"], [fill.price for fill in oracle.fills], rtol=1e-9)
    np.testing.assert_allclose(result.equity, oracle.equity_rows, rtol=1e-9)
    np.testing.assert_allclose(result.cash, oracle.cash_rows, rtol=1e-9, atol=1e-9 * case.terms.cash)


@given(case=cases(fractional=True))
def test_fractional_positions_follow_the_oracle(case: Case) -> None:
    result, oracle = run(case), run_oracle(case)
    fills = result.trades.fills
    shape = case.weights.shape
    ours = positions(fills["row"].tolist(), fills["symbol"].tolist(), fills["quantity"].tolist(), shape)
    theirs = positions(
        [fill.row for fill in oracle.fills],
        [fill.symbol for fill in oracle.fills],
        [fill.quantity for fill in oracle.fills],
        shape,
    )
    # Rounding may make one side trade a dust of 1e-13 shares; positions cannot tell.
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(result.equity, oracle.equity_rows, rtol=1e-9)


@given(case=cases())
def test_the_trades_table_and_the_bars_alone_rebuild_cash_and_equity(case: Case) -> None:
    result, panel = run(case), case.panel
    table = result.trades.table()
    names = np.datetime_as_string(panel.sessions, unit="D")
    marks = pd.DataFrame(panel.close).ffill().to_numpy()
    # A fill at the close of session t itself is in the account from the next row on.
    late = 1 if case.terms.timing is FillTiming.SAME_CLOSE else 0
    held, cash = np.zeros(panel.n_symbols), case.terms.cash
    for t in range(len(panel)):
        for fill in table[table["session"] == names[t - late]].itertuples() if t >= late else ():
            held[panel.symbols.index(fill.symbol)] = fill.position_after
            cash = fill.cash_after
        assert result.cash[t] == cash
        value = cash + np.nansum(held * marks[t])
        # Only the order of at most six additions differs.
        assert result.equity[t] == pytest.approx(value, rel=1e-12)


@given(case=cases())
def test_each_fill_moves_cash_by_its_notional_and_commission_and_nothing_else(case: Case) -> None:
    cash = case.terms.cash
    held = dict.fromkeys(case.panel.symbols, 0.0)
    for fill in run(case).trades.table().itertuples():
        sign = 1 if fill.side == "buy" else -1
        assert fill.quantity > 0
        assert fill.cash_after == cash - sign * fill.quantity * fill.price - fill.commission
        assert fill.position_after == held[fill.symbol] + sign * fill.quantity
        cash, held[fill.symbol] = fill.cash_after, fill.position_after


@given(case=cases(full=True))
def test_cash_and_positions_are_never_negative_though_all_of_the_equity_is_invested(case: Case) -> None:
    result = run(case)
    assert (result.cash >= 0).all()
    assert (result.trades.fills["cash_after"] >= 0).all()
    assert (result.trades.fills["position_after"] >= 0).all()


@given(seed=SEEDS, gap=st.floats(1.0, 1.4), bps=st.floats(0, 100), fractional=st.booleans())
def test_cash_is_never_negative_when_every_open_is_above_the_close_before(
    seed: int, gap: float, bps: float, fractional: bool
) -> None:
    rng = np.random.default_rng(seed)
    n_rows, n = 15, 4
    close = np.round(20 * np.cumprod(np.full((n_rows, n), gap) * rng.uniform(0.95, 1.05, (n_rows, n)), axis=0), 2)
    panel = random_panel(seed, n_rows, n, holes=0.0)
    panel = type(panel)(panel.sessions, panel.symbols, close, close, close, close, panel.volume)
    weights = random_weights(seed, n_rows, n, full=True, keeps=0.0, idle=0.0)
    result = run_targets("weights", weights, panel, Terms(10_000.0, Costs(bps, bps), fractional=fractional))
    assert (result.cash >= 0).all()
    assert (result.trades.fills["cash_after"] >= 0).all()


@given(case=cases(fractional=False))
def test_without_fractions_every_share_is_whole(case: Case) -> None:
    fills = run(case).trades.fills
    for name in ("quantity", "position_after"):
        assert np.array_equal(fills[name], np.rint(fills[name]))


@given(case=cases())
def test_final_equity_is_the_initial_cash_plus_the_pnl_of_all_round_trips(case: Case) -> None:
    result = run(case)
    pnl = result.round_trip_table()["pnl"].sum()
    # 1e-9 of the money that went through: each lot's pnl is rounded on its own.
    scale = case.terms.cash + np.abs(result.traded).sum()
    assert result.equity[-1] == pytest.approx(case.terms.cash + pnl, abs=1e-9 * scale)


@given(case=cases())
def test_open_lots_are_the_shares_held_at_the_end(case: Case) -> None:
    result = run(case)
    trips = result.round_trip_table()
    still = trips[trips["exit_session"] == ""].groupby("symbol")["quantity"].sum()
    for symbol, quantity in zip(result.symbols, result.final_quantity, strict=True):
        assert still.get(symbol, 0.0) == pytest.approx(quantity, rel=1e-9, abs=1e-9)
        if quantity == 0.0:
            assert symbol not in still


@given(case=cases())
def test_costs_are_the_sum_over_fills_of_what_the_rates_say(case: Case) -> None:
    result = run(case)
    table = result.trades.table()
    reference = np.where(
        table["side"] == "buy",
        table["price"] / (1 + case.terms.costs.slippage_bps / 10_000),
        table["price"] / (1 - case.terms.costs.slippage_bps / 10_000),
    )
    np.testing.assert_allclose(table["commission"], table["notional"] * case.terms.costs.commission_bps / 10_000)
    slipped = table["quantity"] * np.abs(table["price"] - reference)
    np.testing.assert_allclose(table["slippage"], slipped, rtol=1e-9, atol=1e-6)


@given(case=cases(), cap=st.floats(0.05, 1), buffer=st.floats(0, 0.5))
def test_cap_and_buffer_hold_at_every_decision(case: Case, cap: float, buffer: float) -> None:
    # The same weights doubled: far outside the limits.
    weights = case.weights * 2
    terms = Terms(case.terms.cash, case.terms.costs, Limits(cap, buffer), case.terms.timing, case.terms.fractional)
    result = run_targets("weights", weights, case.panel, terms)
    assert not (result.target_weight > cap).any()
    assert not (result.target_weight < 0).any()
    fresh = ~np.isnan(result.target_weight).any(axis=1)
    # Without kept shares the sum is exact up to the order of additions.
    assert (result.target_weight[fresh].sum(axis=1) <= 1 - buffer + WEIGHT_TOLERANCE).all()
