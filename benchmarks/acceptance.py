"""What the `marsfolio` setting must show on validation years before a test year is opened.

    .venv/bin/python benchmarks/acceptance.py --data us50.parquet [--subsets sp500.parquet] [--seeds 1] [--out FILE]

In each of 2019, 2020, 2021 and 2023, after training on at most the five years before, against equal weight rebalanced
monthly on the same terms, and on random sets of 40 symbols of a wider file: the Sharpe difference at least -0.05, the
drawdown ratio below the volatility ratio, ten agents in order of volatility and drawdown, and, with 0.2 % a session
taken from every price of the test year, a drawdown not above that of a constant exposure with the same mean.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.profiles.history import imposed_bear
from agents.settings import settings_of
from data_feeds.files import read_panel
from engine.backtest import run_policy
from engine.limits import MODEL_LIMITS
from engine.panel import MarketPanel, Window
from engine.policy import Policy
from engine.rebalancer import Schedule, Terms
from engine.result import Result
from marsfolio.compose import trainer_of, window
from strategies.baselines import ConstantExposure, EqualWeight

YEARS = (2019, 2020, 2021, 2023)
TERMS = Terms(limits=MODEL_LIMITS)
BEAR = 0.002
SUBSET, SUBSETS = 40, 3


def main() -> None:
    """Train, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subsets", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows = []
    for universe, panel in universes(given.data, given.subsets):
        for year in YEARS:
            for seed in range(given.seeds):
                rows.append({"universe": universe, "year": year, "seed": seed, **measured(panel, year, seed)})
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    if given.out is not None:
        table.to_csv(given.out, index=False)
    print(table.drop(columns=["seed"]).groupby("universe").mean(numeric_only=True).round(3).to_string())
    for rule, held in rules(table).items():
        print(f"{'yes' if held else 'NO '}  {rule}")


def universes(data: Path, subsets: Path | None) -> Iterator[tuple[str, MarketPanel]]:
    """Yield the panels of the data and of random symbols with a full history."""
    yield data.stem, read_panel(data)[0]
    if subsets is not None:
        wide = read_panel(subsets)[0]
        full = [symbol for i, symbol in enumerate(wide.symbols) if wide.has_bar[:, i].all()]
        random = np.random.default_rng(7)
        for k in range(SUBSETS):
            yield f"subset {k}", wide.select(sorted(random.choice(full, SUBSET, replace=False).tolist()))


def measured(panel: MarketPanel, year: int, seed: int) -> dict[str, Any]:
    """Return one year's numbers."""
    test = window(panel, f"{year}-01-01", f"{year}-12-31", "test")
    train = window(panel, f"{year - 6}-01-01", f"{year - 2}-12-31", "train")
    validation = window(panel, f"{year - 1}-01-01", f"{year - 1}-12-31", "validation")
    known = panel.rows(0, validation.last + 1)
    with tempfile.TemporaryDirectory() as folder:
        model = trainer_of(known, train, validation, settings_of("marsfolio"), TERMS, seed, Path(folder)).run()
    ours = run_policy(model.policy(), panel, *test, TERMS)
    equal = _monthly(EqualWeight, panel, test)
    agents = [run_policy(model.agent_policy(name), panel, *test, TERMS).metrics() for name in model.agent_names]
    bear = imposed_bear(panel, BEAR)
    fallen = run_policy(model.policy(), bear, *test, TERMS)
    constant = _monthly(lambda: ConstantExposure(_exposure(fallen)), bear, test)
    mine, theirs = ours.metrics(), equal.metrics()
    return {
        "sharpe_difference": mine["sharpe_ratio"] - theirs["sharpe_ratio"],
        "volatility_ratio": mine["annual_volatility"] / theirs["annual_volatility"],
        "drawdown_ratio": mine["max_drawdown"] / theirs["max_drawdown"],
        "turnover": 2.0 * mine["annual_turnover"],
        "exposure": _exposure(ours),
        "dial_in_order": all(
            bool((np.diff([agent[name] for agent in agents]) > 0).all())
            for name in ("annual_volatility", "max_drawdown")
        ),
        "bear_drawdown": fallen.metrics()["max_drawdown"],
        "bear_constant": constant.metrics()["max_drawdown"],
        "bear_exposure": _exposure(fallen),
    }


def rules(table: pd.DataFrame) -> dict[str, bool]:
    """Return what must hold for means over years and universes, and whether it does."""
    mean = table.mean(numeric_only=True)
    return {
        f"Sharpe difference {mean['sharpe_difference']:+.3f}, at least -0.05": mean["sharpe_difference"] >= -0.05,
        f"drawdown ratio {mean['drawdown_ratio']:.3f} below volatility ratio {mean['volatility_ratio']:.3f}": (
            mean["drawdown_ratio"] < mean["volatility_ratio"]
        ),
        f"ten agents in order in {int(table['dial_in_order'].sum())} of {len(table)} cells": (
            bool(table["dial_in_order"].all())
        ),
        f"imposed bear: drawdown {mean['bear_drawdown']:.3f}, constant exposure {mean['bear_constant']:.3f}": (
            mean["bear_drawdown"] <= mean["bear_constant"]
        ),
        f"turnover {mean['turnover']:.2f}, under 3 a year": mean["turnover"] < 3.0,
    }


def _monthly(make_policy: Callable[[], Policy], panel: MarketPanel, test: Window) -> Result:
    return run_policy(make_policy(), panel, *test, TERMS, Schedule.MONTHLY)


def _exposure(result: Result) -> float:
    return float(((result.equity - result.cash) / result.equity)[1:].mean())


if __name__ == "__main__":
    main()
