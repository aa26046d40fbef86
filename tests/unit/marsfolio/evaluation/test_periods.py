from __future__ import annotations

import numpy as np
import pytest
from panels import panel_of, weekdays

from engine.errors import ConfigError, InputError
from marsfolio.evaluation.periods import parse_periods

GOOD = "2022=2016-01-04:2020-12-31/2021-01-04:2021-12-31/2022-01-03:2022-12-30"


def test_a_window_is_read_as_it_is_written() -> None:
    (periods,) = parse_periods([GOOD])
    assert periods.name == "2022"
    assert periods.spans() == (
        ("2016-01-04", "2020-12-31"),
        ("2021-01-04", "2021-12-31"),
        ("2022-01-03", "2022-12-30"),
    )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "at least one window"),
        (["2022"], "must be NAME=TRAIN_A"),
        (["../x=" + GOOD.partition("=")[2]], "must be NAME=TRAIN_A"),
        (["all=" + GOOD.partition("=")[2]], "stands for all windows"),
        ([GOOD.replace("2016-01-04", "2016-13-04")], "2016-13-04 is not a date"),
        ([GOOD, GOOD], "'2022' is used twice"),
        ([GOOD.replace("2021-01-04", "2020-12-31")], "must follow one another"),
        ([GOOD.replace("2016-01-04", "2020-12-32")], "is not a date"),
        ([GOOD.replace("2022-12-30", "2021-12-31")], "must follow one another"),
    ],
)
def test_what_is_no_window_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_periods(texts)


def test_rows_are_those_of_the_data_and_what_is_missing_is_said() -> None:
    panel = panel_of(np.full((30, 1), 10.0), sessions=weekdays(30))
    (inside,) = parse_periods(["a=2024-01-01:2024-01-05/2024-01-08:2024-01-12/2024-01-13:2024-02-09"])
    assert inside.fold(panel) == ((0, 4), (5, 9), (10, 29))
    assert inside.clipped(panel) == []
    (beyond,) = parse_periods(["a=2023-06-01:2024-01-05/2024-01-08:2024-01-12/2024-01-13:2024-12-31"])
    assert [remark.split(" was ")[0] for remark in beyond.clipped(panel)] == ["window a: train", "window a: test"]
    (elsewhere,) = parse_periods(["a=2024-01-01:2024-01-05/2024-01-08:2024-01-12/2025-01-13:2025-02-09"])
    with pytest.raises(InputError, match="no session between 2025-01-13"):
        elsewhere.fold(panel)
