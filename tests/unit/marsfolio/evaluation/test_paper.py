from __future__ import annotations

import math

import numpy as np
import pytest
from panels import weekdays

from marsfolio.evaluation.paper import COLUMNS, paper_metrics, published_rows, stretch
from marsfolio.evaluation.periods import Periods

BEFORE = (("2016-01-04", "2020-12-31"), ("2021-01-04", "2021-12-31"))


def test_the_papers_conventions_by_hand() -> None:
    found = paper_metrics(np.array([100.0, 110.0, 99.0, 108.9]))
    volatility = math.sqrt(np.mean(np.square(np.array([0.1, -0.1, 0.1]) - 0.1 / 3))) * math.sqrt(252)
    annual = 1.089 ** (252 / 4) - 1
    assert [found[name] for name in COLUMNS] == pytest.approx([0.089, annual, annual / volatility, volatility, 0.1])
    assert all(math.isnan(value) for value in paper_metrics(np.array([100.0, 101.0])).values())


def test_the_stretch_of_2024_is_the_papers() -> None:
    days = np.array([day for day in weekdays(262, "2024-01-01") if str(day) not in ("2024-01-01", "2024-01-15")])
    part = days[stretch(days, Periods("x", *BEFORE, ("2024-01-02", "2024-12-31")))]
    assert (str(part[0]), str(part[-1])) == ("2024-01-17", "2024-12-27")


def test_elsewhere_the_first_ten_sessions_and_the_last_are_left_out() -> None:
    days = weekdays(250, "2023-01-02")
    assert stretch(days, Periods("x", *BEFORE, ("2023-01-02", "2023-12-31"))) == slice(10, 249)


def test_published_rows_are_those_of_the_test_year() -> None:
    rows = published_rows(Periods("any name", *BEFORE, ("2022-01-03", "2022-12-30")))
    assert [(row.market, row.model) for row in rows][:2] == [("DJI", "MARS"), ("DJI", "DeepTrader")]
    assert rows[0].values["paper_total_return"] == pytest.approx(-0.0086)
    assert rows[0].values["paper_sharpe_ratio"] == -0.05
    assert published_rows(Periods("2022", *BEFORE, ("2023-01-03", "2023-12-29"))) == []
    assert published_rows(Periods("2022", *BEFORE, ("2022-07-01", "2023-06-30"))) == []
