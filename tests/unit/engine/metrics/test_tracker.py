"""The running risk equals the plain functions on the past, and survives a stop at any session."""

from __future__ import annotations

import json
import math
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from engine.metrics import (
    PortfolioRisk,
    RiskTracker,
    conditional_value_at_risk,
    drawdowns,
    max_drawdown,
    rolling_max_drawdown,
    rolling_volatility,
    simple_returns,
    value_at_risk,
    volatility,
)

CURVES = st.lists(st.floats(0.01, 1e7), min_size=1, max_size=60)


def random_curve(seed: int, n: int) -> list[float]:
    returns = np.random.default_rng(seed).normal(0.0004, 0.012, n)
    return [float(value) for value in 1e6 * np.cumprod(1.0 + returns)]


def plain_risk(history: list[float]) -> PortfolioRisk:
    equity = np.array(history)
    returns = simple_returns(equity)
    enough = len(returns) >= 20
    return PortfolioRisk(
        equity=history[-1],
        peak=max(history),
        drawdown=drawdowns(equity)[-1],
        volatility_30=volatility(returns[-30:]),
        drawdown_30=max_drawdown(equity[-31:]),
        value_at_risk_95=value_at_risk(returns[-252:], 0.95) if enough else math.nan,
        conditional_value_at_risk_95=conditional_value_at_risk(returns[-252:], 0.95) if enough else math.nan,
    )


def assert_equal(one: PortfolioRisk, other: PortfolioRisk) -> None:
    # Bit for bit, NaN equal to NaN: they are the same functions on the same numbers.
    np.testing.assert_array_equal(astuple(one), astuple(other))


def run(tracker: RiskTracker, curve: list[float]) -> list[PortfolioRisk]:
    return [tracker.update(equity) for equity in curve]


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(state, allow_nan=False))


@given(curve=CURVES)
@settings(deadline=None)
def test_each_session_equals_the_plain_functions_on_the_past(curve: list[float]) -> None:
    for t, risk in enumerate(run(RiskTracker(), curve)):
        assert_equal(risk, plain_risk(curve[: t + 1]))


def test_windows_keep_moving_after_the_buffer_has_been_reused() -> None:
    # The buffer holds 2,024 equities, so that 4,500 sessions move the window back twice.
    curve = random_curve(0, 4500)
    risks = run(RiskTracker(), curve)
    checked = {*range(240, 260), *range(2015, 2035), *range(3790, 3810), 4499}
    for t in sorted(checked):
        assert_equal(risks[t], plain_risk(curve[: t + 1]))


def test_full_windows_equal_the_rolling_functions() -> None:
    curve = random_curve(1, 120)
    risks = run(RiskTracker(), curve)
    equity = np.array(curve)
    np.testing.assert_array_equal([risk.drawdown_30 for risk in risks[30:]], rolling_max_drawdown(equity, 30)[30:])
    np.testing.assert_array_equal(
        [risk.volatility_30 for risk in risks[30:]], rolling_volatility(simple_returns(equity), 30)[29:]
    )


def test_the_first_sessions_can_be_checked_by_hand() -> None:
    first, second, third = run(RiskTracker(), [100.0, 110.0, 99.0])
    assert (first.equity, first.peak, first.drawdown) == (100.0, 100.0, 0.0)
    assert np.isnan([first.volatility_30, first.drawdown_30, second.volatility_30]).all()
    assert (second.peak, second.drawdown, second.drawdown_30) == (110.0, 0.0, 0.0)
    # Rounding of one division; the deviation of +0.1 and -0.1 is 0.2 / sqrt 2.
    assert (third.drawdown, third.drawdown_30) == pytest.approx((0.1, 0.1), rel=1e-15)
    assert third.volatility_30 == pytest.approx(0.2 / math.sqrt(2), rel=1e-14)


def test_tail_losses_begin_with_the_twentieth_return() -> None:
    risks = run(RiskTracker(), random_curve(2, 21))
    assert np.isnan([risks[19].value_at_risk_95, risks[19].conditional_value_at_risk_95]).all()
    assert risks[20].conditional_value_at_risk_95 >= risks[20].value_at_risk_95


def test_an_old_peak_counts_in_the_drawdown_and_not_in_the_short_one() -> None:
    risk = run(RiskTracker(), [200.0] + [100.0] * 300)[-1]
    assert (risk.peak, risk.drawdown, risk.drawdown_30) == (200.0, 0.5, 0.0)


def test_before_the_first_session_nothing_is_known() -> None:
    assert np.isnan(astuple(RiskTracker().current)).all()


def test_current_is_the_last_update() -> None:
    tracker = RiskTracker()
    assert tracker.update(5.0) is tracker.current


@given(curve=CURVES, data=st.data())
@settings(deadline=None)
def test_a_stop_and_restore_at_any_session_changes_nothing(curve: list[float], data: st.DataObject) -> None:
    stop = data.draw(st.integers(0, len(curve)))
    before, after = RiskTracker(), RiskTracker()
    run(before, curve[:stop])
    after.restore(through_json(before.state()))
    assert_equal(after.current, before.current)
    for one, other in zip(run(before, curve[stop:]), run(after, curve[stop:]), strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("stop", [0, 1, 31, 253, 254, 2024, 2025, 2500])
def test_a_stop_and_restore_over_full_windows_changes_nothing(stop: int) -> None:
    curve = random_curve(3, 2600)
    whole = run(RiskTracker(), curve)
    before, after = RiskTracker(), RiskTracker()
    run(before, curve[:stop])
    after.restore(through_json(before.state()))
    for one, other in zip(whole[stop:], run(after, curve[stop:]), strict=True):
        assert_equal(one, other)


def test_the_state_survives_json_exactly_and_stays_small() -> None:
    tracker = RiskTracker()
    assert through_json(tracker.state()) == tracker.state() == {"peak": None, "equity": []}
    run(tracker, random_curve(4, 3000))
    assert through_json(tracker.state()) == tracker.state()
    assert len(tracker.state()["equity"]) == 253


def test_restore_forgets_the_tracker_s_own_past() -> None:
    tracker = RiskTracker()
    run(tracker, random_curve(5, 100))
    tracker.restore(RiskTracker().state())
    assert_equal(tracker.update(7.0), plain_risk([7.0]))


@pytest.mark.parametrize("equity", [math.nan, math.inf, -math.inf])
def test_an_equity_that_is_not_finite_is_refused_and_leaves_no_trace(equity: float) -> None:
    tracker = RiskTracker()
    run(tracker, [100.0, 101.0])
    before = tracker.state()
    with pytest.raises(InputError, match="equity must be finite"):
        tracker.update(equity)
    assert tracker.state() == before
    assert_equal(tracker.current, plain_risk([100.0, 101.0]))


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"peak": 1.0},
        {"peak": 1.0, "equity": [1.0], "more": 0},
        {"peak": "high", "equity": [1.0]},
        {"peak": None, "equity": [1.0]},
        {"peak": 1.0, "equity": [2.0]},
        {"peak": 1.0, "equity": [math.nan]},
        {"peak": 1.0, "equity": [[1.0]]},
        {"peak": 1.0, "equity": [1.0] * 254},
        {"peak": 1.0, "equity": None},
    ],
)
def test_a_state_that_no_tracker_wrote_is_refused(state: dict[str, Any]) -> None:
    tracker = RiskTracker()
    tracker.update(3.0)
    with pytest.raises(InputError, match="risk tracker"):
        tracker.restore(state)
    assert_equal(tracker.current, plain_risk([3.0]))
