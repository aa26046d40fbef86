"""Arguments of the Python interface, checked, and as the command line would say them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import tomli_w

from engine.errors import ConfigError, did_you_mean

Day: TypeAlias = "str | date | pd.Timestamp | None"
"""A day, as 2024-01-31 or a date; None for the data's own end."""
Span: TypeAlias = "str | tuple[Day, Day]"
"""A window, as 2018-01-01:2022-12-31 or two days."""

FILLS = ("next_open", "next_close", "same_close")
SCHEDULES = ("daily", "weekly", "monthly")


def day(value: Day) -> str | None:
    """Return a day as text; text as it is, to be checked where it is used."""
    if value is None or isinstance(value, str):
        return value
    return value.strftime("%Y-%m-%d")


def span(value: Span) -> str:
    """Return a window as the command line writes it, A:B."""
    return value if isinstance(value, str) else ":".join(day(end) or "" for end in value)


def one_of(name: str, value: str, known: Sequence[str]) -> str:
    """Return a value that is one of those known.

    Raises
    ------
    ConfigError
        When it is none of them.
    """
    if value not in known:
        raise ConfigError(f"{name} must be one of {', '.join(known)}, was {value!r}{did_you_mean(str(value), known)}")
    return str(value)


def listed(name: str, values: Iterable[str] | None) -> list[str] | None:
    """Return names as a list; a comma-separated text is one too.

    Raises
    ------
    ConfigError
        When there is none.
    """
    if values is None:
        return None
    found = [part.strip() for part in values.split(",") if part.strip()] if isinstance(values, str) else list(values)
    if not found:
        raise ConfigError(f"{name} must name at least one, or be left out")
    return found


def param_texts(params: Mapping[str, Any]) -> list[str] | None:
    """Return parameters as ``--param`` says them; None where TOML has no words for one."""
    try:
        texts = [tomli_w.dumps({"value": value}).strip().removeprefix("value = ") for value in params.values()]
    except (TypeError, ValueError):
        return None
    return [f"{name}={text}" for name, text in zip(params, texts, strict=True)]


def absolute(path: str | Path | None) -> str | None:
    """Return a path as a run's config.toml says it."""
    return None if path is None else str(Path(path).absolute())
