"""The paper's way to count, and its published rows: needed only to stand beside them."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from engine.arrays import FloatArray, SessionArray
from engine.metrics import max_drawdown, simple_returns
from marsfolio.evaluation.periods import Periods

_SKIPPED_FIRST, _SKIPPED_LAST = 10, 1
_YEAR = 252.0
COLUMNS = ("paper_total_return", "paper_annual_return", "paper_sharpe_ratio", "paper_volatility", "paper_drawdown")


@dataclass(frozen=True, slots=True)
class Published:
    """One row of the paper's tables; fractions, None where the paper gives no number.

    Attributes
    ----------
    market, model : as the paper calls them.
    values : by the names of `COLUMNS`.
    """

    market: str
    model: str
    values: dict[str, float | None]


def published_rows(periods: Periods) -> list[Published]:
    """Return the paper's rows for the year of a test window; none when the paper did not test in it."""
    return [
        Published(row["market"], row["model"], {name: _fraction(row, name) for name in COLUMNS})
        for row in _document()["row"]
        if row["year"] == _year(periods)
    ]


def stretch(sessions: SessionArray, periods: Periods) -> slice:
    """Return the sessions of a test window that the paper's numbers are of.

    The authors' test files lose their first 10 rows and their last one; theirs end where data.toml says, which is
    before the last session of 2024. Without such a date the last session is left out.
    """
    ends = {end["year"]: np.datetime64(end["last_session"], "D") for end in _document()["end"]}
    last = ends.get(_year(periods), sessions[0])
    inside = sessions[0] < last <= sessions[-1]
    stop = int(np.searchsorted(sessions, last, side="right")) if inside else len(sessions) - _SKIPPED_LAST
    return slice(min(_SKIPPED_FIRST, max(stop - 2, 0)), max(stop, 0))


def paper_metrics(equity: FloatArray) -> dict[str, float]:
    """Return return, Sharpe ratio, volatility and drawdown as arXiv 2508.01173 counts them; NaN where undefined.

    CR = last / first - 1; AR = (1 + CR)^(252 / n) - 1, n being the number of values, not of returns; AVol = population
    standard deviation of simple returns * sqrt(252); SR = AR / AVol, without a risk-free rate.

    Parameters
    ----------
    equity : (n,) account value at each close of the stretch.
    """
    if len(equity) < 3 or not (equity > 0.0).all():
        return dict.fromkeys(COLUMNS, math.nan)
    total = float(equity[-1] / equity[0] - 1.0)
    annual = (1.0 + total) ** (_YEAR / len(equity)) - 1.0
    volatility = float(np.std(simple_returns(equity))) * math.sqrt(_YEAR)
    sharpe = annual / volatility if volatility > 0.0 else math.nan
    return dict(zip(COLUMNS, (total, annual, sharpe, volatility, float(max_drawdown(equity))), strict=True))


def _year(periods: Periods) -> int | None:
    first, last = (int(date[:4]) for date in periods.test)
    return first if first == last else None


def _fraction(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    return float(value) if name == "paper_sharpe_ratio" else float(value) / 100.0


def _document() -> dict[str, Any]:
    return tomllib.loads((files("marsfolio.evaluation") / "published.toml").read_text(encoding="utf-8"))
