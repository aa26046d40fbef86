"""Does a strategy know the future? Runs it again on bars whose future is another, and compares the past.

What can be found is what depends on the panel that a run is given. A strategy that opens a file of its own, or asks a
server, looks ahead unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from engine.arrays import IntArray, SessionArray
from engine.errors import InputError, MarsfolioError
from engine.panel import ACTIONS, FIELDS, MarketPanel
from engine.trace import Difference, Trace, first_difference

CHANGES = ("cut", "multiply", "shuffle", "thin")
"""Ways to make another future: none at all, other prices and actions, the days in another order, bars taken out."""

SESSIONS_AHEAD = 10
"""How much of the future is left to be changed: what a strategy reads beyond it is cut off."""


def changed_after(panel: MarketPanel, row: int, how: str, seed: int) -> MarketPanel:
    """Return the panel with another future: every bar, split and dividend after ``row`` changed.

    Parameters
    ----------
    how : one of `CHANGES`.
    """
    if how == "cut":
        return panel.rows(0, row + 1)
    rng = np.random.default_rng(seed)
    names = (*FIELDS, *(ACTIONS if panel.has_actions else ()))
    bars = {name: getattr(panel, name).copy() for name in names}
    n_later = len(panel) - row - 1
    factor = np.exp(rng.normal(0, 0.5, (n_later, panel.n_symbols)))
    order = rng.permutation(n_later) + row + 1
    gone = rng.random((n_later, panel.n_symbols)) < 0.5
    for name, values in bars.items():
        if how == "multiply":
            values[row + 1 :] = 1 / values[row + 1 :] if name == "split" else values[row + 1 :] * factor
        elif how == "shuffle":
            values[row + 1 :] = values[order]
        elif how == "thin":
            values[row + 1 :][gone] = {"split": 1.0, "dividend": 0.0}.get(name, np.nan)
    return replace(panel, **bars)


class Run(Protocol):
    """Runs the strategy on a panel from the same first session, afresh, and returns what it did."""

    def __call__(self, panel: MarketPanel, last: int, in_one_go: bool = True) -> Trace:
        """Run up to the row ``last``; without ``in_one_go`` indicators are computed bar by bar."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """A look-ahead.

    Attributes
    ----------
    session : after which the future was changed.
    difference : what moved.
    when : session of the difference.
    changes : those of `CHANGES` that make a difference up to ``session``, each by itself; or all of them together.
    """

    session: np.datetime64
    difference: Difference
    when: np.datetime64
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes
    ----------
    dates : sessions after which the future was changed.
    runs, sessions : how many runs that took, and how many sessions they had in all.
    compared : decisions and orders of the run.
    unrepeatable : first difference of two identical runs, and its session; such a strategy cannot be checked.
    finding : the first look-ahead; None when there is none.
    """

    dates: SessionArray
    runs: int
    sessions: int
    compared: int
    unrepeatable: tuple[Difference, np.datetime64] | None = None
    finding: Finding | None = None


def spread_rows(first: int, last: int, n: int, seed: int) -> IntArray:
    """Return up to ``n`` rows from first to last, increasing: one, at random, of each of n equal parts."""
    edges = np.linspace(first, last + 1, min(n, last + 1 - first) + 1)
    draws = np.random.default_rng(seed).random(len(edges) - 1)
    rows: IntArray = np.floor(edges[:-1] + draws * np.diff(edges)).astype(np.int64)
    return np.unique(np.clip(rows, first, last))


def check_lookahead(
    run: Run,
    panel: MarketPanel,
    first: int,
    last: int,
    dates: int = 20,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Run a strategy again and again on other futures, up to the first decision that moves.

    After each of ``dates`` sessions the future is cut off in one run and, in another, multiplied, shuffled and thinned
    at once; both go up to that session.

    Parameters
    ----------
    first, last : rows of the run.
    progress : told how many sessions have been run, and how many there will be if nothing is found.

    Raises
    ------
    InputError
        When there is no session after the first, or ``dates`` is not positive.
    """
    if dates < 1 or first >= len(panel) - 1:
        raise InputError(
            f"a check needs a session after the first and dates > 0, were {len(panel) - 1 - first}, {dates}"
        )
    rows = spread_rows(first, min(last, len(panel) - 2), dates, seed)
    check = _Check(run, panel, first, seed, progress)
    check.total = 2 * (last - first + 1) + 2 * int((rows - first + 1).sum())
    base, again = check.traced(panel, last), check.traced(panel, last)
    difference = first_difference(base, again, last - first)
    unrepeatable = None if difference is None else (difference, panel.sessions[first + difference.row])
    finding = None
    if unrepeatable is None:
        finding = next((found for row in rows.tolist() if (found := check.at(row, base)) is not None), None)
    n_decided = int((~np.isnan(base.asked).all(axis=1)).sum()) if base.asked.size else int(base.result.decided.sum())
    compared = n_decided + len(base.placed)
    return Report(panel.sessions[rows], check.runs, check.sessions, compared, unrepeatable, finding)


class _Check:
    """The runs of one check, counted."""

    def __init__(
        self, run: Run, panel: MarketPanel, first: int, seed: int, progress: Callable[[int, int], None]
    ) -> None:
        self._run, self._panel, self._first, self._seed, self._progress = run, panel, first, seed, progress
        self.runs = self.sessions = self.total = 0

    def traced(self, panel: MarketPanel, last: int, in_one_go: bool = True) -> Trace:
        trace = self._run(panel, last, in_one_go)
        self.runs += 1
        self.sessions += last - self._first + 1
        self._progress(self.sessions, self.total)
        return trace

    def at(self, row: int, base: Trace) -> Finding | None:
        """Change the future after a row, in every way at once, and find out which ways matter where one does."""
        known = self._difference(row, base, ("cut",))
        changed = self._difference(row, base, CHANGES[1:])
        moved = [difference for difference in (known, changed) if difference is not None]
        if not moved:
            return None
        earliest = min(moved, key=lambda difference: difference.row)
        alone = [] if changed is None else [how for how in CHANGES[1:] if self._difference(row, base, (how,))]
        ways = (*(("cut",) if known is not None else ()), *alone) or CHANGES[1:]
        sessions = self._panel.sessions
        return Finding(sessions[row], earliest, sessions[self._first + earliest.row], ways)

    def _difference(self, row: int, base: Trace, ways: tuple[str, ...]) -> Difference | None:
        panel = self._panel.rows(0, min(len(self._panel), row + 1 + SESSIONS_AHEAD))
        for k, how in enumerate(ways):
            panel = changed_after(panel, row, how, self._seed + k)
        t = row - self._first
        try:
            other = self.traced(panel, row)
        except Exception as error:
            # The run as it is came past this session, and up to it this one has the same bars.
            words = str(error) if isinstance(error, MarsfolioError) else f"{type(error).__name__}: {error}"
            return Difference(t, "run", "", "going on", f"an error: {words}")
        if other.in_one_go != base.in_one_go:
            base = self.traced(self._panel, row, other.in_one_go)
        return first_difference(base, other, t)
