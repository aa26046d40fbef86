"""Traces: what runs decided and did, compared bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from engine.arrays import FloatArray
from engine.ledger import RecordArray
from engine.orders import PlacedOrder
from engine.result import Result

_NOTHING: FloatArray = np.zeros((0, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What a run decided and did.

    Attributes
    ----------
    asked : (T, N) target weights as they were decided, before limits; NaN where none. Empty when not recorded.
    placed : the orders of an ordinary strategy; their rows are rows of the panel.
    first : row of the panel of the run's first session.
    in_one_go : whether indicators were computed for all bars before the first was acted on, as backtrader does when
        it can; rounding may differ from bar by bar.
    """

    result: Result
    asked: FloatArray = field(default_factory=lambda: _NOTHING)
    placed: tuple[PlacedOrder, ...] = ()
    first: int = 0
    in_one_go: bool = True


class Difference(NamedTuple):
    """The first thing that two runs did otherwise.

    Attributes
    ----------
    row : session of the run, from 0.
    what : such as ``decision``, ``order``, ``fill`` or ``equity``.
    symbol : its name; empty where it concerns none.
    was, became : in words.
    """

    row: int
    what: str
    symbol: str
    was: str
    became: str


def first_difference(before: Trace, after: Trace, t: int) -> Difference | None:
    """Compare, bit for bit, all that is known when session ``t`` of both runs has closed; None when it is the same.

    Of what differs in the same session, the decision comes first, then what follows from it.
    """
    return min(_differences(before, after, t), key=lambda difference: difference.row, default=None)


def _differences(before: Trace, after: Trace, t: int) -> Iterator[Difference]:
    one, other = before.result, after.result
    symbols = one.symbols
    if before.asked.size:
        yield from _of_cells("decision", before.asked, after.asked, t, symbols)
    yield from _of_cells("rebalance", one.decided[:, None].astype("f8"), other.decided[:, None].astype("f8"), t, ("",))
    yield from _of_cells("weight of an agent", one.agent_weights, other.agent_weights, t, one.agent_names)
    yield from _of_cells("decision after limits", one.target_weight, other.target_weight, t, symbols)
    yield from _of_records("order", _orders(before, t), _orders(after, t))
    yield from _flows(one, other, t)
    yield from _fills(one, other, t)
    # What became of a decision shows in the session after.
    yield from _of_cells("executed weight", one.executed_weight, other.executed_weight, t - 1, symbols)
    yield from _of_cells("outcome of a target", one.outcome.astype("f8"), other.outcome.astype("f8"), t - 1, symbols)
    for name in ("cash", "traded", "equity"):
        yield from _of_cells(name, getattr(one, name)[:, None], getattr(other, name)[:, None], t, ("",))


def _of_cells(what: str, before: FloatArray, after: FloatArray, t: int, names: tuple[str, ...]) -> Iterator[Difference]:
    one, other = before[: t + 1], after[: t + 1]
    moved = ~((one == other) | (np.isnan(one) & np.isnan(other)))
    if moved.any():
        row, column = (int(axis[0]) for axis in np.nonzero(moved))
        yield Difference(row, what, names[column], _number(one[row, column]), _number(other[row, column]))


def _number(value: float) -> str:
    return "none" if np.isnan(value) else repr(float(value))


class _Record(NamedTuple):
    row: int
    symbol: str
    words: str
    values: tuple[Any, ...]


_NO_RECORD = _Record(np.iinfo(np.int64).max, "", "none", ())


def _of_records(what: str, before: list[_Record], after: list[_Record]) -> Iterator[Difference]:
    for one, other in zip_longest(before, after, fillvalue=_NO_RECORD):
        if one != other:
            earlier = min(one, other, key=lambda record: record.row)
            # Where one run has a record more, the other's next one is of a later session or another symbol.
            place = (earlier.row, earlier.symbol)
            was, became = (r.words if (r.row, r.symbol) == place else "none" for r in (one, other))
            yield Difference(earlier.row, what, earlier.symbol, was, became)
            return


def _orders(trace: Trace, t: int) -> list[_Record]:
    found = []
    for order in trace.placed:
        row = order.row - trace.first
        if row <= t:
            limit = f", limit {order.limit!r}" if order.limit != order.price else ""
            words = f"{order.kind} order for {order.quantity:+g} at {order.price!r}{limit}"
            found.append(_Record(row, trace.result.symbols[order.symbol], words, order))
    return found


def _flows(one: Result, other: Result, t: int) -> Iterator[Difference]:
    known = [result.trades.flows[result.trades.flows["row"] <= t] for result in (one, other)]
    if not np.array_equal(known[0], known[1]):  # quick, where there are many
        names = (*one.symbols, "")
        before, after = (
            [
                _Record(row, names[symbol], f"{amount!r} and {shares!r} shares", (kind, amount, shares))
                for row, symbol, kind, amount, shares in flows.tolist()
            ]
            for flows in known
        )
        yield from _of_records("cash flow", before, after)


def _fills(one: Result, other: Result, t: int) -> Iterator[Difference]:
    known = [_known_fills(result, t) for result in (one, other)]
    if not np.array_equal(known[0], known[1]):
        before, after = (
            [
                _Record(fill[0], one.symbols[fill[1]], f"{fill[2]!r} at {fill[3]!r}", tuple(fill[2:]))
                for fill in fills.tolist()
            ]
            for fills in known
        )
        yield from _of_records("fill", before, after)


def _known_fills(result: Result, t: int) -> RecordArray:
    fills = result.trades.fills
    return fills[fills["row"] + result.booked_later() <= t]
