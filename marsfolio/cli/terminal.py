"""What the commands' output shares."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOBase
from typing import TYPE_CHECKING, Any, TextIO

from marsfolio.values import json_value

if TYPE_CHECKING:
    from rich.console import Console

# typer loads pydantic, a third of the time of --help, to convert the absent --help of a group from None to False.
QUICK_START: dict[str, Any] = {"default_map": {"help": False}}
"""Settings of every group of commands."""

_UNBOUNDED = 10_000
_NOTE = "note: "


@dataclass
class Output:
    """What the user asked of the output, and in JSON mode what there is to write.

    Attributes
    ----------
    as_json : tables as one JSON document on stdout, and nothing else there.
    quiet : no progress, notes and warnings.
    """

    as_json: bool = False
    quiet: bool = False
    tables: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return what is there, without what is empty."""
        parts = {name: getattr(self, name) for name in ("tables", "metrics", "notes", "messages")}
        return {name: part for name, part in parts.items() if part}


_output = Output()


def output() -> Output:
    """Return the output of the running command."""
    return _output


@contextmanager
def one_output() -> Iterator[Output]:
    """Give a command an output of its own, and write its JSON document at the end if it has asked for one.

    Lines that are printed meanwhile go through a filter: with ``--json`` they become notes and messages of the
    document (and are shown on stderr), with ``--quiet`` notes are left out.
    """
    global _output
    _output, real = Output(), sys.stdout
    lines = _Lines(_output, real)
    sys.stdout = lines
    try:
        yield _output
    finally:
        lines.close()
        sys.stdout = real


def write_json(error: str = "") -> None:
    """Write the JSON document to the real stdout, where one was asked for; ``error`` says why the command failed."""
    if _output.as_json and isinstance(sys.stdout, _Lines):
        document = {**_output.document(), **({"error": error} if error else {})}
        text = json.dumps(json_value(document), indent=2, ensure_ascii=False, allow_nan=False, default=str)
        sys.stdout.real.write(text + "\n")
        sys.stdout.real.flush()


class _Lines(TextIOBase):
    """A stdout that is read line by line where the output was asked to be quiet or JSON."""

    def __init__(self, wanted: Output, real: TextIO) -> None:
        self._wanted, self.real, self._begun = wanted, real, ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.real.encoding

    def isatty(self) -> bool:
        return not self._wanted.as_json and self.real.isatty()

    def fileno(self) -> int:
        return self.real.fileno()

    def flush(self) -> None:
        if not self.real.closed:
            self.real.flush()

    def write(self, text: str) -> int:
        if not (self._wanted.as_json or self._wanted.quiet):
            return self.real.write(text)
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            self._line(line)
        return len(text)

    def close(self) -> None:
        if self._begun:
            self._line(self._begun)
            self._begun = ""

    def _line(self, line: str) -> None:
        is_note = line.startswith(_NOTE)
        if not self._wanted.as_json:
            if not is_note:
                self.real.write(line + "\n")
            return
        if line.strip():
            (self._wanted.notes if is_note else self._wanted.messages).append(line.removeprefix(_NOTE))
        if not self._wanted.quiet:
            print(line, file=sys.stderr, flush=True)


def progress_console() -> Console:
    """Return where progress is shown: stderr, or nowhere."""
    from rich.console import Console

    return Console(stderr=True, quiet=_output.quiet)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    records: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Print rows of text; numbers to the right, and nothing cut off or wrapped when the output is a pipe.

    Parameters
    ----------
    records : the rows with values that are not rounded, for ``--json``; made of the texts when absent.
    """
    if _output.as_json:
        told = list(records) if records is not None else _records(columns, rows)
        _output.tables.append({"title": title, "rows": told})
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        right = any(_is_number(row[number]) for row in rows)
        table.add_column(Text(name), justify="right" if right else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    terminal = sys.stdout is not None and sys.stdout.isatty()
    console = Console() if terminal else Console(width=_UNBOUNDED)
    if title:
        # A line of its own: a table would break it at its own width, and a path could not be copied.
        console.print(Text(title, style="bold"), soft_wrap=True)
    console.print(table)


def _records(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Return rows by column, as numbers where a whole column but dashes and blanks is numbers."""
    found: list[dict[str, Any]] = [{} for _ in rows]
    for number, name in enumerate(columns):
        cells = [row[number] for row in rows]
        numeric = name != "symbol" and all(cell in ("", "-") or _is_number(cell) for cell in cells)
        for record, cell in zip(found, cells, strict=True):
            record[name or "name"] = _number(cell) if numeric else cell
    return found


def _number(text: str) -> float | None:
    if text in ("", "-"):
        return None
    value = float(text.replace(",", "").removesuffix(" %"))
    return value / 100 if text.endswith(" %") else int(value) if text.replace(",", "").isdigit() else value


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "").removesuffix(" %"))
    except ValueError:
        return False
    return True
