from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Iterator

import pytest

from brokers.credentials import DATA, DATA_URL, KEY, PAPER_URL, SECRET, TRADING, Credentials, SecretFilter
from engine.errors import ConfigError, TradingStopped

KEYS = {KEY: "PKABCDEFGHIJ", SECRET: "s3cret/Value+x"}


def test_hosts_are_the_paper_ones_unless_the_environment_says_otherwise() -> None:
    credentials = Credentials.from_environment(KEYS)
    assert (credentials.key, credentials.secret) == (KEYS[KEY], KEYS[SECRET])
    assert (credentials.trading_url, credentials.data_url) == (PAPER_URL, DATA_URL)
    assert not credentials.on_loopback


@pytest.mark.parametrize("name", [KEY, SECRET])
@pytest.mark.parametrize("value", [None, "", "  ", "PKabc\n", "PK abc", "\tPKabc", "PKabc\r\n", "PKäbc", "PK\x00abc"])
def test_a_broken_key_is_named_and_not_shown(name: str, value: str | None) -> None:
    environ = {**KEYS, name: value} if value is not None else {k: v for k, v in KEYS.items() if k != name}
    with pytest.raises(ConfigError, match=name) as caught:
        Credentials.from_environment({k: v for k, v in environ.items() if v is not None})
    assert caught.value.exit_code == 2
    text = "".join(traceback.format_exception(caught.value))
    assert value is None or not value.strip() or value.strip() not in text
    assert KEYS[SECRET if name == KEY else KEY] not in text


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://paper-api.alpaca.markets", PAPER_URL),
        ("https://paper-api.alpaca.markets/", PAPER_URL),
        ("https://paper-api.alpaca.markets/v2", PAPER_URL),
        ("https://paper-api.alpaca.markets/v2/", PAPER_URL),
        ("HTTPS://Paper-API.alpaca.markets", PAPER_URL),
        ("", PAPER_URL),
        ("http://127.0.0.1:8080/v2", "http://127.0.0.1:8080"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("https://localhost:8443/", "https://localhost:8443"),
        ("http://[::1]:9", "http://[::1]:9"),
    ],
)
def test_paper_and_loopback_hosts_are_allowed(given: str, used: str) -> None:
    assert Credentials.from_environment({**KEYS, TRADING: given}).trading_url == used


@pytest.mark.parametrize(
    "url",
    [
        "https://api.alpaca.markets",
        "http://paper-api.alpaca.markets",
        "https://paper-api.alpaca.markets:8443",
        "https://paper-api.alpaca.markets.evil.example",
        "https://paper-api.alpaca.markets@evil.example",
        "https://user:hunter2@paper-api.alpaca.markets",
        "https://evil.example/paper-api.alpaca.markets",
        "https://paper-api.alpaca.markets/v1",
        "https://paper-api.alpaca.markets?x=1",
        "paper-api.alpaca.markets",
        "http://127.0.0.1@evil.example",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1\\@evil.example",
        "http://0.0.0.0",
        "http://2130706433",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "https://data.alpaca.markets",
    ],
)
def test_every_other_trading_host_is_refused(url: str) -> None:
    with pytest.raises(TradingStopped, match=TRADING) as caught:
        Credentials.from_environment({**KEYS, TRADING: url})
    assert caught.value.exit_code == 4
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://data.sandbox.alpaca.markets", "https://api.alpaca.markets", "http://evil.test"]
)
def test_every_other_data_host_is_refused(url: str) -> None:
    with pytest.raises(TradingStopped, match=DATA):
        Credentials.from_environment({**KEYS, DATA: url})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:port", "http://[::1", "http://127.0.0.1\n.evil.example", " https://x"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=TRADING):
        Credentials.from_environment({**KEYS, TRADING: url})


def test_live_keys_are_refused_but_for_a_loopback_address() -> None:
    live = {**KEYS, KEY: "AKABCDEFGHIJ"}
    with pytest.raises(TradingStopped, match="live account") as caught:
        Credentials.from_environment(live)
    assert "AKABC" not in str(caught.value)
    assert Credentials.from_environment({**live, TRADING: "http://127.0.0.1:1"}).on_loopback


def test_neither_key_nor_secret_is_ever_printed() -> None:
    credentials = Credentials.from_environment(KEYS)
    for shown in (repr(credentials), str(credentials), f"{credentials}", repr([credentials])):
        assert KEYS[KEY] not in shown
        assert KEYS[SECRET] not in shown
    assert credentials.redact("key PKABCDEFGHIJ secret s3cret/Value+x or s3cret%2FValue%2Bx") == (
        "key *** secret *** or ***"
    )


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What a plain handler of the root logger writes while records are redacted."""
    stream, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(stream)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    end = SecretFilter(Credentials.from_environment(KEYS).redact).install()
    yield stream
    end()
    root.setLevel(level)
    root.removeHandler(handler)


def test_no_logger_writes_secrets(logged: io.StringIO) -> None:
    logging.getLogger("urllib3.connectionpool").debug("header %s: %r", "APCA-API-SECRET-KEY", {"x": KEYS[SECRET]})
    logging.getLogger("a.b").warning(f"key {KEYS[KEY]}")
    logging.getLogger("a.b").warning("%s of %d", "plain", 3)
    assert logged.getvalue() == "header APCA-API-SECRET-KEY: {'x': '***'}\nkey ***\nplain of 3\n"


def test_no_traceback_writes_secrets(logged: io.StringIO) -> None:
    try:
        raise ValueError(f"bad header {KEYS[SECRET]}")
    except ValueError:
        logging.getLogger("a").exception("failed", stack_info=True)
    assert "bad header ***" in logged.getvalue()
    assert KEYS[SECRET] not in logged.getvalue()


def test_arguments_that_do_not_fit_are_redacted_too(logged: io.StringIO) -> None:
    logging.getLogger("a").error("%d items", KEYS[SECRET])
    assert "***" in logged.getvalue()
    assert KEYS[SECRET] not in logged.getvalue()


def test_redacting_ends_when_told() -> None:
    before = logging.getLogRecordFactory()
    SecretFilter(str).install()()
    assert logging.getLogRecordFactory() is before
