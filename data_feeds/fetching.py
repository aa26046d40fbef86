"""Brings a store up to date: what is missing is asked for, and what the source restated is loaded anew."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from math import isclose, isnan
from pathlib import Path
from typing import Protocol

from data_feeds.calendar import DEFAULT_CALENDAR, exchange_hours
from data_feeds.store import (
    History,
    Manifest,
    Row,
    is_store,
    locked,
    read_manifest,
    read_tail,
    write_manifest,
    write_symbol,
)
from engine.errors import ConfigError, TemporaryError
from engine.http import RequestFailed

OVERLAP = 5
"""Sessions asked for again, whose prices tell whether history was restated."""
PRICE_TOLERANCE = 1e-6
"""Relative: services round adjusted prices anew; the smallest dividends move them by more."""
SETTLED = timedelta(minutes=20)
"""So long after the close a session's bar is taken for complete."""
LATE_DAYS = 7
"""A last bar that is missing for longer is not merely late."""

_MOST_SYMBOLS = 200
_REFUSED = (400, 404, 422)

logger = logging.getLogger(__name__)


class Source(Protocol):
    """Where bars come from."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What must not be mixed in one store, such as the service and its feed."""
        ...

    @property
    def adjustment(self) -> str:
        """As in a `Manifest`."""
        ...

    @property
    def rows_a_request(self) -> int:
        """How many bars one request returns; 0 when it takes one symbol alone."""
        ...

    def fetch(self, symbols: Sequence[str], first: date, last: date) -> Mapping[str, History]:
        """Return the bars from ``first`` to ``last`` of those symbols that have some.

        Raises
        ------
        TemporaryError
            When the service fails, or a bar is implausible.
        TradingStopped
            When it refuses the keys.
        """
        ...


@dataclass(slots=True)
class Outcome:
    """What became of each symbol.

    Attributes
    ----------
    complete : not asked for, the store had all.
    grown : new sessions were added, or none was there to add.
    loaded : asked for as a whole, the first time or from an earlier start.
    restated : loaded anew, because the source changed what it had said.
    missing : the source has no bars, or none that can be used; and why. What the store had is kept.
    """

    complete: list[str] = field(default_factory=list)
    grown: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    restated: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """How many symbols are settled."""
        return sum(map(len, (self.complete, self.grown, self.loaded, self.restated, self.missing)))


@dataclass(frozen=True, slots=True)
class _Job:
    """One symbol to ask for from ``start`` on; ``kept`` are the store's bars since, which the source must repeat."""

    symbol: str
    start: date
    asked_from: date
    kept: History = field(default_factory=dict)
    restated: bool = False


def last_session(end: date, now: datetime, calendar: str = DEFAULT_CALENDAR) -> date:
    """Return the last session of an exchange up to ``end`` that was complete at ``now`` (UTC).

    Raises
    ------
    ConfigError
        When there is none in the month before, or the calendar is unknown.
    """
    end = min(end, now.date())
    hours = exchange_hours(end - timedelta(days=31), end, calendar)
    complete = [day for day, _, close in hours if close + SETTLED <= now]
    if not complete:
        raise ConfigError(f"the exchange {calendar} has no complete session in the month up to {end}")
    return complete[-1]


def fetch_into(
    folder: Path,
    source: Source,
    symbols: Sequence[str],
    first: date,
    last: date,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Bring a store up to date; however it ends, what is complete by then stays and is not asked for again.

    Parameters
    ----------
    first : of a symbol that the store asked for from an earlier date on, all is kept.
    last : a complete session.
    progress : is told how many symbols are settled, and how many there are.

    Raises
    ------
    ConfigError
        When the store has bars of another source, or cannot be written.
    TemporaryError
        When another process writes to it, or the service fails.
    TradingStopped
        When the service refuses the keys.
    """
    with locked(folder):
        return _Fetch(folder, source, last, progress).run(sorted(set(symbols)), first)


class _Fetch:
    def __init__(self, folder: Path, source: Source, last: date, progress: Callable[[int, int], None]) -> None:
        self._folder, self._source, self._last, self._progress = folder, source, last, progress
        self._manifest = _manifest_for(folder, source)
        self._outcome = Outcome()

    def run(self, symbols: Sequence[str], first: date) -> Outcome:
        known = [entry for symbol in symbols if (entry := self._manifest.entries.get(symbol)) is not None]
        # What is loaded anew from an earlier start must not lose its end.
        self._last = max([self._last, *(entry.asked_to for entry in known if first < entry.asked_from)])
        jobs = [job for symbol in symbols if (job := self._job(symbol, first)) is not None]
        chunks = deque(self._chunks(jobs))
        self._progress(self._outcome.done, len(symbols))
        while chunks:
            chunks.extend(self._chunks(self._settle(chunks.popleft())))
            write_manifest(self._folder, self._manifest)
            self._progress(self._outcome.done, len(symbols))
        return self._outcome

    def _job(self, symbol: str, first: date) -> _Job | None:
        entry = self._manifest.entries.get(symbol)
        if entry is None or first < entry.asked_from:
            return _Job(symbol, first, first)
        if entry.asked_to >= self._last:
            self._outcome.complete.append(symbol)
            return None
        kept = read_tail(self._folder, entry, OVERLAP)
        return _Job(symbol, min(kept), entry.asked_from, kept)

    def _chunks(self, jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
        """Yield jobs that are asked for together: of one start, and about as many as fill one answer."""
        for start, some in groupby(sorted(jobs, key=lambda job: (job.start, job.symbol)), key=lambda job: job.start):
            sessions = (self._last - start).days * 252 // 365 + 1
            size = min(_MOST_SYMBOLS, max(1, self._source.rows_a_request // sessions))
            group = list(some)
            yield from (group[k : k + size] for k in range(0, len(group), size))

    def _settle(self, chunk: list[_Job]) -> list[_Job]:
        """Ask for a chunk and keep what comes; return those that have to be asked for as a whole."""
        found = self._ask(chunk)
        anew = []
        for job in chunk:
            if job.symbol not in found:
                continue
            history = found[job.symbol]
            if job.kept and not _agree(job.kept, history):
                logger.info("%s was restated (a split or a dividend): all of it is fetched anew", job.symbol)
                anew.append(_Job(job.symbol, job.asked_from, job.asked_from, restated=True))
            else:
                self._keep(job, history)
        return anew

    def _ask(self, chunk: list[_Job]) -> dict[str, History]:
        """Return the bars of those symbols that have usable ones, and note the others as missing."""
        try:
            found = self._source.fetch([job.symbol for job in chunk], chunk[0].start, self._last)
        except TemporaryError as error:
            if isinstance(error, RequestFailed) and error.status not in _REFUSED:
                raise
            if len(chunk) == 1:
                self._outcome.missing[chunk[0].symbol] = str(error)
                return {}
            # One symbol that the service does not know, or one bad bar, must not cost the others theirs.
            return {symbol: bars for job in chunk for symbol, bars in self._ask([job]).items()}
        for job in chunk:
            if not found.get(job.symbol):
                again = " any more" if job.kept or job.restated else ""
                self._outcome.missing[job.symbol] = f"no bars{again} from {job.start} to {self._last}"
        return {job.symbol: found[job.symbol] for job in chunk if found.get(job.symbol)}

    def _keep(self, job: _Job, history: History) -> None:
        newest = max(history)
        late = newest < self._last <= newest + timedelta(days=LATE_DAYS)
        asked = (job.asked_from, newest if late else self._last)
        after = job.start if job.kept else None
        self._manifest = write_symbol(self._folder, self._manifest, job.symbol, history, asked, after)
        of_kind = self._outcome.restated if job.restated else self._outcome.grown if job.kept else self._outcome.loaded
        of_kind.append(job.symbol)


def _manifest_for(folder: Path, source: Source) -> Manifest:
    new = Manifest(dict(source.identity), source.adjustment, {})
    if not is_store(folder):
        return new
    manifest = read_manifest(folder)
    if (manifest.source, manifest.adjustment) != (new.source, new.adjustment):
        raise ConfigError(
            f"--store {folder} holds bars of {manifest.described}, and these are of {new.described}: they must not be "
            "mixed, give another --store"
        )
    return manifest


def _agree(kept: History, again: History) -> bool:
    """Return whether what is fetched again says what it said; volumes are corrected later on."""
    return all(day in again and _same(row, again[day]) for day, row in kept.items())


def _same(one: Row, other: Row) -> bool:
    pairs = zip((*one[:4], *one[5:]), (*other[:4], *other[5:]), strict=True)
    return all(isclose(a, b, rel_tol=PRICE_TOLERANCE) or (isnan(a) and isnan(b)) for a, b in pairs)
