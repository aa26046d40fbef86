"""Fifty real symbols at daily equal weights: the command line, and a loop that anyone can read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from engine.tradelog import read_table
from marsfolio.cli import app

DATA = Path(os.environ.get("MARSFOLIO_DATA", "absent")) / "us50.parquet"
WEIGHT = 0.019
CASH = 1_000_000.0

pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason="MARSFOLIO_DATA must name a folder with us50.parquet (50 symbols of daily bars)"
)


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return pd.read_parquet(DATA)


@pytest.fixture(scope="module")
def weights_file(bars: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.parquet"
    bars[["date", "symbol"]].assign(weight=WEIGHT).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def loop(bars: pd.DataFrame) -> tuple[pd.DataFrame, list[float], list[float]]:
    """Floor at the close, fill at the next open, 10 bp of commission."""
    opens = bars.pivot(index="date", columns="symbol", values="open")
    closes = bars.pivot(index="date", columns="symbol", values="close").to_numpy()
    cash, shares, target = CASH, np.zeros(closes.shape[1]), np.zeros(closes.shape[1])
    fills, equity, cash_rows = [], [], []
    for day, price, close in zip(opens.index, opens.to_numpy(), closes, strict=True):
        change = target - shares
        buys = np.maximum(change, 0)
        room = cash + (np.maximum(-change, 0) * price).sum() * 0.999
        while (cost := (buys * price).sum() * 1.001) > room:
            buys = np.floor(buys * (room / cost))
        change = np.where(change > 0, buys, change)
        for i in [*np.flatnonzero(change < 0), *np.flatnonzero(change > 0)]:
            cash -= change[i] * price[i] + abs(change[i]) * price[i] * 0.001
            shares[i] += change[i]
            fills.append((str(day.date()), opens.columns[i], change[i], price[i], cash))
        equity.append(cash + shares @ close)
        cash_rows.append(cash)
        target = np.floor(WEIGHT * equity[-1] / close)
    return pd.DataFrame(fills, columns=["session", "symbol", "change", "price", "cash"]), equity, cash_rows


@pytest.mark.parametrize("engine", ["kernel", "cerebro"])
def test_the_command_line_trades_share_for_share_what_a_plain_loop_trades(
    engine: str,
    weights_file: Path,
    loop: tuple[pd.DataFrame, list[float], list[float]],
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    flags = ["--data", str(DATA), "--strategy", "weights", "--weights", str(weights_file), "--commission-bps", "10"]
    done = CliRunner().invoke(app, ["backtest", *flags, "--engine", engine, "--out", str(out)])
    assert done.exit_code == 0, done.output
    fills, equity, cash = loop
    trades, rows = read_table(out / "trades.csv"), pd.read_csv(out / "equity.csv")
    assert len(fills) > 50_000
    assert trades["session"].tolist() == fills["session"].tolist()
    assert trades["symbol"].tolist() == fills["symbol"].tolist()
    signed = np.where(trades["side"] == "buy", trades["quantity"], -trades["quantity"])
    assert np.array_equal(signed, fills["change"])
    assert np.array_equal(trades["price"], fills["price"])
    # To a hundredth of a cent: sums of 50,000 amounts in another order.
    np.testing.assert_allclose(trades["cash_after"], fills["cash"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(rows["equity"], equity, rtol=0, atol=1e-4)
    np.testing.assert_allclose(rows["cash"], cash, rtol=0, atol=1e-4)
