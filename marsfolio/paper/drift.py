"""How far each session of an account ended from where the backtest's session would have, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from brokers.protocol import SessionHours
from data_feeds.calendar import exchange_hours
from data_feeds.files import read_panel
from engine.account import Account
from engine.errors import InputError, RunFolderError
from engine.panel import MarketPanel
from engine.rebalancer import Terms
from engine.result import Result
from live.waiting import COMMAND_SECONDS, SystemWaiter
from marsfolio.paper.drift_session import PARTS, explain_session, known_closes
from marsfolio.paper.folder import Book, held_of, read_book
from marsfolio.paper.options import PaperOptions, remembered
from marsfolio.paper.setup import BARS_FOLDER, journal_of, panel_of, terms_of_options


@dataclass(frozen=True)
class Drift:
    """How far an account went apart from the backtest.

    Attributes
    ----------
    table : session; equity at its close; ``expected``, that of the backtest of this one session, begun with the
        account as it was; ``backtest``, that of the backtest of all decisions so far; ``drift``, equity less
        expected, account currency, and its parts, which sum to it.
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
        return Drift(drift_table(book, panel, terms_of_options(options), _hours(book, options.calendar)))
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


def shadow(book: Book, panel: MarketPanel, terms: Terms) -> Result:
    """Return the backtest that begins like the account and takes its decisions."""
    rows = np.searchsorted(panel.sessions, book.sessions)
    first, last = int(rows[0]), int(rows[-1])
    terms = replace(terms, cash=book.closes[0].equity, limits=None)
    account = Account(panel, first, last, terms)
    weights = np.full(panel.close.shape, np.nan)
    for plan in book.plans:
        row = int(np.searchsorted(panel.sessions, np.datetime64(plan.decided)))
        if plan.target is not None and row < len(panel) and panel.sessions[row] == np.datetime64(plan.decided):
            weights[row] = plan.weights
    account.simulate(weights)
    return account.result()


def drift_table(book: Book, panel: MarketPanel, terms: Terms, hours: Mapping[date, SessionHours]) -> pd.DataFrame:
    """Return the table of a `Drift`.

    Parameters
    ----------
    panel : bars of the account's sessions, its symbols in its order; adjusted, or raw with splits and dividends.
    hours : of the sessions, by their dates.
    """
    backtest = shadow(book, panel, terms)
    theirs = backtest.equity[np.searchsorted(backtest.sessions, book.sessions)]
    held, known = held_of(book, book.sessions), known_closes(panel.close)
    rows = []
    for t in range(1, len(book.closes)):
        close = book.closes[t]
        expected, parts = explain_session(book, panel, known, terms, t, held[t - 1], hours[close.session])
        drift = close.equity - expected
        found = {"session": str(close.session), "equity": close.equity, "expected": expected, "backtest": theirs[t]}
        rows.append({**found, "drift": drift, **parts, "other": drift - sum(parts.values())})
    return pd.DataFrame(rows, columns=["session", "equity", "expected", "backtest", "drift", *PARTS])


def _hours(book: Book, calendar: str) -> dict[date, SessionHours]:
    days = [close.session for close in book.closes]
    return {hours[0]: SessionHours(*hours) for hours in exchange_hours(days[0], days[-1], calendar, days)}
