"""report.html: its numbers are those of the files, it needs no network, and it stays small."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.result import Result
from marsfolio.report.page import LARGEST_HOLDINGS
from marsfolio.runs import open_run, write_run


def charts(page: str) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found.group(1))
    return data


def without_plotly(page: str) -> str:
    return re.sub(r"<script>.*?</script>\s*<script id", "<script id", page, count=1, flags=re.DOTALL)


def write(out: Path, result: Result, **more: Any) -> str:
    write_run(out, "backtest", result, "backtest", {"out": str(out)}, {"data_hash": "ab" * 32}, **more)
    return (out / "report.html").read_text(encoding="utf-8")


def test_every_metric_stands_on_the_page_unrounded(run_folder: Path) -> None:
    page = (run_folder / "report.html").read_text()
    shown = dict(re.findall(r'<td class="number" data-name="(\w+)" title="([^"]*)"', page.split('id="costs"')[0]))
    metrics = open_run(run_folder).metrics
    assert shown == {name: str(value) for name, value in metrics.items()}


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
    np.testing.assert_allclose(data["equity"], equity["equity"], atol=0.005)  # rounded to cents
    np.testing.assert_allclose(data["drawdown"], equity["drawdown"], atol=5e-6)
    np.testing.assert_allclose(data["exposure"], equity["gross_exposure"], atol=5e-6)
    assert data["benchmark"][0] == equity["equity"].iloc[0]
    assert data["benchmark"][-1] == pytest.approx(1.2 * equity["equity"].iloc[0])


def test_agents_and_holdings_are_those_of_the_result(run_folder: Path, result: Result) -> None:
    data = charts((run_folder / "report.html").read_text())
    assert data["agents"]["names"] == list(result.agent_names)
    np.testing.assert_allclose(np.transpose(data["agents"]["values"]), result.agent_weights, atol=5e-6)
    order = [result.symbols.index(name) for name in data["holdings"]["names"]]
    np.testing.assert_allclose(
        np.transpose(data["holdings"]["values"]), result.executed_weight[:-1][:, order], atol=5e-6
    )
    assert (np.diff([np.mean(values) for values in data["holdings"]["values"]]) <= 1e-6).all()


def test_without_agents_benchmark_or_fills_their_parts_are_absent(make_result: Any, tmp_path: Path) -> None:
    page = without_plotly(write(tmp_path / "run", make_result(every=1000)))
    data = charts(page)
    assert (data["agents"], data["holdings"], "benchmark" in data) == (None, None, False)
    for absent in ('id="agents"', 'id="holdings"', "Benchmark return"):
        assert absent not in page
    assert 'id="exposure"' in page


def test_a_run_of_one_session_has_no_charts_and_undefined_numbers(make_result: Any, tmp_path: Path) -> None:
    page = without_plotly(write(tmp_path / "run", make_result(n_sessions=1)))
    assert 'class="chart' not in page
    assert "<strong>–</strong>" in page


def test_returns_of_the_years_multiply_to_the_total(run_folder: Path) -> None:
    page = (run_folder / "report.html").read_text()
    years = re.findall(r'<th scope="row">(\d{4})</th><td class="number">([-\d.,]+) %', page)
    assert [year for year, _ in years] == ["2019", "2020"]
    product = np.prod([1 + float(change) / 100 for _, change in years])
    assert product == pytest.approx(1 + open_run(run_folder).metrics["total_return"], abs=2e-4)  # two decimals of %


def test_names_from_the_data_cannot_become_markup(make_result: Any, tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>"
    page = without_plotly(write(tmp_path / "<b>", make_result(), remarks=[nasty]))
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
    assert "versions numpy" in page


def test_a_long_run_stays_below_eight_megabytes(make_result: Any, tmp_path: Path) -> None:
    result = make_result(n_sessions=10_000, agents=10)
    page = write(tmp_path / "run", result, benchmark=np.linspace(1, 2, 10_000))
    assert len(page.encode()) < 8e6
    assert LARGEST_HOLDINGS == 9
