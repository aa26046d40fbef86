"""Write docs/results.md from the folders of evaluations: `python benchmarks/results.py DIR [DIR ...]`.

Parts about other evaluations stay as they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from engine.errors import InputError
from marsfolio.evaluation.findings import Findings
from marsfolio.evaluation.longtable import Numbers
from marsfolio.evaluation.sections import sections
from marsfolio.evaluation.summary import section_lines

TARGET = Path(__file__).parents[1] / "docs" / "results.md"
INTRODUCTION = """# Results

Written by `python benchmarks/results.py` from the tables that `marsfolio evaluate` wrote; nothing is typed by hand, and
nothing is left out: wins and losses stand alike. Each part begins with the answer to a reader's first question."""


def read(folder: Path) -> Findings:
    """Return the findings of an evaluation's folder.

    Raises
    ------
    InputError
        When it holds no finished evaluation.
    """
    try:
        facts = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        table = pd.read_parquet(folder / "results.parquet")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no finished evaluation: {error}") from error
    return Findings(Numbers(table), facts)


def part(name: str, findings: Findings) -> str:
    """Return the part of the document about one evaluation: its answer as an entry of a list, and everything else."""
    answer = f"- **{name}** ({findings.facts['data']}): {findings.headline}"
    lines = [f"## {name}", "", f"**{findings.headline}**", "", *section_lines(sections(findings), depth=3)]
    return "\n".join([answer, *lines]).strip()


def parts(text: str) -> dict[str, str]:
    """Return the parts of a document by the names of their evaluations."""
    head, *bodies = text.split("\n## ")
    answers = [line for line in head.splitlines() if line.startswith("- **")]
    named = (f"{answer}\n## {body.strip()}" for answer, body in zip(answers, bodies, strict=True))
    return {body.split("**")[1]: body for body in named}


def document(found: Iterable[str]) -> str:
    """Return the document of parts, which begins with the answer of each."""
    answers, bodies = zip(*(body.split("\n", 1) for body in found), strict=True)
    return "\n\n".join([INTRODUCTION, "\n".join(answers), *bodies]) + "\n"


def main(folders: list[str]) -> None:
    """Write the document."""
    if not folders:
        raise SystemExit(__doc__)
    TARGET.parent.mkdir(exist_ok=True)
    known = parts(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
    for folder in map(Path, folders):
        name = folder.resolve().name
        known[name] = part(name, read(folder))
    TARGET.write_text(document(known.values()), encoding="utf-8")
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main(sys.argv[1:])
