"""The windows of an evaluation: where a method learns, where it is chosen, and where it is tested."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from engine.errors import ConfigError
from engine.panel import MarketPanel, Window
from engine.walkforward import Fold

_FORM = "NAME=TRAIN_A:TRAIN_B/VALIDATION_A:VALIDATION_B/TEST_A:TEST_B"
_DATE = r"(\d{4}-\d{2}-\d{2})"
_SPAN = f"{_DATE}:{_DATE}"
_PATTERN = re.compile(rf"([A-Za-z0-9][\w.-]*)={_SPAN}/{_SPAN}/{_SPAN}", re.ASCII)
_PARTS = ("train", "validation", "test")
ALL = "all"
"""Stands for all windows together in the table; no window may be called so."""


@dataclass(frozen=True, slots=True)
class Periods:
    """The dates of one window, first and last of each part, both included.

    Attributes
    ----------
    name : what the tables call it.
    train, validation, test : ISO dates.
    """

    name: str
    train: tuple[str, str]
    validation: tuple[str, str]
    test: tuple[str, str]

    def fold(self, panel: MarketPanel) -> Fold:
        """Return the rows of a panel, clipped to the data.

        Raises
        ------
        InputError
            When a part has no session in the data.
        """
        train, validation, test = (_rows(panel, span) for span in self.spans())
        return Fold(train, validation, test)

    def spans(self) -> tuple[tuple[str, str], ...]:
        """Return first and last date of training, validation and test."""
        return self.train, self.validation, self.test

    def clipped(self, panel: MarketPanel) -> list[str]:
        """Return remarks on the parts that reach beyond the data."""
        first, last = str(panel.sessions[0]), str(panel.sessions[-1])
        return [
            f"window {self.name}: {part} was to be {span[0]} to {span[1]}, and the data has {first} to {last}"
            for part, span in zip(_PARTS, self.spans(), strict=True)
            if _gap(span[0], first) or _gap(last, span[1])
        ]


def parse_periods(texts: Iterable[str]) -> tuple[Periods, ...]:
    """Return the windows that are written ``NAME=TRAIN_A:TRAIN_B/VALIDATION_A:VALIDATION_B/TEST_A:TEST_B``.

    Raises
    ------
    ConfigError
        When there is none, one breaks the form, its parts overlap or are out of order, or a name is used twice.
    """
    found = tuple(_parse(text) for text in texts)
    if not found:
        raise ConfigError(f"--windows must name at least one window, {_FORM}")
    names = [periods.name for periods in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"--windows: the name {twice!r} is used twice; give each window its own")
    return found


def _parse(text: str) -> Periods:
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"--windows must be {_FORM}, was {text!r}")
    name, *dates = match.groups()
    if name == ALL:
        raise ConfigError(f"--windows: {ALL!r} stands for all windows together; call this one otherwise")
    for date in dates:
        _check_date(date, text)
    # Within a part the ends may be one session; parts must not share any.
    pairs = list(itertools.pairwise(dates))
    if any(one > other if k % 2 == 0 else one >= other for k, (one, other) in enumerate(pairs)):
        raise ConfigError(f"--windows {name}: training, validation and test must follow one another, was {text!r}")
    return Periods(name, (dates[0], dates[1]), (dates[2], dates[3]), (dates[4], dates[5]))


def _check_date(date: str, text: str) -> None:
    try:
        np.datetime64(date, "D")
    except ValueError:
        raise ConfigError(f"--windows: {date} is not a date, in {text!r}") from None


def _rows(panel: MarketPanel, span: tuple[str, str]) -> Window:
    return panel.window(np.datetime64(span[0], "D"), np.datetime64(span[1], "D"))


def _gap(earlier: str, later: str) -> bool:
    # Weekends and holidays at an end are no gap: more than a week is.
    return bool(np.datetime64(later, "D") - np.datetime64(earlier, "D") > np.timedelta64(7, "D"))
