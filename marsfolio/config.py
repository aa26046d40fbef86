"""Configuration files: everything a flag can say, a TOML file can say; flags win.

One table per command (``[backtest]``, ``[data.check]``), whose keys are the flags with underscores. The
config.toml of a run is such a file, so that ``--config RUN/config.toml`` repeats the run. The commands of a group in
`SHARED` read one table together, ``[paper]``: each takes its own flags from it.
"""

from __future__ import annotations

import difflib
import os
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from engine.errors import ConfigError
from marsfolio.config_lines import Place, lined

FORMAT_VERSION = 1
"""Version of the run folder's formats; a file with a newer one is refused."""

RUN_KEYS = ("format_version", "kind", "provenance")
"""What the config.toml of a run says beside the commands' tables."""

META_KEY = "marsfolio.config"
"""Where a context's ``meta`` keeps the `Place` of its table, for messages about values found invalid later."""

SHARED = ("paper",)
"""Groups whose commands speak of the same thing, so that one table serves them all."""

_HIDDEN = ("config", "help", "json", "quiet", "verbose")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises
    ------
    ConfigError
        When the file is missing, unreadable or not TOML (naming line and column).
    """
    try:
        # utf-8-sig: editors on Windows write a byte order mark, which TOML does not know.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a text file in UTF-8: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def check_version(document: Mapping[str, Any], path: Path) -> None:
    """Refuse a file of a newer format.

    Raises
    ------
    ConfigError
        When format_version is present and not an integer from 1 to `FORMAT_VERSION`.
    """
    version = document.get("format_version", FORMAT_VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ConfigError(f"{path}: format_version must be a positive integer, was {version!r}")
    if version > FORMAT_VERSION:
        raise ConfigError(
            f"{path}: format_version is {version}, and this marsfolio knows {FORMAT_VERSION} at most: update it"
        )


def resolved(ctx: typer.Context) -> dict[str, Any]:
    """Return every parameter of the running command as TOML values, in the order of its help.

    Paths are absolute, enumerations by value; what is None is left out, and so is ``--config`` itself.
    """
    names = keys_of(ctx.command)
    return {name: to_toml(ctx.params[name]) for name in names if ctx.params.get(name) is not None}


def _load(ctx: typer.Context, path: Path | None) -> Path | None:
    """Make the file's table for the running command the defaults of its parameters."""
    if path is None or ctx.resilient_parsing:
        return path
    document = read_toml(path)
    check_version(document, path)
    names = _command_names(ctx)
    shared = names[0] in SHARED
    names = names[:1] if shared else names
    root = ctx.find_root().command
    _check_tables(document, root, path, (), inside=(ctx, ".".join(names)))
    table: Any = document
    for name in names:
        table = table.get(name, {})
    place = Place(path, tuple(names))
    ctx.default_map = _checked(ctx, _own(ctx, table, place) if shared else table, place)
    ctx.meta[META_KEY] = place
    return path


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=_load,
        help="TOML file with a table for this command; flags win over it.",
    ),
]
"""The ``--config`` of every command: declare it as ``config: ConfigOption = None``."""


def _command_names(ctx: typer.Context) -> list[str]:
    names: list[str] = []
    level: Any = ctx
    while level.parent is not None:
        names.insert(0, level.info_name)
        level = level.parent
    return names


def _check_tables(
    tables: Mapping[str, Any],
    group: Any,
    path: Path,
    above: tuple[str, ...],
    inside: tuple[typer.Context, str],
) -> None:
    known = [*group.commands, *(() if above else RUN_KEYS)]
    for key, value in tables.items():
        name = ".".join((*above, key))
        if key not in known:
            _refuse_table(lined(path, (*above, key)), name, key, known, inside)
        if key in group.commands:
            if not isinstance(value, dict):
                raise ConfigError(f"{lined(path, (*above, key))}: {name} must be a table, [{name}], was {value!r}")
            if hasattr(group.commands[key], "commands") and key not in SHARED:
                _check_tables(value, group.commands[key], path, (*above, key), inside)


def _refuse_table(where: str, name: str, key: str, known: Sequence[str], inside: tuple[typer.Context, str]) -> NoReturn:
    ctx, command = inside
    if any(parameter.name == key for parameter in ctx.command.params):
        raise ConfigError(f"{where}: {name} must stand in a table: write it below [{command}]")
    raise ConfigError(f"{where}: unknown table or key {name!r}{_nearest(key, known)}")


def _nearest(key: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(key.lower(), names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(names)}"


def _own(ctx: typer.Context, table: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Return what the running command has a flag for, of a table for all commands of its group."""
    group: Any = ctx.parent.command if ctx.parent is not None else None
    known = dict.fromkeys(name for command in group.commands.values() for name in keys_of(command))
    _check_keys(table, known, place)
    own = keys_of(ctx.command)
    return {key: value for key, value in table.items() if key in own}


def keys_of(command: Any) -> list[str]:
    """Return what a command's table in a file may say."""
    return [parameter.name for parameter in command.params if parameter.name not in _HIDDEN]


def _check_keys(table: Mapping[str, Any], known: Iterable[str], place: Place) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{place.at(key)} has no key {key!r}{_nearest(key, known)}")


def _checked(ctx: typer.Context, table: Mapping[str, Any], place: Place) -> dict[str, Any]:
    hints = typing.get_type_hints(ctx.command.callback)
    _check_keys(table, keys_of(ctx.command), place)
    values = {}
    for key, value in table.items():
        values[key] = _from_toml(value, hints.get(key, str), place, key)
    return values


def _from_toml(value: Any, hint: Any, place: Place, key: str) -> Any:
    """Return the value as a flag would give it, or refuse its type: "1000" is not a number, nor 1 a truth."""
    choices = _alternatives(hint)
    if isinstance(value, date) and str in choices:  # TOML writes dates without quotes
        return value.isoformat()
    if not any(_fits(value, choice) for choice in choices):
        wanted = " or ".join(_described(choice) for choice in choices)
        raise ConfigError(f"{place.at(key)} {key} must be {wanted}, was {value!r}")
    return value


def _alternatives(hint: Any) -> list[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [part for part in typing.get_args(hint) if part is not type(None)]
    return [hint]


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, typing.get_args(hint)[0]) for item in value)
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return value in [member.value for member in hint]
    if hasattr(hint, "toml_types"):  # a type of ours that parses what it is given
        return isinstance(value, hint.toml_types) and not isinstance(value, bool)
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, {Path: str}.get(hint, hint))


def _described(hint: Any) -> str:
    if typing.get_origin(hint) is list:
        return f"a list, each item {_described(typing.get_args(hint)[0])}"
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(repr(member.value) for member in hint)
    if hasattr(hint, "toml_words"):
        return str(hint.toml_words)
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(hint, "text in quotes")


def to_toml(value: Any) -> Any:
    """Return the value of a parameter as TOML knows it; paths are absolute."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return os.path.abspath(value)
    if isinstance(value, (list, tuple)):
        return [to_toml(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
