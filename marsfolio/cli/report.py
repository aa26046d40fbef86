"""`marsfolio report`: rebuild the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marsfolio.config import ConfigOption


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    config: ConfigOption = None,
) -> None:
    """Write report.html again from the other files of a run."""
    from marsfolio.runs import write_report

    typer.echo(f"wrote {write_report(run)}")
