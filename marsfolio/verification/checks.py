"""Comparisons of what a file says with what was computed, and how they are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import numpy as np
import pandas as pd

from engine.arrays import BoolArray, FloatArray

Label = Callable[[int], str]
"""Where a row of a file stands, in words."""

HALF_A_CENT = 0.005
HAIR = 1e-9
"""By how many shares, or by what fraction of a price, rounding alone may part two numbers."""


class Unit(NamedTuple):
    """What a column counts, and by how much two of its numbers may differ: absolutely plus relatively."""

    name: str
    absolute: float = 0.0
    relative: float = 0.0


MONEY = Unit("currency", absolute=HALF_A_CENT)
SHARES = Unit("shares", absolute=HAIR, relative=1e-12)
PRICE = Unit("currency a share", relative=HAIR)
FRACTION = Unit("fraction", absolute=HAIR, relative=HAIR)
COUNT = Unit("count")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked.

    Attributes
    ----------
    difference : the largest between what a file says and what was computed, in ``unit``; infinite where one of the
        two is no number, 0 for a check of names.
    first : where it fails first, what the file says and what was computed; empty when it passes.
    """

    name: str
    passed: bool
    difference: float = 0.0
    unit: str = ""
    first: str = ""


def check_rules(name: str, rules: Sequence[tuple[BoolArray, str]], label: Label) -> Check:
    """Return a check that fails in the first row where a rule (its broken rows, and words) is broken."""
    broken = [(int(np.argmax(rows)), words) for rows, words in rules if rows.any()]
    if not broken:
        return Check(name, True)
    row, words = min(broken, key=lambda found: found[0])
    return Check(name, False, first=f"{label(row)}: {words}")


def check_names(
    file: str, what: str, said: pd.DataFrame, computed: pd.DataFrame, columns: Sequence[str]
) -> tuple[Check, int]:
    """Return a check that two tables have the same rows, by some columns of text, and how many agree at the top."""
    name = f"{file}: {what}"
    one, other = (list(zip(*(table[column].tolist() for column in columns), strict=True)) for table in (said, computed))
    if one == other:
        return Check(name, True), len(one)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    there, expected = (" ".join(rows[same]).strip() if same < len(rows) else "nothing" for rows in (one, other))
    return Check(name, False, first=f"{file}, row {same + 1} of them: there is {there}, computed {expected}"), same


def compare(name: str, column: str, said: FloatArray, computed: FloatArray, unit: Unit, label: Label) -> Check:
    """Return a check that two columns are the same but for the rounding that ``unit`` allows."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(said - computed)
    gap[(said == computed) | (np.isnan(said) & np.isnan(computed))] = 0.0
    gap[np.isnan(gap)] = np.inf
    wrong = ~(gap <= unit.absolute + unit.relative * np.abs(np.nan_to_num(computed)))
    largest = float(gap.max(initial=0.0))
    if not wrong.any():
        return Check(name, True, largest, unit.name)
    row = int(np.argmax(wrong))
    first = f"{label(row)}: {column} is {float(said[row])!r}, computed {float(computed[row])!r}"
    return Check(name, False, largest, unit.name, first)
