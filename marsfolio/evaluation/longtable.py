"""The format of the long table, and how a number is found in it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from marsfolio.evaluation.periods import ALL

COLUMNS = ("window", "method", "seed", "metric", "value")
MEDIAN, LOW_QUARTER, HIGH_QUARTER, TOGETHER = "median", "q25", "q75", "together"
"""What the column seed says of rows about all seeds: quantiles over them, and one account that holds all of them."""

LEVEL = 0.95
"""Of all intervals."""

Row = tuple[str, str, str, str, float]


class Numbers:
    """The long table of an evaluation, to be asked for single numbers.

    Parameters
    ----------
    table : columns `COLUMNS`; window, method, seed and metric are text.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        keys = zip(*(table[name].astype(str) for name in COLUMNS[:4]), strict=True)
        self._values = dict(zip(keys, table["value"].astype(float), strict=True))

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Numbers:
        """Return the numbers of rows."""
        return cls(pd.DataFrame(list(rows), columns=list(COLUMNS)))

    @property
    def windows(self) -> list[str]:
        """Names of the windows, without that of all together."""
        return [name for name in dict.fromkeys(key[0] for key in self._values) if name != ALL]

    def seeds(self, window: str, method: str) -> list[str]:
        """Return the seeds of a method in a window."""
        found = (key[2] for key in self._values if key[:2] == (window, method))
        return [seed for seed in dict.fromkeys(found) if seed.isdigit()]

    def get(self, window: str, method: str, metric: str, seed: str = MEDIAN) -> float:
        """Return a number, NaN where there is none."""
        return self._values.get((window, method, seed, metric), math.nan)
