"""`marsfolio runs`: the runs below a folder, their tags, and what tells two of them apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from marsfolio.cli.terminal import QUICK_START
from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    from marsfolio.run_index import Entry


class _ListFirst(TyperGroup):
    """A group whose command is ``list`` where none is named, so that `marsfolio runs FOLDER` works."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ListFirst,
    help="List runs, tag them, and see what tells two of them apart.",
    rich_markup_mode=None,
    context_settings=QUICK_START,
)


@app.callback()
def _runs() -> None:
    """List runs, tag them, and see what tells two of them apart."""


@app.command("list")
def list_runs(
    folder: Annotated[Path, typer.Argument(help="Folder that has runs in it or below.")] = Path("."),
    config: ConfigOption = None,
) -> None:
    """List the runs in and below a folder, the latest last."""
    from marsfolio.cli.terminal import print_table
    from marsfolio.run_index import index

    found = index(folder)
    columns = ["run", "kind", "strategy", "first session", "last session", "Sharpe ratio", "total return"]
    records = [entry.record() for entry in found]
    print_table(
        f"{len(found)} runs below {folder}", [*columns, "data", "when", "tags"], list(map(_row, found)), records
    )


def _row(entry: Entry) -> list[str]:
    return [
        entry.run,
        entry.kind,
        entry.strategy,
        entry.start or "-",
        entry.end or "-",
        "-" if entry.sharpe_ratio is None else f"{entry.sharpe_ratio:.2f}",
        "-" if entry.total_return is None else f"{100 * entry.total_return:.2f} %",
        (entry.data_hash or "-")[:8],
        f"{entry.when.astimezone():%Y-%m-%d %H:%M}",  # in the user's own zone
        ", ".join(entry.tags),
    ]


@app.command()
def tag(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    text: Annotated[str, typer.Argument(help="What to remember of it.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take the tag away.")] = False,
    config: ConfigOption = None,
) -> None:
    """Tag a run; the tags are kept in its folder, and go when the run is replaced."""
    from marsfolio import run_index
    from marsfolio.runs import open_run

    tags = run_index.tag(open_run(run), text, remove)
    print(f"{run}: {', '.join(tags) or 'no tags'}")


@app.command()
def diff(
    one: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    other: Annotated[Path, typer.Argument(help="Folder of another.", metavar="RUN")],
    config: ConfigOption = None,
) -> None:
    """Show in which settings, data, versions and metrics two runs differ."""
    from marsfolio.cli.terminal import print_table
    from marsfolio.run_index import differences
    from marsfolio.runs import open_run

    found = differences(open_run(one), open_run(other))
    rows = [[each.what, each.name, _shown(each.one), _shown(each.other)] for each in found]
    records = [{"what": each.what, "name": each.name, "one": each.one, "other": each.other} for each in found]
    print_table(f"{len(found)} differences", ["what", "name", str(one), str(other)], rows, records)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    return "-" if value is None else str(value)
