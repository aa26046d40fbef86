from __future__ import annotations

import runpy
from pathlib import Path

from evaluations import findings

from marsfolio.evaluation.page import page
from marsfolio.evaluation.sections import sections
from marsfolio.evaluation.summary import markdown

ROOT = Path(__file__).parents[4]


def test_page_and_summary_begin_with_the_answer_and_say_the_same() -> None:
    found, charts = findings()
    text, html = markdown(found), page(found, charts)
    assert text.splitlines()[2] == f"**{found.headline}**"
    assert html.index(found.headline) < html.index("<table")
    for part in sections(found):
        assert f"## {part.title}" in text
        assert f"<h2>{part.title}</h2>" in html
    assert "published: MARS (DJI)" in text
    assert "published: MARS (DJI)" in html
    assert "a note &lt;b&gt;" in html
    assert "nan" not in text.lower().split()


def test_every_row_of_a_table_has_all_columns() -> None:
    for part in sections(findings()[0]):
        for table in part.tables:
            assert all(len(row) == len(table.columns) for row in table.rows), (part.title, table.title)


def test_only_years_that_the_paper_tested_stand_beside_its_rows() -> None:
    (paper,) = [part for part in sections(findings()[0]) if part.name == "paper"]
    assert [table.title for table in paper.tables] == ["Window 2022"]


def test_docs_results_lists_all_evaluations_with_their_answers_first() -> None:
    found, _ = findings()
    written = runpy.run_path(str(ROOT / "benchmarks" / "results.py"))
    text = written["document"]([written["part"](name, found) for name in ("us", "elsewhere")])
    assert text.index(f"**elsewhere** (bars.parquet): {found.headline}") < text.index("## us")
    assert text.count(f"**{found.headline}**") == 2
    assert written["document"](written["parts"](text).values()) == text
