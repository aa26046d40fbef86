from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from data_feeds.check import Finding, Kind, find_problems, summarise
from data_feeds.files import read_panel
from engine.panel import MarketPanel


def panel_of(closes: dict[str, list[float]], volume: float = 100.0) -> MarketPanel:
    """A panel of flat bars, one calendar day a session from 2024-01-01."""
    close = np.array(list(closes.values())).T
    days = np.datetime64("2024-01-01", "D") + np.arange(len(close))
    volumes = np.where(np.isnan(close), np.nan, volume)
    return MarketPanel(days, tuple(closes), close, close, close, close, volumes, source="bars.csv")


NAN = float("nan")


def steady(count: int, start: float = 10.0) -> list[float]:
    return [start + 0.01 * k for k in range(count)]


def test_the_summary_counts_bars_and_the_life_of_each_symbol() -> None:
    panel = panel_of({"A": [1.0, 1.1, 1.2, 1.3, 1.4], "B": [NAN, 2.0, NAN, 2.1, NAN]})
    summary = summarise(panel)
    assert (summary.sessions, summary.bars, summary.missing) == (5, 7, 3)
    assert (str(summary.first), str(summary.last)) == ("2024-01-01", "2024-01-05")
    assert (summary.closes_only, summary.source) == (False, "bars.csv")
    assert summary.content_hash == panel.content_hash
    a, b = summary.symbols
    assert (a.symbol, a.bars, a.missing) == ("A", 5, 0)
    assert (b.symbol, str(b.first), str(b.last), b.bars, b.missing) == ("B", "2024-01-02", "2024-01-04", 2, 1)


def test_a_symbol_without_any_bar_has_no_first_and_no_last_session_and_no_problem() -> None:
    panel = panel_of({"A": steady(3), "B": [NAN] * 3})
    empty = summarise(panel).symbols[1]
    assert (empty.first, empty.last, empty.bars, empty.missing) == (None, None, 0, 0)
    assert find_problems(panel) == []


def test_clean_bars_have_no_problem() -> None:
    assert find_problems(panel_of({"A": steady(30), "B": [NAN, NAN, *steady(28)]})) == []


def only(panel: MarketPanel) -> Finding:
    (finding,) = find_problems(panel)
    return finding


def spans(finding: Finding) -> tuple[Kind, str, str, str, int]:
    return finding.kind, finding.symbol, str(finding.first), str(finding.last), finding.count


def test_each_gap_inside_a_life_is_found() -> None:
    first, second = find_problems(panel_of({"A": steady(7), "B": [NAN, 1.0, NAN, NAN, 1.0, NAN, 1.0]}))
    assert spans(first) == (Kind.GAP, "B", "2024-01-03", "2024-01-04", 2)
    assert spans(second) == (Kind.GAP, "B", "2024-01-06", "2024-01-06", 1)
    assert first.message == "B has no bar in 2 sessions, 2024-01-03 to 2024-01-04, between bars"


def test_a_symbol_that_stops_before_the_last_session_is_found() -> None:
    finding = only(panel_of({"A": steady(4), "B": [1.0, 1.1, NAN, NAN]}))
    assert spans(finding) == (Kind.STALE, "B", "2024-01-03", "2024-01-04", 2)
    assert finding.message == "B stops on 2024-01-02, 2 sessions before the end of the data"


@pytest.mark.parametrize(("after", "expected"), [(5.0, -0.5), (12.6, 0.26)])
def test_a_return_beyond_a_quarter_is_found_with_its_date(after: float, expected: float) -> None:
    finding = only(panel_of({"A": [10.0, after, after + 0.01]}))
    assert spans(finding) == (Kind.JUMP, "A", "2024-01-02", "2024-01-02", 1)
    assert finding.value == pytest.approx(expected, rel=1e-12)  # one division and one subtraction
    assert f"{expected:+.1%} on 2024-01-02" in finding.message


def test_a_return_of_exactly_a_quarter_is_not_a_problem() -> None:
    assert find_problems(panel_of({"A": [8.0, 10.0, 7.5]})) == []


def test_a_jump_across_a_gap_is_found() -> None:
    findings = find_problems(panel_of({"A": steady(3), "B": [10.0, NAN, 5.0]}))
    assert [finding.kind for finding in findings] == [Kind.GAP, Kind.JUMP]
    assert str(findings[1].first) == "2024-01-03"


def test_volumes_of_zero_are_one_finding_a_symbol_and_unknown_volumes_are_none() -> None:
    finding = only(panel_of({"A": steady(3)}, volume=0.0))
    assert spans(finding) == (Kind.ZERO_VOLUME, "A", "2024-01-01", "2024-01-03", 3)
    assert find_problems(panel_of({"A": steady(3)}, volume=NAN)) == []


def test_ten_equal_closes_in_a_row_are_found_and_nine_are_not() -> None:
    assert find_problems(panel_of({"A": [9.9, *[10.0] * 9, 10.1]})) == []
    finding = only(panel_of({"A": [9.9, *[10.0] * 10, 10.1]}))
    assert spans(finding) == (Kind.CONSTANT_PRICE, "A", "2024-01-02", "2024-01-11", 10)
    assert finding.value == 10.0


@pytest.mark.skipif("MARSFOLIO_DATA" not in os.environ, reason="MARSFOLIO_DATA does not name a data folder")
def test_fifty_real_stocks_have_three_jumps_and_no_other_problem() -> None:
    panel, _ = read_panel(Path(os.environ["MARSFOLIO_DATA"]) / "us50.parquet")
    found = [(finding.kind, finding.symbol, str(finding.first)) for finding in find_problems(panel)]
    assert found == [
        (Kind.JUMP, "CRM", "2020-08-26"),
        (Kind.JUMP, "INTC", "2024-08-02"),
        (Kind.JUMP, "NFLX", "2022-04-20"),
    ]
