"""What baselines read of the past: who is usable, what stands in for a missing close, what the market earned."""

from __future__ import annotations

import numpy as np
import pytest
from panels import market, run_strategy, with_cells

from engine.arrays import FloatArray
from engine.observation import Observation
from engine.panel import MarketPanel
from engine.policy import Decision, StatelessPolicy
from engine.rebalancer import Terms
from strategies.history import WeighedByPast, market_returns


class Seeing(WeighedByPast):
    """Equal weights of the usable symbols; keeps what it was shown."""

    def __init__(self, lookback_bars: int) -> None:
        super().__init__(lookback_bars)
        self.seen: list[tuple[tuple[str, ...], FloatArray]] = []

    def weigh(self, close: FloatArray, symbols: tuple[str, ...]) -> FloatArray:
        self.seen.append((symbols, close))
        return np.full(len(symbols), 1.0 / len(symbols))


class Market(StatelessPolicy):
    """Keeps the returns of the market."""

    def __init__(self, n_returns: int) -> None:
        self.lookback_bars = n_returns + 1
        self.seen: list[FloatArray | None] = []

    def decide(self, observation: Observation) -> Decision | None:
        self.seen.append(market_returns(observation, self.lookback_bars - 1))
        return None


def last_seen(panel: MarketPanel, lookback_bars: int) -> tuple[tuple[str, ...], FloatArray]:
    policy = Seeing(lookback_bars)
    run_strategy("policy", policy, panel, Terms())
    return policy.seen[-1]


def test_a_symbol_needs_a_bar_now_and_in_nine_tenths_of_the_look_back_and_a_price_that_moved() -> None:
    rows = [f"{10 + k} 10 {10 + k} {10 + k} {10 + k}" for k in range(10)]
    rows[0] = "10 10 - - 10"
    rows[1] = "11 10 11 - 11"
    rows[9] = "19 10 19 19 -"
    panel = market("FULL STILL LATE LATER GONE", *rows)
    assert last_seen(panel, 10)[0] == ("FULL", "LATE")


def test_no_decision_comes_before_the_look_back_is_there() -> None:
    panel = market("A B", *[f"{10 + k} {20 + k}" for k in range(12)])
    result = run_strategy("policy", Seeing(10), panel, Terms())
    assert result.decided.tolist() == [False] * 8 + [True] * 4


def test_a_missing_close_is_the_one_before_it_and_at_the_beginning_the_one_after() -> None:
    rows = [f"{10 + k} {20 + k}" for k in range(20)]
    rows[0], rows[7] = "- 20", "17 -"
    _, close = last_seen(market("A B", *rows), 20)
    assert close[:2, 0].tolist() == [11, 11]
    assert close[6:9, 1].tolist() == [26, 26, 28]


def test_the_market_earns_the_mean_of_those_that_have_a_bar_now_and_had_one_before() -> None:
    panel = market("A B C", "10 10 -", "11 10 -", "11 - 5", "11 12 6", "11 12 -")
    policy = Market(4)
    run_strategy("policy", policy, panel, Terms())
    assert policy.seen[:4] == [None] * 4
    assert policy.seen[4] == pytest.approx([0.05, 0.0, 0.4 / 3, 0.0])


def test_a_split_is_no_loss_of_the_market() -> None:
    panel = with_cells(market("A", "10", "10", "5", "5.5"), split={(2, 0): 2.0})
    policy = Market(3)
    run_strategy("policy", policy, panel, Terms())
    assert policy.seen[-1] == pytest.approx([0.0, 0.0, 0.1])
