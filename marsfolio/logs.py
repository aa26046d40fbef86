"""Logging of the command line: warnings to the terminal, and a log file for each run."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from engine.errors import InputError, MarsfolioError, UserCodeError

ROOMS = ("engine", "agents", "strategies", "brokers", "data_feeds", "live", "marsfolio")
"""The project's loggers; other libraries keep theirs."""

_LOGGED = "_marsfolio_log"


class _UtcFormatter(logging.Formatter):
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.converter = time.gmtime


class _RunLogHandler(logging.FileHandler):
    """The handler of `run_log`, told from other file handlers by its type."""


class _TerminalHandler(logging.StreamHandler[TextIO]):
    """The handler of `terminal_warnings`."""


@contextmanager
def run_log(path: Path) -> Iterator[None]:
    """Append what the project logs, from INFO up, to the file ``path``.

    An exception that is a bug (neither a `MarsfolioError` nor an interruption), or one in a strategy of the user's
    own, is logged with its traceback, and `logged_at` then names the file.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _RunLogHandler(path, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the log {path}: {error.strerror}; choose another --out") from error
    handler.setFormatter(_UtcFormatter())
    try:
        with _attached(handler, logging.INFO):
            try:
                yield
            except Exception as error:
                if not isinstance(error, MarsfolioError) or isinstance(error, UserCodeError):
                    append_traceback(error, path)
                    setattr(error, _LOGGED, path)
                raise
    finally:
        handler.close()


@contextmanager
def terminal_warnings() -> Iterator[None]:
    """Show the project's warnings on stderr, one line each; `terminal_level` may ask for more or less inside."""
    handler = _TerminalHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    handler.setLevel(logging.WARNING)
    with _attached(handler, logging.WARNING):
        yield


def terminal_level(level: int) -> None:
    """Show what the project logs from this level up, inside of `terminal_warnings`."""
    for name in ROOMS:
        room = logging.getLogger(name)
        for handler in room.handlers:
            if isinstance(handler, _TerminalHandler):
                handler.setLevel(level)
                room.setLevel(min(level, room.level or level))


def open_log() -> Path | None:
    """Return the file of the innermost `run_log` now open."""
    handlers = logging.getLogger(ROOMS[-1]).handlers
    found = [handler for handler in handlers if isinstance(handler, _RunLogHandler)]
    return Path(found[-1].baseFilename) if found else None


def logged_at(error: BaseException) -> Path | None:
    """Return the file in which `run_log` wrote this exception's traceback."""
    path: Path | None = getattr(error, _LOGGED, None)
    return path


@contextmanager
def _attached(handler: logging.Handler, level: int) -> Iterator[None]:
    loggers = [logging.getLogger(room) for room in ROOMS]
    levels = [room.level for room in loggers]
    for room in loggers:
        room.addHandler(handler)
        room.setLevel(min(level, room.level or level))
    try:
        yield
    finally:
        for room, before in zip(loggers, levels, strict=True):
            room.removeHandler(handler)
            room.setLevel(before)


def append_traceback(error: BaseException, path: Path) -> None:
    """Append the time and the traceback of an exception to a file of its own.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    details: Any = (type(error), error, error.__traceback__)
    cause = "an exception in the user's own code" if isinstance(error, UserCodeError) else "a bug"
    record = logging.LogRecord(ROOMS[-1], logging.ERROR, "", 0, f"stopped by {cause}", None, details)
    with path.open("a", encoding="utf-8") as file:
        file.write(_UtcFormatter().format(record) + "\n")
