"""Write docs/results.md from the folders of evaluations: `python benchmarks/results.py DIR [DIR ...]`."""

from __future__ import annotations

import json
import sys
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


def document(found: dict[str, Findings]) -> str:
    """Return the document about evaluations, by their names."""
    lines = [INTRODUCTION, ""]
    for name, findings in found.items():
        lines += [f"- **{name}** ({findings.facts['data']}): {findings.headline}"]
    for name, findings in found.items():
        lines += ["", f"## {name}", "", f"**{findings.headline}**", "", *section_lines(sections(findings), depth=3)]
    return "\n".join(lines).rstrip() + "\n"


def main(folders: list[str]) -> None:
    """Write the document."""
    if not folders:
        raise SystemExit(__doc__)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(document({Path(folder).resolve().name: read(Path(folder)) for folder in folders}))
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main(sys.argv[1:])
