"""`marsfolio report`: rebuild the page of a run, and its figures for those who paste."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marsfolio.config import ConfigOption


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    png: Annotated[
        bool, typer.Option("--png/--no-png", help="Write the main figures into RUN/figures as well, as PNG files.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Write report.html again from the other files of a run."""
    from marsfolio.runs import open_run, write_report

    typer.echo(f"wrote {write_report(run)}")
    if png:
        from marsfolio.report.figures import write_figures

        for path in write_figures(open_run(run)):
            typer.echo(f"wrote {path}")
