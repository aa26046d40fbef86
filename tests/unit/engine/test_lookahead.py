"""The check finds every way to know the future that it can, names what moved first, and lets the honest pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ordinary import RandomOrders
from panels import SEEDS, as_raw, market, random_panel, with_volumes

from engine.costs import Costs
from engine.errors import InputError
from engine.ledger import FillTiming
from engine.limits import Limits
from engine.lookahead import CHANGES, Report, changed_after, spread_rows
from engine.observation import Observation
from engine.panel import MarketPanel
from engine.policy import Decision, StatelessPolicy
from engine.rebalancer import Schedule, Terms
from engine.trace import Difference, Trace, first_difference
from marsfolio.plans import AnyPlan, OrderPlan, Plan, check_plan
from strategies.baselines import BuyAndHold, EqualWeight
from strategies.loader import OwnStrategy
from strategies.portfolio import NoPolicy, PortfolioStrategy

PANEL = random_panel(5, 60, 3, holes=0.0)
TERMS = Terms(100_000.0, Costs(10))


def policy_plan(make: Callable[[MarketPanel], Any], panel: MarketPanel = PANEL, first: int = 5, **kwargs: Any) -> Plan:
    """Return the backtest of what a function makes of the panel it runs on."""
    own = OwnStrategy("mine.py:make", __file__, "", make)  # type: ignore[arg-type]
    terms, schedule = kwargs.get("terms", TERMS), kwargs.get("schedule", Schedule.DAILY)
    last = len(panel) - 2
    return Plan(panel, partial(make, panel), PortfolioStrategy, terms, first, last, schedule, own=own)


def order_plan(strategy: type[bt.Strategy], panel: MarketPanel = PANEL, first: int = 5, **kwargs: Any) -> OrderPlan:
    terms, params = kwargs.get("terms", TERMS), kwargs.get("params", {})
    return OrderPlan(panel, strategy, params, terms, first, len(panel) - 2)


def check(plan: AnyPlan, dates: int = 8, seed: int = 0) -> Report:
    return check_plan(plan, dates, seed)


@dataclass
class Peek(StatelessPolicy):
    """Buys what closes highest some sessions later, read from the panel behind the observation's back."""

    panel: MarketPanel
    ahead: int = 1

    def decide(self, observation: Observation) -> Decision | None:
        row = int(np.searchsorted(self.panel.sessions, observation.session))
        gain = self.panel.close[min(row + self.ahead, len(self.panel) - 1)] / self.panel.close[row]
        return Decision(np.eye(self.panel.n_symbols)[np.argmax(np.nan_to_num(gain))])


@dataclass
class Normalised(StatelessPolicy):
    """Compares a symbol's close with the mean of its closes over the whole panel, later ones included."""

    panel: MarketPanel

    def decide(self, observation: Observation) -> Decision | None:
        close = observation.window("close", 1)[-1]
        cheap = np.nan_to_num(close) < np.nanmean(self.panel.close, axis=0)
        return Decision(cheap / max(cheap.sum(), 1))


@dataclass
class Unseeded(StatelessPolicy):
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def decide(self, observation: Observation) -> Decision | None:
        return Decision(self.rng.dirichlet(np.ones(len(observation.symbols))))


class Momentum(StatelessPolicy):
    lookback_bars = 5

    def decide(self, observation: Observation) -> Decision | None:
        close = observation.window("close", 5)
        score = np.where(observation.tradable, np.nan_to_num(close[-1] / close[0]), 0.0)
        return Decision(score / score.sum()) if score.sum() > 0 else None


class Tomorrow(bt.Strategy):
    """Reads the next bar of its feed, which is there because feeds are loaded beforehand."""

    def next(self) -> None:
        for data in self.datas:
            self.order_target_size(data, target=10 if data.close[1] > data.close[0] else 0)


class Shifted(bt.Strategy):
    """Compares a close with the average of three, of which one is still to come."""

    def __init__(self) -> None:
        self.centred = {data: bt.ind.SMA(data.close, period=3)(1) for data in self.datas}

    def next(self) -> None:
        for data in self.datas:
            self.order_target_size(data, target=10 if self.centred[data][0] > data.close[0] else 0)


class Preloaded(bt.Indicator):
    """An indicator that is right bar by bar, and knows the highest close of all when computed in one go."""

    lines = ("highest",)

    def next(self) -> None:
        self.lines.highest[0] = max(self.data.get(size=len(self)))

    def once(self, start: int, end: int) -> None:
        highest = np.nanmax(self.data.array)
        for i in range(start, end):
            self.lines.highest.array[i] = highest


class NearTheTop(bt.Strategy):
    def __init__(self) -> None:
        self.top = {data: Preloaded(data.close) for data in self.datas}

    def next(self) -> None:
        for data in self.datas:
            self.order_target_size(data, target=10 if data.close[0] > 0.9 * self.top[data][0] else 0)


class Crossover(bt.Strategy):
    def __init__(self) -> None:
        fast, slow = (lambda data, n=n: bt.ind.SMA(data, period=n) for n in (2, 6))
        self.cross = {data: bt.ind.CrossOver(fast(data), slow(data)) for data in self.datas}

    def next(self) -> None:
        for data, cross in self.cross.items():
            if cross[0]:
                self.order_target_percent(data, target=0.3 if cross[0] > 0 else 0.0)


class LastDay(bt.Strategy):
    """Sells when the data end, which nobody can know."""

    def next(self) -> None:
        if len(self.data) == self.data.buflen():
            self.close()
        elif not self.position:
            self.buy(size=10)


class Deciding(PortfolioStrategy):
    def decide(self, observation: Observation) -> Decision | None:
        return Momentum().decide(observation)


CHEATS: dict[str, AnyPlan] = {
    "peek": policy_plan(Peek),
    "peek far": policy_plan(partial(Peek, ahead=15)),
    "whole-sample mean": policy_plan(Normalised),
    "next bar": order_plan(Tomorrow),
    "negative shift": order_plan(Shifted),
    "computed in one go": order_plan(NearTheTop),
    "the end of the data": order_plan(LastDay),
}
HONEST: dict[str, AnyPlan] = {
    "momentum": policy_plan(lambda _: Momentum()),
    "equal weight": Plan(PANEL, EqualWeight, PortfolioStrategy, TERMS, 5, 58, Schedule.WEEKLY),
    "buy and hold": Plan(PANEL, BuyAndHold, PortfolioStrategy, TERMS, 5, 58),
    "own decision": Plan(PANEL, NoPolicy, Deciding, replace(TERMS, limits=Limits(0.4, 0.05)), 5, 58),
    "crossover": order_plan(Crossover),
    "random orders": order_plan(RandomOrders),
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_strategy_that_knows_the_future_is_found(name: str) -> None:
    report = check(CHEATS[name])
    assert report.unrepeatable is None
    assert report.finding is not None
    assert report.finding.when <= report.finding.session
    assert report.finding.difference.what in ("decision", "order")


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_strategy_is_clean_and_the_cost_is_stated(name: str) -> None:
    plan = HONEST[name]
    report = check(plan)
    assert report.finding is None
    assert report.unrepeatable is None
    assert report.compared > 0
    assert len(report.dates) == 8
    assert report.runs == 2 + 2 * 8
    days = np.searchsorted(PANEL.sessions, report.dates) - 5 + 1
    assert report.sessions == 2 * 54 + 2 * days.sum()


def test_the_first_decision_that_moved_is_told_with_symbol_values_and_changes() -> None:
    report = check(policy_plan(Peek), dates=54)
    assert report.finding is not None
    finding = report.finding
    first = PANEL.sessions[5]
    assert (finding.session, finding.when) == (first, first)
    best = int(np.argmax(PANEL.close[6] / PANEL.close[5]))
    assert finding.difference.what == "decision"
    moved = PANEL.symbols.index(finding.difference.symbol)
    assert finding.difference.was == ("1.0" if moved == best else "0.0")
    assert finding.difference.became == ("0.0" if moved == best else "1.0")
    assert finding.changes
    assert set(finding.changes) <= set(CHANGES)


def test_a_strategy_that_draws_at_random_is_not_repeatable_and_not_checked_further() -> None:
    report = check(policy_plan(lambda _: Unseeded()))
    assert report.unrepeatable is not None
    assert report.finding is None
    assert report.runs == 2
    difference, session = report.unrepeatable
    assert (difference.what, session) == ("decision", PANEL.sessions[5])


def test_a_strategy_that_fails_without_its_future_has_relied_on_it() -> None:
    class Greedy(Peek):
        def decide(self, observation: Observation) -> Decision | None:
            row = int(np.searchsorted(self.panel.sessions, observation.session))
            _ = self.panel.close[row + 1]
            return Decision(np.full(3, 0.3))

    finding = check(policy_plan(Greedy)).finding
    assert finding is not None
    assert finding.difference.what == "run"
    assert finding.difference.became.startswith("an error: make raised IndexError: index")
    assert finding.changes == ("cut",)


def test_of_what_the_two_futures_move_the_earlier_decision_is_told() -> None:
    class Both(Peek):
        """Cut off, it fails at the last close; changed, an earlier decision moves as well."""

        def decide(self, observation: Observation) -> Decision | None:
            row = int(np.searchsorted(self.panel.sessions, observation.session))
            weights = np.zeros(3)
            weights[0] = 1 / self.panel.close[min(row + 3, len(self.panel) - 1), 0] if row < len(self.panel) - 3 else 0
            _ = self.panel.close[row + 1]
            return Decision(weights)

    finding = check(policy_plan(Both), dates=3).finding
    assert finding is not None
    assert finding.difference.what == "decision"
    assert finding.when < finding.session


@pytest.mark.parametrize("timing", FillTiming)
@settings(max_examples=4)
@given(seed=SEEDS, holes=st.sampled_from([0.0, 0.2]))
def test_orders_on_raw_prices_with_all_costs_and_symbols_that_come_and_go_are_clean(
    timing: FillTiming, seed: int, holes: float
) -> None:
    panel = as_raw(with_volumes(random_panel(seed, 30, 3, holes), seed), seed)
    costs = Costs(5, 3, 0.01, 1.0, impact=0.1, participation_cap=0.05, cash_rate=0.02, margin_rate=0.05)
    terms = Terms(100_000.0, costs, None, timing)
    plan = order_plan(RandomOrders, panel, 3, terms=terms, params={"seed": seed})
    assert check(plan, dates=5, seed=seed).finding is None


def test_an_indicator_longer_than_what_is_left_of_a_symbol_is_no_finding() -> None:
    # C starts in the middle: cut before it has six bars, indicators are computed bar by bar.
    close = [f"{10 + row % 4} {20 + row % 3} {30 + row % 5 if row > 20 else '-'}" for row in range(40)]

    class Early(Crossover):
        def prenext(self) -> None:
            for data, cross in self.cross.items():
                if len(data) > 6 and cross[0]:
                    self.order_target_size(data, target=10 if cross[0] > 0 else 0)

        next = prenext

    report = check(order_plan(Early, market("A B C", *close)), dates=10)
    assert report.finding is None
    assert report.compared > 3
    assert report.runs > 2 + 2 * 10  # those bar by bar are compared with runs bar by bar


def test_dates_are_spread_over_the_run_and_repeat_by_their_seed() -> None:
    rows = spread_rows(10, 109, 10, seed=1)
    assert (rows // 10).tolist() == list(range(1, 11))
    np.testing.assert_array_equal(rows, spread_rows(10, 109, 10, seed=1))
    assert not np.array_equal(rows, spread_rows(10, 109, 10, seed=2))
    assert spread_rows(3, 5, 20, seed=0).tolist() == [3, 4, 5]


def test_a_run_with_nothing_after_it_cannot_be_checked() -> None:
    with pytest.raises(InputError, match="a check needs a session after the first"):
        check(replace(policy_plan(Peek), first=59, last=59))


def test_progress_ends_where_it_said_it_would() -> None:
    told: list[tuple[int, int]] = []
    check_plan(HONEST["momentum"], 4, 0, lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert len({total for _, total in told}) == 1


@given(seed=SEEDS, row=st.integers(0, 28), how=st.sampled_from(CHANGES))
def test_a_changed_future_leaves_the_past_and_is_another(seed: int, row: int, how: str) -> None:
    panel = as_raw(with_volumes(random_panel(seed, 30, 3, 0.1), seed), seed)
    other = changed_after(panel, row, how, seed)
    assert other.source == panel.source
    for name in ("open", "high", "low", "close", "volume", "split", "dividend"):
        np.testing.assert_array_equal(getattr(other, name)[: row + 1], getattr(panel, name)[: row + 1])
    if how == "cut":
        assert len(other) == row + 1
    elif row < 25:
        assert not np.array_equal(other.close, panel.close, equal_nan=True)


def test_what_differs_first_is_told_and_of_the_same_session_the_cause() -> None:
    plan = order_plan(RandomOrders)
    trace = plan.trace()
    assert first_difference(trace, plan.trace(), 53) is None
    order = trace.placed[7]
    row = order.row - 5
    other = replace(trace, placed=(*trace.placed[:7], order._replace(quantity=order.quantity + 1), *trace.placed[8:]))
    difference = first_difference(trace, other, 53)
    assert difference is not None
    assert (difference.row, difference.what, difference.symbol) == (row, "order", PANEL.symbols[order.symbol])
    assert difference.was.startswith(f"{order.kind} order for {order.quantity:+g} at {order.price!r}")
    assert first_difference(trace, other, row - 1) is None
    # One order more, in a session of its own, is told as one that was not.
    fewer = replace(trace, placed=trace.placed[:-1])
    missing = first_difference(trace, fewer, 53)
    assert missing is not None
    assert missing.became == "none"
    assert first_difference(fewer, trace, 53) == missing._replace(was="none", became=missing.was)


@pytest.mark.parametrize(
    ("field_name", "what", "lag"),
    [
        *(("equity", "equity", 0), ("cash", "cash", 0), ("traded", "traded", 0), ("decided", "rebalance", 0)),
        *(("executed_weight", "executed weight", 1), ("target_weight", "decision after limits", 0)),
    ],
)
def test_every_record_of_a_run_is_compared(field_name: str, what: str, lag: int) -> None:
    result = HONEST["momentum"].run()
    values = getattr(result, field_name).copy()
    values[20] = ~values[20] if values.dtype == bool else values[20] + 1e-9
    trace, other = Trace(result), Trace(replace(result, **{field_name: values}))
    difference = first_difference(trace, other, 20 + lag)
    assert difference is not None
    assert (difference.row, difference.what) == (20, what)
    assert first_difference(trace, other, 20 + lag - 1) is None


def test_fills_and_flows_are_compared_when_they_are_booked() -> None:
    for timing in (FillTiming.NEXT_OPEN, FillTiming.SAME_CLOSE):
        result = replace(HONEST["momentum"], terms=replace(TERMS, timing=timing)).run()
        fills = result.trades.fills.copy()
        k = int(np.flatnonzero(fills["row"] == 20)[0])
        fills["price"][k] += 1e-9
        other = replace(result, trades=replace(result.trades, fills=fills))
        known = 20 if timing is FillTiming.NEXT_OPEN else 21
        assert first_difference(Trace(result), Trace(other), known - 1) is None
        found = first_difference(Trace(result), Trace(other), known)
        assert found is not None
        assert (found.row, found.what) == (20, "fill")
    panel = as_raw(PANEL, 3)
    result = replace(HONEST["momentum"], panel=panel, make_policy=Momentum).run()
    flows = result.trades.flows.copy()
    flows["amount"][0] += 1e-9
    other = replace(result, trades=replace(result.trades, flows=flows))
    row = int(flows["row"][0])
    assert first_difference(Trace(result), Trace(other), row - 1) is None
    found = first_difference(Trace(result), Trace(other), row)
    assert isinstance(found, Difference)
    assert found.what == "cash flow"
