"""`marsfolio compare`: several runs on one page, and what differs from a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import InputError
from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    from marsfolio.report.compared import Comparison
    from marsfolio.report.comparison import Change


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, two or more.", metavar="RUN RUN [RUN ...]")],
    out: Annotated[Path, typer.Option(help="Page to write, FILE.html.")],
    baseline: Annotated[
        str | None, typer.Option(help="Run that the others are compared with, folder or name; the last when absent.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Compare runs on the sessions they share: curves, metrics, and differences with intervals."""
    _check_out(out)  # before the slow imports
    from marsfolio.cli.results import print_metrics
    from marsfolio.report import compared
    from marsfolio.report.comparison import page
    from marsfolio.runs import open_run

    names = compared.unique_names(runs)
    opened = {name: open_run(folder) for name, folder in zip(names, runs, strict=True)}
    found = compared.compare(opened, _baseline(baseline, runs, names))
    _write(page(found), out)
    print_metrics(found.metrics, f"Compared over {found.period}", found.remarks)
    _print_differences(found)
    typer.echo(f"wrote {out}")


def _check_out(out: Path) -> None:
    # Anything else would let a slip of the hand replace a file of a run.
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out must be a file that ends in .html, was {out}")
    if out.is_dir():
        raise InputError(f"--out must be a file, was the folder {out}: name a file inside it")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: the folder {out.parent} does not exist; create it first")


def _baseline(wanted: str | None, folders: list[Path], names: list[str]) -> str:
    """Return the name of the run that is meant by its name or its folder."""
    if wanted is None:
        return names[-1]
    places = {folder.resolve(): name for folder, name in zip(folders, names, strict=True)}
    return wanted if wanted in names else places.get(Path(wanted).resolve(), wanted)


def _write(page: str, out: Path) -> None:
    from marsfolio.report.writing import write_whole

    try:
        write_whole(out, page.encode())
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; choose another --out") from error


def _print_differences(found: Comparison) -> None:
    from marsfolio.cli.terminal import print_table
    from marsfolio.report.compared import LEVEL
    from marsfolio.report.comparison import change_rows

    rows = [[row.label, *(_as_text(change) for change in row.changes)] for row in change_rows(found)]
    title = f"Differences to {found.baseline}, with {LEVEL:.0%} intervals; better and worse where these leave out 0"
    records = [
        {"run": run, "metric": metric, "difference": change.value, "low": change.low, "high": change.high}
        for run, changes in found.differences.items()
        for metric, change in changes.items()
    ]
    print_table(title, ["", *found.differences], rows, records)


def _as_text(change: Change) -> str:
    if change.interval is None:
        return change.difference.shown
    between = f"{change.interval.low.shown} to {change.interval.high.shown}"
    return f"{change.difference.shown} ({between}) {change.verdict}".rstrip()
