"""A run as pandas tables and figures: one from a folder, or one that is in memory alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from engine.errors import InputError
from marsfolio import runs
from marsfolio.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class MemoryRun(Run):
    """A run that no folder holds; ``path`` is a name for it.

    Attributes
    ----------
    tables : name of a run folder's file to its table.
    values : name of a run folder's JSON file to its entries.
    """

    tables: Mapping[str, pd.DataFrame]
    values: Mapping[str, dict[str, Any]]

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """The entries of statistics.json."""
        return self.values["statistics.json"]

    def arrow_decisions(self) -> Any:
        """Return the decisions as Arrow's table."""
        import pyarrow as pa

        table = self.tables["decisions.parquet"]
        names = {name: table[name].astype("category") for name in ("session", "symbol")}
        return pa.Table.from_pandas(table.assign(**names), preserve_index=False).combine_chunks()

    def _object(self, name: str) -> dict[str, Any]:
        return self.values[name]

    def _read(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        return self.tables[name]


class RunView:
    """What a run did, as pandas tables and figures.

    Parameters
    ----------
    run : the run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def name(self) -> str:
        """Name of the run's folder, or of what ran."""
        return self.run.path.resolve().name

    @cached_property
    def equity(self) -> pd.DataFrame:
        """Equity, cash, exposure, turnover and drawdown at each close, by session; a benchmark where there is one."""
        table = self.run.equity
        days = pd.DatetimeIndex(table["session"], name="session")
        return table.drop(columns="session").set_index(days)

    @property
    def returns(self) -> pd.Series[float]:
        """Simple returns of the account, one a session but the first."""
        return self.equity["equity"].pct_change().iloc[1:].rename(self.name)

    @property
    def trades(self) -> pd.DataFrame:
        """Every fill, as in trades.csv."""
        return self.run.trades

    @property
    def round_trips(self) -> pd.DataFrame:
        """FIFO lots from entry to exit, as in round_trips.csv."""
        return self.run.round_trips

    @property
    def cash_flows(self) -> pd.DataFrame:
        """What else moved money or shares, as in cash_flows.csv."""
        return self.run.cash_flows

    @property
    def decisions(self) -> pd.DataFrame:
        """Target and executed weights, and which limit changed what, one row a session and symbol."""
        return self.run.decisions

    @cached_property
    def weights(self) -> pd.DataFrame:
        """Weights after each decision's fills, one row a decision and one column a symbol."""
        table = self.run.decisions
        days = pd.DatetimeIndex(table["session"], name="session")
        wide = table.set_index([days, table["symbol"].astype(str)])["executed_weight"].unstack("symbol")
        return wide[list(dict.fromkeys(table["symbol"].astype(str)))]

    @cached_property
    def metrics(self) -> pd.Series[Any]:
        """Returns, risk, ratios, turnover and costs, as in metrics.json; None where undefined."""
        return pd.Series(self.run.metrics, name=self.name, dtype=object)

    @property
    def statistics(self) -> dict[str, Any]:
        """How sure the metrics are: intervals, the deflated Sharpe ratio, the no-skill null."""
        return self.run.statistics

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """Value and interval of each metric, one row a metric."""
        known: Mapping[str, Any] = self.statistics.get("intervals", {})
        rows = {
            name: (self.run.metrics.get(name), ends[0], ends[1]) for name, ends in known.items() if ends is not None
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"], dtype="float64")

    @property
    def remarks(self) -> list[str]:
        """What a reader of the results should know."""
        return self.run.remarks

    def plot(self, name: str = "equity") -> Figure:
        """Return a figure: equity, drawdown, monthly_returns, rolling or holdings.

        Raises
        ------
        InputError
            When there is no such figure, or the run is too short for it.
        """
        from marsfolio.report.figures import draw

        figure = draw(self.run, name)
        if figure is None:
            raise InputError(f"{self.name} has nothing to draw as {name!r}: it is too short, or never held anything")
        return figure

    def __repr__(self) -> str:
        metrics, rows = self.run.metrics, self.run.equity["session"]
        parts = [f"total return {metrics['total_return']:.2%}"]
        if metrics["sharpe_ratio"] is not None:
            parts.append(f"Sharpe ratio {metrics['sharpe_ratio']:.2f}")
        return f"{type(self).__name__}({self.name}, {rows.iloc[0]} to {rows.iloc[-1]}: {', '.join(parts)})"


def open_run(folder: str | Path) -> RunView:
    """Return the run that a command, or `Backtest.save`, wrote to a folder.

    Raises
    ------
    RunFolderError
        When the folder is not a run, or is damaged.
    """
    return RunView(runs.open_run(Path(folder)))
