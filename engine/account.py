"""An account on paper: cash, holdings, the basket that waits, and a record of everything that happened."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.arrays import FloatArray, SessionArray
from engine.costs import CostRates
from engine.errors import InputError, PolicyError
from engine.ledger import FILL, FLOW, Bars, Book, Log, Records
from engine.panel import MarketPanel
from engine.rebalancer import Basket, Terms, check_weights
from engine.result import Result
from engine.risk import trailing_volatility
from engine.simulator import decided_rows, settle_session, simulate
from engine.tradelog import TradeLog


class Account:
    """A simulated account over the rows ``first`` to ``last`` of a panel.

    Call `settle` once a session, in order, and `submit` after it for a decision of that session; or
    `simulate` once. Rows are rows of the panel throughout.

    Raises
    ------
    InputError
        When the rows are not 0 <= first <= last < T, or costs read volumes that the panel lacks; and from the
        methods, when they are called out of order.
    """

    def __init__(self, panel: MarketPanel, first: int, last: int, terms: Terms) -> None:
        self.panel = panel
        self.first = first
        self.last = last
        self.terms = terms
        n_rows, n = last - first + 1, panel.n_symbols
        self._rules = terms.rules
        self._bars = bars_of(panel, first, last, self._rules.rates)
        self._book = empty_book(terms.cash, n)
        self._records = empty_records(n_rows, n)
        self._decided = np.zeros(n_rows, dtype=np.bool_)
        self._agent_names: tuple[str, ...] = ()
        self._agent_weights: list[tuple[int, list[float]]] = []
        self._log = empty_log(panel, n_rows, n_rows * n)
        self._equity = float(terms.cash)
        self._settled = first - 1

    @property
    def cash(self) -> float:
        """Cash now."""
        return float(self._book.cash[0])

    @property
    def equity(self) -> float:
        """Account value at the last settled close."""
        return self._equity

    @property
    def quantity(self) -> FloatArray:
        """(N,) shares held; a view, do not write."""
        return self._book.quantity

    @property
    def mark(self) -> FloatArray:
        """(N,) last known closes, NaN before the first; a view, do not write."""
        return self._book.mark

    def settle(self, row: int) -> None:
        """Fill what waits, mark to the close of ``row`` and record.

        Raises
        ------
        InputError
            When the row is not the one after the last settled, or outside the account's.
        """
        if row != self._settled + 1 or row > self.last:
            raise InputError(f"the next session to settle is row {self._settled + 1} of at most {self.last}, was {row}")
        self._settled = row
        t = row - self.first
        settle_session(t, self._bars, self._book, self._records, self._rules, self._log)
        self._equity = float(self._records.equity[t])

    def submit(self, basket: Basket) -> None:
        """Take the orders of a decision; they execute when the next session is settled.

        Raises
        ------
        InputError
            When the decision is not of the session settled last.
        """
        if basket.row != self._settled:
            raise InputError(f"a basket must be of the session settled last, row {self._settled}, was of {basket.row}")
        t = basket.row - self.first
        self._records.target_weight[t] = basket.weights
        self._records.outcome[t] = basket.outcome
        self._decided[t] = True
        self._book.pending[:] = basket.quantity
        self._book.pending_row[0] = t
        if basket.agent_weights:
            self._agent_names = tuple(basket.agent_weights)
            self._agent_weights.append((t, list(basket.agent_weights.values())))

    def simulate(self, weights: FloatArray) -> None:
        """Run all sessions with weights known beforehand.

        Parameters
        ----------
        weights : (T, N) targets for the rows of the panel; a row of NaN alone means no rebalance.

        Raises
        ------
        InputError
            When the account has run before.
        PolicyError
            When the shape is wrong, a weight is infinite or, without limits, negative or a sum above 1.
        """
        if self._settled >= self.first:
            raise InputError("this account has run: simulate needs a new one")
        if weights.shape != self.panel.close.shape:
            raise PolicyError(f"weights must have the panel's shape {self.panel.close.shape}, had {weights.shape}")
        part = np.ascontiguousarray(weights[self.first : self.last + 1], dtype=np.float64)
        limited = self.terms.limits is not None
        if not decided_rows(part, limited, self._decided):
            for t, row_weights in enumerate(part):
                check_weights(row_weights, self.panel.sessions[self.first + t], limited)
        self._settled = self.last
        simulate(part, self._decided, 0, len(part), self._bars, self._book, self._records, self._rules, self._log)
        self._equity = float(self._records.equity[-1])

    def result(self) -> Result:
        """Return everything recorded so far."""
        log = self._log
        sessions = self.panel.sessions[self.first : self.last + 1]
        agent_weights = np.full((len(sessions), len(self._agent_names)), np.nan)
        for t, row in self._agent_weights:
            agent_weights[t] = row
        trades = TradeLog(log.fills[: log.n_fills[0]], sessions, self.panel.symbols, log.flows[: log.n_flows[0]])
        result = result_of(self.panel, self.terms, self._book, self._records, trades)
        return replace(result, decided=self._decided, agent_names=self._agent_names, agent_weights=agent_weights)


def result_of(panel: MarketPanel, terms: Terms, book: Book, records: Records, trades: TradeLog) -> Result:
    """Return what an account has recorded over the sessions of ``trades``, without decisions."""
    sessions = trades.sessions
    last = int(np.searchsorted(panel.sessions, sessions[-1]))
    return Result(
        sessions=sessions,
        symbols=panel.symbols,
        terms=terms,
        equity=records.equity,
        cash=records.cash,
        largest_weight=records.largest_weight,
        traded=records.traded,
        decided=np.zeros(len(sessions), dtype=np.bool_),
        target_weight=records.target_weight,
        executed_weight=records.executed_weight,
        outcome=records.outcome,
        agent_names=(),
        agent_weights=np.zeros((len(sessions), 0)),
        trades=trades,
        final_quantity=book.quantity.copy(),
        final_mark=book.mark.copy(),
        last_bar=_last_bars(panel, last),
    )


def empty_book(cash: float, n: int) -> Book:
    """Return what an account of ``n`` symbols holds before its first session."""
    return Book(
        cash=np.array([cash], dtype=np.float64),  # an integer would make all cash whole
        quantity=np.zeros(n),
        mark=np.full(n, np.nan),
        pending=np.zeros(n),
        pending_row=np.array([-1], dtype=np.int64),
        month_volume=np.zeros(1),
    )


def empty_records(n_rows: int, n: int) -> Records:
    """Return room for what happens in ``n_rows`` sessions."""
    return Records(
        equity=np.full(n_rows, np.nan),
        cash=np.full(n_rows, np.nan),
        largest_weight=np.zeros(n_rows),
        traded=np.zeros(n_rows),
        target_weight=np.full((n_rows, n), np.nan),
        executed_weight=np.full((n_rows, n), np.nan),
        outcome=np.zeros((n_rows, n), dtype=np.int8),
    )


def empty_log(panel: MarketPanel, n_rows: int, n_fills: int) -> Log:
    """Return room for ``n_fills`` fills and the most cash flows that ``n_rows`` sessions can have."""
    # Memory that is never written costs nothing.
    n_flows = 3 * panel.n_symbols + 1 if panel.has_actions else 1
    return Log(
        fills=np.empty(n_fills, dtype=FILL),
        flows=np.empty(n_rows * n_flows, dtype=FLOW),
        n_fills=np.zeros(1, dtype=np.int64),
        n_flows=np.zeros(1, dtype=np.int64),
    )


def bars_of(panel: MarketPanel, first: int, last: int, rates: CostRates) -> Bars:
    """Return the rows ``first`` to ``last`` of a panel as the compiled functions read them.

    Raises
    ------
    InputError
        When the rows are not 0 <= first <= last < T, or costs depend on volumes and one is unknown.
    """
    if not 0 <= first <= last < len(panel):  # the compiled code would read outside its arrays
        raise InputError(f"rows must satisfy 0 <= first <= last < {len(panel)}, were {first} and {last}")
    part = slice(first, last + 1)
    sessions = panel.sessions[part]
    if rates.needs_volume:
        _check_volumes(panel, first, last)
    nothing = np.zeros((0, panel.n_symbols))
    split, dividend = panel.split, panel.dividend
    return Bars(
        open=panel.open[part],
        close=panel.close[part],
        volume=panel.volume[part],
        has_bar=panel.has_bar[part],
        volatility=trailing_volatility(panel, first, last) if rates.impact > 0 else nothing,
        split=nothing if split is None else split[part].copy(),  # of the same type as nothing, for the compiler
        dividend=nothing if dividend is None else dividend[part].copy(),
        days=np.diff(sessions, prepend=sessions[:1]).astype(np.float64),
        month=sessions.astype("datetime64[M]").astype(np.int64),
    )


def _check_volumes(panel: MarketPanel, first: int, last: int) -> None:
    part = slice(first, last + 1)
    unknown = panel.has_bar[part] & np.isnan(panel.volume[part])
    if unknown.any():
        t, i = (int(axis[0]) for axis in np.nonzero(unknown))
        raise InputError(
            f"{panel.source}: {panel.symbols[i]} on {panel.sessions[first + t]} has no volume, which impact and "
            "participation_cap read: use data with volumes, or costs without them"
        )


def _last_bars(panel: MarketPanel, last: int) -> SessionArray:
    has_bar = panel.has_bar[: last + 1]
    rows = last - np.argmax(has_bar[::-1], axis=0)
    sessions: SessionArray = panel.sessions[rows].copy()
    sessions[~has_bar.any(axis=0)] = np.datetime64("NaT")
    return sessions
