"""On random markets: three engines and an oracle agree, and money is neither made nor lost."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Oracle, OracleBars, OracleCosts, OracleFlow
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
from engine.ledger import FillTiming, Flow, Reason, RecordArray
from engine.limits import WEIGHT_TOLERANCE, Limits
from engine.panel import ACTIONS
from engine.rebalancer import Schedule, Terms
from engine.result import Result
from strategies.baselines import BuyAndHold, EqualWeight
from strategies.weights_file import WeightsPolicy


def run(case: Case) -> Result:
    return run_targets("weights", case.weights, case.panel, case.terms)


def run_oracle(case: Case, schedule: str = "daily", first: int = 0, last: int | None = None) -> Oracle:
    terms, panel = case.terms, case.panel
    bars = OracleBars(
        panel.sessions.tolist(),
        *(getattr(panel, name).tolist() for name in ("open", "close", "volume")),
        *(getattr(panel, name).tolist() for name in ACTIONS if panel.has_actions),
    )
    oracle = Oracle(
        terms.cash,
        OracleCosts(**asdict(terms.costs)),
        terms.timing.name.lower(),
        terms.fractional,
        None if terms.limits is None else (terms.limits.cap, terms.limits.cash_buffer),
        schedule,
    )
    return oracle.run(bars, case.weights.tolist(), first, last)


REASONS = {
    "": Reason.REBALANCE,
    "shrunk": Reason.SHRUNK,
    "partial": Reason.PARTIAL,
    "partial shrunk": Reason.SHRUNK_PARTIAL,
}


def check_against_oracle(result: Result, oracle: Oracle) -> None:
    """Compare a run in whole shares with the oracle's: fills and flows one by one, money to 1e-9."""
    fills, flows, money = result.trades.fills, result.trades.flows, result.terms.cash
    assert fills[["row", "symbol", "quantity"]].tolist() == [fill[:3] for fill in oracle.fills]
    assert fills["reason"].tolist() == [REASONS[fill.reason] for fill in oracle.fills]
    # 1e-9: what DESIGN grants the order of additions.
    for name in ("price", "commission", "cash_after"):
        values = [getattr(fill, name) for fill in oracle.fills]
        np.testing.assert_allclose(fills[name], values, rtol=1e-9, atol=1e-12 * money, err_msg=name)
    check_flows(flows, oracle.flows, money)
    np.testing.assert_allclose(result.equity, oracle.equity_rows, rtol=1e-9)
    np.testing.assert_allclose(result.cash, oracle.cash_rows, rtol=1e-9, atol=1e-9 * money)
    np.testing.assert_allclose(result.target_weight, oracle.target_rows, rtol=1e-9)


def check_flows(flows: RecordArray, expected: list[OracleFlow], money: float) -> None:
    """Compare flows; the order inside a session is nobody's business, nor is interest on a cent's billionth."""
    named = [OracleFlow(row, Flow(kind).name.lower(), i, *rest) for row, i, kind, *rest in flows.tolist()]
    ours, theirs = (
        sorted(flow for flow in found if abs(flow.amount) > 1e-12 * money or flow.quantity_change)
        for found in (named, expected)
    )
    assert [flow[:3] for flow in ours] == [flow[:3] for flow in theirs]
    np.testing.assert_allclose([f[3:] for f in ours], [f[3:] for f in theirs], rtol=1e-9, atol=1e-12 * money)


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


@settings(max_examples=120)
@given(case=cases(fractional=False))
def test_every_whole_share_of_the_oracle_is_traded(case: Case) -> None:
    check_against_oracle(run(case), run_oracle(case))


@pytest.mark.parametrize("engine", ENGINES)
@given(case=cases(fractional=False), cap=st.floats(0.05, 1), buffer=st.floats(0, 0.5), data=st.data())
def test_every_engine_follows_the_oracle_under_limits_and_in_windows(
    engine: str, case: Case, cap: float, buffer: float, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(case.panel) - 1))
    last = data.draw(st.integers(first, len(case.panel) - 1))
    case = Case(case.panel, case.weights * 2 - 0.1, replace(case.terms, limits=Limits(cap, buffer)))
    result = run_targets(engine, case.weights, case.panel, case.terms, first, last)
    check_against_oracle(result, run_oracle(case, "daily", first, last))


@pytest.mark.parametrize("engine", ENGINES[1:])
@settings(max_examples=20)
@given(case=cases(fractional=False), schedule=st.sampled_from([Schedule.WEEKLY, Schedule.MONTHLY]))
def test_schedules_follow_the_oracle(engine: str, case: Case, schedule: Schedule) -> None:
    policy = WeightsPolicy(case.panel.sessions, case.weights)
    result = run_strategy(engine, policy, case.panel, case.terms, schedule=schedule)
    check_against_oracle(result, run_oracle(case, str(schedule)))


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
    check_flows(result.trades.flows, oracle.flows, case.terms.cash)
    np.testing.assert_allclose(result.equity, oracle.equity_rows, rtol=1e-9)


@given(case=cases())
def test_the_two_tables_and_the_bars_alone_rebuild_cash_positions_and_equity(case: Case) -> None:
    result, panel = run(case), case.panel
    names = np.datetime_as_string(panel.sessions, unit="D")
    trades, flows = result.trades.table(), result.cash_flow_table()
    marks = pd.DataFrame(panel.close).ffill().to_numpy()
    same_close = case.terms.timing is FillTiming.SAME_CLOSE
    held, cash = dict.fromkeys((*panel.symbols, ""), 0.0), case.terms.cash
    for t, name in enumerate(names):
        # A fill at the close of session t itself is in the account from the next row on.
        before = trades[trades["session"] == names[t - 1]] if same_close and t else trades[:0]
        events = [before, flows[flows["session"] == name]]
        events += [] if same_close else [trades[trades["session"] == name]]
        for event in (row for table in events for row in table.itertuples()):
            if hasattr(event, "kind"):
                cash += event.amount
                held[event.symbol] += event.quantity_change
                continue
            sign = 1 if event.side == "buy" else -1
            cash = cash - sign * event.quantity * event.price - event.commission
            held[event.symbol] += sign * event.quantity
            assert event.quantity > 0
            assert event.cash_after == cash
            # A change of shares is the difference of two numbers: it may be an ulp off.
            assert event.position_after == pytest.approx(held[event.symbol], rel=1e-12, abs=1e-12)
        assert result.cash[t] == cash
        shares = np.array([held[symbol] for symbol in panel.symbols])
        # Only the order of at most six additions differs.
        assert result.equity[t] == pytest.approx(cash + np.nansum(shares * marks[t]), rel=1e-9)


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


@settings(max_examples=100)
@given(case=cases())
def test_final_equity_is_the_initial_cash_plus_the_pnl_of_all_round_trips_plus_all_cash_flows(case: Case) -> None:
    result = run(case)
    gained = result.round_trip_table()["pnl"].sum() + result.trades.flows["amount"].sum()
    # 1e-9 of the money that went through: each lot's pnl is rounded on its own.
    scale = case.terms.cash + np.abs(result.traded).sum()
    assert result.equity[-1] == pytest.approx(case.terms.cash + gained, abs=1e-9 * scale)


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
def test_a_fill_is_worse_than_its_reference_price_and_says_by_how_much(case: Case) -> None:
    fills = run(case).trades.fills
    prices = case.panel.open if case.terms.timing is FillTiming.NEXT_OPEN else case.panel.close
    reference = prices[fills["row"], fills["symbol"]]
    worse = (fills["price"] - reference) * np.sign(fills["quantity"])
    assert (worse >= 0).all()
    assert (worse <= 0.5 * reference * (1 + 1e-12)).all()
    np.testing.assert_allclose(fills["slippage"], np.abs(fills["quantity"]) * worse, rtol=1e-9)
    assert (fills["commission"] >= 0).all()


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
