"""Splits overnight: shares and adjusted prices must tell the same story, or nothing is booked and nothing is traded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from brokers.protocol import Holding, Movement, SessionHours
from engine.errors import TemporaryError
from engine.panel import MarketPanel
from live.desk import Desk
from live.journal import Journal
from live.plan import SMALLEST
from live.records import Close

SPLIT = "split"
DOUBT, TRUSTED = "doubt", "trusted"
"""Names in the journal: what shares and prices disagree on, as (symbol, session), and what a person agreed to."""

_FORWARD = [*map(float, range(2, 51)), 1.25, 4 / 3, 1.5, 2.5]
RATIOS = (*_FORWARD, *(1 / ratio for ratio in _FORWARD))
_PRICE_TOLERANCE = 0.01
"""Restated prices are rounded, and a dividend of the same night is in them too."""
_MONEY = 0.1
"""Shares that came for less than this part of their value were not bought."""


@dataclass(frozen=True, slots=True)
class _Prices:
    """What a service now says of a close that we booked before, against what it said then."""

    close: Close
    panel: MarketPanel

    def ratio(self, symbol: str) -> float | None:
        """Return new shares for an old one by the restated close; None when it was not restated as by a split."""
        then = self.close.marks.get(symbol)
        row = int(np.searchsorted(self.panel.sessions, np.datetime64(self.close.session)))
        if then is None or row == len(self.panel) or self.panel.sessions[row].item() != self.close.session:
            return None
        now = float(self.panel.close[row, self.panel.symbols.index(symbol)])
        return next((ratio for ratio in RATIOS if abs(then / now / ratio - 1) <= _PRICE_TOLERANCE), None)


def splits_among(
    desk: Desk,
    found: Sequence[tuple[str, float]],
    holdings: Mapping[str, Holding],
    calendar: Sequence[SessionHours],
    last: SessionHours | None,
) -> list[Movement]:
    """Return the splits among what the account has more than our books.

    Parameters
    ----------
    found : (symbol, shares), and ("", money) for cash.
    last : the last complete session.

    Raises
    ------
    TemporaryError
        When shares changed as by a split and prices did not, or otherwise.
    """
    close, ledger = desk.journal.last_close(), desk.journal.ledger()
    changed = [(symbol, change) for symbol, change in found if symbol and ledger.positions.get(symbol, 0.0) > 0]
    if close is None or last is None or not changed:
        return []
    days = [hours.session for hours in calendar if hours.session > close.session]
    rows = sum(close.session <= hours.session <= last.session for hours in calendar)
    prices = _Prices(close, desk.bars.panel(desk.recipe.symbols, last.session, max(rows, 2)))
    unpaid = _unpaid(found, close)
    splits = []
    for symbol, change in changed:
        held, there = ledger.positions[symbol], holdings[symbol].quantity if symbol in holdings else 0.0
        ratio = prices.ratio(symbol)
        if ratio is not None and _fits(held, there, ratio):
            splits.append(Movement(days[0] if days else last.session, SPLIT, symbol, 0.0, change))
        elif (ratio is not None or unpaid) and there > 0 and not (ratio is None and not _like_split(held, there)):
            seen = "do not show it" if ratio is None else f"were restated as by a split of {ratio:g}"
            _stop(desk.journal, symbol, close, f"{held:g} shares became {there:g}, and prices {seen}")
    return splits


def check_prices(journal: Journal, panel: MarketPanel) -> None:
    """Refuse bars that were restated as by a split since the last close, of a symbol whose shares stayed the same.

    Raises
    ------
    TemporaryError
        Naming the symbol, and saying what to do.
    """
    close = journal.last_close()
    if close is None:
        return
    prices, before, now = _Prices(close, panel), _held_at(journal, close.session), journal.ledger().positions
    split = {m.symbol for m in journal.movements() if m.kind == SPLIT and m.session > close.session}
    for symbol, held in before.items():
        ratio = prices.ratio(symbol) if symbol in panel.symbols else None
        if ratio is not None and held > SMALLEST and now.get(symbol, 0.0) > SMALLEST and symbol not in split:
            told = f"prices were restated as by a split of {ratio:g}, and the account still has {now[symbol]:g} shares"
            _stop(journal, symbol, close, told)


def _unpaid(found: Sequence[tuple[str, float]], close: Close) -> bool:
    """Return whether the shares came or went without their money."""
    value = sum(change * close.marks.get(symbol, 0.0) for symbol, change in found if symbol)
    money = sum(change for symbol, change in found if not symbol)
    return abs(money) <= _MONEY * abs(value)


def _fits(held: float, there: float, ratio: float) -> bool:
    """Return whether shares became as many as by a split; brokers may pay for a fraction of a share."""
    exact = held * ratio
    return abs(there - exact) <= 1e-6 or there == math.floor(exact + 1e-6)


def _like_split(held: float, there: float) -> bool:
    return any(_fits(held, there, ratio) for ratio in RATIOS)


def _held_at(journal: Journal, session: date) -> Mapping[str, float]:
    return journal.ledger().as_of(session, journal.fills(after=session), journal.movements(session)).positions


def _stop(journal: Journal, symbol: str, close: Close, told: str) -> None:
    doubt = [symbol, close.session.isoformat()]
    if journal.value(TRUSTED) == doubt:
        return
    with journal.writing() as writer:
        writer.set_value(DOUBT, doubt)
    raise TemporaryError(
        f"{symbol}: since the close of {close.session} {told}: nothing was traded. One of the two is late after a "
        "split: run again when broker and bars agree; if they never do, `marsfolio paper resume` takes both as they are"
    )
