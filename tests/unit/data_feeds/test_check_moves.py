"""What `data check` says of large moves and of sessions, on bars that tell a split, news and a mistake apart."""

from __future__ import annotations

import numpy as np
import pytest

from data_feeds.check import ALL, REMEDIES, Finding, Kind, find_problems
from data_feeds.check_calendar import find_calendar_problems
from engine.errors import ConfigError
from engine.panel import MarketPanel

NAN = float("nan")


def panel_of(
    close: list[float],
    volume: list[float] | None = None,
    high: dict[int, float] | None = None,
    first: str = "2024-01-01",
) -> MarketPanel:
    bars = np.array(close)[:, None]
    top = bars.copy()
    for row, value in (high or {}).items():
        top[row] = value
    days = np.datetime64(first, "D") + np.arange(len(close))
    volumes = np.full(bars.shape, 100.0) if volume is None else np.array(volume)[:, None]
    return MarketPanel(days, ("A",), bars, top, bars, bars, volumes)


def kinds(panel: MarketPanel) -> list[tuple[Kind, str]]:
    return [(finding.kind, str(finding.first)) for finding in find_problems(panel)]


def around(before: float, after: float, count: int = 12) -> list[float]:
    return [before + 0.01 * k for k in range(count)] + [after + 0.01 * k for k in range(count)]


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [(100.0, 50.0, "2 for 1"), (100.0, 10.0, "10 for 1"), (10.0, 30.0, "1 for 3"), (90.0, 60.0, "3 for 2")],
)
def test_a_move_by_a_usual_ratio_with_as_many_more_shares_is_an_unadjusted_split(
    before: float, after: float, name: str
) -> None:
    volume = [100.0] * 12 + [100.0 * before / after] * 12
    (finding,) = find_problems(panel_of(around(before, after), volume))
    assert (finding.kind, str(finding.first)) == (Kind.UNADJUSTED, "2024-01-13")
    assert f"like a split of {name} that is not adjusted" in finding.message
    assert "adjusted prices" in finding.remedy


def test_without_more_shares_traded_it_may_be_news() -> None:
    assert kinds(panel_of(around(100.0, 50.0))) == [(Kind.JUMP, "2024-01-13")]


def test_without_volumes_only_a_large_split_is_told_from_news() -> None:
    assert kinds(panel_of(around(100.0, 50.0), [NAN] * 24)) == [(Kind.UNADJUSTED, "2024-01-13")]
    assert kinds(panel_of(around(90.0, 60.0), [NAN] * 24)) == [(Kind.JUMP, "2024-01-13")]


def test_a_price_that_recovers_in_days_was_no_split() -> None:
    close = [100.0, 100.1, 50.0, 60.0, 90.0, 100.0, 100.1]
    assert (Kind.UNADJUSTED, "2024-01-03") not in kinds(panel_of(close, [NAN] * 7))


def test_a_price_that_the_next_close_undoes_is_one_remark() -> None:
    assert kinds(panel_of([100.0, 100.1, 50.0, 100.2, 100.3])) == [(Kind.BAD_PRICE, "2024-01-03")]


def test_a_high_far_above_open_and_close_is_a_spike() -> None:
    (finding,) = find_problems(panel_of([10.0, 10.1, 10.2], high={1: 20.2}))
    assert (finding.kind, finding.value) == (Kind.SPIKE, pytest.approx(1.0))
    assert find_problems(panel_of([10.0, 10.1, 10.2], high={1: 12.0})) == []


def weekdays(panel: MarketPanel, *without: str) -> list[Finding]:
    kept = ~np.isin(panel.sessions, np.array(without, dtype="datetime64[D]"))
    rows = {name: getattr(panel, name)[kept] for name in ("open", "high", "low", "close", "volume")}
    return find_calendar_problems(MarketPanel(panel.sessions[kept], panel.symbols, **rows), "XNYS")


def test_sessions_are_compared_with_those_of_the_exchange() -> None:
    # Tuesday to Friday; Monday 2024-01-01 was a holiday.
    week = panel_of([10.0, 10.1, 10.2, 10.3], first="2024-01-02")
    assert weekdays(week) == []
    (gap,) = weekdays(week, "2024-01-03", "2024-01-04")
    assert (gap.kind, gap.symbol, str(gap.first), str(gap.last), gap.count) == (
        Kind.NO_SESSION,
        ALL,
        "2024-01-03",
        "2024-01-04",
        2,
    )
    (closed,) = weekdays(panel_of([10.0, 10.1, 10.2], first="2024-01-01"))
    assert (closed.kind, closed.symbol, str(closed.first)) == (Kind.CLOSED, "A", "2024-01-01")
    with pytest.raises(ConfigError, match="XNYS"):
        find_calendar_problems(week, "XNYX")


def test_every_kind_says_what_to_do() -> None:
    assert set(REMEDIES) == set(Kind)
