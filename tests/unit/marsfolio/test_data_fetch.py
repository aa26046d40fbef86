"""`marsfolio data fetch` on a loopback venue, and other commands on the store it writes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_alpaca import GET_BARS, FakeAlpaca, effects
from fake_alpaca.example import at, december

from marsfolio.cli import main

SPAN = ("--start", "2024-12-20", "--end", "2024-12-29")


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAlpaca]:
    with FakeAlpaca(december(), now=at(27, 20)) as server:
        monkeypatch.setenv("APCA_API_KEY_ID", server.key)
        monkeypatch.setenv("APCA_API_SECRET_KEY", server.secret)
        monkeypatch.setenv("APCA_API_BASE_URL", server.url)
        monkeypatch.setenv("APCA_API_DATA_URL", server.url)
        monkeypatch.chdir(tmp_path)
        yield server


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def fetch(*arguments: str) -> int:
    return run("data", "fetch", *SPAN, "--store", "bars", *arguments)


def test_a_store_is_fetched_looked_at_and_traded(venue: FakeAlpaca, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch("--symbols", "AAA,BBB") == 0
    said = capsys.readouterr()
    assert said.out == "bars: up to 2024-12-27: 2 loaded\n"
    assert said.err == ""  # no progress where nobody looks
    assert run("data", "info", "--data", "bars") == 0
    hash_line = capsys.readouterr().out.split("content hash: ")[1].splitlines()[0]
    flags = ("--strategy", "equal_weight", "--null-paths", "0", "--engine", "kernel")
    assert run("backtest", "--data", "bars", "--benchmark", "bars:AAA", "--out", "run", *flags) == 0
    assert tomllib.loads(Path("run/config.toml").read_text())["provenance"]["data_hash"] == hash_line
    assert fetch("--symbols", "AAA,BBB") == 0
    assert len(venue.requests) == 1


def test_symbols_come_from_a_file_and_the_missing_are_named(
    venue: FakeAlpaca, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.csv").write_text("symbol,first,last\nAAA,2020-01-01,\nZZZ,,2021-01-01\n")
    assert fetch("--symbols", "mine.csv") == 3
    said = capsys.readouterr()
    assert "1 of 2 symbols could not be had (ZZZ)" in said.err
    assert run("data", "info", "--data", "bars") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--symbols", "@dow31"), "@dow30"),
        (("--symbols", "none.csv"), "no universe file"),
        (("--symbols", "A,,B"), "distinct names"),
        (("--symbols", "A", "--source", "yaho"), "yaho"),
        (("--symbols", "A", "--start", "2024-12-28"), "--start must not be after"),
        (("--symbols", "A", "--start", "yesterday"), "--start must be a date"),
        (("--symbols", "A", "--calendar", "XNY"), "XNYS"),
    ],
)
def test_what_is_asked_wrongly_is_refused(
    venue: FakeAlpaca, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert fetch(*arguments) == 2
    assert message in capsys.readouterr().err
    assert not venue.requests


def test_flags_may_come_from_a_configuration_file(venue: FakeAlpaca, capsys: pytest.CaptureFixture[str]) -> None:
    Path("c.toml").write_text('[data.fetch]\nsymbols = "AAA"\nstart = 2024-12-20\nend = 2024-12-27\nstore = "bars"\n')
    assert run("data", "fetch", "--config", "c.toml") == 0
    assert "1 loaded" in capsys.readouterr().out


def test_yahoo_has_no_feeds(venue: FakeAlpaca, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch("--symbols", "A", "--source", "yahoo", "--feed", "iex") == 2
    assert "--feed goes with --source alpaca" in capsys.readouterr().err


def test_refused_keys_need_a_person(venue: FakeAlpaca, capsys: pytest.CaptureFixture[str]) -> None:
    venue.faults.add(GET_BARS, effects.html(401, "401 Authorization Required"), times=None)
    assert fetch("--symbols", "AAA") == 4
    said = capsys.readouterr()
    assert "look after the keys" in said.err
    assert venue.secret not in said.err + said.out


def test_an_interruption_says_how_to_go_on(
    venue: FakeAlpaca, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("data_feeds.fetching.write_symbol", interrupt)
    assert fetch("--symbols", "AAA,BBB") == 130
    assert "0 of 2 symbols are complete" in capsys.readouterr().err
