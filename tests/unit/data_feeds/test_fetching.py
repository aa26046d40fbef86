"""A store against a loopback venue: what is asked for, what is kept, and what an end in the middle leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from fake_alpaca import GET_BARS, Bar, FakeAlpaca, effects
from fake_alpaca.example import DAYS, at

from data_feeds.alpaca_history import AlpacaHistory
from data_feeds.fetching import Outcome, fetch_into, last_session
from data_feeds.files import read_panel
from data_feeds.store import MANIFEST, locked, read_manifest
from engine.errors import ConfigError, DataError, TemporaryError
from engine.http import RequestFailed

MakeHistory = Callable[..., AlpacaHistory]
FIRST, LAST = DAYS[0], DAYS[-1]


@pytest.fixture
def fetch(history: MakeHistory, venue: FakeAlpaca, tmp_path: Path) -> Callable[..., Outcome]:
    """Return a function that fetches in the evening of the last session."""

    def run(*symbols: str, first: date = FIRST, last: date = LAST, **options: Any) -> Outcome:
        venue.clock.set(max(at(last.day, 20), venue.clock.now))
        return fetch_into(tmp_path / "store", history(**options), symbols, first, last)

    return run


def asked(venue: FakeAlpaca) -> list[tuple[str, str]]:
    """Return symbols and first day of each request since the last look."""
    found = [(request.query["symbols"], request.query["start"][:10]) for request in venue.requests]
    venue.requests.clear()
    return found


def closes(store: Path) -> dict[str, list[float]]:
    panel, _ = read_panel(store)
    return {symbol: panel.close[:, i].tolist() for i, symbol in enumerate(panel.symbols)}


def test_a_store_reads_as_a_file_of_the_same_bars(fetch: Callable[..., Outcome], tmp_path: Path) -> None:
    assert fetch("BBB", "AAA").loaded == ["AAA", "BBB"]
    panel, notes = read_panel(tmp_path / "store")
    assert closes(tmp_path / "store") == {"AAA": [12.0, 22.0, 32.0, 42.0, 52.0], "BBB": [25.0] * 5}
    lines = ["date,symbol,open,high,low,close,volume"]
    for t, day in enumerate(panel.sessions):
        for i, symbol in enumerate(panel.symbols):
            bar = [getattr(panel, name)[t, i] for name in ("open", "high", "low", "close", "volume")]
            lines.append(",".join([str(day), symbol, *map(repr, map(float, bar))]))
    (tmp_path / "bars.csv").write_text("\n".join(lines))
    assert read_panel(tmp_path / "bars.csv")[0].content_hash == panel.content_hash
    assert "adjusted for splits and dividends" in notes[0]
    assert read_panel(tmp_path / "store", ["BBB"])[0].symbols == ("BBB",)
    with pytest.raises(DataError, match=r"AAB.*nearest: AAA"):
        read_panel(tmp_path / "store", ["AAB"])


def test_only_the_tail_is_asked_for(fetch: Callable[..., Outcome], venue: FakeAlpaca, tmp_path: Path) -> None:
    fetch("AAA", last=DAYS[2])
    assert asked(venue) == [("AAA", "2024-12-20")]
    assert fetch("AAA", "BBB", last=DAYS[2]).complete == ["AAA"]
    assert asked(venue) == [("BBB", "2024-12-20")]
    venue.market.bars["AAA"][DAYS[2]] = venue.market.bars["AAA"][DAYS[2]]._replace(volume=5)
    outcome = fetch("AAA", "BBB")
    assert outcome.grown == ["AAA"]
    assert len(closes(tmp_path / "store")["AAA"]) == 5
    # Volumes are corrected later on, and are no reason to load all of it anew.
    assert read_panel(tmp_path / "store", ["AAA"])[0].volume[:, 0].tolist() == [1000, 1000, 5, 1000, 1000]


def test_a_split_makes_the_whole_symbol_load_anew(
    fetch: Callable[..., Outcome], venue: FakeAlpaca, tmp_path: Path
) -> None:
    fetch("AAA", "BBB", last=DAYS[2])
    assert closes(tmp_path / "store")["BBB"] == [100.0] * 3
    asked(venue)
    outcome = fetch("AAA", "BBB")
    assert (outcome.grown, outcome.restated) == (["AAA"], ["BBB"])
    assert asked(venue) == [("AAA,BBB", "2024-12-20"), ("BBB", "2024-12-20")]
    assert closes(tmp_path / "store")["BBB"] == [25.0] * 5


def test_an_earlier_start_keeps_the_end(fetch: Callable[..., Outcome], tmp_path: Path) -> None:
    fetch("AAA", first=DAYS[2])
    assert fetch("AAA", first=DAYS[1], last=DAYS[2]).loaded == ["AAA"]
    assert closes(tmp_path / "store")["AAA"] == [22.0, 32.0, 42.0, 52.0]
    assert fetch("AAA", first=DAYS[3], last=DAYS[3]).complete == ["AAA"]


def test_a_bar_that_is_late_is_asked_for_again(
    fetch: Callable[..., Outcome], venue: FakeAlpaca, tmp_path: Path
) -> None:
    late = venue.market.bars["AAA"].pop(LAST)
    fetch("AAA")
    assert fetch("AAA").grown == ["AAA"]
    venue.market.bars["AAA"][LAST] = late
    fetch("AAA")
    assert fetch("AAA").complete == ["AAA"]
    assert closes(tmp_path / "store")["AAA"][-1] == 52.0


def test_unknown_symbols_are_named_and_the_others_kept(fetch: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = fetch("AAA", "ZZZ")
    assert outcome.missing == {"ZZZ": "no bars from 2024-12-20 to 2024-12-27"}
    assert list(closes(tmp_path / "store")) == ["AAA"]


def test_a_name_the_service_refuses_costs_the_others_nothing(
    fetch: Callable[..., Outcome], venue: FakeAlpaca, tmp_path: Path
) -> None:
    venue.faults.add(GET_BARS, effects.status(400, {"message": "invalid symbol: A A"}), times=1)
    assert fetch("AAA", "BBB").missing == {}
    venue.market.bars["BBB"][DAYS[1]] = Bar(100, 90, 80, 100, 500)
    outcome = fetch("AAA", "BBB", first=date(2024, 12, 1))
    assert "BBB on 2024-12-23" in outcome.missing["BBB"]
    assert outcome.loaded == ["AAA"]
    # What the store had of it before is still there.
    assert closes(tmp_path / "store")["BBB"] == [25.0] * 5


def test_a_fetch_that_dies_goes_on_where_it_was(
    fetch: Callable[..., Outcome], venue: FakeAlpaca, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AlpacaHistory, "rows_a_request", 0)  # a request a symbol
    venue.faults.add(GET_BARS, effects.status(503, {"message": "down"}), nth=2, times=None)
    with pytest.raises(RequestFailed):
        fetch("AAA", "BBB")
    assert list(closes(tmp_path / "store")) == ["AAA"]
    venue.faults.clear()
    asked(venue)
    outcome = fetch("AAA", "BBB")
    assert (outcome.complete, outcome.loaded) == (["AAA"], ["BBB"])
    assert asked(venue) == [("BBB", "2024-12-20")]


@pytest.mark.parametrize("deadly", [0, 1])  # a file of bars, and the manifest
def test_a_death_at_any_write_leaves_the_store_whole(
    fetch: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deadly: int
) -> None:
    fetch("AAA", "BBB", last=DAYS[2])
    before = closes(tmp_path / "store")
    swap, written = os.replace, 0

    def die(source: Path, target: Path) -> None:
        nonlocal written
        if written == deadly:
            raise KeyboardInterrupt
        written += 1
        swap(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            fetch("AAA")
    assert closes(tmp_path / "store") == before
    fetch("AAA", "BBB")
    assert {name: len(bars) for name, bars in closes(tmp_path / "store").items()} == {"AAA": 5, "BBB": 5}
    assert len(list((tmp_path / "store" / "bars").iterdir())) == 2


def test_a_limit_of_requests_is_waited_for(fetch: Callable[..., Outcome], venue: FakeAlpaca) -> None:
    venue.faults.add(GET_BARS, effects.rate_limited(), times=2)
    assert fetch("AAA").loaded == ["AAA"]
    assert len(venue.requests) == 3


def test_one_process_writes_at_a_time_and_any_reads(fetch: Callable[..., Outcome], tmp_path: Path) -> None:
    fetch("AAA")
    with locked(tmp_path / "store"):
        with pytest.raises(TemporaryError, match="another process"):
            fetch("BBB")
        assert list(closes(tmp_path / "store")) == ["AAA"]


def test_other_bars_are_not_mixed_in(fetch: Callable[..., Outcome], tmp_path: Path) -> None:
    fetch("AAA")
    with pytest.raises(ConfigError, match=r"iex.*another --store"):
        fetch("AAA", feed="iex")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").touch()
    with pytest.raises(ConfigError, match="something else"), locked(tmp_path / "other"):
        pass


def test_a_damaged_store_is_refused(fetch: Callable[..., Outcome], tmp_path: Path) -> None:
    fetch("AAA")
    store = tmp_path / "store"
    (file,) = (store / "bars").iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="hash"):
        read_panel(store)
    file.unlink()
    with pytest.raises(DataError, match="missing"):
        read_panel(store)
    document = json.loads((store / MANIFEST).read_text())
    (store / MANIFEST).write_text(json.dumps({**document, "format_version": 2}))
    with pytest.raises(DataError, match="format_version must be 1, was 2"):
        read_manifest(store)
    (store / MANIFEST).write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_panel(store)


def test_the_last_session_is_one_that_is_over() -> None:
    # A half day: it ends at 13:00 in New York, 18:00 UTC.
    christmas = date(2024, 12, 24)
    assert last_session(date(2025, 1, 1), datetime(2024, 12, 24, 18, 10, tzinfo=UTC)) == date(2024, 12, 23)
    assert last_session(date(2025, 1, 1), datetime(2024, 12, 24, 18, 20, tzinfo=UTC)) == christmas
    assert last_session(date(2024, 12, 25), datetime(2025, 6, 1, tzinfo=UTC)) == christmas
