"""Small panels for tests: written by hand, or random with everything that goes wrong in real data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from brokers.simulated import SimulatedBroker
from data_feeds.feeds import clock_feed
from engine.account import Account
from engine.arrays import FloatArray, SessionArray
from engine.backtest import run_policy, run_weights
from engine.cerebro import run_cerebro
from engine.costs import Costs, Tier
from engine.ledger import FillTiming
from engine.panel import FIELDS, MarketPanel
from engine.policy import Policy
from engine.rebalancer import Schedule, Terms
from engine.result import Result
from strategies.portfolio import PortfolioStrategy
from strategies.weights_file import WeightsPolicy

ENGINES = ("weights", "policy", "cerebro")
"""The compiled loop over known weights, the kernel session by session, and backtrader."""

SEEDS = st.integers(0, 2**32 - 1)


def weekdays(n: int, first: str = "2024-01-01") -> SessionArray:
    days: SessionArray = np.busday_offset(first, np.arange(n), roll="forward")
    return days


def panel_of(
    close: FloatArray,
    open_: FloatArray | None = None,
    sessions: SessionArray | None = None,
    symbols: tuple[str, ...] | None = None,
    span: float = 1.0,
) -> MarketPanel:
    """Return the panel of (T, N) prices, NaN where missing; ``span`` >= 1 widens high and low."""
    close = np.asarray(close, dtype=np.float64)
    open_ = close if open_ is None else np.asarray(open_, dtype=np.float64)
    n_rows, n = close.shape
    return MarketPanel(
        weekdays(n_rows) if sessions is None else sessions,
        symbols or tuple(f"S{i}" for i in range(n)),
        open_,
        np.maximum(open_, close) * span,
        np.minimum(open_, close) / span,
        close,
        np.where(np.isnan(close), np.nan, 1000.0),
    )


def market(symbols: str, *rows: str, sessions: SessionArray | None = None) -> MarketPanel:
    """Return the panel of rows such as ``"10/11 -"``: open/close a symbol, ``-`` where the bar is missing."""
    cells = [[(math.nan, math.nan) if cell == "-" else _pair(cell) for cell in row.split()] for row in rows]
    bars = np.array(cells)
    return panel_of(bars[:, :, 1], bars[:, :, 0], sessions, tuple(symbols.split()))


def _pair(cell: str) -> tuple[float, float]:
    open_, _, close = cell.partition("/")
    return float(open_), float(close or open_)


def with_cells(panel: MarketPanel, **cells: dict[tuple[int, int], float]) -> MarketPanel:
    """Return the panel with some cells of volume, split or dividend set, as in ``split={(row, column): 2}``."""
    changed = {}
    for name, values in cells.items():
        given = getattr(panel, name)
        changed[name] = np.full(panel.close.shape, np.nan) if given is None else given.copy()
        for at, value in values.items():
            changed[name][at] = value
    return replace(panel, **changed)


def targets(*rows: str, n: int | None = None) -> FloatArray:
    """Return weights of rows such as ``"0.5 keep"``; an empty row is no rebalance."""
    n = n or max(len(row.split()) for row in rows)
    values = [[math.nan if cell == "keep" else float(cell) for cell in row.split()] or [math.nan] * n for row in rows]
    return np.array(values)


def run_strategy(
    engine: str,
    policy: Policy,
    panel: MarketPanel,
    terms: Terms,
    first: int = 0,
    last: int | None = None,
    schedule: Schedule = Schedule.DAILY,
) -> Result:
    """Run a policy in the engine ``policy`` or ``cerebro``."""
    last = len(panel) - 1 if last is None else last
    if engine == "policy":
        return run_policy(policy, panel, first, last, terms, schedule)
    assert engine == "cerebro"
    feed = clock_feed(panel, first, last)
    broker = SimulatedBroker(Account(panel, first, last, terms), feed)
    run_cerebro(PortfolioStrategy, {"policy": policy, "terms": terms, "schedule": schedule}, feed, broker)
    return broker.result()


def run_targets(
    engine: str, weights: FloatArray, panel: MarketPanel, terms: Terms, first: int = 0, last: int | None = None
) -> Result:
    """Run known target weights in any of `ENGINES`."""
    if engine == "weights":
        return run_weights(weights, panel, first, len(panel) - 1 if last is None else last, terms)
    return run_strategy(engine, WeightsPolicy(panel.sessions, weights), panel, terms, first, last)


def assert_same_run(one: Result, other: Result) -> None:
    """Compare everything that a run records, bit for bit."""
    assert np.array_equal(one.trades.fills, other.trades.fills)
    assert np.array_equal(one.trades.flows, other.trades.flows)
    assert np.array_equal(one.sessions, other.sessions)
    for name in ("equity", "cash", "traded", "target_weight", "executed_weight", "final_quantity", "final_mark"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("decided", "outcome", "agent_weights"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.remarks() == other.remarks()


def random_panel(seed: int, n_rows: int, n: int, holes: float = 0.1, cents: bool = True) -> MarketPanel:
    """Return random walks with gaps of up to 40 % overnight, missing bars, late starts and delistings."""
    rng = np.random.default_rng(seed)
    shape = (n_rows, n)
    gap = np.where(rng.random(shape) < 0.15, rng.uniform(-0.4, 0.4, shape), rng.normal(0, 0.01, shape))
    day = rng.normal(0.0005, 0.02, shape)
    close = rng.uniform(5, 300, n) * np.exp(np.cumsum(np.log1p(gap) + day, axis=0))
    open_ = close / np.exp(day)
    if cents:
        close, open_ = np.maximum(close.round(2), 0.01), np.maximum(open_.round(2), 0.01)
    missing = rng.random(shape) < holes
    if holes:
        row = np.arange(n_rows)[:, None]
        missing |= row < np.where(rng.random(n) < 0.25, rng.integers(0, n_rows, n), 0)
        missing |= row >= np.where(rng.random(n) < 0.25, rng.integers(1, n_rows + 1, n), n_rows)
    return panel_of(np.where(missing, np.nan, close), np.where(missing, np.nan, open_), span=1.01)


def random_weights(seed: int, n_rows: int, n: int, full: bool, keeps: float, idle: float) -> FloatArray:
    """Return random targets: summing to 1 when ``full``, with NaN entries (``keeps``) and idle rows (``idle``)."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(n, 0.5), n_rows)
    weights[rng.random(n_rows) < 0.2] = 1.0 / n
    if not full:
        weights *= rng.uniform(0, 1, (n_rows, 1))
        weights[rng.random((n_rows, n)) < 0.1] = 0.0
    weights[rng.random((n_rows, n)) < keeps] = np.nan
    weights[rng.random(n_rows) < idle] = np.nan
    return weights


def with_volumes(panel: MarketPanel, seed: int) -> MarketPanel:
    """Return the panel with volumes from a dozen shares to millions, and sessions in which nobody trades."""
    rng = np.random.default_rng(seed)
    volume = np.round(np.exp(rng.uniform(2.5, 15, panel.close.shape)))
    volume[rng.random(volume.shape) < 0.05] = 0.0
    return replace(panel, volume=np.where(panel.missing, np.nan, volume))


SPLIT_RATIOS = (2.0, 3.0, 1.5, 7.0, 1.05, 0.29, 0.1, 1 / 3, 1.0)


def as_raw(panel: MarketPanel, seed: int, often: float = 0.08, dividends: bool = True) -> MarketPanel:
    """Return the panel as it would have been traded: splits that its prices follow, and dividends beside them."""
    rng = np.random.default_rng(seed)
    shape = panel.close.shape
    split = np.where((rng.random(shape) < often) & panel.has_bar, rng.choice(SPLIT_RATIOS, shape), 1.0)
    size = rng.choice([0.01, 0.03, 0.6], shape, p=[0.5, 0.4, 0.1]) * np.nan_to_num(panel.close)
    later = np.vstack([np.cumprod(split[:0:-1], axis=0)[::-1], np.ones((1, shape[1]))])
    bars = {name: getattr(panel, name) * later for name in FIELDS[:4]}
    dividend = np.where((rng.random(shape) < often) & dividends, size * later, 0.0)
    volume = np.round(panel.volume / later)
    return MarketPanel(panel.sessions, panel.symbols, **bars, volume=volume, split=split, dividend=dividend)


@dataclass(frozen=True)
class Case:
    """A random market, the targets traded on it, and the terms."""

    panel: MarketPanel
    weights: FloatArray
    terms: Terms


def _tiers(draw: Any, unit: str) -> tuple[Tier, ...]:
    above = sorted(draw(st.sets(st.sampled_from([7.0, 100.0, 2_500.0, 40_000.0, 500_000.0]), max_size=3)))
    rates = st.tuples(st.sampled_from([0.0, 1.0, 30.0]), st.sampled_from([0.0, 0.0005, 0.02]))
    scale = 1.0 if unit == "shares" else 20.0
    return tuple(Tier(scale * threshold, *draw(rates)) for threshold in above)


@st.composite
def all_costs(draw: Any) -> Costs:
    """Draw costs of every kind."""

    def one(*values: float | None) -> Any:
        return draw(st.sampled_from(values))

    unit = draw(st.sampled_from(["shares", "notional"]))
    return Costs(
        commission_bps=one(0.0, 10.0, 55.5),
        slippage_bps=one(0.0, 5.0, 80.0),
        commission_per_share=one(0.0, 0.005, 0.3),
        commission_minimum=one(0.0, 0.35, 80.0),
        commission_maximum_bps=one(None, 100.0, 3_000.0),
        commission_tiers=_tiers(draw, unit),
        tier_unit=unit,
        sell_fee_bps=one(0.0, 0.278, 50.0),
        sell_fee_per_share=one(0.0, 0.000166, 0.1),
        half_spread=one(0.0, 0.01, 3.0),
        impact=one(0.0, 0.1, 1.0),
        participation_cap=one(None, 0.02, 0.29, 1.0),
        cash_rate=one(0.0, 0.05),
        margin_rate=one(0.0, 0.08),
    )


@st.composite
def cases(draw: Any, full: bool | None = None, fractional: bool | None = None, plain: bool | None = None) -> Case:
    """Draw a case; ``full`` demands weights that sum to 1, None leaves it open.

    ``plain`` demands adjusted prices and costs in basis points alone.
    """
    n_rows, n, seed = draw(st.integers(2, 24)), draw(st.integers(1, 5)), draw(SEEDS)
    holes = draw(st.sampled_from([0.0, 0.1, 0.4]))
    panel = random_panel(seed, n_rows, n, holes, cents=draw(st.booleans()))
    panel = replace(panel, sessions=weekdays(n_rows, draw(st.sampled_from(["2024-01-01", "2023-12-20", "2024-02-27"]))))
    keeps, idle = draw(st.sampled_from([0.0, 0.2])), draw(st.sampled_from([0.0, 0.3]))
    weights = random_weights(seed + 1, n_rows, n, draw(st.booleans()) if full is None else full, keeps, idle)
    bps = st.one_of(st.just(0.0), st.floats(0.01, 100))
    rich = not plain and draw(st.sampled_from([True, True, False]))
    if rich:
        panel = with_volumes(panel, seed + 2)
        panel = as_raw(panel, seed + 3) if draw(st.booleans()) else panel
    terms = Terms(
        cash=draw(st.sampled_from([1_000.0, 1_000_000.0, 123_456.78])),
        costs=draw(all_costs()) if rich else Costs(draw(bps), draw(bps)),
        timing=draw(st.sampled_from(FillTiming)),
        fractional=draw(st.booleans()) if fractional is None else fractional,
    )
    return Case(panel, weights, terms)
