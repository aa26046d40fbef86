"""What a command would run with: each value, and whether a flag, the environment, a file or a default says it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from engine.errors import ConfigError, did_you_mean
from marsfolio.config import META_KEY, SHARED, check_version, keys_of, read_toml, to_toml

_SOURCES = {"COMMANDLINE": "flag", "ENVIRONMENT": "environment", "DEFAULT": "default"}
_SECRET = ("database",)  # an address may hold a password


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of a command.

    Attributes
    ----------
    command, key : as in a file's table, ``data.check``.
    value : as TOML knows it; None where there is none.
    source : default, flag, environment, or the file and line.
    """

    command: str
    key: str
    value: Any
    source: str


def settings_of(ctx: typer.Context, words: Sequence[str]) -> list[Setting]:
    """Return the settings of a command.

    Parameters
    ----------
    ctx : of the running command, whose root knows all commands.
    words : the command and its flags, as on its command line.

    Raises
    ------
    ConfigError
        When there is no such command, or a file says what it may not.
    """
    above: Any = ctx.find_root()
    command, left = above.command, list(words)
    while hasattr(command, "commands"):
        name = left.pop(0) if left and not left[0].startswith("-") else ""
        if name not in command.commands:
            known = list(command.commands)
            raise ConfigError(
                f"{name or 'COMMAND'}: no such command{did_you_mean(name, known)}; known are {', '.join(known)}"
            )
        command = command.commands[name]
        if hasattr(command, "commands"):
            above = type(above)(command, info_name=name, parent=above)
    made = _lenient(command).make_context(command.name, left, parent=above)
    return list(_settings(made))


def commands_in(ctx: typer.Context, path: Path) -> list[list[str]]:
    """Return the commands that a file has tables for, each as its words; of a shared table the first that reads all.

    Raises
    ------
    ConfigError
        When the file is missing, not TOML, or of a newer format.
    """
    document = read_toml(path)
    check_version(document, path)
    root: Any = ctx.find_root().command
    return list(_tables(document, root, []))


def _tables(document: Any, group: Any, above: list[str]) -> Iterator[list[str]]:
    for name, table in document.items():
        command = group.commands.get(name)
        if command is None or not isinstance(table, dict):
            continue
        words = [*above, name]
        if not hasattr(command, "commands"):
            yield words
        elif name in SHARED:
            yield [*words, max(command.commands, key=lambda one: len(keys_of(command.commands[one])))]
        else:
            yield from _tables(table, command, words)


def _lenient(command: Any) -> Any:
    """Return a copy of a command that misses nothing."""
    lenient = copy.copy(command)
    lenient.params = [copy.copy(parameter) for parameter in command.params]
    for parameter in lenient.params:
        parameter.required = False
    return lenient


def _settings(ctx: Any) -> Iterator[Setting]:
    place = ctx.meta.get(META_KEY)
    words = ctx.command_path.split()[1:]
    for key in keys_of(ctx.command):
        source = ctx.get_parameter_source(key)
        name = "DEFAULT" if source is None else source.name
        where = place.at(key).partition(": [")[0] if name == "DEFAULT_MAP" else _SOURCES.get(name, name.lower())
        value = ctx.params.get(key)
        shown = "***" if key in _SECRET and value is not None else to_toml(value)
        yield Setting(".".join(words), key, shown, where)
