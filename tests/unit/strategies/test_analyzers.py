"""The analyzer in a plain backtrader run."""

from __future__ import annotations

import datetime as dt
import pickle
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from engine.errors import InputError
from engine.metrics import RiskTracker, return_metrics
from strategies.analyzers import RiskAnalyzer

N = 60
CASH = 10_000.0


class BuysAtFirst(bt.Strategy):
    """Buy 50 shares at the first bar; note the account's value at each bar."""

    params = (("warm_up", 0),)

    def __init__(self) -> None:
        self.values: list[float] = []
        if self.p.warm_up:
            bt.indicators.SMA(self.data, period=self.p.warm_up)

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        if not self.values:
            self.buy(size=50)
        self.values.append(self.broker.getvalue())


def bars(seed: int = 0) -> pd.DataFrame:
    close = 100.0 * np.cumprod(1.0 + np.random.default_rng(seed).normal(0.0, 0.02, N))
    index = pd.bdate_range("2020-01-06", periods=N)
    return pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close) | {"volume": 1e6}, index=index)


def run(frames: list[pd.DataFrame], warm_up: int = 0, **analyzer: Any) -> BuysAtFirst:
    cerebro = bt.Cerebro(stdstats=False)
    for frame in frames:
        cerebro.adddata(bt.feeds.PandasData(dataname=frame))
    cerebro.broker.setcash(CASH)
    cerebro.addstrategy(BuysAtFirst, warm_up=warm_up)
    cerebro.addanalyzer(RiskAnalyzer, _name="risk", **analyzer)
    return cerebro.run()[0]


@pytest.mark.parametrize("warm_up", [0, 25])
def test_the_analysis_equals_the_metrics_of_the_broker_s_values(warm_up: int) -> None:
    frame = bars()
    strategy = run([frame], warm_up)
    analysis = strategy.analyzers.risk.get_analysis()
    del analysis["series"]
    sessions = frame.index.to_numpy().astype("datetime64[D]")
    assert analysis == return_metrics(np.array(strategy.values), sessions)
    assert (analysis["n_sessions"], analysis["initial_equity"]) == (N, CASH)
    assert analysis["start"] == "2020-01-06"
    assert analysis["max_drawdown"] > 0.0


def test_the_series_are_those_of_a_tracker() -> None:
    strategy = run([bars()])
    series = strategy.analyzers.risk.get_analysis()["series"]
    tracker = RiskTracker()
    risks = [tracker.update(value) for value in strategy.values]
    for name in ("volatility_30", "drawdown", "value_at_risk_95"):
        np.testing.assert_array_equal(series[name], [getattr(risk, name) for risk in risks])
    assert series["session"][0] == np.datetime64("2020-01-06")
    # The twentieth return is that of session 20.
    assert np.isnan(series["value_at_risk_95"]).sum() == 20


def test_a_feed_that_starts_late_does_not_shorten_the_record() -> None:
    strategy = run([bars(), bars(1).iloc[40:]])
    analysis = strategy.analyzers.risk.get_analysis()
    assert analysis["n_sessions"] == N
    assert analysis["final_equity"] == strategy.values[-1]


def test_sessions_before_the_start_are_left_out() -> None:
    strategy = run([bars()], start=dt.date(2020, 1, 20))
    analysis = strategy.analyzers.risk.get_analysis()
    assert (analysis["start"], analysis["n_sessions"]) == ("2020-01-20", N - 10)
    assert analysis["initial_equity"] == strategy.values[10]


def test_the_year_and_the_risk_free_return_can_be_chosen() -> None:
    chosen = run([bars()], periods_per_year=52.0, risk_free=0.001).analyzers.risk.get_analysis()
    usual = run([bars()]).analyzers.risk.get_analysis()
    # sqrt(52 / 252) times the same deviation: rounding of a root.
    assert chosen["annual_volatility"] == pytest.approx(usual["annual_volatility"] * (52 / 252) ** 0.5, rel=1e-14)
    assert chosen["sharpe_ratio"] != usual["sharpe_ratio"]


def test_a_run_without_recorded_sessions_has_an_empty_analysis() -> None:
    analysis = run([bars()], start=dt.date(2030, 1, 1)).analyzers.risk.get_analysis()
    assert (analysis["n_sessions"], analysis["total_return"], analysis["start"]) == (0, None, None)
    assert all(len(series) == 0 for series in analysis["series"].values())


def test_a_year_without_sessions_is_refused_before_the_run() -> None:
    with pytest.raises(InputError, match="periods_per_year must be positive, was 0"):
        run([bars()], periods_per_year=0)


def test_two_bars_on_a_date_are_refused() -> None:
    frame = bars()
    frame.index = pd.date_range("2020-01-06", periods=N, freq="12h")
    with pytest.raises(InputError, match="2020-01-06 has two"):
        run([frame])


def test_the_analysis_survives_the_pickling_of_an_optimisation() -> None:
    analyzer = run([bars()]).analyzers.risk
    expected = analyzer.get_analysis()
    # backtrader cuts these two links before it sends the analyzer back from a worker.
    analyzer.strategy = analyzer._parent = None
    copied = pickle.loads(pickle.dumps(analyzer))
    np.testing.assert_equal(copied.get_analysis(), expected)
