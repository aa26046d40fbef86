"""A run computed anew from its fills, its cash flows and the bars alone, by plain arithmetic.

It shares no code with the engine, on purpose: `verify` compares what stands here with what a run says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.arrays import FloatArray, IntArray
from engine.panel import MarketPanel
from marsfolio.verification.books import INTEREST, Books, numbers, places, session_names
from marsfolio.verification.checks import HAIR
from marsfolio.verification.lots import Lots, Names

BASKET = "rebalance"
"""What the reason of a basket's fills begins with."""

_SAME_CLOSE = "market order at the same close"
_NUDGE = 1.0 + 1e-12  # 100 * 0.29 is a little below 29


@dataclass(frozen=True, slots=True)
class Replay:
    """The numbers of a run, computed; row for row those of the files.

    Attributes
    ----------
    fills : the columns of trades.csv that follow from the others; ``said_reference``, the price without slippage as
        the file has it; and ``reference``, the bar's: its open or close for a basket's fill, and for a single order's
        the price within the bar that is nearest to what the file has.
    actions : session, kind, symbol, amount and quantity_change of the cash flows that the bars cause.
    interest : session, amount in the file, and ``expected``: what one rate on positive and one on negative cash
        give, each the median of its first three sessions.
    equity : the columns of equity.csv but session and benchmark.
    round_trips : the columns of round_trips.csv.
    """

    fills: pd.DataFrame
    actions: pd.DataFrame
    interest: pd.DataFrame
    equity: pd.DataFrame
    round_trips: pd.DataFrame


@dataclass(frozen=True, slots=True)
class _Fills:
    """(n,) fills; rows and columns are the panel's, quantities signed."""

    row: IntArray
    column: list[int]
    quantity: list[float]
    price: list[float]
    commission: list[float]
    empties: list[bool]  # the file says that nothing is held afterwards
    said: FloatArray
    reference: FloatArray
    at_close: list[bool]  # in same_close: booked after the row of equity.csv was taken


@dataclass(frozen=True, slots=True)
class _Flows:
    row: IntArray
    column: list[int]  # -1 for none
    interest: list[bool]
    amount: list[float]
    change: list[float]


def replay(books: Books, panel: MarketPanel) -> Replay:
    """Compute a run anew.

    Parameters
    ----------
    books : with sessions and symbols of the panel, fills and flows in the order of sessions.
    panel : the (T, N) bars of the run's sessions.
    """
    fills, flows = _read_fills(books, panel), _read_flows(books, panel)
    account = _Account(books, panel, fills, flows)
    rows = np.arange(len(panel) + 1)
    fill_at, flow_at = np.searchsorted(fills.row, rows).tolist(), np.searchsorted(flows.row, rows).tolist()
    for t in range(len(panel)):
        account.begin(t, flow_at[t], flow_at[t + 1])
        taken = account.fill_before_row(t, fill_at[t], fill_at[t + 1])
        account.take_row(t)
        for k in range(taken, fill_at[t + 1]):
            account.fill(t, k)
    return account.replay()


def _read_fills(books: Books, panel: MarketPanel) -> _Fills:
    trades = books.trades
    row, column = places(trades["session"], session_names(panel)), places(trades["symbol"], panel.symbols)
    open_, low, high, close = (prices[row, column] for prices in (panel.open, panel.low, panel.high, panel.close))
    quantity, price = numbers(trades, "quantity"), numbers(trades, "price")
    sign = np.where(trades["side"] == "buy", 1.0, -1.0)
    said = price - sign * numbers(trades, "slippage") / quantity
    basket = trades["reason"].str.startswith(BASKET).to_numpy(dtype=bool)
    of_basket = open_ if books.timing == "next_open" else close
    same_close = (trades["reason"] == _SAME_CLOSE).to_numpy(dtype=bool)
    return _Fills(
        row=row,
        column=column.tolist(),
        quantity=(sign * quantity).tolist(),
        price=price.tolist(),
        commission=numbers(trades, "commission").tolist(),
        empties=(numbers(trades, "position_after") == 0.0).tolist(),
        said=said,
        reference=np.where(basket, of_basket, np.where(same_close, close, np.clip(said, low, high))),
        at_close=(basket | same_close).tolist(),
    )


def _read_flows(books: Books, panel: MarketPanel) -> _Flows:
    flows = books.cash_flows
    return _Flows(
        row=places(flows["session"], session_names(panel)),
        column=places(flows["symbol"], panel.symbols).tolist(),
        interest=(flows["kind"] == INTEREST).tolist(),
        amount=numbers(flows, "amount").tolist(),
        change=numbers(flows, "quantity_change").tolist(),
    )


class _Account:
    """Cash and shares, carried through the sessions in the order of the files, and a record of them."""

    def __init__(self, books: Books, panel: MarketPanel, fills: _Fills, flows: _Flows) -> None:
        self._books, self._panel, self._fills, self._flows = books, panel, fills, flows
        self._days = np.diff(panel.sessions, prepend=panel.sessions[:1]).astype(np.float64)
        self._cash = books.cash
        self._held = [0.0] * panel.n_symbols
        self._mark: FloatArray = np.full(panel.n_symbols, np.nan)
        self._traded = 0.0
        self._lots = Lots(panel.n_symbols)
        self._after: list[tuple[float, float]] = []
        self._actions: list[tuple[int, str, int, float, float]] = []
        self._interest: list[tuple[int, float, float]] = []
        self._rows: list[tuple[float, float, float]] = []

    def begin(self, t: int, first: int, stop: int) -> None:
        """Note what the bars pay at the begin of a session, and book what the file says."""
        self._expect_actions(t)
        flows, base, paid = self._flows, self._cash * self._days[t], 0.0
        for k in range(first, stop):
            i = flows.column[k]
            self._cash += flows.amount[k]
            if flows.interest[k]:
                paid += flows.amount[k]
            elif flows.change[k]:
                self._held[i] = self._cleaned(self._held[i] + flows.change[k])
                self._lots.restate(t, i, flows.change[k])
        if base or paid:
            self._interest.append((t, base, paid))

    def _cleaned(self, shares: float) -> float:
        # Whole shares are whole again when the fraction of a split has been paid out, but for rounding.
        whole = float(round(shares))
        return whole if not self._books.fractional and abs(shares - whole) <= HAIR else shares

    def _expect_actions(self, t: int) -> None:
        panel = self._panel
        if t == 0 or panel.split is None or panel.dividend is None:
            return
        for i in np.flatnonzero((panel.split[t] != 1.0) | (panel.dividend[t] != 0.0)).tolist():
            shares, ratio = self._held[i], float(panel.split[t, i])
            if not shares:
                continue
            if ratio != 1.0:
                shares = self._expect_split(t, i, shares, ratio)
            if panel.dividend[t, i] and shares:
                self._actions.append((t, "dividend", i, shares * float(panel.dividend[t, i]), 0.0))

    def _expect_split(self, t: int, i: int, shares: float, ratio: float) -> float:
        """Note what a split does and return the shares after it; a short owes what a long gets."""
        exact = shares * ratio
        whole = exact if self._books.fractional else math.copysign(math.floor(abs(exact) * _NUDGE), exact)
        left = exact - whole
        if abs(left) <= HAIR * abs(exact):
            self._actions.append((t, "split", i, 0.0, whole - shares))
            return whole
        self._actions.append((t, "split", i, 0.0, exact - shares))
        self._actions.append((t, "cash_in_lieu", i, left * float(self._mark[i]) / ratio, -left))
        return whole

    def fill_before_row(self, t: int, first: int, stop: int) -> int:
        """Book the fills that a session's row of equity.csv has in it, and return the first that it has not."""
        before = stop
        if self._books.timing == "same_close":
            while before > first and self._fills.at_close[before - 1]:
                before -= 1
        for k in range(first, before):
            self.fill(t, k)
        return before

    def fill(self, t: int, k: int) -> None:
        """Book a fill."""
        fills = self._fills
        i, quantity, price, fee = fills.column[k], fills.quantity[k], fills.price[k], fills.commission[k]
        self._cash = self._cash - quantity * price - fee
        held = self._held[i] + quantity
        # Fractions do not add up exactly over splits: that nothing is left is for the file to say.
        if fills.empties[k] and abs(held) <= HAIR:
            held = 0.0
        self._held[i] = held
        self._traded += abs(quantity) * price
        self._after.append((self._cash, held))
        self._lots.fill(t, i, quantity, price, fee, held == 0.0)

    def take_row(self, t: int) -> None:
        """Mark to the close."""
        close = self._panel.close[t]
        self._mark = np.where(np.isnan(close), self._mark, close)
        held = np.array(self._held)
        value = float(np.where(held == 0.0, 0.0, held * self._mark).sum())
        self._rows.append((self._cash + value, self._cash, self._traded))
        self._traded = 0.0

    def replay(self) -> Replay:
        """Return the tables of all that was booked."""
        sessions = np.array(session_names(self._panel), dtype=object)
        symbols = np.array(self._panel.symbols, dtype=object)
        return Replay(
            self._fill_table(),
            self._action_table(sessions, symbols),
            self._interest_table(sessions),
            _equity_table(np.array(self._rows)),
            self._lots.table(sessions, symbols, self._mark),
        )

    def _fill_table(self) -> pd.DataFrame:
        fills = self._fills
        quantity, price = np.array(fills.quantity), np.array(fills.price)
        after = np.array(self._after).reshape(-1, 2)
        return pd.DataFrame(
            {
                "said_reference": fills.said,
                "reference": fills.reference,
                "notional": np.abs(quantity) * price,
                "slippage": quantity * (price - fills.reference),
                "cash_after": after[:, 0],
                "position_after": after[:, 1],
            }
        )

    def _action_table(self, sessions: Names, symbols: Names) -> pd.DataFrame:
        rows = [(sessions[t], kind, symbols[i], amount, change) for t, kind, i, amount, change in self._actions]
        return pd.DataFrame(rows, columns=["session", "kind", "symbol", "amount", "quantity_change"])

    def _interest_table(self, sessions: Names) -> pd.DataFrame:
        rows = np.array(self._interest).reshape(-1, 3)
        base, amount = rows[:, 1], rows[:, 2]
        expected = np.zeros(len(rows))
        for some in (base > 0, base < 0):
            if some.any():
                # Of the first: after one that is wrong, cash and all later interest are a little off.
                expected[some] = base[some] * np.median((amount[some] / base[some])[:3])
        return pd.DataFrame({"session": sessions[rows[:, 0].astype(np.int64)], "amount": amount, "expected": expected})


def _equity_table(rows: FloatArray) -> pd.DataFrame:
    equity, cash, traded = rows.T
    peak = np.maximum.accumulate(equity)
    return pd.DataFrame(
        {
            "equity": equity,
            "cash": cash,
            "gross_exposure": (equity - cash) / equity,
            "turnover": traded / 2 / equity,
            "drawdown": (peak - equity) / peak,
        }
    )
