"""report.html: one page that needs no network, made from the files of a run folder alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from marsfolio.report import repetition
from marsfolio.report.curves import (
    ROLLING_SESSIONS,
    Curve,
    benchmark_curve,
    curve_of,
    full_colour,
    period_returns,
    worst_drawdowns,
)
from marsfolio.report.decisions import Decisions, Stack, held_at_the_end
from marsfolio.report.evidence import Evidence, evidence_of
from marsfolio.report.formats import MONEY_DECIMALS, SHARE_DECIMALS, Interval, Item, item, rounded
from marsfolio.report.template import fill
from marsfolio.report.trading import cash_flows, cost_items, monthly, profit_by_symbol, round_trip_items

if TYPE_CHECKING:
    from marsfolio.runs import Run

LARGEST_AT_THE_END = 10
"""How many holdings of the last session are listed."""

_HEADLINES = (
    "total_return",
    "annual_return",
    "sharpe_ratio",
    "max_drawdown",
    "annual_volatility",
    "final_equity",
)


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
    table = run.equity
    sessions = table["session"].tolist()
    curve, benchmark = curve_of(table["equity"].to_numpy()), benchmark_curve(table)
    evidence = evidence_of(run)
    best, worst = profit_by_symbol(run.round_trips)
    return fill(
        "page.html.j2",
        _charts(run, sessions, curve, benchmark),
        title=place.name,
        kind=run.kind,
        period=f"{sessions[0]} to {sessions[-1]}",
        headlines=list(_headlines(run.metrics, evidence, benchmark)),
        remarks=run.remarks,
        evidence=evidence,
        years=list(_years(sessions, curve, benchmark)),
        drawdowns=list(_drawdowns(sessions, curve)),
        rolling_sessions=ROLLING_SESSIONS,
        holdings=_at_the_end(run),
        costs=list(cost_items(run)),
        cash_flows=cash_flows(run),
        round_trips=round_trip_items(run.round_trips),
        best=best,
        worst=worst,
        repeat=repetition.command(run, place),
        options=repetition.options(run),
        provenance=repetition.provenance(run),
    )


class Headline(NamedTuple):
    """A number at the top of the page, with its interval where there is one."""

    item: Item
    interval: Interval | None = None


def _headlines(metrics: Mapping[str, Any], evidence: Evidence, benchmark: Curve | None) -> Iterator[Headline]:
    rows = {row.metric.name: row for row in evidence.rows}
    for name in _HEADLINES:
        found, interval = rows[name].metric, rows[name].interval
        # Cents would not fit, and nobody reads them here; the table below has them.
        if name == "final_equity" and metrics.get(name) is not None:
            found, interval = found._replace(shown=f"{metrics[name]:,.0f}"), None
        yield Headline(found, interval)
        if name == "total_return" and benchmark is not None:
            known = benchmark.equity[~np.isnan(benchmark.equity)]
            yield Headline(item("benchmark_total_return", "Benchmark return", "share", float(known[-1] / known[0] - 1)))


class Cell(NamedTuple):
    """A month's return; ``strength`` of its colour is in [0, 1]."""

    item: Item
    gain: bool
    strength: float


class Year(NamedTuple):
    """A row of the monthly table; None for a month without sessions."""

    months: list[Cell | None]
    total: Item
    benchmark: Item | None


def _years(sessions: list[str], curve: Curve, benchmark: Curve | None) -> Iterator[Year]:
    months = period_returns(sessions, curve.equity, 7)
    full = full_colour(months.values())
    of_benchmark = {} if benchmark is None else period_returns(sessions, benchmark.equity, 4)
    for year, change in period_returns(sessions, curve.equity, 4).items():
        other = item(f"benchmark_{year}", year, "share", of_benchmark.get(year)) if benchmark is not None else None
        cells = [_cell(f"{year}-{month:02d}", months, full) for month in range(1, 13)]
        yield Year(cells, item(f"return_{year}", year, "share", change), other)


def _cell(month: str, returns: Mapping[str, float], full: float) -> Cell | None:
    value = returns.get(month, np.nan)
    if np.isnan(value):
        return None
    strength = round(min(abs(value) / full, 1.0), 3)
    return Cell(item(f"return_{month}", month, "bare_percent", value), value >= 0, strength)


class Fall(NamedTuple):
    """A row of the table of drawdowns."""

    peak: str
    trough: str
    recovered: str | None
    depth: Item
    to_trough: Item
    to_recovery: Item


def _drawdowns(sessions: list[str], curve: Curve) -> Iterator[Fall]:
    for k, fall in enumerate(worst_drawdowns(curve.drawdown), start=1):
        end = len(sessions) - 1 if fall.recovered is None else fall.recovered
        yield Fall(
            sessions[fall.peak],
            sessions[fall.trough],
            None if fall.recovered is None else sessions[fall.recovered],
            item(f"drawdown_{k}_depth", "Depth", "share", fall.depth),
            item(f"drawdown_{k}_to_trough", "Sessions to trough", "count", fall.trough - fall.peak),
            item(f"drawdown_{k}_to_recovery", "Sessions to recovery", "count", end - fall.peak),
        )


class Held(NamedTuple):
    """Holdings of the last session."""

    rows: list[tuple[Item, Item]]
    n_symbols: int


def _at_the_end(run: Run) -> Held:
    values = held_at_the_end(run)
    equity = float(run.equity["equity"].iloc[-1])
    rows = [
        (
            item(f"weight_{symbol}", str(symbol), "share", value / equity),
            item(f"value_{symbol}", str(symbol), "money", value),
        )
        for symbol, value in values.head(LARGEST_AT_THE_END).items()
    ]
    return Held(rows, len(values))


def _charts(run: Run, sessions: list[str], curve: Curve, benchmark: Curve | None) -> dict[str, Any]:
    """Return what the page's script draws; shares as fractions, rounded to what can be seen."""
    decisions, months = Decisions(run), monthly(run)
    return {
        "sessions": sessions,
        "curve": _curve(curve),
        "benchmark": None if benchmark is None else _curve(benchmark),
        "exposure": rounded(run.equity["gross_exposure"].to_numpy(), SHARE_DECIMALS),
        "agents": _stack(decisions.agents()),
        "holdings": _stack(decisions.holdings()),
        "months": {"first_days": months.index.tolist(), **_months(months)},
    }


def _curve(curve: Curve) -> dict[str, Any]:
    drawn = {
        "equity": rounded(curve.equity, MONEY_DECIMALS),
        "drawdown": rounded(curve.drawdown, SHARE_DECIMALS),
    }
    if len(curve.equity) > ROLLING_SESSIONS:
        drawn["volatility"] = rounded(curve.volatility, SHARE_DECIMALS)
        drawn["sharpe"] = rounded(curve.sharpe, SHARE_DECIMALS)
    return drawn


def _months(table: pd.DataFrame) -> dict[str, Any]:
    decimals = {"turnover": SHARE_DECIMALS, "commission": MONEY_DECIMALS, "slippage": MONEY_DECIMALS}
    return {name: rounded(table[name].to_numpy(), digits) for name, digits in decimals.items()}


def _stack(stack: Stack | None) -> dict[str, Any] | None:
    if stack is None:
        return None
    values = [rounded(row, SHARE_DECIMALS) for row in stack.values]
    return {"sessions": stack.sessions, "names": stack.names, "values": values}
