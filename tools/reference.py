"""Write docs/reference/commands.md and configuration.md from the command line itself: `python tools/reference.py`."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from marsfolio.cli import app

TARGET = Path(__file__).parents[1] / "docs" / "reference"
GENERATED = "Written by `python tools/reference.py` from the commands themselves."
HIDDEN = ("help", "config")


def commands() -> Iterator[tuple[str, Any]]:
    """Yield name and command, those of groups with the group's name before theirs."""
    yield from _below(typer.main.get_command(app), "")


def _below(group: Any, above: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _below(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def commands_page() -> str:
    """Return the page of commands."""
    lines = ["# Commands", "", GENERATED, ""]
    for name, command in commands():
        lines += [f"## {name}", "", _text(command.help), ""]
        lines += ["| | | |", "|---|---|---|"]
        lines += [_row(parameter) for parameter in command.params if parameter.name != "help"]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _row(parameter: Any) -> str:
    flags = ", ".join(f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        flags = f"`{parameter.name.upper()}`"
    default = f" Default: `{_plain(parameter.default)}`." if _has_default(parameter) else ""
    needed = " Required." if parameter.required else ""
    return f"| {flags} | {_type(parameter)} | {_text(getattr(parameter, 'help', ''))}{default}{needed} |"


def configuration_page() -> str:
    """Return the page of configuration files."""
    lines = [
        "# Configuration",
        "",
        GENERATED,
        "",
        "Everything a flag can say, a TOML file can say: `--config FILE`, one table per command, flag names with",
        "underscores. Flags win. An unknown key is refused, with the nearest known name. The `config.toml` of a run is",
        "such a file, and repeats the run.",
        "",
    ]
    for name, command in commands():
        known = [p for p in command.params if p.param_type_name == "option" and p.name not in HIDDEN]
        if known:
            lines += [f"## {name}", "", "```toml", f"[{name.replace(' ', '.')}]"]
            lines += [line for parameter in known for line in _key(parameter)]
            lines += ["```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _key(parameter: Any) -> Iterator[str]:
    value = _toml(parameter.default) if _has_default(parameter) else f"...  # {_type(parameter)}"
    yield f"# {_text(parameter.help)}".replace("`", "")
    yield f"{'' if parameter.required or _has_default(parameter) else '# '}{parameter.name} = {value}"


def _has_default(parameter: Any) -> bool:
    return not parameter.required and isinstance(parameter.default, str | int | float)


def _plain(value: Any) -> str:
    value = getattr(value, "value", value)
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _toml(value: Any) -> str:
    value = getattr(value, "value", value)
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _type(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar).replace("|", "\\|")
    kind = parameter.type_descriptor.annotation
    if issubclass(getattr(kind, "__origin__", kind), Enum):
        return " or ".join(str(member.value) for member in kind)
    many = " (may be given again)" if typing.get_origin(kind) is list else ""
    kind = typing.get_args(kind)[0] if many else kind
    words = {bool: "switch", int: "whole number", float: "number", str: "text", Path: "path"}
    return words.get(kind, kind.__name__) + many


def _text(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def main() -> None:
    """Write both pages."""
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / "commands.md").write_text(commands_page(), encoding="utf-8")
    (TARGET / "configuration.md").write_text(configuration_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
