"""The page of an evaluation: the answer, the charts, and every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marsfolio.evaluation.findings import Findings
from marsfolio.evaluation.sections import sections
from marsfolio.report.template import fill


def page(found: Findings, windows: Sequence[Mapping[str, Any]], title: str = "Evaluation") -> str:
    """Return the page; it needs no network.

    Parameters
    ----------
    windows : what `marsfolio.evaluation.charts.charts_of` returned.
    """
    verdicts = found.verdicts()
    return fill(
        "evaluation.html.j2",
        {
            "sessions": windows[0]["sessions"],  # the script of all pages asks whether there is anything to draw
            "windows": list(windows),
            "curves": found.facts["curves"],
            "methods": found.methods,
            "learned": found.learned,
            "reference": found.reference,
        },
        title=title,
        headline=found.headline,
        answer=verdicts[0].answer.value if verdicts else "",
        subtitle=f"{len(found.methods)} methods, {len(found.windows)} test windows, {len(found.facts['seeds'])} seeds "
        f"of what is learned, on {found.facts['data']}",
        sections=sections(found),
        window_names=[periods.name for periods in found.windows],
        methods=found.methods,
        reference=found.reference,
        ensembles=[name for name in found.learned if len(found.facts["agents"].get(name, [])) > 1],
        curves=found.facts["curves"],
    )
