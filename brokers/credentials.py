"""The keys of a paper account: from the environment alone, only for hosts that cannot spend money, never shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from engine.errors import ConfigError, TradingStopped
from engine.http import is_loopback

KEY, SECRET = "APCA_API_KEY_ID", "APCA_API_SECRET_KEY"
TRADING, DATA = "APCA_API_BASE_URL", "APCA_API_DATA_URL"
PAPER_URL = "https://paper-api.alpaca.markets"
DATA_URL = "https://data.alpaca.markets"
LIVE_PREFIX = "AK"

_HIDDEN = "***"


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Keys and hosts of a paper account.

    Parameters
    ----------
    key, secret : printable ASCII without spaces.
    trading_url : exactly `PAPER_URL`, or a loopback address.
    data_url : exactly `DATA_URL`, or a loopback address.

    Raises
    ------
    ConfigError
        When a key is missing or broken; names the variable, never its value.
    TradingStopped
        When a host or a key could trade real money.
    """

    key: str
    secret: str
    trading_url: str = PAPER_URL
    data_url: str = DATA_URL

    def __post_init__(self) -> None:
        for name, value in ((KEY, self.key), (SECRET, self.secret)):
            _check_key(name, value)
        object.__setattr__(self, "trading_url", _allowed_url(TRADING, self.trading_url, PAPER_URL))
        object.__setattr__(self, "data_url", _allowed_url(DATA, self.data_url, DATA_URL))
        if self.key.startswith(LIVE_PREFIX) and not self.on_loopback:
            raise TradingStopped(
                f"{KEY} is the key of a live account (it begins with {LIVE_PREFIX}); only paper accounts are traded: "
                "make keys for one (they begin with PK)"
            )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Credentials:
        """Read keys and, where they are set, hosts.

        Raises
        ------
        ConfigError, TradingStopped
            As the constructor does.
        """
        return cls(
            environ.get(KEY, ""),
            environ.get(SECRET, ""),
            environ.get(TRADING, "") or PAPER_URL,
            environ.get(DATA, "") or DATA_URL,
        )

    @property
    def on_loopback(self) -> bool:
        """Whether orders go to this machine instead of Alpaca."""
        return self.trading_url != PAPER_URL

    def redact(self, text: str) -> str:
        """Return ``text`` without key and secret."""
        for value in (self.secret, self.key):
            for form in (value, quote(value, safe="")):
                text = text.replace(form, _HIDDEN)
        return text

    def __repr__(self) -> str:
        hosts = f"trading_url={self.trading_url!r}, data_url={self.data_url!r}"
        return f"Credentials(key={_HIDDEN}, secret={_HIDDEN}, {hosts})"

    __str__ = __repr__


class SecretFilter(logging.Filter):
    """Takes secrets out of log records: out of messages, their arguments and exceptions.

    A filter on a handler or logger sees only what passes there; `install` covers every record of the process.

    Parameters
    ----------
    redact : returns a text without its secrets.
    """

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record in place; every record passes."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            # Arguments that do not fit: logging itself would print them all.
            text = f"{record.msg} {record.args!r}"
            record.msg, record.args = self._redact(text), None
        hidden = self._redact(text)
        if hidden != text:
            record.msg, record.args = hidden, None
        if record.exc_info and record.exc_info[0] is not None:
            self._redact_exception(record)
        if record.exc_text:
            record.exc_text = self._redact(record.exc_text)
        if record.stack_info:
            record.stack_info = self._redact(record.stack_info)
        return True

    def install(self) -> Callable[[], None]:
        """Redact every record that any logger of the process makes from now on; return what ends that."""
        make = logging.getLogRecordFactory()

        def make_redacted(*args: Any, **options: Any) -> logging.LogRecord:
            record = make(*args, **options)
            self.filter(record)
            return record

        logging.setLogRecordFactory(make_redacted)
        return lambda: logging.setLogRecordFactory(make)

    def _redact_exception(self, record: logging.LogRecord) -> None:
        assert record.exc_info
        text = logging.Formatter().formatException(record.exc_info)
        if self._redact(text) != text:
            # Without the exception itself: a handler that draws tracebacks would show it as it is.
            record.exc_text, record.exc_info = self._redact(text), None


def _check_key(name: str, value: str) -> None:
    if not value.strip():
        raise ConfigError(f"{name} is not set: export the keys of a paper account")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(f"{name} must be printable ASCII without spaces or line ends: copy it again")


def _allowed_url(name: str, url: str, official: str) -> str:
    parts = _split(name, url)
    host = parts.hostname or ""
    if parts.username is not None or parts.password is not None:
        raise TradingStopped(f"{name} must not hold a user or a password (host {host!r})")
    path = parts.path.rstrip("/").removesuffix("/v2").rstrip("/")
    if not path and not parts.query and not parts.fragment:
        # Put together anew, so that no other reader can take a strange spelling for another host.
        port = "" if parts.port is None else f":{parts.port}"
        plain = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"
        if plain == official or (parts.scheme in ("http", "https") and is_loopback(host)):
            return plain
    raise TradingStopped(f"{name} must be {official} or a loopback address, was a URL of the host {host!r}")


def _split(name: str, url: str) -> SplitResult:
    if url != url.strip() or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(f"{name} must be a URL of printable ASCII without spaces or line ends")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is no number
    except ValueError:
        # Without the cause, which quotes what may be a password.
        raise ConfigError(f"{name} must be a URL such as {PAPER_URL}") from None
    return parts
