"""Costs by month: what was paid, received, and what share of equity it was."""

from __future__ import annotations

import pandas as pd
import pytest

from marsfolio.monthly import MONTHLY_COLUMNS, monthly_costs, total_costs


def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    trades = pd.DataFrame(
        [
            ("2024-01-30", 1_000.0, 1.0, 0.5),
            ("2024-01-31", 2_000.0, 2.0, 0.25),
            ("2024-03-01", 500.0, 0.5, 0.0),
        ],
        columns=["session", "notional", "commission", "slippage"],
    )
    flows = pd.DataFrame(
        [
            ("2024-01-30", "interest", 3.0),
            ("2024-01-31", "interest", -4.0),
            ("2024-02-01", "dividend", 7.0),
            ("2024-02-02", "dividend", -2.0),
            ("2024-02-02", "split", 0.0),
        ],
        columns=["session", "kind", "amount"],
    )
    sessions = ["2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02", "2024-03-01"]
    equity = pd.DataFrame({"session": sessions, "equity": [90.0, 110.0, 100.0, 120.0, 130.0]})
    return trades, flows, equity


def test_each_month_with_a_session_has_a_row() -> None:
    table = monthly_costs(*tables())
    assert tuple(table.columns) == MONTHLY_COLUMNS
    assert table.values.tolist() == [
        ["2024-01", 2, 3_000.0, 3.0, 0.75, -1.0, 0.0, 7.75, 0.0775],
        ["2024-02", 0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0],
        ["2024-03", 1, 500.0, 0.5, 0.0, 0.0, 0.0, 0.5, pytest.approx(0.5 / 130)],
    ]


def test_the_totals_are_the_sums_and_their_share_is_of_the_mean_equity_of_the_run() -> None:
    months, total = monthly_costs(*tables()), total_costs(*tables())
    assert total.values.tolist() == [["total", 3, 3_500.0, 3.5, 0.75, -1.0, 5.0, 8.25, pytest.approx(8.25 / 110)]]
    for name in MONTHLY_COLUMNS[1:-1]:
        assert months[name].sum() == total[name].iloc[0]


def test_a_run_without_fills_and_cash_flows_costs_nothing() -> None:
    trades, flows, equity = tables()
    table = monthly_costs(trades[:0], flows[:0], equity)
    assert table["month"].tolist() == ["2024-01", "2024-02", "2024-03"]
    assert (table.drop(columns="month") == 0).all(axis=None)
