"""What AlpacaBars asks, accepts and refuses, through the real alpaca-py on a loopback venue."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_alpaca import GET_BARS, Bar, FakeAlpaca, FakeMarket, Split, bar_effects, effects
from fake_alpaca.example import DAYS, at, december

from brokers.credentials import Credentials
from data_feeds.alpaca import AlpacaBars
from engine.errors import ConfigError, InputError, TemporaryError, TradingStopped
from engine.http import Tries
from engine.panel import MarketPanel

LAST = DAYS[3]  # Thursday the 26th, as known on the 27th before the open
BOTH = ("BBB", "AAA")
Source = Callable[..., AlpacaBars]


@pytest.fixture
def server() -> Iterator[FakeAlpaca]:
    with FakeAlpaca(december(), now=at(27, 9)) as server:
        yield server


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def source(server: FakeAlpaca, slept: list[float]) -> Iterator[Source]:
    made: list[AlpacaBars] = []

    def make(**options: Any) -> AlpacaBars:
        keys = Credentials(server.key, server.secret, server.url, server.url)
        made.append(AlpacaBars(keys, tries=Tries(sleep=slept.append), **options))
        return made[-1]

    yield make
    for bars in made:
        bars.close()


def sessions(first: date, last: date) -> list[date]:
    return [day for day in DAYS if first <= day <= last]


def asked(server: FakeAlpaca) -> list[dict[str, str]]:
    return [request.query for request in server.requests]


def test_bars_are_adjusted_and_end_with_the_last_complete_session(server: FakeAlpaca, source: Source) -> None:
    panel = source().panel(BOTH, LAST, 10)
    assert panel.symbols == BOTH
    assert panel.sessions.tolist() == list(DAYS[:4])
    # BBB split in four on the 26th: 100 before is 25 of today's shares, and four times as many of them.
    assert panel.close.T.tolist() == [[25.0] * 4, [12.0, 22.0, 32.0, 42.0]]
    assert panel.volume[0].tolist() == [2000.0, 1000.0]
    assert panel.split is None
    (query,) = asked(server)
    assert (query["adjustment"], query["feed"], query["limit"]) == ("all", "sip", "10000")


def test_no_more_sessions_come_back_than_were_asked_for(source: Source) -> None:
    assert source(sessions=sessions).panel(BOTH, LAST, 2).sessions.tolist() == [DAYS[2], DAYS[3]]
    assert source().panel(BOTH, LAST, 2).sessions.tolist() == [DAYS[2], DAYS[3]]


def test_the_partial_bar_of_today_is_left_out(server: FakeAlpaca, source: Source) -> None:
    server.has_sip = True
    server.clock.set(at(27, 12))
    assert source().panel(BOTH, LAST, 10).sessions[-1].tolist() == LAST
    # Even when the service does not keep to the end that it was given.
    server.faults.add(GET_BARS, effects.callback(lambda call: call.request.query.pop("end")))
    assert source().panel(BOTH, LAST, 10).sessions[-1].tolist() == LAST


def test_iex_is_used_when_asked_for_only(server: FakeAlpaca, source: Source) -> None:
    panel = source(feed="iex").panel(BOTH, LAST, 10)
    assert panel.volume[0, 1] == 25.0
    assert asked(server)[0]["feed"] == "iex"
    with pytest.raises(ConfigError, match="feed"):
        source(feed="otc")


@pytest.mark.parametrize("code", [42210000, 40010001])
def test_a_feed_out_of_the_subscription_stops_and_is_not_replaced(
    server: FakeAlpaca, source: Source, code: int
) -> None:
    server.faults.add(GET_BARS, bar_effects.sip_forbidden(code), times=None)
    with pytest.raises(TradingStopped, match=r"subscription does not permit.*'sip'"):
        source().panel(BOTH, LAST, 10)
    assert [query["feed"] for query in asked(server)] == ["sip"]


def test_refused_keys_stop(server: FakeAlpaca, source: Source) -> None:
    server.faults.add(GET_BARS, effects.html(401, "401 Authorization Required"), times=None)
    with pytest.raises(TradingStopped, match="keys"):
        source().panel(BOTH, LAST, 10)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_short_pages_are_followed_to_the_end(server: FakeAlpaca, source: Source, size: int) -> None:
    whole = source().panel(BOTH, LAST, 10)
    server.faults.add(GET_BARS, bar_effects.short_pages(size), times=None)
    assert source().panel(BOTH, LAST, 10).content_hash == whole.content_hash


def test_endless_pages_are_left(server: FakeAlpaca, source: Source) -> None:
    server.faults.add(GET_BARS, bar_effects.endless_pages(), times=None)
    with pytest.raises(TemporaryError, match="do not end"):
        source().panel(BOTH, LAST, 10)
    assert len(server.requests) == 2


def test_pages_with_new_tokens_and_old_bars_are_left(server: FakeAlpaca, source: Source) -> None:
    tokens = iter(range(100))

    def more(body: Any) -> None:
        body["next_page_token"] = f"token{next(tokens)}"

    server.faults.add(GET_BARS, effects.callback(lambda call: call.request.query.pop("page_token", None)), times=None)
    server.faults.add(GET_BARS, effects.rewrite("more", more), times=None)
    with pytest.raises(TemporaryError, match="do not end"):
        source().panel(BOTH, LAST, 10)
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "effect", [bar_effects.duplicate_bars(), bar_effects.unsorted_bars()], ids=["duplicate", "unsorted"]
)
def test_repeated_and_unsorted_bars_are_put_right(server: FakeAlpaca, source: Source, effect: Any) -> None:
    whole = source().panel(BOTH, LAST, 10)
    server.faults.add(GET_BARS, effect)
    assert source().panel(BOTH, LAST, 10).content_hash == whole.content_hash


def test_two_bars_of_a_session_that_disagree_are_refused(server: FakeAlpaca, source: Source) -> None:
    server.faults.add(GET_BARS, bar_effects.bad_value("AAA", "c", 43.0))
    server.faults.add(GET_BARS, bar_effects.duplicate_bars("AAA"))
    server.faults.add(GET_BARS, bar_effects.bad_value("AAA", "c", 42.0))
    with pytest.raises(TemporaryError, match="AAA on 2024-12-26 comes twice"):
        source().panel(BOTH, LAST, 10)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, 0, -1.0, "42.0", "abc", True, [], {}])
@pytest.mark.parametrize("field", ["o", "h", "l", "c"])
def test_a_price_that_is_none_is_named_and_refused(server: FakeAlpaca, source: Source, field: str, value: Any) -> None:
    server.faults.add(GET_BARS, bar_effects.bad_value("AAA", field, value))
    with pytest.raises(TemporaryError, match="AAA on 2024-12-26") as caught:
        source().panel(BOTH, LAST, 10)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [None, math.nan, -1, "1000"])
def test_a_volume_that_is_none_is_refused(server: FakeAlpaca, source: Source, value: Any) -> None:
    server.faults.add(GET_BARS, bar_effects.bad_value("AAA", "v", value))
    with pytest.raises(TemporaryError, match="AAA on 2024-12-26: volume"):
        source().panel(BOTH, LAST, 10)


def test_a_high_below_the_close_is_refused(server: FakeAlpaca, source: Source) -> None:
    server.faults.add(GET_BARS, bar_effects.bad_value("AAA", "h", 41.0))
    with pytest.raises(TemporaryError, match="AAA on 2024-12-26: high"):
        source().panel(BOTH, LAST, 10)


@pytest.mark.parametrize("factor", [1000.0, 0.001, 5.1, 0.19])
def test_a_jump_of_the_close_is_refused(server: FakeAlpaca, source: Source, factor: float) -> None:
    for field in "ohlc":
        server.faults.add(GET_BARS, bar_effects.bad_value("BBB", field, lambda value: value * factor))
    with pytest.raises(TemporaryError, match="BBB on 2024-12-26: close"):
        source().panel(BOTH, LAST, 10)


@pytest.mark.parametrize("value", [None, "yesterday", 5])
def test_a_bar_without_its_time_is_refused(server: FakeAlpaca, source: Source, value: Any) -> None:
    server.faults.add(GET_BARS, bar_effects.bad_value("AAA", "t", value))
    with pytest.raises(TemporaryError, match="AAA must have a time"):
        source().panel(BOTH, LAST, 10)


def test_stale_bars_are_refused(server: FakeAlpaca, source: Source) -> None:
    server.faults.add(GET_BARS, bar_effects.stale_bars())
    with pytest.raises(TemporaryError, match=r"stale: none of 2024-12-26, the newest are of 2024-12-24"):
        source().panel(BOTH, LAST, 10)


@pytest.mark.parametrize("effect", [bar_effects.stale_bars(1, "AAA"), bar_effects.missing_symbol("AAA")])
def test_a_symbol_without_the_last_bar_is_named(server: FakeAlpaca, source: Source, effect: Any) -> None:
    server.faults.add(GET_BARS, effect)
    with pytest.raises(TemporaryError, match="no bar on 2024-12-26 of AAA:"):
        source().panel(BOTH, LAST, 10)


def test_a_symbol_that_is_not_known_is_named(source: Source) -> None:
    with pytest.raises(TemporaryError, match=r"of ZZZ\.Z:"):
        source().panel(["AAA", "ZZZ.Z"], LAST, 10)


def test_an_answer_without_any_bars_is_stale(server: FakeAlpaca, source: Source) -> None:
    server.faults.add(GET_BARS, effects.with_fields(bars=None))
    with pytest.raises(TemporaryError, match="none at all"):
        source().panel(BOTH, LAST, 10)


def test_a_whole_session_that_is_missing_is_noticed_by_the_calendar(server: FakeAlpaca, source: Source) -> None:
    for rows in server.market.bars.values():
        del rows[DAYS[2]]
    assert len(source().panel(BOTH, LAST, 10)) == 3
    with pytest.raises(TemporaryError, match="2024-12-24, which was a session"):
        source(sessions=sessions).panel(BOTH, LAST, 10)


def test_sessions_before_the_first_bar_are_not_missing(source: Source) -> None:
    def longer(first: date, last: date) -> list[date]:
        return [date(2024, 12, 18), date(2024, 12, 19), *sessions(first, last)]

    assert len(source(sessions=longer).panel(BOTH, LAST, 10)) == 4


def test_a_bar_on_a_holiday_is_refused(source: Source) -> None:
    with pytest.raises(TemporaryError, match="2024-12-24, which was no session"):
        source(sessions=lambda first, last: [DAYS[0], DAYS[1], DAYS[3]]).panel(BOTH, LAST, 10)


def test_a_last_session_that_is_none_is_refused(source: Source) -> None:
    with pytest.raises(TemporaryError, match="2024-12-25 is no session"):
        source(sessions=sessions).panel(BOTH, date(2024, 12, 25), 10)


@pytest.mark.parametrize(("symbols", "lookback"), [([], 5), (["AAA", "AAA"], 5), (["AAA"], 0)])
def test_impossible_questions_are_not_asked(
    server: FakeAlpaca, source: Source, symbols: list[str], lookback: int
) -> None:
    with pytest.raises(InputError):
        source().panel(symbols, LAST, lookback)
    assert server.requests == []


@pytest.mark.parametrize(
    "effect",
    [
        effects.status(500),
        effects.html(503),
        effects.garbage(),
        effects.empty(),
        effects.null(),
        effects.reset(),
        effects.truncated(),
        effects.truncated(announced=False),
        effects.rate_limited(3),
    ],
    ids=lambda effect: effect.name,
)
def test_passing_faults_are_tried_again(server: FakeAlpaca, source: Source, slept: list[float], effect: Any) -> None:
    server.faults.add(GET_BARS, effect, times=2)
    assert len(source().panel(BOTH, LAST, 10)) == 4
    assert len(slept) == 2


def cached(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_the_next_session_asks_for_the_tail_alone(server: FakeAlpaca, source: Source, tmp_path: Path) -> None:
    long = long_market()
    server.market = server.venue.market = long.market
    first = source(cache=tmp_path).panel(["AAA"], long.days[-2], 20)
    second = source(cache=tmp_path).panel(["AAA"], long.days[-1], 20)
    assert_same(second, source().panel(["AAA"], long.days[-1], 20))
    assert first.sessions[-1].tolist() == long.days[-2]
    starts = [query["start"][:10] for query in asked(server)]
    assert starts[1] == long.days[-6].isoformat()
    assert starts[0] < starts[1]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("restate", ["split", "dividend"])
def test_a_restated_history_is_fetched_whole(server: FakeAlpaca, source: Source, tmp_path: Path, restate: str) -> None:
    long = long_market()
    server.market = server.venue.market = long.market
    source(cache=tmp_path).panel(["AAA"], long.days[-2], 20)
    if restate == "split":
        # From the last day on, each share is two.
        long.market.splits.append(Split("AAA", long.days[-1], 2.0))
        bar = long.market.bars["AAA"][long.days[-1]]
        long.market.bars["AAA"][long.days[-1]] = Bar(*(price / 2 for price in bar[:4]), bar.volume * 2)
    else:
        long.market.dividends["AAA"] = {long.days[-1]: 0.5}
    panel = source(cache=tmp_path).panel(["AAA"], long.days[-1], 20)
    assert len(server.requests) == 3
    assert_same(panel, source().panel(["AAA"], long.days[-1], 20))
    # No phantom loss: all closes are in terms of today's shares.
    assert float(np.min(panel.close[1:] / panel.close[:-1])) > 0.9


@pytest.mark.parametrize("damage", [b"", b"PAR1 no more", None], ids=["empty", "garbage", "flipped"])
def test_a_damaged_cache_is_replaced_with_a_warning(
    server: FakeAlpaca, source: Source, tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    whole = source(cache=tmp_path).panel(BOTH, LAST, 10)
    path = cached(tmp_path)
    content = path.read_bytes()
    path.write_bytes(bytes([*content[:40], content[40] ^ 1, *content[41:]]) if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        assert_same(source(cache=tmp_path).panel(BOTH, LAST, 10), whole)
    assert "cannot be used" in caplog.text
    caplog.clear()
    source(cache=tmp_path).panel(BOTH, LAST, 10)
    assert caplog.text == ""


def test_a_cache_that_cannot_be_written_is_worth_a_warning(
    source: Source, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert len(source(cache=tmp_path / "file").panel(BOTH, LAST, 10)) == 4
    assert "cannot be written" in caplog.text


def test_refused_bars_never_reach_the_cache(server: FakeAlpaca, source: Source, tmp_path: Path) -> None:
    server.faults.add(GET_BARS, bar_effects.bad_value("AAA", "c", 0))
    with pytest.raises(TemporaryError):
        source(cache=tmp_path).panel(BOTH, LAST, 10)
    assert list(tmp_path.iterdir()) == []


def test_feeds_and_symbols_have_caches_of_their_own(source: Source, tmp_path: Path) -> None:
    for feed, symbols in (("sip", BOTH), ("iex", BOTH), ("sip", ("AAA",)), ("sip", BOTH[::-1])):
        source(feed=feed, cache=tmp_path).panel(symbols, LAST, 10)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_longer_history_than_the_cache_has_is_fetched(server: FakeAlpaca, source: Source, tmp_path: Path) -> None:
    long = long_market()
    server.market = server.venue.market = long.market
    source(cache=tmp_path).panel(["AAA"], long.days[-1], 6)
    panel = source(cache=tmp_path).panel(["AAA"], long.days[-1], 60)
    assert len(panel) == len(long.days)


class LongMarket:
    """Sixty sessions of one symbol that ends on the 26th; every close is 0.1 higher than the one before."""

    def __init__(self) -> None:
        weekdays = [LAST - timedelta(days=k) for k in range(100)]
        self.days = sorted(day for day in weekdays if day.weekday() < 5)[-60:]
        prices = [100 + k / 10 for k in range(60)]
        bars = {day: Bar(p, p + 1, p - 1, p, 1000) for day, p in zip(self.days, prices, strict=True)}
        self.market = FakeMarket({"AAA": bars}, later_sessions=5)


def long_market() -> LongMarket:
    return LongMarket()


def assert_same(left: MarketPanel, right: MarketPanel) -> None:
    assert left.content_hash == right.content_hash
