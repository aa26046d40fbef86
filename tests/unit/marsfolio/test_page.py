"""report.html: its numbers are those of the files, it needs no network, and it stays small."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.errors import RunFolderError
from engine.result import Result
from marsfolio.report.decisions import LARGEST_HOLDINGS
from marsfolio.runs import open_run, write_report, write_run

STATISTICS: dict[str, Any] = {
    "level": 0.95,
    "resamples": 2000,
    "mean_block_sessions": 12.34,
    "seed": 0,
    "intervals": {"total_return": [-0.1, 1 / 3], "max_drawdown": [0.05, 0.4], "calmar_ratio": None},
    "probabilistic_sharpe_ratio": 0.9876,
    "deflated_sharpe_ratio": None,
    "n_trials": 12,
    "null": {
        "paths": 200,
        "seed": 0,
        "percentile": {"total_return": 0.83, "max_drawdown": 0.04, "annual_turnover": 0.5},
        "median": {"total_return": 0.02, "max_drawdown": 0.2, "annual_turnover": 1.0},
        "range": {"total_return": [-0.15, 0.2], "max_drawdown": [0.1, 0.3], "annual_turnover": [0.9, 1.1]},
    },
}


def charts(page: str) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found.group(1))
    return data


def without_plotly(page: str) -> str:
    return re.sub(r"<script>.*?</script>\s*<script id", "<script id", page, count=1, flags=re.DOTALL)


def numbers(page: str) -> dict[str, tuple[str, str]]:
    """Return the exact and the shown text of every number of the page, tiles apart, by its name."""
    found = re.findall(r'<(?:td|span)[^>]* data-name="([^"]*)" title="([^"]*)">([^<]*)<', without_plotly(page))
    return {html.unescape(name): (exact, shown) for name, exact, shown in found}


def write(out: Path, result: Result, **more: Any) -> str:
    write_run(out, "backtest", result, "backtest", {"out": str(out)}, {"data_hash": "ab" * 32}, **more)
    return (out / "report.html").read_text(encoding="utf-8")


def with_statistics(run: Path, statistics: object = STATISTICS) -> str:
    (run / "statistics.json").write_text(json.dumps(statistics))
    return write_report(run).read_text(encoding="utf-8")


@pytest.mark.parametrize("statistics", [False, True])
def test_every_metric_stands_on_the_page_unrounded(run_folder: Path, statistics: bool) -> None:
    page = with_statistics(run_folder) if statistics else (run_folder / "report.html").read_text()
    table = page.split('id="metrics"')[1].split("</table>")[0]
    shown = dict(re.findall(r'<td class="number" data-name="(\w+)" title="([^"]*)"', table))
    assert shown == {name: str(value) for name, value in open_run(run_folder).metrics.items()}


def test_headlines_are_rounded_for_people(run_folder: Path) -> None:
    page = (run_folder / "report.html").read_text()
    metrics = open_run(run_folder).metrics
    tiles = dict(re.findall(r'class="tile" data-name="(\w+)".*?<strong>(.*?)</strong>', page))
    assert tiles["total_return"] == f"{100 * metrics['total_return']:,.2f} %"
    assert tiles["sharpe_ratio"] == f"{metrics['sharpe_ratio']:.2f}"
    assert tiles["benchmark_total_return"] == "20.00 %"


def test_charts_show_equity_drawdown_exposure_and_benchmark(run_folder: Path) -> None:
    equity = open_run(run_folder).equity
    data = charts((run_folder / "report.html").read_text())
    assert data["sessions"] == equity["session"].tolist()
    np.testing.assert_allclose(data["curve"]["equity"], equity["equity"], atol=0.005)  # rounded to cents
    np.testing.assert_allclose(data["curve"]["drawdown"], equity["drawdown"], atol=5e-6)
    np.testing.assert_allclose(data["exposure"], equity["gross_exposure"], atol=5e-6)
    assert data["benchmark"]["equity"][0] == equity["equity"].iloc[0]
    assert data["benchmark"]["equity"][-1] == pytest.approx(1.2 * equity["equity"].iloc[0])
    assert data["benchmark"]["drawdown"] == [0.0] * len(equity)  # it only rises


def test_agents_and_holdings_are_those_of_the_result(run_folder: Path, result: Result) -> None:
    data = charts((run_folder / "report.html").read_text())
    assert data["agents"]["names"] == list(result.agent_names)
    np.testing.assert_allclose(np.transpose(data["agents"]["values"]), result.agent_weights, atol=5e-6)
    order = [result.symbols.index(name) for name in data["holdings"]["names"]]
    np.testing.assert_allclose(
        np.transpose(data["holdings"]["values"]), result.executed_weight[:-1][:, order], atol=5e-6
    )
    assert (np.diff([np.mean(values) for values in data["holdings"]["values"]]) <= 1e-6).all()


def test_months_show_all_that_was_traded_and_paid(run_folder: Path) -> None:
    run = open_run(run_folder)
    months = charts((run_folder / "report.html").read_text())["months"]
    assert months["first_days"][0] == "2019-06-01"
    assert len(months["first_days"]) == run.equity["session"].str[:7].nunique()
    assert sum(months["turnover"]) == pytest.approx(run.equity["turnover"].sum(), abs=1e-4)
    for name in ("commission", "slippage"):
        assert sum(months[name]) == pytest.approx(run.metrics[f"total_{name}"], abs=0.1)


def test_without_agents_benchmark_or_fills_their_parts_are_absent(make_result: Any, tmp_path: Path) -> None:
    page = without_plotly(write(tmp_path / "run", make_result(every=0)))
    data = charts(page)
    assert (data["agents"], data["holdings"], data["benchmark"]) == (None, None, None)
    for absent in ("agents", "holdings", "paid", "cash-flows", "profit", "held", "sharpe-odds"):
        assert f'id="{absent}"' not in page
    assert "Benchmark" not in page.split("<script")[0]
    assert 'id="exposure"' in page
    assert numbers(page)["round_trips_closed"] == ("0", "0")
    assert numbers(page)["win_rate"] == ("null", "–")


@pytest.mark.parametrize("n_sessions", [1, 2, 3])
def test_a_run_of_few_sessions_has_few_charts_and_undefined_numbers(
    make_result: Any, tmp_path: Path, n_sessions: int
) -> None:
    values = np.linspace(1, 2, n_sessions)
    page = without_plotly(write(tmp_path / "run", make_result(n_sessions=n_sessions), benchmark=values))
    assert ('class="chart' in page) == (n_sessions > 1)
    assert 'id="volatility"' not in page
    assert ("<strong>–</strong>" in page) == (n_sessions < 3)


def test_the_months_and_years_are_those_of_equity_csv(run_folder: Path) -> None:
    found = numbers((run_folder / "report.html").read_text())
    table = open_run(run_folder).equity
    for column, name, letters in (
        ("equity", "return_", 7),
        ("equity", "return_", 4),
        ("benchmark", "benchmark_", 4),
    ):
        values = pd.Series(table[column].to_numpy(), index=pd.to_datetime(table["session"]))
        ends = values.resample("ME" if letters == 7 else "YE").last()
        wanted = ends / ends.shift(fill_value=values.iloc[0]) - 1
        for day, change in wanted.items():
            exact, shown = found[f"{name}{str(day)[:letters]}"]
            assert float(exact) == pytest.approx(change, abs=1e-12)
            assert shown == (f"{100 * change:,.1f}" if letters == 7 else f"{100 * change:,.2f} %")
    assert len([name for name in found if name.startswith("return_")]) == 14 + 2


def test_the_worst_drawdown_is_the_one_of_the_metrics(run_folder: Path) -> None:
    found, metrics = numbers((run_folder / "report.html").read_text()), open_run(run_folder).metrics
    assert float(found["drawdown_1_depth"][0]) == metrics["max_drawdown"]
    lengths = [int(exact) for name, (exact, _) in found.items() if name.endswith("_to_recovery")]
    assert max(lengths) == metrics["max_drawdown_sessions"]


def test_profit_and_holdings_by_symbol_reconcile(run_folder: Path) -> None:
    found, run = numbers((run_folder / "report.html").read_text()), open_run(run_folder)
    profit = sum(float(exact) for name, (exact, _) in found.items() if name.startswith("pnl_"))
    held = sum(float(exact) for name, (exact, _) in found.items() if name.startswith("value_") and "risk" not in name)
    end = run.equity.iloc[-1]
    assert profit == pytest.approx(run.metrics["final_equity"] - run.metrics["initial_equity"])
    assert held == pytest.approx(end["equity"] - end["cash"])


def test_intervals_stand_beside_their_metric_and_in_the_tile(run_folder: Path) -> None:
    page = with_statistics(run_folder)
    found = numbers(page)
    assert found["total_return_low"] == ("-0.1", "-10.00")
    assert found["total_return_high"] == (str(1 / 3), "33.33 %")
    assert "calmar_ratio_low" not in found
    tile = re.search(r'class="tile" data-name="total_return".*?</div>', page)
    assert tile is not None
    assert "33.33 %" in tile.group()
    assert "95 % interval" in page
    assert "in blocks of 12.3" in page


def test_a_percentile_says_how_many_did_worse_of_losses_too(run_folder: Path) -> None:
    found = numbers(with_statistics(run_folder))
    assert found["total_return_better_than"] == ("0.83", "83.0 %")
    assert found["max_drawdown_better_than"] == ("0.96", "96.0 %")
    assert not [name for name in found if name.startswith(("annual_turnover_better", "annual_turnover_random"))]
    assert found["total_return_random_low"] == ("-0.15", "-15.00")


def test_the_sharpe_ratio_is_judged_by_the_trials(run_folder: Path) -> None:
    page = with_statistics(run_folder)
    found = numbers(page)
    assert found["probabilistic_sharpe_ratio"] == ("0.9876", "98.8 %")
    assert found["deflated_sharpe_ratio"] == ("null", "–")
    assert found["n_trials"] == ("12", "12")
    assert "the best of 12 trials" in page


def test_statistics_of_a_short_run_are_undefined(run_folder: Path) -> None:
    undefined: dict[str, Any] = {
        "mean_block_sessions": None,
        "intervals": {"total_return": None, "sharpe_ratio": [None, None]},
        "null": {**STATISTICS["null"], "percentile": {"total_return": None}, "range": {"total_return": None}},
    }
    found = numbers(with_statistics(run_folder, {**STATISTICS, **undefined}))
    assert not [name for name in found if name.endswith(("_low", "_high", "_better_than", "_median"))]


def test_statistics_may_be_without_a_null(run_folder: Path) -> None:
    page = with_statistics(run_folder, {**STATISTICS, "null": None})
    assert "total_return_low" in numbers(page)
    assert "Better than" not in page.split("<script")[0]


@pytest.mark.parametrize(
    "wrong",
    [{"intervals": {"total_return": 1}}, {"intervals": 7}, {"null": {"percentile": {"total_return": "x"}}}, []],
)
def test_damaged_statistics_are_named(run_folder: Path, wrong: Any) -> None:
    with pytest.raises(RunFolderError, match=r"statistics\.json"):
        with_statistics(run_folder, {**STATISTICS, **wrong} if wrong else wrong)


def test_cash_flows_are_summed_by_kind(run_folder: Path) -> None:
    rows = ["2019-07-01,dividend,NA,1.5,0", "2019-08-01,dividend,NA,2.25,0", "2019-08-01,interest,,-3.0,0"]
    path = run_folder / "cash_flows.csv"
    path.write_text(path.read_text() + "\n".join(rows) + "\n")
    found = numbers(write_report(run_folder).read_text())
    assert found["cash_flow_dividend"] == ("3.75", "3.75")
    assert found["cash_flow_interest"] == ("-3.0", "-3.00")


def test_names_from_the_data_cannot_become_markup(make_result: Any, tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>"
    page = without_plotly(write(tmp_path / "<b>", make_result(), remarks=[nasty], benchmark=np.ones(300)))
    assert nasty not in page
    assert html.escape(nasty) in page
    assert "<b>" not in page
    assert "A<b>&\"'</script>" in charts(page)["holdings"]["names"]


def test_the_page_asks_nothing_of_the_network(run_folder: Path) -> None:
    page = (run_folder / "report.html").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", without_plotly(page))


def test_the_page_says_how_to_repeat_the_run(run_folder: Path) -> None:
    page = (run_folder / "report.html").read_text()
    assert f"marsfolio backtest --config {run_folder / 'config.toml'}" in page
    assert re.search(r"<td>python \S+, marsfolio \S+, numpy ", page)
    assert "seed" in page


def test_a_long_run_stays_below_eight_megabytes(make_result: Any, tmp_path: Path) -> None:
    result = make_result(n_sessions=10_000, agents=10)
    page = write(tmp_path / "run", result, benchmark=np.linspace(1, 2, 10_000))
    assert len(page.encode()) < 8e6
    assert LARGEST_HOLDINGS == 9
