"""Where in a TOML file a key stands, for messages: tomllib says what a file holds, not where."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A table of a file.

    Attributes
    ----------
    table : the names that lead to it.
    """

    path: Path
    table: Keys

    def at(self, key: str) -> str:
        """Return file, line and table of a key, as messages begin with: ``F.toml, line 3: [backtest]``."""
        return f"{lined(self.path, (*self.table, key))}: [{'.'.join(self.table)}]"


def lined(path: Path, keys: Keys) -> str:
    """Return a file and, where it can be told, the line in which a key or table begins: ``F.toml, line 3``."""
    try:
        lines = key_lines(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):  # it has been read before, and may be gone by now
        return str(path)
    return f"{path}, line {lines[keys]}" if keys in lines else str(path)


def key_lines(text: str) -> dict[Keys, int]:
    """Return the line, from 1, in which each key and table of a valid TOML text first stands."""
    found: dict[Keys, int] = {}
    table: Keys = ()
    for number, statement, values in _statements(text):
        above = () if statement.lstrip().startswith("[") else table
        paths = list(_paths(values, above))
        if not above and paths and statement.lstrip().startswith("["):
            table = max(paths, key=len)
        for keys in paths:
            found.setdefault(keys, number)
    return found


def _statements(text: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yield each statement of a TOML text, its first line and what it says alone; a value may fill many lines."""
    begun: list[str] = []
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        begun.append(line)
        statement = "".join(begun)
        try:
            values = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # goes on in the next line
        if values:
            yield number - len(begun) + 1, statement, values
        begun.clear()


def _paths(values: Any, above: Keys) -> Iterator[Keys]:
    if isinstance(values, list) and values:
        yield from _paths(values[0], above)
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield (*above, key)
            yield from _paths(value, (*above, key))
