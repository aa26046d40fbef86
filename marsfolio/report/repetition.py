"""How a run can be repeated: its command, its options, its hashes and versions."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marsfolio.runs import Run


def command(run: Run, place: Path) -> str:
    """Return the command that repeats the run in the folder ``place``; empty when config.toml holds none."""
    if not run.command:
        return ""
    text = f"marsfolio {run.command} --config {shlex.quote(str(place / 'config.toml'))}"
    # A run of another kind, such as the demo's, is not replaced by its repetition: that goes beside it.
    return text if run.kind == run.command else f"{text} --out {shlex.quote(f'{place}-again')}"


def options(run: Run) -> dict[str, str]:
    """Return the options of the command as text."""
    return dict(_as_text(run.options))


def provenance(run: Run) -> dict[str, str]:
    """Return seed, hashes and versions as text."""
    return {name: text for name, text in _as_text(run.provenance) if name != "remarks"}


def _as_text(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield name, ", ".join(f"{key} {inner}" for key, inner in value.items())
        else:
            yield name, str(value)
