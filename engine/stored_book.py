"""One session of an account that is kept elsewhere between sessions, such as in a file."""

from __future__ import annotations

from typing import NamedTuple

from engine.account import bars_of, empty_log, empty_records
from engine.ledger import Book, OutcomeArray, RecordArray, Rules
from engine.panel import MarketPanel
from engine.simulator import settle_session


class Settled(NamedTuple):
    """What a session did to a book.

    Attributes
    ----------
    equity : account value at its close.
    fills, flows : records of `engine.ledger.FILL` and `FLOW`; their rows count from the session before.
    outcome : (N,) bits of engine.limits: why an order did not fill, or not all of it.
    """

    equity: float
    fills: RecordArray
    flows: RecordArray
    outcome: OutcomeArray


def open_book(panel: MarketPanel, row: int, book: Book, rules: Rules) -> Settled:
    """Mark the book of a new account to the close of ``row``, its first session, in place.

    Raises
    ------
    InputError
        As `engine.account.bars_of` does.
    """
    return _settle_last(panel, row, row, book, rules)


def settle_book(panel: MarketPanel, row: int, book: Book, rules: Rules) -> Settled:
    """Carry a book from the close of ``row - 1`` to that of ``row``, in place.

    Row after row it gives what an `engine.account.Account` gives, bit for bit.

    Parameters
    ----------
    book : as at the close of ``row - 1``; ``pending_row`` is 0 when a basket waits and -1 when none does.

    Raises
    ------
    InputError
        As `engine.account.bars_of` does.
    """
    return _settle_last(panel, row - 1, row, book, rules)


def _settle_last(panel: MarketPanel, first: int, row: int, book: Book, rules: Rules) -> Settled:
    n_rows, n = row - first + 1, panel.n_symbols
    records, log = empty_records(n_rows, n), empty_log(panel, n_rows, n)
    settle_session(n_rows - 1, bars_of(panel, first, row, rules.rates), book, records, rules, log)
    fills, flows = log.fills[: log.n_fills[0]], log.flows[: log.n_flows[0]]
    return Settled(float(records.equity[-1]), fills, flows, records.outcome[0])
