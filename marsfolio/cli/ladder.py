"""A cost ladder: the same backtest at several commissions, and what is left of its edge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from marsfolio.cli.terminal import print_table

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from engine.arrays import FloatArray
    from engine.costs import Costs
    from engine.result import Result
    from marsfolio.plans import AnyPlan

FOLDER = "ladder"
"""Sub-folder of a run that holds the same run at each commission."""

PERIODS_PER_YEAR = 252
_SHOWN = ("total_return", "annual_return", "sharpe_ratio", "max_drawdown", "annual_turnover")


class Rungs(tuple[float, ...]):
    """Commissions in basis points, as ``10`` or ``0,5,10,20`` say them."""

    toml_types = (int, float, str, list)
    toml_words = "a number, or several as in [0, 5, 10]"

    @classmethod
    def parse(cls, value: Any) -> Rungs:
        """Return the commissions of a flag or of a TOML value.

        Raises
        ------
        ValueError
            When a part is not a number, or one is given twice.
        """
        parts = value if isinstance(value, (list, tuple)) else re.split(r"\s*,\s*", str(value).strip())
        try:
            rungs = cls(float(part) for part in parts)
        except (TypeError, ValueError):
            raise ValueError(f"must be a number of basis points, or several as in 0,5,10,20; was {value!r}") from None
        if len(set(rungs)) < len(rungs):
            raise ValueError(f"must name each number of basis points once, was {value!r}")
        return rungs

    @property
    def stated(self) -> float | list[float]:
        """What a configuration file says: one number, or a list."""
        return self[0] if len(self) == 1 else list(self)


def run_ladder(plan: AnyPlan, ladder: Mapping[float, Costs], engine: str) -> dict[float, Result]:
    """Return the results of a plan at each of several costs, by commission in basis points."""
    return {
        bps: replace(plan, terms=replace(plan.terms, costs=costs)).run(engine) for bps, costs in sorted(ladder.items())
    }


def ladder_table(
    runs: Mapping[float, Result], held: Mapping[float, Result], benchmark: FloatArray | None
) -> pd.DataFrame:
    """Return one row a commission: what the strategy made, what it paid, and what is left of its edge.

    Parameters
    ----------
    runs, held : commission in basis points to the result of the strategy, and of buying and holding the same symbols.
    benchmark : (T,) value of the benchmark at each close.
    """
    import pandas as pd

    from engine.metrics import annual_return

    rows = []
    for bps, result in runs.items():
        metrics = result.metrics()
        years = (len(result.sessions) - 1) / PERIODS_PER_YEAR
        paid = metrics["total_commission"] + metrics["total_slippage"]
        row = {
            "commission_bps": bps,
            **{name: metrics[name] for name in _SHOWN},
            "annual_cost": paid / result.equity.mean() / years if years else None,
            "edge_over_buy_and_hold": _difference(metrics["annual_return"], held[bps].metrics()["annual_return"]),
        }
        if benchmark is not None:
            of_benchmark = annual_return(benchmark, float(PERIODS_PER_YEAR))
            row["edge_over_benchmark"] = _difference(metrics["annual_return"], of_benchmark)
        rows.append(row)
    return pd.DataFrame(rows)


def print_ladder(table: pd.DataFrame, title: str) -> list[str]:
    """Print the table, and return what is left of each edge in words."""
    shown = _in_words(table)
    records = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    print_table(title, list(shown.columns), shown.to_numpy().tolist(), records)
    return [what_is_left(table, name) for name in table.columns if name.startswith("edge_over_")]


def write_ladder(
    out: Path,
    results: Mapping[float, Result],
    table: pd.DataFrame,
    plan: AnyPlan,
    options: Mapping[str, Any],
    provenance: Mapping[str, Any],
    benchmark: FloatArray | None,
    remarks: list[str],
) -> None:
    """Write OUT/ladder: one run a commission, ladder.csv, and a page that compares them.

    ``options`` and ``provenance`` are those of the run OUT.
    """
    from engine.tradelog import write_table
    from marsfolio.report.comparison import render
    from marsfolio.runs import open_run, write_run

    for bps, result in results.items():
        place = out / FOLDER / f"commission-{bps:g}bps"
        stated = {**options, "commission_bps": bps, "out": str(place.resolve())}
        costs = replace(plan.terms.costs, commission_bps=bps).table()
        write_run(place, "backtest", result, "backtest", stated, {**provenance, "costs": costs}, benchmark, remarks)
    write_table(table, out / FOLDER / "ladder.csv", "csv")
    names = [f"commission-{bps:g}bps" for bps in results]
    runs = {name: open_run(out / FOLDER / name) for name in names}
    page = render(runs, names[0], _in_words(table), "What is left of the edge", f"{out.resolve().name}: cost ladder")
    (out / FOLDER / "ladder.html").write_text(page, encoding="utf-8")


def what_is_left(table: pd.DataFrame, column: str) -> str:
    """Return in a sentence how an edge (annual return above another) fares as commissions rise."""
    name = column.removeprefix("edge_over_").replace("_", " ")
    edges = table[["commission_bps", column]].dropna()
    if edges.empty:
        return f"edge over {name}: undefined, the run is too short"
    bps, edge = edges["commission_bps"].tolist(), edges[column].tolist()
    first, last = f"{edge[0]:+.2%} a year at {bps[0]:g} bps", f"{edge[-1]:+.2%} at {bps[-1]:g} bps"
    if edge[0] <= 0:
        return f"edge over {name}: none, {first} already ({last})"
    for k in range(1, len(edge)):
        if edge[k] <= 0:
            gone = bps[k - 1] + (bps[k] - bps[k - 1]) * edge[k - 1] / (edge[k - 1] - edge[k])
            return f"edge over {name}: {first}, gone at about {gone:.1f} bps ({last})"
    return f"edge over {name}: {first}, {last}: {edge[-1] / edge[0]:.0%} of it is left"


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _in_words(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    columns = {
        name.replace("_", " "): [
            f"{value:g}" if name == "commission_bps" else _shown(name, value) for value in table[name]
        ]
        for name in table.columns
    }
    return pd.DataFrame(columns)


def _shown(name: str, value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.2f}" if name in ("sharpe_ratio", "annual_turnover") else f"{value:.2%}".replace("%", " %")
