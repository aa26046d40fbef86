"""`marsfolio data info` and `check`: what is in a file or a store of bars, and whether it can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    from engine.panel import MarketPanel

DataOption = Annotated[
    Path | None,
    typer.Option(
        help="Bars: long CSV or parquet with date, symbol, open, high, low, close, volume; for raw prices also split "
        "and dividend. Without it, the bundled sample."
    ),
]
SymbolsOption = Annotated[str | None, typer.Option(help="Symbols to read, as in A,B; by default all.")]


def info(data: DataOption = None, symbols: SymbolsOption = None, config: ConfigOption = None) -> None:
    """Show sessions, symbols and missing bars."""
    from data_feeds.check import summarise
    from marsfolio.cli.terminal import print_table

    panel, notes = _load(data, symbols)
    found = summarise(panel)
    typer.echo(f"{found.source}: {found.sessions:,} sessions, {found.first} to {found.last}")
    typer.echo(f"{len(found.symbols):,} symbols, {found.bars:,} bars, {found.missing:,} missing")
    fields = "closes only" if found.closes_only else "open, high, low, close"
    kind = (
        f"raw (splits: {found.splits:,}, dividends: {found.dividends:,})"
        if found.raw
        else "taken as adjusted for splits and dividends"
    )
    typer.echo(f"prices: {fields}; {kind}")
    typer.echo(f"content hash: {found.content_hash}")
    rows = [
        [life.symbol, str(life.first or "–"), str(life.last or "–"), f"{life.bars:,}", f"{life.missing:,}"]
        for life in found.symbols
    ]
    print_table("", ["symbol", "first bar", "last bar", "bars", "missing between"], rows)
    _show_notes(notes)


def check(data: DataOption = None, symbols: SymbolsOption = None, config: ConfigOption = None) -> None:
    """Refuse invalid bars (exit code 2) and remark on suspicious ones (exit code 0)."""
    from data_feeds.check import find_problems
    from marsfolio.cli.terminal import print_table

    panel, notes = _load(data, symbols)
    found = find_problems(panel)
    if found:
        print_table("", ["remark", "symbol", "what"], [[item.kind.value, item.symbol, item.message] for item in found])
    _show_notes(notes)
    counts = f"{len(panel):,} sessions, {panel.n_symbols:,} symbols"
    typer.echo(f"{panel.source}: valid ({counts}); {len(found):,} remark{'' if len(found) == 1 else 's'}")


def _load(data: Path | None, symbols: str | None) -> tuple[MarketPanel, tuple[str, ...]]:
    chosen = None if symbols is None else [symbol.strip() for symbol in symbols.split(",")]
    if data is not None:
        from data_feeds.files import read_panel

        return read_panel(data, chosen)
    from data_feeds.sample import load_sample

    panel = load_sample()
    return (panel if chosen is None else panel.select(chosen)), ()


def _show_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        typer.echo(f"note: {note}")
