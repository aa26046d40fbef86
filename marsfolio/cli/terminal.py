"""What the commands' output shares."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

# typer loads pydantic, a third of the time of --help, to convert the absent --help of a group from None to False.
QUICK_START: dict[str, Any] = {"default_map": {"help": False}}
"""Settings of every group of commands."""

_UNBOUNDED = 10_000


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text; numbers to the right, and nothing cut off or wrapped when the output is a pipe."""
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


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "").removesuffix(" %"))
    except ValueError:
        return False
    return True
