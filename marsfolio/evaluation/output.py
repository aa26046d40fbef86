"""The folder of an evaluation: table, page, summary, log of looks and the configuration that repeats it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marsfolio.evaluation.longtable import Numbers
from marsfolio.evaluation.looks import count_looks, read_looks
from marsfolio.evaluation.plan import KIND, Evaluation, read_all, write_tables
from marsfolio.evaluation.table import Counting, tabulate
from marsfolio.evaluation.verdict import Verdict, judge
from marsfolio.runs import write_config


def write_output(
    plan: Evaluation,
    options: Mapping[str, Any],
    resamples: int,
    trials: int | None,
    progress: Callable[[int, int], None],
) -> Verdict | None:
    """Write all files of an evaluation whose cells are computed, and return the answer about its first learned method.

    Parameters
    ----------
    options : the command's options as TOML values, for config.toml.
    trials : strategies tried; when None, the configurations looked at in a window, and at least the methods compared.
    """
    computed = read_all(plan)
    table = tabulate(computed, Counting(resamples, _trials(plan, trials), progress))
    write_tables(plan, computed, table)
    config = plan.out / "config.toml"
    write_config(config, KIND, "evaluate", options, {"data_hashes": dict(plan.hashes), "remarks": list(plan.notes)})
    learned = next((method.name for method in plan.methods if method.is_learned), None)
    return None if learned is None else judge(Numbers(table), learned)


def _trials(plan: Evaluation, trials: int | None) -> dict[str, int]:
    looked = count_looks(read_looks(plan.out))
    return {
        one.name: trials or max(looked.get(":".join(one.test), {}).get("configurations", 0), len(plan.methods))
        for one in plan.periods
    }
