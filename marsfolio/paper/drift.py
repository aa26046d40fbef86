"""How far an account has come from the backtest of its own decisions, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from brokers.protocol import Side
from data_feeds.files import read_panel
from engine.account import Account
from engine.errors import InputError, RunFolderError
from engine.panel import MarketPanel
from engine.result import Result
from live.journal import Fill, Journal
from live.plan import Intent, Plan
from live.waiting import COMMAND_SECONDS, SystemWaiter
from marsfolio.paper.folder import Book, read_book
from marsfolio.paper.options import PaperOptions, remembered
from marsfolio.paper.setup import BARS_FOLDER, journal_of, panel_of, terms_of_options

PARTS = ("price", "timing", "costs", "rejected", "cash", "dividends", "other")
LATE = timedelta(minutes=5)
"""A fill so long after the open is late: its difference to the open is timing, not price."""


@dataclass(frozen=True)
class Drift:
    """The difference between an account and the backtest of its decisions.

    Attributes
    ----------
    table : session, equity, backtest, drift (of the session, account currency), and its parts, which sum to it.
    """

    table: pd.DataFrame

    @property
    def total(self) -> dict[str, float]:
        """Sum of each part over all sessions, account currency."""
        return {part: float(self.table[part].sum()) for part in ("drift", *PARTS)}


def drift_of(state: Path, data: Path | None) -> Drift:
    """Return the drift of the account in a state folder.

    Parameters
    ----------
    data : bars to compare with; those of the account when None.

    Raises
    ------
    RunFolderError
        When there is no account, or nothing was booked.
    InputError
        When the bars do not cover its sessions.
    """
    options = remembered(state)
    if options is None:
        raise RunFolderError(f"--state {state} has no paper account: nothing was ever traded with it")
    journal = journal_of(options, state, new=False)
    try:
        symbols = tuple(journal.value("identity", {}).get("symbols", ()))
        book = read_book(journal, symbols)
        if len(book.closes) < 2:
            raise RunFolderError(f"{state}: fewer than two closes are booked: there is no drift yet")
        panel = _panel(options, state, data, book)
        return Drift(_table(book, panel, options, journal))
    finally:
        journal.dispose()


def _panel(options: PaperOptions, state: Path, data: Path | None, book: Book) -> MarketPanel:
    """Return the bars of the account's sessions, its symbols in its order."""
    if data is not None:
        panel = read_panel(data, list(book.symbols))[0].select(list(book.symbols))
    elif options.broker == "simulated":
        panel = panel_of(options).select(list(book.symbols))
    else:
        from marsfolio.paper.account import alpaca_venue

        last = book.closes[-1].session
        bars = alpaca_venue(options, state / BARS_FOLDER, SystemWaiter(COMMAND_SECONDS)).bars
        panel = bars.panel(book.symbols, last, max(len(book.closes) + 5, 30))
    missing = [str(day) for day in book.sessions if day not in panel.sessions]
    if missing:
        raise InputError(f"{panel.source} has no bars of {missing[0]}, which the account has: give --data another file")
    return panel


def shadow(book: Book, panel: MarketPanel, options: PaperOptions) -> Result:
    """Return the backtest that begins like the account and takes its decisions."""
    rows = np.searchsorted(panel.sessions, book.sessions)
    first, last = int(rows[0]), int(rows[-1])
    terms = replace(terms_of_options(options), cash=book.closes[0].equity, limits=None)
    account = Account(panel, first, last, terms)
    weights = np.full(panel.close.shape, np.nan)
    for plan in book.plans:
        row = int(np.searchsorted(panel.sessions, np.datetime64(plan.decided)))
        if plan.target is not None and row < len(panel) and panel.sessions[row] == np.datetime64(plan.decided):
            weights[row] = plan.weights
    account.simulate(weights)
    return account.result()


def _table(book: Book, panel: MarketPanel, options: PaperOptions, journal: Journal) -> pd.DataFrame:
    backtest = shadow(book, panel, options)
    at = np.searchsorted(backtest.sessions, book.sessions)
    theirs = backtest.equity[at]
    ours = np.array([close.equity for close in book.closes])
    rows = []
    by_session = {plan.session: plan for plan in book.plans}
    commission = backtest.per_session("commission") + backtest.per_session("slippage")
    for t in range(1, len(ours)):
        close = book.closes[t]
        row = int(np.searchsorted(panel.sessions, np.datetime64(close.session)))
        fills = [fill for fill in book.fills if fill.session == close.session]
        parts = dict.fromkeys(PARTS, 0.0)
        plan = by_session.get(close.session)
        if plan is not None and plan.target is not None:
            _of_orders(parts, plan, journal.intents(plan.session), fills, panel, row)
        paid = sum(fill.commission + fill.slippage for fill in fills)
        parts["costs"] = float(commission[at[t - 1] + 1 : at[t] + 1].sum()) - paid
        parts["dividends"] = _dividends(book, panel, t, row)
        drift = float((ours[t] - ours[t - 1]) - (theirs[t] - theirs[t - 1]))
        parts["other"] = drift - sum(parts.values())
        rows.append({"session": str(close.session), "equity": ours[t], "backtest": theirs[t], "drift": drift, **parts})
    return pd.DataFrame(rows, columns=["session", "equity", "backtest", "drift", *PARTS])


def _of_orders(
    parts: dict[str, float], plan: Plan, intents: list[Intent], fills: list[Fill], panel: MarketPanel, row: int
) -> None:
    """Add what price, time, refusals and lack of cash made of a plan's orders, at the session's close."""
    opened, closed = panel.open[row], panel.close[row]
    filled: dict[str, float] = {}
    for fill in fills:
        i = panel.symbols.index(fill.symbol)
        signed = fill.quantity if fill.side is Side.BUY else -fill.quantity
        reference = fill.price - np.sign(signed) * fill.slippage / fill.quantity
        parts["timing" if _is_late(fill, fills) else "price"] += signed * float(opened[i] - reference)
        filled[fill.symbol] = filled.get(fill.symbol, 0.0) + signed
    short_of_cash = {i.symbol for i in intents if "cash" in i.reason}
    for symbol, change in zip(plan.symbols, plan.change.tolist(), strict=True):
        i = panel.symbols.index(symbol)
        missed = change - filled.get(symbol, 0.0)
        if missed and np.isfinite(opened[i]):
            parts["cash" if symbol in short_of_cash else "rejected"] -= missed * float(closed[i] - opened[i])


def _is_late(fill: Fill, fills: list[Fill]) -> bool:
    if not fill.time_utc or fill.time_utc.endswith("T00:00:00Z"):
        return False
    first = min(other.time_utc for other in fills if other.time_utc)
    return datetime.fromisoformat(fill.time_utc) - datetime.fromisoformat(first) > LATE


def _dividends(book: Book, panel: MarketPanel, t: int, row: int) -> float:
    """Return what the account did not get: the gain of adjusted prices less that of the prices it was valued at."""
    before, now = book.closes[t - 1], book.closes[t]
    held = _held_at(book, t - 1)
    previous = int(np.searchsorted(panel.sessions, np.datetime64(before.session)))
    lost = 0.0
    for symbol, quantity in held.items():
        i = panel.symbols.index(symbol)
        if symbol not in before.marks or symbol not in now.marks:
            continue
        growth = panel.close[row, i] / panel.close[previous, i]
        if np.isfinite(growth):
            lost += quantity * float(before.marks[symbol] * growth - now.marks[symbol])
    return -lost if abs(lost) > 1e-6 * now.equity * 1e-3 else 0.0


def _held_at(book: Book, t: int) -> dict[str, float]:
    held = dict(book.opening)
    day = book.closes[t].session
    for fill in book.fills:
        if fill.session <= day:
            signed = fill.quantity if fill.side is Side.BUY else -fill.quantity
            held[fill.symbol] = held.get(fill.symbol, 0.0) + signed
    for movement in book.movements:
        if movement.symbol and movement.session <= day:
            held[movement.symbol] = held.get(movement.symbol, 0.0) + movement.quantity_change
    return {symbol: quantity for symbol, quantity in held.items() if abs(quantity) > 1e-9}
