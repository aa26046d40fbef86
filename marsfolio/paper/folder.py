"""The journal of a paper account as a run folder, of the same files as a backtest's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from brokers.protocol import Movement, Side
from engine.arrays import FloatArray, SessionArray
from engine.errors import RunFolderError
from engine.ledger import FILL, FLOW, Flow, RecordArray
from engine.limits import NO_BAR, PARTIAL, SHRUNK
from engine.rebalancer import Terms
from engine.result import Result
from engine.tradelog import CASH_FLOW_COLUMNS, COLUMNS, TradeLog, round_trips, write_table
from live.journal import Journal
from live.plan import SMALLEST, Intent, Plan
from live.records import Close, Fill
from marsfolio.runs import write_values


@dataclass(frozen=True)
class Book:
    """What a journal holds, in the shapes of a run.

    Attributes
    ----------
    orders : of each session that has some.
    """

    closes: list[Close]
    fills: list[Fill]
    movements: list[Movement]
    plans: list[Plan]
    orders: dict[date, list[Intent]]
    opening: dict[str, float]
    symbols: tuple[str, ...]

    @property
    def sessions(self) -> SessionArray:
        """(T,) sessions with a booked close."""
        return np.array([close.session for close in self.closes], dtype="datetime64[D]")


def read_book(journal: Journal, symbols: tuple[str, ...]) -> Book:
    """Return everything that a journal has booked."""
    opening = journal.value("opening", {"positions": {}})["positions"]
    orders: dict[date, list[Intent]] = {}
    for intent in journal.intents():
        orders.setdefault(intent.session, []).append(intent)
    plans = list(journal.plans())
    return Book(journal.closes(), journal.fills(), journal.movements(), plans, orders, opening, symbols)


def write_folder(folder: Path, journal: Journal, symbols: tuple[str, ...], terms: Terms) -> Result | None:
    """Write equity.csv, trades.csv and the other tables of a run; None when no close is booked yet.

    Files are replaced one by one, each whole.
    """
    book = read_book(journal, symbols)
    if not book.closes:
        return None
    result = result_of(book, terms)
    write_table(result.equity_table(), folder / "equity.csv", "csv")
    write_table(fill_table(book.fills), folder / "trades.csv", "csv")
    write_table(movement_table(book.movements), folder / "cash_flows.csv", "csv")
    write_table(trips_of(book), folder / "round_trips.csv", "csv")
    write_table(result.decision_table(), folder / "decisions.parquet", "parquet")
    metrics = {**result.metrics(), "n_fills": len(book.fills)}
    write_values(folder / "metrics.json", metrics)
    return result


def result_of(book: Book, terms: Terms) -> Result:
    """Return the account as the result of a run over the sessions with a booked close."""
    sessions, n = book.sessions, len(book.symbols)
    shape = len(sessions), n
    marks = np.array([[close.marks.get(symbol, np.nan) for symbol in book.symbols] for close in book.closes])
    held = held_of(book, sessions)
    equity = np.array([close.equity for close in book.closes])
    held_value = np.where(held != 0, held * marks, 0.0)
    target, executed = np.full(shape, np.nan), np.full(shape, np.nan)
    outcome = np.zeros(shape, dtype=np.int8)
    decided = np.zeros(len(sessions), dtype=np.bool_)
    names = tuple(next((plan.agent_weights for plan in reversed(book.plans) if plan.agent_weights), {}))
    agents = np.full((len(sessions), len(names)), np.nan)
    for plan in book.plans:
        t = int(np.searchsorted(sessions, np.datetime64(plan.decided)))
        if plan.target is None or t >= len(sessions) or sessions[t] != np.datetime64(plan.decided):
            continue
        decided[t] = True
        target[t] = plan.weights
        outcome[t] = np.array(plan.outcome, dtype=np.int8) | _what_happened(plan, book.orders.get(plan.session, []))
        agents[t] = [plan.agent_weights.get(name, np.nan) for name in names]
        if t + 1 < len(sessions):
            value = held[t + 1] * (plan.close / _splits(book, plan, held[t]))
            executed[t] = np.where(held[t + 1] != 0, value, 0.0) / plan.equity
    return Result(
        sessions=sessions,
        symbols=book.symbols,
        terms=terms,
        equity=equity,
        cash=np.array([close.cash for close in book.closes]),
        largest_weight=held_value.max(axis=1, initial=0.0) / equity,
        traded=np.array([close.traded for close in book.closes]),
        decided=decided,
        target_weight=target,
        executed_weight=executed,
        outcome=outcome,
        agent_names=names,
        agent_weights=agents,
        trades=TradeLog(fill_records(book.fills, sessions, book.symbols), sessions, book.symbols),
        final_quantity=held[-1],
        final_mark=marks[-1],
        last_bar=np.full(n, sessions[-1]),
    )


def _what_happened(plan: Plan, orders: Sequence[Intent]) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """Return (N,) bits of `engine.limits` for what kept a plan's orders from filling."""
    bits = dict.fromkeys(plan.symbols, 0)
    for order in orders:
        if "no bar" in order.reason:
            bits[order.symbol] |= NO_BAR
        if "volume cap" in order.reason:
            bits[order.symbol] |= PARTIAL
        if lacked_cash(order):
            bits[order.symbol] |= SHRUNK
    return np.array(list(bits.values()), dtype=np.int8)


def _splits(book: Book, plan: Plan, held: FloatArray) -> FloatArray:
    """Return (N,) shares that one share has become in a plan's session."""
    ratio = dict.fromkeys(plan.symbols, 1.0)
    for movement in book.movements:
        if movement.session == plan.session and movement.kind == Flow.SPLIT.name.lower():
            ratio[movement.symbol] = 1.0 + movement.quantity_change / held[plan.symbols.index(movement.symbol)]
    for order in book.orders.get(plan.session, []):
        if order.split != 1.0:
            ratio[order.symbol] = order.split
    return np.array(list(ratio.values()))


def lacked_cash(order: Intent) -> bool:
    """Return whether an order was made smaller, or not sent, because the cash did not pay for it."""
    return "cash" in order.reason or (order.side is Side.BUY and order.wanted - order.quantity > SMALLEST)


def held_of(book: Book, sessions: SessionArray) -> FloatArray:
    """Return (T, N) shares held at each close."""
    column = {symbol: i for i, symbol in enumerate(book.symbols)}
    change = np.zeros((len(sessions) + 1, len(book.symbols)))
    for symbol, quantity in book.opening.items():
        change[0, column[symbol]] += quantity
    for fill in book.fills:
        t = int(np.searchsorted(sessions, np.datetime64(fill.session)))
        change[t, column[fill.symbol]] += fill.quantity if fill.side is Side.BUY else -fill.quantity
    for movement in book.movements:
        if movement.symbol:
            change[int(np.searchsorted(sessions, np.datetime64(movement.session))), column[movement.symbol]] += (
                movement.quantity_change
            )
    held = np.cumsum(change, axis=0)[: len(sessions)]
    return np.where(np.abs(held) > 1e-9, held, 0.0)


def fill_records(fills: Sequence[Fill], sessions: SessionArray, symbols: tuple[str, ...]) -> RecordArray:
    """Return fills as `engine.ledger.FILL` records; those after the last booked close are left out."""
    column = {symbol: i for i, symbol in enumerate(symbols)}
    known = [fill for fill in fills if np.datetime64(fill.session) <= sessions[-1]]
    records = np.zeros(len(known), dtype=FILL)
    for record, fill in zip(records, known, strict=True):
        record["row"] = np.searchsorted(sessions, np.datetime64(fill.session))
        record["symbol"] = column[fill.symbol]
        record["quantity"] = fill.quantity if fill.side is Side.BUY else -fill.quantity
        for name in ("price", "commission", "slippage", "cash_after", "position_after"):
            record[name] = getattr(fill, name)
    return records


def fill_table(fills: Sequence[Fill]) -> pd.DataFrame:
    """Return the table of trades.csv."""
    rows = [
        {
            "fill_id": fill.fill_id,
            "order_id": fill.order_id,
            "session": fill.session.isoformat(),
            "time_utc": fill.time_utc,
            "symbol": fill.symbol,
            "side": fill.side.value,
            "quantity": fill.quantity,
            "price": fill.price,
            "notional": fill.quantity * fill.price,
            "commission": fill.commission,
            "slippage": fill.slippage,
            "cash_after": fill.cash_after,
            "position_after": fill.position_after,
            "reason": fill.reason,
        }
        for fill in fills
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def movement_table(movements: Sequence[Movement]) -> pd.DataFrame:
    """Return the table of cash_flows.csv."""
    rows = [(m.session.isoformat(), m.kind, m.symbol, m.amount, m.quantity_change) for m in movements]
    return pd.DataFrame(rows, columns=list(CASH_FLOW_COLUMNS))


def trips_of(book: Book) -> pd.DataFrame:
    """Return the table of round_trips.csv; shares that came from elsewhere count as bought at that session's close."""
    sessions, column = book.sessions, {symbol: i for i, symbol in enumerate(book.symbols)}
    given = [_given(symbol, quantity, book.closes[0], n) for n, (symbol, quantity) in enumerate(book.opening.items())]
    by_session = {close.session: close for close in book.closes}
    flows = []
    for movement in book.movements:
        if not movement.symbol or movement.session not in by_session:
            continue
        if movement.kind.upper() in Flow.__members__:
            row = int(np.searchsorted(sessions, np.datetime64(movement.session)))
            kind = Flow[movement.kind.upper()]
            flows.append((row, column[movement.symbol], kind, movement.amount, movement.quantity_change))
        else:
            close = by_session[movement.session]
            given.append(_given(movement.symbol, movement.quantity_change, close, len(given)))
    # Stable: what was given comes first in its session.
    everything = sorted([*given, *book.fills], key=lambda fill: fill.session)
    records = fill_records(everything, sessions, book.symbols)
    trades = TradeLog(records, sessions, book.symbols, np.array(flows, dtype=FLOW))
    return round_trips(trades, np.array([book.closes[-1].marks.get(s, np.nan) for s in book.symbols]))


def _given(symbol: str, quantity: float, close: Close, number: int) -> Fill:
    side = Side.BUY if quantity > 0 else Side.SELL
    name, price = f"given-{number}", close.marks.get(symbol, np.nan)
    return Fill(name, name, close.session, "", symbol, side, abs(quantity), price, 0.0, 0.0, 0.0, np.nan, "given")


def audit_lines(journal: Journal) -> list[str]:
    """Return the entries of the audit log as lines of JSON."""
    return [
        json.dumps({"number": number, "time_utc": time, "kind": kind, **json.loads(payload)}, ensure_ascii=False)
        for number, time, kind, payload, _ in journal.audit()
    ]


def refresh(state: Path) -> None:
    """Write the tables of a state folder anew from its journal.

    Raises
    ------
    RunFolderError
        When there is no account, or nothing is booked yet.
    """
    from marsfolio.paper.options import remembered
    from marsfolio.paper.setup import journal_of, terms_of_options

    options = remembered(state)
    if options is None:
        raise RunFolderError(f"--state {state} has no paper account: nothing was ever traded with it")
    journal = journal_of(options, state, new=False)
    try:
        symbols = tuple(journal.value("identity", {}).get("symbols", ()))
        if write_folder(state, journal, symbols, terms_of_options(options)) is None:
            raise RunFolderError(
                f"{state}: no close is booked yet; after the first session there is something to report"
            )
    finally:
        journal.dispose()
