"""`marsfolio data info` and `check`: what is in a file or a store of bars, and whether it can be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    from data_feeds.check import Finding, PanelSummary
    from engine.panel import MarketPanel

DataOption = Annotated[
    Path | None,
    typer.Option(
        help="Bars: long CSV or parquet with date, symbol, open, high, low, close, volume; for raw prices also split "
        "and dividend; or a folder that `marsfolio data fetch` wrote. Without it, the bundled sample."
    ),
]
SymbolsOption = Annotated[str | None, typer.Option(help="Symbols to read, as in A,B; by default all.")]
JsonOption = Annotated[bool, typer.Option("--json/--table", help="Print one JSON document, for programs.")]


def info(
    data: DataOption = None, symbols: SymbolsOption = None, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Show source, sessions, symbols and missing bars."""
    from data_feeds.check import summarise
    from marsfolio.cli.terminal import print_table

    panel, notes = _load(data, symbols)
    found, origin = summarise(panel), _origin(data)
    if as_json:
        _print_json({**_summary(found), **origin, "notes": list(notes)})
        return
    typer.echo(f"{found.source}: {found.sessions:,} sessions, {found.first} to {found.last}")
    typer.echo(f"{len(found.symbols):,} symbols, {found.bars:,} bars, {found.missing:,} missing")
    typer.echo(f"prices: {'closes only' if found.closes_only else 'open, high, low, close'}; {_kind(found)}")
    typer.echo(f"content hash: {found.content_hash}")
    rows = [
        [life.symbol, str(life.first or "–"), str(life.last or "–"), f"{life.bars:,}", f"{life.missing:,}"]
        for life in found.symbols
    ]
    print_table("", ["symbol", "first bar", "last bar", "bars", "missing between"], rows)
    _show_notes(notes)


def check(
    data: DataOption = None,
    symbols: SymbolsOption = None,
    calendar: Annotated[
        str | None,
        typer.Option(help="Compare the sessions with an exchange's, by exchange_calendars, such as XNYS."),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Refuse invalid bars (exit code 2) and remark on suspicious ones (exit code 0)."""
    from data_feeds.check import REMEDIES, find_problems
    from data_feeds.check_calendar import find_calendar_problems
    from marsfolio.cli.terminal import print_table

    panel, notes = _load(data, symbols)
    found = [] if calendar is None else find_calendar_problems(panel, calendar)
    found += find_problems(panel)
    if as_json:
        _print_json({"source": panel.source, "notes": list(notes), "remarks": [_remark(item) for item in found]})
        return
    if found:
        rows = [[item.kind.value, item.symbol, str(item.first), item.message] for item in found]
        print_table("", ["remark", "symbol", "date", "what"], rows)
        for kind in dict.fromkeys(item.kind for item in found):
            typer.echo(f"{kind.value}: {REMEDIES[kind]}")
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


def _origin(data: Path | None) -> dict[str, Any]:
    """Return what a store says of where its bars come from; nothing for a file."""
    from data_feeds.store import is_store, read_manifest

    if data is None or not is_store(data):
        return {}
    manifest = read_manifest(data)
    return {"fetched_from": dict(manifest.source), "adjustment": manifest.adjustment}


def _kind(found: PanelSummary) -> str:
    if found.raw:
        return f"raw (splits: {found.splits:,}, dividends: {found.dividends:,})"
    return "taken as adjusted for splits and dividends"


def _summary(found: PanelSummary) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(found), "symbols": [asdict(life) for life in found.symbols]}


def _remark(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind.value,
        "symbol": finding.symbol,
        "first": finding.first,
        "last": finding.last,
        "count": finding.count,
        "value": None if finding.value != finding.value else finding.value,
        "message": finding.message,
        "remedy": finding.remedy,
    }


def _print_json(document: dict[str, Any]) -> None:
    """Print a document; dates as text, and those that are missing as null."""
    typer.echo(json.dumps(document, indent=1, default=lambda value: None if value is None else str(value)))


def _show_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        typer.echo(f"note: {note}")
