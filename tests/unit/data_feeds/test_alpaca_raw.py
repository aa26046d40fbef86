"""Raw bars of Alpaca with its splits and dividends beside them, as a store keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from scripted_server import ScriptedServer, scripted_server

from brokers.credentials import Credentials
from data_feeds.alpaca import AlpacaBars
from data_feeds.alpaca_actions import Action, with_actions
from data_feeds.alpaca_history import AlpacaHistory
from data_feeds.fetching import fetch_into
from data_feeds.files import read_panel
from data_feeds.store import Row
from engine.errors import TemporaryError
from engine.http import Tries

DAYS = (date(2024, 6, 6), date(2024, 6, 7), date(2024, 6, 10), date(2024, 6, 11))
SPLIT = {
    "symbol": "NVDA",
    "new_rate": 10,
    "old_rate": 1,
    "process_date": "2024-06-10",
    "ex_date": "2024-06-10",
    "record_date": "2024-06-06",
}
DIVIDEND = {"symbol": "NVDA", "rate": 0.01, "special": False, "foreign": False, "ex_date": "2024-06-11"}


def bars() -> dict[str, Any]:
    """Return the answer of /v2/stocks/bars, in the shape that Alpaca documents."""
    closes = (1209.98, 1208.88, 121.79, 120.91)
    rows = [
        {
            "t": f"{day}T04:00:00Z",
            "o": close,
            "h": close + 1,
            "l": close - 1,
            "c": close,
            "v": 1000,
            "n": 9,
            "vw": close,
        }
        for day, close in zip(DAYS, closes, strict=True)
    ]
    return {"bars": {"NVDA": rows}, "next_page_token": None}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as made:
        made.on("/v2/stocks/bars", bars())
        yield made


@pytest.fixture
def source(server: ScriptedServer) -> Iterator[AlpacaHistory]:
    keys = Credentials("PKTEST", "secret", server.url, server.url)
    made = AlpacaBars(keys, tries=Tries(attempts=1))
    yield AlpacaHistory(made, raw=True)
    made.close()


def say(server: ScriptedServer, *pages: dict[str, Any]) -> None:
    tokens = [f"page {k}" for k in range(1, len(pages))]
    answers = [
        {"corporate_actions": page, "next_page_token": token}
        for page, token in zip(pages, [*tokens, None], strict=True)
    ]
    server.on("/v1/corporate-actions", *answers)


def test_splits_and_dividends_stand_beside_raw_prices(
    server: ScriptedServer, source: AlpacaHistory, tmp_path: Path
) -> None:
    say(server, {"forward_splits": [SPLIT]}, {"cash_dividends": [DIVIDEND], "name_changes": [{"symbol": "NVDA"}]})
    fetch_into(tmp_path / "store", source, ["NVDA"], DAYS[0], DAYS[-1])
    panel, notes = read_panel(tmp_path / "store")
    assert panel.split is not None
    assert panel.dividend is not None
    assert panel.close[:, 0].tolist() == [1209.98, 1208.88, 121.79, 120.91]
    assert panel.split[:, 0].tolist() == [1.0, 1.0, 10.0, 1.0]
    assert panel.dividend[:, 0].tolist() == [0.0, 0.0, 0.0, 0.01]
    assert any("splits: 1, dividends: 1" in note for note in notes)
    asked = [request.query for request in server.asked if request.path == "/v1/corporate-actions"]
    assert (asked[0]["start"], asked[0]["end"], asked[0]["symbols"]) == ("2024-06-06", "2024-06-11", "NVDA")
    assert asked[1]["page_token"] == "page 1"
    assert server.asked[0].query["adjustment"] == "raw"


@pytest.mark.parametrize(
    "wrong",
    [
        {"forward_splits": [{**SPLIT, "old_rate": 0}]},
        {"cash_dividends": [{**DIVIDEND, "rate": -1}]},
        {"cash_dividends": [{**DIVIDEND, "ex_date": None}]},
        {"cash_dividends": ["NVDA"]},
    ],
)
def test_actions_that_cannot_be_are_refused(
    server: ScriptedServer, source: AlpacaHistory, wrong: dict[str, Any]
) -> None:
    say(server, wrong)
    with pytest.raises(TemporaryError, match="NVDA"):
        source.fetch(["NVDA"], DAYS[0], DAYS[-1])


def test_pages_that_repeat_are_left(server: ScriptedServer, source: AlpacaHistory) -> None:
    server.on("/v1/corporate-actions", {"corporate_actions": {}, "next_page_token": "again"})
    with pytest.raises(TemporaryError, match="do not end"):
        source.fetch(["NVDA"], DAYS[0], DAYS[-1])


def test_an_action_without_a_bar_takes_effect_at_the_next_one() -> None:
    flat = {day: Row(10, 10, 10, 10, 5) for day in (DAYS[0], DAYS[3])}
    # 2 old shares' worth of dividend before a split in two is half as much a new share.
    changed = with_actions(
        flat, {DAYS[1]: Action(dividend=2.0), DAYS[2]: Action(split=2.0), date(2025, 1, 1): Action(3)}
    )
    assert changed == {DAYS[0]: flat[DAYS[0]], DAYS[3]: Row(10, 10, 10, 10, 5, 2.0, 1.0)}
