"""An evaluation to be written about: its numbers and facts, and how they are put into words and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marsfolio.evaluation.longtable import HIGH_QUARTER, LOW_QUARTER, Numbers
from marsfolio.evaluation.periods import Periods
from marsfolio.evaluation.verdict import Verdict, judge
from marsfolio.report.formats import UNDEFINED, item


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Section:
    """A part of the page; ``name`` is its anchor, under which the page may draw as well."""

    name: str
    title: str
    texts: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """An evaluation to be written about.

    Attributes
    ----------
    facts : what evaluation.json says.
    """

    numbers: Numbers
    facts: Mapping[str, Any]

    @property
    def learned(self) -> list[str]:
        """Names of the methods that are trained, the one the verdict is about first."""
        return [method["name"] for method in self.facts["methods"] if method["learned"]]

    @property
    def methods(self) -> list[str]:
        """Names of all methods, in the order they were given."""
        return [method["name"] for method in self.facts["methods"]]

    @property
    def reference(self) -> str:
        """Name of what all are compared with."""
        return str(self.facts["reference"])

    @property
    def windows(self) -> list[Periods]:
        """The windows, in the order they were given."""
        keys = ("train", "validation", "test")
        return [Periods(one["name"], *(tuple(one[key]) for key in keys)) for one in self.facts["windows"]]

    def verdicts(self) -> list[Verdict]:
        """Return the answer for each method but the reference, the first learned one first."""
        names = [*self.learned, *(name for name in self.methods if name not in self.learned)]
        return [judge(self.numbers, name, name in self.learned) for name in names if name != self.reference]

    @property
    def headline(self) -> str:
        """The sentence that page and summary begin with."""
        verdicts = self.verdicts()
        return verdicts[0].sentence if verdicts else "Nothing was compared with holding everything equally."


def with_companions(found: Findings) -> list[str]:
    """Return all methods, those that stand beside a learned one after it, its single agents left out."""
    names = []
    for method in found.methods:
        agents = {f"{method} {agent}" for agent in found.facts["agents"].get(method, [])}
        names += [method, *(name for name in found.facts["companions"].get(method, []) if name not in agents)]
    return names


def quartiles(numbers: Numbers, window: str, method: str, name: str, unit: str) -> str:
    """Return the median over the seeds and, where there are several, the quartiles."""
    middle = shown(numbers.get(window, method, name), unit)
    low, high = (numbers.get(window, method, name, seed) for seed in (LOW_QUARTER, HIGH_QUARTER))
    if len(numbers.seeds(window, method)) < 2 or math.isnan(low):
        return middle
    return f"{middle} ({between(low, high, unit)})"


def between(low: float, high: float, unit: str) -> str:
    """Return two ends, the unit once."""
    if math.isnan(low) or math.isnan(high):
        return UNDEFINED
    return f"{shown(low, unit).rstrip(' %×p')} to {shown(high, unit)}"


def shown(value: float | None, unit: str) -> str:
    """Return a number as the pages write it."""
    return item("", "", unit, value).shown


def span(dates: tuple[str, str]) -> str:
    """Return two dates in words."""
    return f"{dates[0]} to {dates[1]}"
