"""The comparison: shared sessions, metrics side by side, differences, and `marsfolio compare` as a user meets it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.errors import InputError
from engine.statistics import difference_intervals
from marsfolio.cli import main
from marsfolio.report.compared import LEVEL, RESAMPLES, SEED, Comparison, compare, unique_names
from marsfolio.report.comparison import COMPARED, change_rows, page, render
from marsfolio.runs import Run, open_run, write_run

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(make_result: Any, tmp_path: Path) -> MakeRun:
    """Return a function that writes a small run into a folder of a name."""

    def make(name: str, n_sessions: int = 120, seed: int = 1, **more: Any) -> Path:
        options = {"out": str(tmp_path / name), "commission_bps": 10.0 * seed, "cash": 100_000.0}
        more = {"provenance": {"data_hash": "ab"}, **more}
        provenance = more.pop("provenance")
        result = make_result(n_sessions=n_sessions, seed=seed)
        write_run(tmp_path / name, "backtest", result, "backtest", options, provenance, **more)
        return tmp_path / name

    return make


def opened(*folders: Path) -> dict[str, Run]:
    return {folder.name: open_run(folder) for folder in folders}


def move_back(folder: Path, years: int) -> None:
    """Let the equity of a run have happened years before."""
    file = folder / "equity.csv"
    moved = re.sub(r"^(\d{4})-", lambda found: f"{int(found.group(1)) - years}-", file.read_text(), flags=re.MULTILINE)
    file.write_text(moved)


def cells(text: str, table: str) -> list[tuple[str, str, str]]:
    """Return run, name and exact value of each number of a table with a run for each column."""
    part = text.split(f'id="{table}"')[1].split("</table>")[0]
    found = re.findall(r'data-run="([^"]*)" data-name="([^"]*)" title="([^"]*)"', part)
    return [(html.unescape(run), name, exact) for run, name, exact in found]


def test_folders_of_one_name_are_told_apart_by_those_above() -> None:
    folders = [Path("/r/a/x"), Path("/r/b/x"), Path("/r/y"), Path("/s/b/x")]
    assert unique_names(folders) == ["a/x", "r/b/x", "y", "s/b/x"]
    with pytest.raises(InputError, match="/r/x is given twice"):
        unique_names([Path("/r/x"), Path("/r/a/../x")])


def test_on_the_same_sessions_the_metrics_are_those_of_the_runs(make_run: MakeRun) -> None:
    runs = opened(make_run("one"), make_run("two", seed=2))
    shown = cells(render(runs, "two"), "metrics")
    assert shown == [(name, metric, str(runs[name].metrics[metric])) for metric in COMPARED for name in runs]


def test_runs_over_different_sessions_are_compared_on_those_they_share(make_run: MakeRun) -> None:
    runs = opened(make_run("long"), make_run("short", n_sessions=80, seed=2))
    found = compare(runs, "short")
    long, part = runs["long"].equity, runs["long"].equity.iloc[:80]
    trades = runs["long"].trades
    trades = trades[trades["session"].between(part["session"].iloc[1], part["session"].iloc[-1])]
    metrics = found.metrics["long"]
    assert found.metrics["short"] == runs["short"].metrics
    assert metrics["n_sessions"] == 80
    assert metrics["total_return"] == long["equity"].iloc[79] / long["equity"].iloc[0] - 1
    assert metrics["n_fills"] == len(trades) < runs["long"].metrics["n_fills"]
    assert metrics["total_commission"] == pytest.approx(trades["commission"].sum())
    turnover = trades["notional"].sum() / 2 / part["equity"].mean() / (79 / 252)
    assert metrics["annual_turnover"] == pytest.approx(turnover)
    assert found.remarks[0].startswith("the runs cover different sessions and are compared on the 80 they share")
    assert "on the pages of long" in found.remarks[0]


def test_a_part_in_the_middle_is_measured_as_the_whole_is(make_run: MakeRun) -> None:
    """A run whose first and last rows another lacks has the same metrics as the rows between."""
    folder, other = make_run("whole"), make_run("other", seed=2)
    lines = (other / "equity.csv").read_text().splitlines(keepends=True)
    (other / "equity.csv").write_text("".join([lines[0], *lines[41:81]]))
    metrics = compare(opened(folder, other), "other").metrics["whole"]
    table = open_run(folder).equity.iloc[40:80]
    equity, traded = table["equity"], 2 * (table["turnover"] * table["equity"]).iloc[1:].sum()
    assert metrics["final_equity"] == equity.iloc[-1]
    assert metrics["initial_equity"] == equity.iloc[0]
    assert metrics["annual_turnover"] == pytest.approx(traded / 2 / equity.mean() / (39 / 252), rel=1e-12)
    assert metrics["n_fills"] == 39 * 3  # three symbols a session, those of the first row belong to the time before


@pytest.mark.parametrize(("rows", "part"), [(0, "share no session"), (1, "share only one session")])
def test_runs_that_share_no_time_are_refused_by_name(make_run: MakeRun, rows: int, part: str) -> None:
    one, two = make_run("one", n_sessions=20), make_run("two", n_sessions=20, seed=2)
    move_back(two, 5)
    if rows:
        table = (two / "equity.csv").read_text().splitlines(keepends=True)
        (two / "equity.csv").write_text("".join(table) + (one / "equity.csv").read_text().splitlines(keepends=True)[1])
    with pytest.raises(InputError, match=rf"{part} \(one from 2019-06-03 to 2019-06-28; two from 2014-06-03"):
        compare(opened(one, two), "one")


def test_one_run_and_an_unknown_baseline_are_refused(make_run: MakeRun) -> None:
    runs = opened(make_run("one"))
    with pytest.raises(InputError, match="at least two runs, had 1"):
        compare(runs, "one")
    with pytest.raises(InputError, match="--baseline three is none of the runs compared: one, two"):
        compare({**runs, **opened(make_run("two"))}, "three")


def test_the_best_value_is_marked_where_more_or_less_is_better(make_run: MakeRun) -> None:
    runs = opened(make_run("one"), make_run("two", seed=2), make_run("three", seed=3))
    text = render(runs, "one")
    marked = re.findall(r'class="number best" data-run="(\w+)" data-name="(\w+)"', text)
    metrics = pd.DataFrame({name: run.metrics for name, run in runs.items()}).T
    for name, choose in (("sharpe_ratio", "idxmax"), ("max_drawdown", "idxmin"), ("value_at_risk_95", "idxmin")):
        best = getattr(metrics[name].astype("float64"), choose)()
        assert [run for run, metric in marked if metric == name] == [best]
    assert not {metric for _, metric in marked} & {"total_commission", "n_fills", "annual_turnover", "final_equity"}
    assert text.count('aria-label="best"') == len(marked)


def test_equal_values_are_not_marked(make_run: MakeRun) -> None:
    assert 'class="number best"' not in render(opened(make_run("one"), make_run("two")), "one")


def test_differences_are_the_runs_less_the_baseline(make_run: MakeRun) -> None:
    runs = opened(make_run("one"), make_run("two", seed=2), make_run("three", seed=3))
    found = compare(runs, "two")
    assert list(found.differences) == ["one", "three"]
    values = [np.array(runs[name].equity["equity"]) for name in ("one", "two")]
    wanted = difference_intervals(*values, level=LEVEL, resamples=RESAMPLES, seed=SEED)
    assert found.differences["one"] == wanted
    rows = {row.changes[0].difference.name: row.changes[0] for row in change_rows(found)}
    shown, exact = rows["sharpe_ratio_difference"], wanted["sharpe_ratio"]
    assert shown.difference.exact == str(exact.value)
    assert shown.difference.shown == f"{exact.value:+.2f}"
    assert shown.interval is not None
    assert [end.exact for end in shown.interval] == [str(exact.low), str(exact.high)]
    assert rows["total_return_difference"].difference.shown == f"{100 * wanted['total_return'].value:+.2f} pp"


class Found:
    """A difference as the statistics give it."""

    def __init__(self, value: float, low: float, high: float) -> None:
        self.value, self.low, self.high, self.share_not_positive = value, low, high, 0.25


@pytest.mark.parametrize(
    ("metric", "low", "high", "verdict"),
    [
        ("sharpe_ratio", 0.1, 0.3, "better"),
        ("sharpe_ratio", -0.3, -0.1, "worse"),
        ("max_drawdown", 0.1, 0.3, "worse"),
        ("max_drawdown", -0.3, -0.1, "better"),
        ("sharpe_ratio", -0.1, 0.3, ""),
        ("sharpe_ratio", 0.0, 0.3, ""),
        ("sharpe_ratio", float("nan"), float("nan"), ""),
    ],
)
def test_a_verdict_stands_only_where_the_interval_leaves_out_zero(
    metric: str, low: float, high: float, verdict: str
) -> None:
    differences: Any = {"run": {metric: Found((low + high) / 2, low, high)}}
    (row,) = change_rows(Comparison({}, "base", ["a", "b"], {}, {}, differences, []))
    assert row.changes[0].verdict == verdict
    assert (row.changes[0].interval is None) == np.isnan(low)


def test_the_charts_start_at_one(make_run: MakeRun) -> None:
    runs = opened(make_run("one"), make_run("two", seed=2))
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', render(runs, "two"), re.DOTALL)
    assert found is not None
    data = json.loads(found.group(1))
    assert (data["names"], data["baseline"]) == (["one", "two"], 1)
    for values, drawdown, run in zip(data["equity"], data["drawdown"], runs.values(), strict=True):
        np.testing.assert_allclose(values, run.equity["equity"] / run.equity["equity"].iloc[0], atol=5e-6)
        np.testing.assert_allclose(drawdown, run.equity["drawdown"], atol=5e-6)


def test_only_options_that_differ_are_shown(make_run: MakeRun) -> None:
    one, two = make_run("one"), make_run("two", seed=2, provenance={"data_hash": "cd"})
    text = render(opened(one, two), "one")
    table = re.findall(r'<th scope="row">(\w+)</th>', text.split('id="options"')[1].split("</table>")[0])
    assert table == ["commission_bps", "data_hash"]
    assert "the runs used different data" in text
    assert f"marsfolio backtest --config {two / 'config.toml'}" in text


def test_a_remark_of_several_runs_is_said_once(make_run: MakeRun) -> None:
    runs = opened(make_run("one", remarks=["same", "own"]), make_run("two", seed=2, remarks=["same"]))
    remarks = compare(runs, "one").remarks
    assert {"one, two: same", "one: own"} < set(remarks)
    assert "one: same" not in remarks


def test_a_table_of_the_callers_comes_first(make_run: MakeRun) -> None:
    extra = pd.DataFrame({"commission": ["0 bps", "5 <bps>"], "edge": [1 / 3, np.nan], "fills": [1000, 2]})
    runs = opened(make_run("one"), make_run("two", seed=2))
    text = page(compare(runs, "two"), extra, "What is left", "Cost ladder")
    assert "<h1>Cost ladder</h1>" in text
    assert text.index("What is left") < text.index('id="equity"')
    assert f'title="{1 / 3}">0.33<' in text
    assert ">1,000<" in text
    assert "5 &lt;bps&gt;" in text
    assert ">–<" in text


def test_names_cannot_become_markup(make_run: MakeRun) -> None:
    text = render(opened(make_run("<u>"), make_run("two", seed=2)), "<u>")
    assert "<u>" not in text
    assert "&lt;u&gt;" in text


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def test_the_command_prints_the_tables_and_writes_the_page(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, out = make_run("one"), make_run("two", seed=2), tmp_path / "page.html"
    assert run("compare", one, two, "--out", out) == 0
    shown = capsys.readouterr().out
    assert f"{100 * open_run(one).metrics['total_return']:.2f} %" in shown
    assert "Differences to two" in shown
    assert shown.endswith(f"wrote {out}\n")
    assert out.read_text().startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["page.html"]


@pytest.mark.parametrize("baseline", ["one", "{folder}/one", "{folder}/two/../one"])
def test_the_baseline_is_a_name_or_a_folder(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], baseline: str
) -> None:
    folders = [make_run("one"), make_run("two", seed=2)]
    wanted = baseline.format(folder=tmp_path)
    assert run("compare", *folders, "--baseline", wanted, "--out", tmp_path / "page.html") == 0
    assert "Differences to one" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["one", "two", "--out", "one/equity.csv"], "--out must be a file that ends in .html, was one/equity.csv"),
        (["one", "two", "--out", "folder.html"], "was the folder folder.html"),
        (["one", "two", "--out", "absent/x.html"], "the folder absent does not exist"),
        (["one", "one", "--out", "x.html"], "is given twice"),
        (["one", "--out", "x.html"], "at least two runs"),
        (["one", "three", "--out", "x.html"], "three is not a folder"),
        (["one", "two", "--baseline", "three", "--out", "x.html"], "--baseline three is none of the runs"),
        (["one", "two"], "Missing option '--out'"),
    ],
)
def test_wrong_arguments_are_one_message(
    make_run: MakeRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    part: str,
) -> None:
    make_run("one")
    make_run("two", seed=2)
    (tmp_path / "folder.html").mkdir()
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "one" / "equity.csv").read_bytes()
    assert run("compare", *arguments) == 2
    assert part in capsys.readouterr().err
    assert (tmp_path / "one" / "equity.csv").read_bytes() == before
    assert not (tmp_path / "x.html").exists()
