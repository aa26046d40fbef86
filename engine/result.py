"""Result: what a run leaves behind, as arrays, and the tables made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine.arrays import BoolArray, FloatArray, SessionArray
from engine.ledger import FillTiming, Reason
from engine.limits import NO_BAR, PARTIAL, SHRUNK, outcome_label
from engine.metrics import drawdowns, metrics_table
from engine.rebalancer import Terms
from engine.tradelog import TradeLog, round_trips


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One run over T sessions and N symbols.

    Attributes
    ----------
    equity, cash, traded : (T,) account value and cash at each close, notional traded since the one before.
    largest_weight : (T,) largest weight of one symbol at each close.
    decided : (T,) True where there was a rebalance decision.
    target_weight : (T, N) after limits; NaN where there was no decision or the symbol was kept.
    executed_weight : (T, N) shares held after the decision's fills at the decision's close, over the equity
        then; NaN where nothing was decided, or not filled (the last decision of a run).
    outcome : (T, N) bits of engine.limits.
    agent_names, agent_weights : A names and (T, A) the controller's weights; NaN where not decided.
    final_quantity, final_mark : (N,) shares held at the end and their last known close.
    last_bar : (N,) session of each symbol's last bar up to the end; NaT for none.
    notes : what a broker has to remark beyond what the arrays show.
    """

    sessions: SessionArray
    symbols: tuple[str, ...]
    terms: Terms
    equity: FloatArray
    cash: FloatArray
    largest_weight: FloatArray
    traded: FloatArray
    decided: BoolArray
    target_weight: FloatArray
    executed_weight: FloatArray
    outcome: np.ndarray[tuple[int, int], np.dtype[np.int8]]
    agent_names: tuple[str, ...]
    agent_weights: FloatArray
    trades: TradeLog
    final_quantity: FloatArray
    final_mark: FloatArray
    last_bar: SessionArray
    notes: tuple[str, ...] = ()

    def metrics(self) -> dict[str, Any]:
        """Return the entries of metrics.json; None where undefined."""
        fills = self.trades.fills
        return metrics_table(
            self.equity,
            self.sessions,
            self.traded,
            float(fills["commission"].sum()),
            float(fills["slippage"].sum()),
            len(fills),
        )

    def booked_later(self) -> BoolArray:
        """Return (n,) which fills are in the cash of the session after theirs: those at the close that decided them."""
        reasons = self.trades.fills["reason"]
        of_basket = reasons <= Reason.SHRUNK_PARTIAL
        later: BoolArray = (of_basket & (self.terms.timing is FillTiming.SAME_CLOSE)) | (reasons == Reason.SAME_CLOSE)
        return later

    def per_session(self, field: str) -> FloatArray:
        """Return (T,) the commission or slippage of the fills that are in each session's cash, account currency."""
        fills = self.trades.fills
        money = np.zeros(len(self.sessions))
        np.add.at(money, fills["row"] + self.booked_later(), fills[field])
        return money

    def equity_table(self, benchmark: FloatArray | None = None) -> pd.DataFrame:
        """Return the table of equity.csv; turnover is half the notional traded over the session's equity.

        Parameters
        ----------
        benchmark : (T,) value of the benchmark at each close.
        """
        columns: dict[str, Any] = {
            "session": np.datetime_as_string(self.sessions, unit="D").astype(object),
            "equity": self.equity,
            "cash": self.cash,
            "gross_exposure": (self.equity - self.cash) / self.equity,
            "turnover": self.traded / 2 / self.equity,
            "drawdown": drawdowns(self.equity),
        }
        if benchmark is not None:
            columns["benchmark"] = benchmark
        return pd.DataFrame(columns)

    def decision_table(self) -> pd.DataFrame:
        """Return the table of decisions.parquet, one row per decided session and symbol."""
        rows = np.flatnonzero(self.decided)
        n = len(self.symbols)
        labels = np.array([outcome_label(bits) for bits in range(64)], dtype=object)
        columns: dict[str, Any] = {
            "session": np.repeat(np.datetime_as_string(self.sessions[rows], unit="D").astype(object), n),
            "symbol": np.tile(np.array(self.symbols, dtype=object), len(rows)),
            "target_weight": self.target_weight[rows].ravel(),
            "executed_weight": self.executed_weight[rows].ravel(),
            "limit_applied": labels[self.outcome[rows].ravel()],
        }
        for k, name in enumerate(self.agent_names):
            columns[name] = np.repeat(self.agent_weights[rows, k], n)
        return pd.DataFrame(columns)

    def cash_flow_table(self) -> pd.DataFrame:
        """Return the table of cash_flows.csv; adjusted prices carry dividends and splits in themselves."""
        return self.trades.flow_table()

    def round_trip_table(self) -> pd.DataFrame:
        """Return the table of round_trips.csv."""
        return round_trips(self.trades, self.final_mark)

    def remarks(self) -> list[str]:
        """Return what a reader should know: shrunk baskets, dropped orders, symbols that stopped trading, drift."""
        found = list(self.notes)
        shrunk = int(((self.outcome & SHRUNK) > 0).any(axis=1).sum())
        if shrunk:
            found.append(f"buys were shrunk to the cash present after {shrunk} decisions")
        dropped = int(((self.outcome & NO_BAR) > 0).sum())
        if dropped:
            found.append(f"{dropped} targets or orders were dropped because the symbol had no bar")
        cut = int(((self.outcome & PARTIAL) > 0).sum())
        if cut:
            found.append(f"{cut} orders were larger than their session's volume allows: the rest was dropped")
        found.extend(self._drift())
        end = self.sessions[-1]
        found.extend(
            f"{self.symbols[i]} stopped trading on {self.last_bar[i]}: {self.final_quantity[i]:g} shares "
            f"are valued at that close, {self.final_mark[i]}"
            for i in np.flatnonzero((self.final_quantity != 0) & (self.last_bar < end))
        )
        return found

    def _drift(self) -> list[str]:
        limits = self.terms.limits
        if limits is None:
            return []
        weight, cash = float(self.largest_weight.max()), float((self.cash / self.equity).min())
        found = []
        if weight > limits.cap:
            found.append(
                f"prices carried one symbol to {weight:.2%} of equity between decisions; the cap is {limits.cap:.2%}"
            )
        if cash < limits.cash_buffer:
            found.append(
                f"prices carried cash to {cash:.2%} of equity between decisions; the buffer is {limits.cash_buffer:.2%}"
            )
        return found
