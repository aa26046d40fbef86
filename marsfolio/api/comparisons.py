"""Comparisons in Python: several runs on the sessions they share, and how sure the differences are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from engine.errors import InputError
from marsfolio.api.views import RunView
from marsfolio.report import compared

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Comparison:
    """Runs beside each other, and what each has more or less than the baseline.

    Parameters
    ----------
    found : the comparison.
    """

    def __init__(self, found: compared.Comparison) -> None:
        self._found = found

    @property
    def baseline(self) -> str:
        """Name of the run that the others are compared with."""
        return self._found.baseline

    @property
    def remarks(self) -> list[str]:
        """What a reader should know."""
        return self._found.remarks

    @cached_property
    def equity(self) -> pd.DataFrame:
        """Account values at the closes that all runs share, one column a run."""
        return pd.DataFrame(self._found.equity, index=pd.DatetimeIndex(self._found.sessions, name="session"))

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Metrics over the shared sessions, one row a metric and one column a run."""
        return pd.DataFrame(
            {name: pd.Series(dict(values), dtype=object) for name, values in self._found.metrics.items()}
        )

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Differences to the baseline with 95 % intervals, one row a run and metric.

        ``share_not_positive`` is the share of redraws in which the difference is not above zero.
        """
        rows = {
            (run, metric): (found.value, found.low, found.high, found.share_not_positive)
            for run, metrics in self._found.differences.items()
            for metric, found in metrics.items()
        }
        columns = ["difference", "low", "high", "share_not_positive"]
        index = pd.MultiIndex.from_tuples(rows, names=["run", "metric"])
        return pd.DataFrame(list(rows.values()), index=index, columns=columns, dtype="float64")

    def plot(self) -> Figure:
        """Return a figure of the equity curves, each starting at 1."""
        from marsfolio.report.figures import draw_curves

        return draw_curves(self.equity / self.equity.iloc[0], f"{len(self.equity.columns)} runs", self.baseline)

    def save(self, page: str | Path) -> Path:
        """Write the page that `marsfolio compare` writes, and return its path.

        Raises
        ------
        InputError
            When its name does not end in .html, or it cannot be written.
        """
        from marsfolio.report.comparison import page as render
        from marsfolio.report.writing import write_whole

        path = Path(page)
        if path.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"the page must be a file that ends in .html, was {path}")
        try:
            write_whole(path, render(self._found).encode())
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from error
        return path


def compare(runs: Mapping[str, RunView], baseline: str | None = None) -> Comparison:
    """Compare runs on the sessions they share.

    Parameters
    ----------
    runs : two or more, by the names to show; of `backtest` or `open_run`.
    baseline : the one that the others are compared with; the last when absent.

    Raises
    ------
    InputError
        When there are fewer than two runs, the baseline is none of them, or they share fewer than two sessions.
    """
    known = {name: view.run for name, view in runs.items()}
    return Comparison(compared.compare(known, list(known)[-1] if baseline is None and known else str(baseline)))
