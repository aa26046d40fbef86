"""What holds for every baseline, whatever the bars: a portfolio, whatever the order, and of the look-back alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import SEEDS, as_raw, random_panel, run_strategy

from engine.observation import Observation
from engine.panel import MarketPanel
from engine.policy import Decision, Policy, StatelessPolicy
from engine.rebalancer import Terms
from strategies.baselines import ConstantExposure, EqualWeight, InverseVolatility, Momentum
from strategies.optimised import HierarchicalRiskParity, MeanVariance, MinVariance, RiskParity
from strategies.timing import DipRule, TrendFilter, VolatilityTarget

Make = Callable[[], Policy]

SIMPLE: dict[str, Make] = {
    "equal_weight": EqualWeight,
    "constant_exposure": lambda: ConstantExposure(0.7),
    "inverse_volatility": lambda: InverseVolatility(20),
    "momentum": lambda: Momentum(2, 20, 5),
    "vol_target": lambda: VolatilityTarget(n_returns=10),
    "dip_rule": lambda: DipRule(6, 15),
    "trend_filter": lambda: TrendFilter(20),
}
SOLVED: dict[str, Make] = {
    "min_variance": lambda: MinVariance(20),
    "mean_variance": lambda: MeanVariance(20, cap=0.7),
    "risk_parity": lambda: RiskParity(20),
    "hrp": lambda: HierarchicalRiskParity(20),
}


class Watch(StatelessPolicy):
    """Keeps what it is shown."""

    def decide(self, observation: Observation) -> Decision | None:
        self.seen = observation
        return None


def decision_at(make: Make, panel: MarketPanel, row: int) -> Decision | None:
    """Return what a policy says at the close of a row, before anything else looks at it."""
    watch = Watch()
    run_strategy("policy", watch, panel, Terms(), row, row)
    return make().decide(watch.seen)


def check(make: Make, panel: MarketPanel, row: int, order: list[int]) -> None:
    panel = panel.select(panel.symbols)  # without sessions in which nobody has a bar, as selected ones are
    row = min(row, len(panel) - 1)
    decision = decision_at(make, panel, row)
    shuffled = decision_at(make, panel.select([panel.symbols[i] for i in order]), row)
    needed = panel.rows(row + 1 - min(row + 1, make().lookback_bars), row + 1)
    short = decision_at(make, needed, len(needed) - 1)
    if decision is None:
        assert shuffled is None
        assert short is None
        return
    assert shuffled is not None
    assert short is not None
    weights = decision.weights
    assert (weights >= 0).all()
    assert weights.sum() <= 1 + 1e-12
    assert not weights[panel.missing[row]].any()
    # Solvers stop at about 1e-8 of the objective, which leaves 1e-4 of a weight where the optimum is flat.
    np.testing.assert_allclose(shuffled.weights, weights[order], atol=1e-12 if make in SIMPLE.values() else 1e-3)
    np.testing.assert_array_equal(short.weights, weights)


@pytest.mark.parametrize("name", SIMPLE)
@settings(max_examples=25)
@given(
    seed=SEEDS,
    row=st.integers(0, 39),
    order=st.permutations(range(4)),
    holes=st.sampled_from([0, 0.02]),
    raw=st.booleans(),
)
def test_a_baseline_asks_for_a_portfolio_of_its_look_back_in_whatever_order_symbols_come(
    name: str, seed: int, row: int, order: list[int], holes: float, raw: bool
) -> None:
    panel = random_panel(seed, 40, 4, holes)
    check(SIMPLE[name], as_raw(panel, seed) if raw else panel, row, order)


@pytest.mark.parametrize("name", SOLVED)
@settings(max_examples=12)
@given(seed=SEEDS, row=st.integers(19, 39), order=st.permutations(range(4)), holes=st.sampled_from([0, 0.02]))
def test_an_optimiser_asks_for_a_portfolio_of_its_look_back_in_whatever_order_symbols_come(
    name: str, seed: int, row: int, order: list[int], holes: float
) -> None:
    check(SOLVED[name], random_panel(seed, 40, 4, holes), row, order)


@pytest.mark.parametrize("name", SIMPLE | SOLVED)
def test_a_late_starter_waits_for_its_history_and_does_not_move_the_others(name: str) -> None:
    panel = random_panel(3, 40, 4, holes=0.0)
    bars = {field: getattr(panel, field).copy() for field in ("open", "high", "low", "close", "volume")}
    for values in bars.values():
        values[:30, 2] = np.nan
    late = MarketPanel(panel.sessions, panel.symbols, **bars)
    make = (SIMPLE | SOLVED)[name]
    with_late, without = decision_at(make, late, 39), decision_at(make, late.select(["S0", "S1", "S3"]), 39)
    assert with_late is not None
    assert without is not None
    if name in ("equal_weight", "constant_exposure", "vol_target", "dip_rule", "trend_filter"):
        assert with_late.weights[2] == with_late.weights[0]  # held from its first bar on
    else:
        assert with_late.weights[2] == 0.0
        np.testing.assert_array_equal(with_late.weights[[0, 1, 3]], without.weights)


@pytest.mark.parametrize("name", SIMPLE | SOLVED)
def test_where_nothing_is_usable_there_is_no_decision(name: str) -> None:
    panel = random_panel(3, 10, 4, holes=0.0)
    decision = decision_at((SIMPLE | SOLVED)[name], panel, 8)
    assert (decision is None) == (name not in ("equal_weight", "constant_exposure"))
