"""report.html: one page that needs no network, made from the files of a run folder alone."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from engine.arrays import FloatArray, IntArray
from engine.errors import RunFolderError

if TYPE_CHECKING:
    from marsfolio.runs import Run

LARGEST_HOLDINGS = 9
"""How many symbols have an area of their own in the chart of holdings; the rest is one area."""

PERIODS_PER_YEAR = 252
UNDEFINED = "–"
_SHARE_DECIMALS = 5  # of the charts: 0.001 %

_METRICS = {
    "total_return": ("Total return", "share"),
    "annual_return": ("Annual return", "share"),
    "annual_volatility": ("Annual volatility", "share"),
    "sharpe_ratio": ("Sharpe ratio", "ratio"),
    "sortino_ratio": ("Sortino ratio", "ratio"),
    "calmar_ratio": ("Calmar ratio", "ratio"),
    "max_drawdown": ("Largest drawdown", "share"),
    "max_drawdown_sessions": ("Longest drawdown, sessions", "count"),
    "value_at_risk_95": ("Value at risk, 95 %, one session", "share"),
    "conditional_value_at_risk_95": ("Conditional value at risk, 95 %, one session", "share"),
    "annual_turnover": ("Annual turnover", "times"),
    "total_commission": ("Commission", "money"),
    "total_slippage": ("Slippage", "money"),
    "n_fills": ("Fills", "count"),
    "n_sessions": ("Sessions", "count"),
    "start": ("First session", "text"),
    "end": ("Last session", "text"),
    "initial_equity": ("Initial equity", "money"),
    "final_equity": ("Final equity", "money"),
}
_HEADLINES = (
    "total_return",
    "annual_return",
    "sharpe_ratio",
    "max_drawdown",
    "annual_volatility",
    "final_equity",
)
_FORMATS: dict[str, Callable[[Any], str]] = {
    "share": lambda value: f"{100 * value:,.2f} %",
    "ratio": lambda value: f"{value:,.2f}",
    "times": lambda value: f"{value:,.2f} ×",
    "money": lambda value: f"{value:,.2f}",
    "count": lambda value: f"{value:,}",
    "text": str,
}


class Item(NamedTuple):
    """A number of the page; ``exact`` is the same unrounded, as metrics.json writes it."""

    name: str
    label: str
    shown: str
    exact: str


def render(run: Run, place: Path) -> str:
    """Return the page.

    Parameters
    ----------
    place : the run folder's path as the page shall name it.

    Raises
    ------
    RunFolderError
        When a file of the run is missing or damaged.
    """
    # Imported here: `marsfolio trades` and the like read run folders without drawing anything.
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    equity = run.equity
    environment = Environment(
        loader=PackageLoader("marsfolio.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        title=place.name,
        kind=run.kind,
        period=f"{equity['session'].iloc[0]} to {equity['session'].iloc[-1]}",
        headlines=list(_headlines(run.metrics, equity)),
        metrics=[_item(run.metrics, name) for name in _METRICS],
        costs=list(_costs(run.metrics, equity)),
        years=list(_years(equity)),
        has_benchmark="benchmark" in equity,
        remarks=run.remarks,
        repeat=_command(run, place),
        options=dict(_flat(run.options)),
        provenance={name: value for name, value in _flat(run.provenance) if name != "remarks"},
        charts=_charts(run),
        plotly=Markup(get_plotlyjs()),
    )


def _item(metrics: Mapping[str, Any], name: str) -> Item:
    label, kind = _METRICS[name]
    value = metrics.get(name)
    if value is None:
        return Item(name, label, UNDEFINED, "null")
    try:
        return Item(name, label, _FORMATS[kind](value), str(value))
    except (TypeError, ValueError) as error:
        raise RunFolderError(f"metrics.json: {name} must be a number, was {value!r}: repeat the run") from error


def _headlines(metrics: Mapping[str, Any], equity: pd.DataFrame) -> Iterator[Item]:
    for name in _HEADLINES:
        item = _item(metrics, name)
        # Cents would not fit, and nobody reads them here; the table below has them.
        if _METRICS[name][1] == "money" and metrics.get(name) is not None:
            item = item._replace(shown=f"{metrics[name]:,.0f}")
        yield item
        if name == "total_return" and "benchmark" in equity:
            yield from _benchmark(equity["benchmark"].dropna())


def _benchmark(values: pd.Series[float]) -> Iterator[Item]:
    if len(values):
        total = float(values.iloc[-1] / values.iloc[0] - 1)
        yield Item("benchmark_total_return", "Benchmark return", _FORMATS["share"](total), str(total))


def _costs(metrics: Mapping[str, Any], equity: pd.DataFrame) -> Iterator[Item]:
    yield from (_item(metrics, name) for name in ("total_commission", "total_slippage", "annual_turnover", "n_fills"))
    years = (len(equity) - 1) / PERIODS_PER_YEAR
    if years > 0:
        paid = (metrics.get("total_commission") or 0.0) + (metrics.get("total_slippage") or 0.0)
        drag = paid / float(equity["equity"].mean()) / years
        yield Item("annual_cost", "Both a year, of mean equity", _FORMATS["share"](drag), str(drag))


def _years(equity: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Yield year, return and the benchmark's return; the first year counts from the first session."""
    last = equity.groupby(equity["session"].str[:4]).last()
    changes = [_year_returns(equity, last, column) for column in ("equity", "benchmark")]
    yield from zip(last.index, *changes, strict=True)


def _year_returns(equity: pd.DataFrame, last: pd.DataFrame, column: str) -> list[str]:
    if column not in last:
        return [UNDEFINED] * len(last)
    ends = last[column].to_numpy()
    changes = ends / np.concatenate((equity[column].to_numpy()[:1], ends[:-1])) - 1
    return [UNDEFINED if np.isnan(change) else _FORMATS["share"](change) for change in changes.tolist()]


def _command(run: Run, place: Path) -> str:
    if not run.command:
        return ""
    command = f"marsfolio {run.command} --config {shlex.quote(str(place / 'config.toml'))}"
    # A run of another kind, such as the demo's, is not replaced by its repetition: that goes beside it.
    return command if run.kind == run.command else f"{command} --out {shlex.quote(f'{place}-again')}"


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name} ")
        else:
            yield f"{above}{name}", str(value)


def _charts(run: Run) -> dict[str, Any]:
    """Return what the page's script draws; shares as fractions, rounded to what can be seen."""
    equity = run.equity
    charts: dict[str, Any] = {
        "sessions": equity["session"].tolist(),
        "equity": _list(equity["equity"].to_numpy(), 2),
        "drawdown": _list(equity["drawdown"].to_numpy(), _SHARE_DECIMALS),
        "exposure": _list(equity["gross_exposure"].to_numpy(), _SHARE_DECIMALS),
    }
    if "benchmark" in equity and equity["benchmark"].notna().any():
        values = equity["benchmark"].to_numpy()
        first = int(np.flatnonzero(~np.isnan(values))[0])
        charts["benchmark"] = _list(values * (equity["equity"].iloc[first] / values[first]), 2)
    decisions = _Decisions(run)
    charts["agents"] = decisions.agents()
    charts["holdings"] = decisions.holdings()
    return charts


class _Decisions:
    """decisions.parquet as numbers: at thousands of symbols its text would fill the memory."""

    def __init__(self, run: Run) -> None:
        # Imported here for the same reason as above.
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = run.path / "decisions.parquet"
        try:
            self._table = pq.read_table(path, read_dictionary=["session", "symbol"]).combine_chunks()
            self.sessions, self._session = _codes(self._table["session"])
            self.symbols, self._symbol = _codes(self._table["symbol"])
            self._executed = self._numbers("executed_weight")
        except FileNotFoundError as error:
            raise RunFolderError(f"{path} does not exist: is its folder a finished run?") from error
        except (OSError, KeyError, pa.ArrowException) as error:
            raise RunFolderError(f"{path} cannot be read: {error}; repeat the run") from error

    def agents(self) -> dict[str, Any] | None:
        """Return the controller's weights; None without agents."""
        names = self._table.column_names[5:]
        if not names or not self.sessions:
            return None
        first = np.unique(self._session, return_index=True)[1]
        values = [_list(self._numbers(name)[first], _SHARE_DECIMALS) for name in names]
        return {"sessions": self.sessions, "names": names, "values": values}

    def holdings(self) -> dict[str, Any] | None:
        """Return the largest holdings after each decision's fills; None with fewer than two of them."""
        grid = np.full((len(self.sessions), len(self.symbols)), np.nan)
        grid[self._session, self._symbol] = self._executed
        filled = np.flatnonzero(~np.isnan(grid).all(axis=1))
        if len(filled) < 2:
            return None
        weights = np.nan_to_num(grid[filled])
        order = np.argsort(-weights.mean(axis=0), kind="stable")
        largest, others = order[:LARGEST_HOLDINGS], order[LARGEST_HOLDINGS:]
        names = [self.symbols[i] for i in largest]
        values = [_list(weights[:, i], _SHARE_DECIMALS) for i in largest]
        if len(others):
            names.append(f"{len(others)} others")
            values.append(_list(weights[:, others].sum(axis=1), _SHARE_DECIMALS))
        return {"sessions": [self.sessions[t] for t in filled], "names": names, "values": values}

    def _numbers(self, name: str) -> FloatArray:
        values: FloatArray = self._table[name].to_numpy().astype("float64")
        return values


def _codes(column: Any) -> tuple[list[str], IntArray]:
    """Return the names in the order of their first row, and each row's number."""
    chunk = column.combine_chunks()
    # An empty column comes back as a chunked array without chunks.
    if not len(chunk):
        return [], np.zeros(0, dtype=np.int64)
    return chunk.dictionary.to_pylist(), chunk.indices.to_numpy().astype("int64")


def _list(values: FloatArray, decimals: int) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in np.round(values, decimals).tolist()]
