"""The folder of an evaluation: table, page, summary, log of looks and the configuration that repeats it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marsfolio.evaluation.charts import charts_of
from marsfolio.evaluation.findings import Findings
from marsfolio.evaluation.longtable import Numbers
from marsfolio.evaluation.looks import count_looks, read_looks
from marsfolio.evaluation.page import page
from marsfolio.evaluation.plan import KIND, Evaluation, read_all, write_tables
from marsfolio.evaluation.summary import markdown
from marsfolio.evaluation.table import Counting, tabulate
from marsfolio.report.writing import write_whole
from marsfolio.runs import write_config


def write_output(
    plan: Evaluation,
    options: Mapping[str, Any],
    resamples: int,
    trials: int | None,
    progress: Callable[[int, int], None],
) -> str:
    """Write all files of an evaluation whose cells are computed, and return the answer to the reader's first question.

    Parameters
    ----------
    options : the command's options as TOML values, for config.toml.
    trials : strategies tried; when None, the configurations looked at in a window, and at least the methods compared.
    """
    computed = read_all(plan)
    table = tabulate(computed, Counting(resamples, _trials(plan, trials), progress))
    found = Findings(Numbers(table), write_tables(plan, computed, table))
    write_whole(plan.out / "summary.md", markdown(found).encode())
    write_whole(plan.out / "report.html", page(found, charts_of(computed)).encode())
    config = plan.out / "config.toml"
    write_config(config, KIND, "evaluate", options, {"data_hashes": dict(plan.hashes), "remarks": list(plan.notes)})
    return found.headline


def _trials(plan: Evaluation, trials: int | None) -> dict[str, int]:
    looked = count_looks(read_looks(plan.out))
    return {
        one.name: trials or max(looked.get(":".join(one.test), {}).get("configurations", 0), len(plan.methods))
        for one in plan.periods
    }
