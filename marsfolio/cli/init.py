"""`marsfolio init`: a small project that runs at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marsfolio.config import ConfigOption


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make; one that is there must be empty.")],
    config: ConfigOption = None,
) -> None:
    """Write a small project: a commented config.toml, a universe, and a README with the next commands."""
    from marsfolio.starter import write_project

    for path in write_project(folder):
        print(f"wrote {path}")
    print(f"next: cd {folder} && marsfolio backtest --config config.toml; {folder / 'README.md'} has more")
