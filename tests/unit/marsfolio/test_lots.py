"""Lots by plain arithmetic: the same as the engine's round trips, and what a trader can check by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from marsfolio.verification.lots import Lots

SESSIONS = np.array(["mon", "tue", "wed"], dtype=object)


def table(lots: Lots, mark: float = 7.0) -> list[list[object]]:
    columns = ["entry_session", "exit_session", "quantity", "entry_price", "exit_price", "costs", "pnl"]
    found: pd.DataFrame = lots.table(SESSIONS, np.array(["A"], dtype=object), np.array([mark]))
    return found[columns].values.tolist()


def test_a_sale_closes_the_oldest_lot_and_a_part_of_the_next() -> None:
    lots = Lots(1)
    lots.fill(0, 0, 10, 5.0, 1.0, False)
    lots.fill(1, 0, 10, 6.0, 1.0, False)
    lots.fill(2, 0, -15, 8.0, 3.75, False)
    assert table(lots) == [
        ["mon", "wed", 10, 5, 8, 3.5, 26.5],
        ["tue", "wed", 5, 6, 8, 1.75, 8.25],
        ["tue", "", 5, 6, 7, 0.5, 4.5],
    ]


def test_a_fill_that_empties_closes_what_rounding_would_leave() -> None:
    lots = Lots(1)
    for shares in (0.5, 0.25, 1e-17):
        lots.fill(0, 0, shares, 5.0, 0.0, False)
    lots.fill(1, 0, -0.75, 6.0, 0.0, True)
    assert [row[:3] for row in table(lots)] == [["mon", "tue", shares] for shares in (0.5, 0.25, 1e-17)]


def test_no_lots_are_an_empty_table_with_its_columns() -> None:
    assert table(Lots(1)) == []
