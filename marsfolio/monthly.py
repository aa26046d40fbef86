"""What trading cost, month by month, from the tables of a run."""

from __future__ import annotations

import pandas as pd

TOTAL = "total"
MONTHLY_COLUMNS = (
    "month",
    "fills",
    "notional",
    "commission",
    "slippage",
    "interest",
    "dividends",
    "total_cost",
    "cost_share",
)


def monthly_costs(trades: pd.DataFrame, cash_flows: pd.DataFrame, equity: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each calendar month with a session, oldest first.

    Money is in account currency. ``interest`` and ``dividends`` are positive when received; ``total_cost`` is
    commission, slippage and the interest paid: what was received is no cost less. ``cost_share`` is the total cost
    over the mean of the month's equity, a fraction. Fills count by their session.

    Parameters
    ----------
    trades, cash_flows, equity : the tables of trades.csv, cash_flows.csv and equity.csv.
    """
    tables = [table.assign(month=table["session"].str[:7]) for table in (trades, cash_flows, equity)]
    return _summed(*tables)


def total_costs(trades: pd.DataFrame, cash_flows: pd.DataFrame, equity: pd.DataFrame) -> pd.DataFrame:
    """Return the same of the whole run as one row, whose month is `TOTAL`; the share is of the run's mean equity."""
    return _summed(*(table.assign(month=TOTAL) for table in (trades, cash_flows, equity)))


def _summed(trades: pd.DataFrame, flows: pd.DataFrame, equity: pd.DataFrame) -> pd.DataFrame:
    mean_equity = equity.groupby("month")["equity"].mean()
    of_fills = trades.groupby("month")
    interest = flows[flows["kind"] == "interest"]
    columns = {
        "fills": of_fills.size(),
        **{name: of_fills[name].sum() for name in ("notional", "commission", "slippage")},
        "interest": interest.groupby("month")["amount"].sum(),
        "dividends": flows[flows["kind"] == "dividend"].groupby("month")["amount"].sum(),
        "paid": -interest[interest["amount"] < 0].groupby("month")["amount"].sum(),
    }
    table = pd.DataFrame({name: column.reindex(mean_equity.index).fillna(0.0) for name, column in columns.items()})
    table["fills"] = table["fills"].astype("int64")
    table["total_cost"] = table["commission"] + table["slippage"] + table["paid"]
    table["cost_share"] = table["total_cost"] / mean_equity
    return table.reset_index()[list(MONTHLY_COLUMNS)]
