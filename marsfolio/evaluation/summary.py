"""The Markdown summary of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from marsfolio.evaluation.findings import Findings, Section, Table
from marsfolio.evaluation.sections import sections


def markdown(found: Findings, title: str = "Evaluation") -> str:
    """Return the summary: the answer first, then everything that was measured."""
    lines = [f"# {title}", "", f"**{found.headline}**", "", *section_lines(sections(found))]
    return "\n".join(lines).rstrip() + "\n"


def section_lines(parts: Iterable[Section], depth: int = 2) -> Iterator[str]:
    """Return the lines of sections, with headings from a depth on."""
    for part in parts:
        yield from (f"{'#' * depth} {part.title}", "")
        for text in part.texts:
            yield from (text, "")
        for table in part.tables:
            if table.rows:
                yield from _table(table, depth + 1)


def _table(table: Table, depth: int) -> Iterator[str]:
    if table.title:
        yield from (f"{'#' * depth} {table.title}", "")
    yield _line(table.columns)
    yield _line(["---", *("--:" for _ in table.columns[1:])])
    yield from (_line(row) for row in table.rows)
    yield ""


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
