"""`marsfolio trades`: the fills or round trips of a run, on the terminal or as a file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import InputError
from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    import pandas as pd

SHOWN_ROWS = 20
_LEFT_OUT = ("fill_id", "order_id", "time_utc")  # of the terminal's table: they repeat the other columns


class Format(StrEnum):
    """The file formats; the same as `engine.tradelog.FORMATS`, which is slow to import."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"


def trades(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    format: Annotated[
        Format | None, typer.Option(help="Format of the file; by default what the name of --out ends in.")
    ] = None,
    round_trips: Annotated[
        bool,
        typer.Option("--round-trips", help="FIFO lots from entry to exit, open ones included, not fills."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="File to write; without it, the last rows are shown.")] = None,
    config: ConfigOption = None,
) -> None:
    """Export or show the trades of a run."""
    kind = _format(format, out)  # before the slow imports
    from engine.tradelog import write_table
    from marsfolio.runs import open_run

    found = open_run(run)
    table, noun = (found.round_trips, "round trips") if round_trips else (found.trades, "fills")
    if out is None:
        _show(table, noun)
        return
    write_table(table, out, kind)
    typer.echo(f"wrote {len(table)} {noun} to {out}")


def _format(format: Format | None, out: Path | None) -> str:
    if out is None:
        if format is not None:
            raise InputError(f"--format {format.value} needs --out FILE, the file to write")
        return ""
    if out.is_dir():
        raise InputError(f"--out must be a file, was the folder {out}: name a file inside it")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: the folder {out.parent} does not exist; create it first")
    if format is not None:
        return format.value
    suffix = out.suffix.lstrip(".").lower()
    if suffix not in list(Format):
        raise InputError(f"--out {out} does not say its format: add --format {'|'.join(Format)}")
    return suffix


def _show(table: pd.DataFrame, noun: str) -> None:
    from marsfolio.cli.terminal import print_table

    columns = [column for column in table.columns if column not in _LEFT_OUT]
    rows = [[_cell(value) for value in row] for row in table[columns].tail(SHOWN_ROWS).itertuples(index=False)]
    print_table(f"last {len(rows)} of {len(table):,} {noun}", columns, rows)
    sums = [column for column in ("notional", "commission", "slippage", "costs", "pnl") if column in columns]
    totals = ", ".join(f"{column} {table[column].sum():,.2f}" for column in sums)
    typer.echo(f"{len(table)} {noun}; totals: {totals}")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:,.4f}"
    return str(value)
