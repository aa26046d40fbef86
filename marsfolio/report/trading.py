"""What trading did: its costs and cash flows, month by month and in all, and the statistics of round trips."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from marsfolio.report.formats import PERIODS_PER_YEAR, Item, item, metric_item

if TYPE_CHECKING:
    from marsfolio.runs import Run

BEST_AND_WORST = 5
"""How many symbols are named on each side of the profit by symbol."""


def monthly(run: Run) -> pd.DataFrame:
    """Return turnover, commission and slippage of each month from the first session to the last.

    Turnover is the sum of the sessions'. The index holds the first day of each month.
    """
    month = run.equity["session"].str[:7]
    table = run.equity.groupby(month)[["turnover"]].sum()
    trades = run.trades
    costs = trades.groupby(trades["session"].str[:7])[["commission", "slippage"]].sum()
    table = table.join(costs).fillna(0.0)
    return table.set_index(table.index + "-01")


def cost_items(run: Run) -> Iterator[Item]:
    """Yield what the run paid, and what that is a year."""
    yield from (metric_item(run.metrics, name) for name in ("total_commission", "total_slippage"))
    paid = (run.metrics.get("total_commission") or 0.0) + (run.metrics.get("total_slippage") or 0.0)
    yield item("total_cost", "Both together", "money", paid)
    years = (len(run.equity) - 1) / PERIODS_PER_YEAR
    if years > 0:
        share = paid / float(run.equity["equity"].mean()) / years
        yield item("annual_cost", "Both a year, of mean equity", "share", share)
    yield from (metric_item(run.metrics, name) for name in ("annual_turnover", "n_fills"))


class CashFlow(NamedTuple):
    """All cash flows of a kind."""

    kind: str
    entries: int
    amount: Item


def cash_flows(run: Run) -> list[CashFlow]:
    """Return what moved money or shares and is no fill, by kind."""
    table = run.cash_flows
    return [
        CashFlow(str(kind), len(amounts), item(f"cash_flow_{kind}", str(kind), "money", float(amounts.sum())))
        for kind, amounts in table["amount"].groupby(table["kind"])
    ]


def round_trip_items(trips: pd.DataFrame) -> list[Item]:
    """Return the statistics of closed round trips, and how many are open."""
    closed = trips[trips["exit_session"] != ""]
    pnl = closed["pnl"].to_numpy(dtype="float64")
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    win, loss = _mean(wins), -_mean(losses)
    return [
        item("round_trips_closed", "Closed", "count", len(closed)),
        item("round_trips_open", "Open at the end", "count", len(trips) - len(closed)),
        item("win_rate", "Won, share of the closed", "share", len(wins) / len(pnl) if len(pnl) else None),
        item("average_win", "Average win", "money", win),
        item("average_loss", "Average loss", "money", loss),
        item("payoff", "Payoff, average win over average loss", "ratio", win / loss),
        item("profit_factor", "Profit factor, all wins over all losses", "ratio", _ratio(wins.sum(), -losses.sum())),
        item("median_sessions_held", "Sessions held, median", "median", _median(closed["sessions_held"])),
    ]


def profit_by_symbol(trips: pd.DataFrame) -> tuple[list[Item], list[Item]]:
    """Return the symbols that earned most and those that earned least, open lots included; none twice."""
    pnl = trips["pnl"].astype("float64").groupby(trips["symbol"]).sum().sort_values(ascending=False, kind="stable")
    items = [item(f"pnl_{symbol}", str(symbol), "money", float(value)) for symbol, value in pnl.items()]
    n_best = min(BEST_AND_WORST, (len(items) + 1) // 2)
    return items[:n_best], items[n_best:][-BEST_AND_WORST:]


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(values.mean()) if len(values) else np.nan


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below > 0 else np.nan


def _median(values: pd.Series[float]) -> float | None:
    return float(values.median()) if len(values) else None
