from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from marsfolio.evaluation.longtable import MEDIAN, TOGETHER, Numbers, Row
from marsfolio.evaluation.periods import ALL
from marsfolio.evaluation.verdict import Answer, judge


def numbers(
    by_window: Sequence[float], low: float, high: float, seeds: int = 5, difference: float | None = None
) -> Numbers:
    """Return the rows of a table that a verdict reads."""
    rows: list[Row] = []
    for name, value in zip("abc", by_window, strict=False):
        rows.append((name, "ours", MEDIAN, "sharpe_difference", value))
        rows += [(name, "ours", str(seed), "sharpe_ratio", 1.0) for seed in range(seeds)]
    mean = sum(by_window) / len(by_window) if difference is None else difference
    rows.append((ALL, "ours", MEDIAN, "sharpe_difference", mean))
    rows.append((ALL, "ours", TOGETHER, "sharpe_difference_low", low))
    rows.append((ALL, "ours", TOGETHER, "sharpe_difference_high", high))
    return Numbers.of(rows)


@pytest.mark.parametrize(
    ("table", "answer", "reason"),
    [
        (numbers([0.3, 0.2], 0.05, 0.5), Answer.BEATS, "better in every window"),
        (numbers([0.3, 0.2], 0.05, 0.5, seeds=3), Answer.BEATS, "better in every window"),
        (numbers([0.3, 0.2], 0.05, 0.5, seeds=2), Answer.UNKNOWN, "fewer than 3 seeds"),
        (numbers([0.3, 0.2], 0.0, 0.5), Answer.UNKNOWN, "may be luck"),
        (numbers([0.3, 0.2], -0.1, 0.5), Answer.UNKNOWN, "may be luck"),
        (numbers([0.6, -0.1], 0.05, 0.5), Answer.UNKNOWN, "not better in every window"),
        (numbers([0.6, 0.0], 0.05, 0.5), Answer.UNKNOWN, "not better in every window"),
        (numbers([0.3], math.nan, math.nan), Answer.UNKNOWN, "too short for an interval"),
        (numbers([0.0, 0.0], -0.1, 0.1), Answer.DOES_NOT, "there is no gain"),
        (numbers([-0.1, -0.1], -0.4, 0.1), Answer.DOES_NOT, "there is no gain"),
        (numbers([-0.1, 0.0], 0.01, 0.1), Answer.DOES_NOT, "there is no gain"),
        (numbers([-0.3, -0.3], -0.5, -0.1), Answer.DOES_NOT, "worse by more than luck"),
        (numbers([0.1, 0.1], -0.5, -0.1), Answer.DOES_NOT, "worse by more than luck"),
        (numbers([0.1, math.nan], math.nan, math.nan), Answer.UNKNOWN, "no result for it in every window"),
    ],
)
def test_the_rule_leans_against_the_method(table: Numbers, answer: Answer, reason: str) -> None:
    verdict = judge(table, "ours")
    assert verdict.answer is answer
    assert reason in verdict.reason
    assert verdict.sentence.count(".") >= 1
    assert verdict.sentence.endswith(".")


def test_the_sentence_says_how_much_how_sure_and_on_what() -> None:
    assert judge(numbers([0.3, 0.2], 0.05, 0.5), "ours").sentence == (
        "Yes: ours beats holding everything equally: Sharpe ratio +0.25 against it (median of 5 seeds, mean of 2 test "
        "windows; 95% interval +0.05 to +0.50); more than the luck of the sessions explains, and better in every "
        "window."
    )
    assert judge(numbers([-0.3], -0.5, 0.1, seeds=1), "ours").sentence.startswith(
        "No: ours does not beat holding everything equally: Sharpe ratio -0.30 against it (median of 1 seed, mean of 1 "
        "test window; 95% interval -0.50 to +0.10)"
    )


def test_a_method_that_is_not_trained_needs_no_seeds() -> None:
    table = numbers([0.3, 0.2], 0.05, 0.5, seeds=1)
    assert judge(table, "ours", learned=False).answer is Answer.BEATS
    assert judge(table, "ours").answer is Answer.UNKNOWN


def test_a_method_that_is_not_in_the_table_cannot_be_judged() -> None:
    verdict = judge(numbers([0.3], 0.1, 0.5), "another")
    assert verdict.answer is Answer.UNKNOWN
    assert verdict.sentence == (
        "It cannot be told whether another beats holding everything equally: there is no result for it in every window."
    )
