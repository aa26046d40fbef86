"""One session of many accounts over the same bars, compiled: the steps of `PortfolioEnv` with a leading axis."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.account import bars_of, empty_book, empty_log, empty_records
from engine.arrays import BoolArray, Float32Array, FloatArray
from engine.compiled import compiled, inlined, unlocked
from engine.environment import Reward, held_targets, reward_of, step_targets
from engine.ledger import Bars, Book, CountArray, Log, Records, Rules
from engine.metrics.drawdown import max_drawdown
from engine.metrics.returns import simple_returns, volatility
from engine.metrics.tracker import SHORT_WINDOW
from engine.panel import MarketPanel, Window
from engine.rebalancer import Terms
from engine.risk import RISK_WINDOW, risk_score, trailing_returns
from engine.simulator import current_weights, plan_basket, settle_session


class Market(NamedTuple):
    """What all accounts share; rows are those of the window, from 0."""

    bars: Bars
    returns: FloatArray  # (H + T, N) for the risk score, H sessions before the window included
    history: int  # H
    ready: BoolArray  # (T, N) symbols with a bar and all features
    encoded: Float32Array  # (T, K) features as the observation shows them


class Scheme(NamedTuple):
    """How actions become weights, accounts observations, and outcomes rewards."""

    step_size: float
    weight_scale: float
    volatility_weight: float
    drawdown_weight: float


class Batch(NamedTuple):
    """B accounts and where each stands; changed in place."""

    row: CountArray  # (B,) session observed last
    begin: CountArray  # (B,) first session of the episode
    equity: FloatArray  # (B, T) at each close of the episode
    weights: FloatArray  # (B, N) held at the last close
    books: Book  # each array with a leading axis of B
    records: Records  # scratch, the last account's; its equity is not used
    log: Log  # scratch: of one session of one account


class Outcome(NamedTuple):
    """What a step says of B environments; written in place."""

    observation: Float32Array  # (B, S) of the next episode where one has ended
    final: Float32Array  # (B, S) last one of the episodes that have ended
    reward: FloatArray  # (B,)
    score: FloatArray  # (B,) C_env of the targets
    equity: FloatArray  # (B,) at the close that the step has come to
    terminated: BoolArray  # (B,)
    truncated: BoolArray  # (B,)


def market_of(panel: MarketPanel, window: Window, features: FloatArray, encoded: Float32Array, terms: Terms) -> Market:
    """Return what accounts on a window share.

    Parameters
    ----------
    features : (T, N, F) of the window's sessions.
    encoded : (T, ...) the same as networks see them.

    Raises
    ------
    InputError
        When costs read volumes that the panel lacks.
    """
    first, last = window
    history = min(first, RISK_WINDOW)
    return Market(
        bars=bars_of(panel, first, last, terms.rules.rates),
        returns=trailing_returns(panel)[first - history : last + 1],
        history=history,
        ready=panel.has_bar[first : last + 1] & ~np.isnan(features).any(axis=2),
        encoded=np.ascontiguousarray(encoded.reshape(len(encoded), -1), dtype=np.float32),
    )


def scheme_of(step_size: float, weight_scale: float, reward: Reward) -> Scheme:
    """Return the scheme with floats alone, as the compiled code wants them."""
    return Scheme(float(step_size), float(weight_scale), float(reward.volatility_weight), float(reward.drawdown_weight))


def empty_batch(panel: MarketPanel, n_rows: int, size: int) -> Batch:
    """Return ``size`` accounts that `begin_batch` has yet to open."""
    n = panel.n_symbols
    one = empty_book(0.0, n)
    books: Any = [np.repeat(values[None], size, axis=0) for values in one]
    return Batch(
        row=np.zeros(size, dtype=np.int64),
        begin=np.zeros(size, dtype=np.int64),
        equity=np.full((size, n_rows), np.nan),
        weights=np.zeros((size, n)),
        books=Book(*books),
        records=empty_records(n_rows, n),
        log=empty_log(panel, 1, n),
    )


@unlocked
def begin_batch(
    rows: CountArray, cash: float, batch: Batch, market: Market, scheme: Scheme, observation: Float32Array
) -> None:
    """Open all accounts with ``cash`` at the closes of their rows (B,) and write the observations (B, S)."""
    for b in range(rows.shape[0]):
        _begin(b, rows[b], cash, batch, market)
        _observe(b, batch, market, scheme, observation[b])


@unlocked
def step_batch(
    actions: Float32Array, cash: float, batch: Batch, market: Market, rules: Rules, scheme: Scheme, outcome: Outcome
) -> None:
    """Step every environment: decide at its close, trade, observe the next; where an episode ends, begin anew.

    Parameters
    ----------
    actions : (B, N) finite.
    cash : with which a new episode begins, at the window's first session.
    """
    end = market.bars.close.shape[0] - 1
    for b in range(actions.shape[0]):
        outcome.reward[b], outcome.score[b] = _step(b, actions[b], batch, market, rules, scheme)
        t = batch.row[b]
        outcome.equity[b] = batch.equity[b, t]
        outcome.terminated[b] = not batch.equity[b, t] > 0.0
        outcome.truncated[b] = t == end and not outcome.terminated[b]
        _observe(b, batch, market, scheme, outcome.observation[b])
        if outcome.terminated[b] or outcome.truncated[b]:
            for k in range(outcome.final.shape[1]):
                outcome.final[b, k] = outcome.observation[b, k]
            _begin(b, 0, cash, batch, market)
            _observe(b, batch, market, scheme, outcome.observation[b])


@inlined
def _book(b: int, books: Book) -> Book:
    return Book(
        books.cash[b], books.quantity[b], books.mark[b], books.pending[b], books.pending_row[b], books.month_volume[b]
    )


@compiled
def _begin(b: int, t: int, cash: float, batch: Batch, market: Market) -> None:
    batch.row[b] = t
    batch.begin[b] = t
    batch.equity[b, t] = cash
    books = batch.books
    books.cash[b, 0] = cash
    books.pending_row[b, 0] = -1
    books.month_volume[b, 0] = 0.0
    for i in range(batch.weights.shape[1]):
        batch.weights[b, i] = 0.0
        books.quantity[b, i] = 0.0
        books.mark[b, i] = market.bars.close[t, i]  # NaN where there is no bar, as in an account before its first


@inlined
def _step(
    b: int, action: Float32Array, batch: Batch, market: Market, rules: Rules, scheme: Scheme
) -> tuple[float, float]:
    """Carry one account to its next close; return the reward and the risk score of the targets."""
    t = batch.row[b]
    held, equity = batch.weights[b], batch.equity[b]
    book, bars = _book(b, batch.books), market.bars
    asked = step_targets(held, action.astype(np.float64), market.ready[t], scheme.step_size)
    wanted, shares, _ = plan_basket(asked, equity[t], book.quantity, book.mark, bars.close[t], bars.has_bar[t], rules)
    row = market.history + t + 1
    score = risk_score(held_targets(wanted, held), market.returns[max(0, row - RISK_WINDOW) : row])
    for i in range(shares.shape[0]):
        book.pending[i] = shares[i]
    book.pending_row[0] = t
    batch.log.n_fills[0] = 0
    batch.log.n_flows[0] = 0
    some = batch.records
    records = Records(
        equity, some.cash, some.largest_weight, some.traded, some.target_weight, some.executed_weight, some.outcome
    )
    settle_session(t + 1, bars, book, records, rules, batch.log)
    batch.row[b] = t + 1
    now = current_weights(equity[t + 1], book.quantity, book.mark)
    for i in range(now.shape[0]):
        held[i] = now[i]
    recent = equity[max(batch.begin[b], t + 1 - SHORT_WINDOW) : t + 2]
    reward = reward_of(
        equity[t],
        equity[t + 1],
        volatility(simple_returns(recent)),
        max_drawdown(recent),
        scheme.volatility_weight,
        scheme.drawdown_weight,
    )
    return reward, score


@compiled
def _observe(b: int, batch: Batch, market: Market, scheme: Scheme, observation: Float32Array) -> None:
    t, n = batch.row[b], batch.weights.shape[1]
    observation[0] = batch.books.cash[b, 0] / batch.equity[b, t]
    for i in range(n):
        observation[1 + i] = batch.weights[b, i] * scheme.weight_scale
    for k in range(market.encoded.shape[1]):
        observation[1 + n + k] = market.encoded[t, k]
