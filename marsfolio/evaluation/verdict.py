"""The reader's first question, answered by rule: does it beat holding everything equally, and how sure are we?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from marsfolio.evaluation.longtable import LEVEL, TOGETHER, Numbers
from marsfolio.evaluation.periods import ALL

FEWEST_SEEDS = 3
"""With fewer seeds of a method that is trained, one lucky training cannot be told from a good method."""


class Answer(StrEnum):
    """The three answers there are."""

    BEATS = "beats"
    DOES_NOT = "does not beat"
    UNKNOWN = "cannot be told"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one method.

    Attributes
    ----------
    difference : Sharpe ratio less the reference's: median over the seeds of the mean over the windows.
    low, high : 95 % interval of that mean, for one account that holds all seeds; NaN where it cannot be computed.
    by_window : median difference over the seeds in each window.
    n_seeds : seeds in every window.
    """

    method: str
    answer: Answer
    difference: float
    low: float
    high: float
    by_window: Mapping[str, float]
    n_seeds: int
    reason: str

    @property
    def sentence(self) -> str:
        """One sentence for a reader who knows nothing else."""
        numbers = f"Sharpe ratio {self.difference:+z.2f} against it (median of {_many(self.n_seeds, 'seed')}"
        numbers += f", mean of {_many(len(self.by_window), 'test window')}"
        if not math.isnan(self.low):
            numbers += f"; {LEVEL:.0%} interval {self.low:+z.2f} to {self.high:+z.2f}"
        opening = {
            Answer.BEATS: f"Yes: {self.method} beats holding everything equally",
            Answer.DOES_NOT: f"No: {self.method} does not beat holding everything equally",
            Answer.UNKNOWN: f"It cannot be told whether {self.method} beats holding everything equally",
        }[self.answer]
        return f"{opening}: {self.reason}." if math.isnan(self.difference) else f"{opening}: {numbers}); {self.reason}."


def judge(numbers: Numbers, method: str, learned: bool = True) -> Verdict:
    """Return the answer for a method, from the numbers of the long table.

    The rule, which leans against the method:

    * It beats the reference when the whole interval of the Sharpe ratio's difference is above 0, the median seed is
      better in every window, and there are at least `FEWEST_SEEDS` seeds (one for a method that is not trained).
    * It does not when the median difference is not above 0, or the whole interval is below 0.
    * Otherwise it cannot be told: the difference is positive, but luck gives as much.

    The headline's interval is that of the account that holds all seeds in equal parts, resampled in each window by
    itself and averaged over the windows (`engine.statistics.mean_difference_intervals`); the intervals of each seed are
    in the table. It allows for the luck of the sessions, not for windows of another kind than these.

    Parameters
    ----------
    learned : whether seeds matter for it.
    """
    by_window = {name: numbers.get(name, method, "sharpe_difference") for name in numbers.windows}
    difference = numbers.get(ALL, method, "sharpe_difference")
    low, high = (numbers.get(ALL, method, f"sharpe_difference_{end}", TOGETHER) for end in ("low", "high"))
    n_seeds = min((len(numbers.seeds(name, method)) for name in numbers.windows), default=0)
    answer, reason = _rule(difference, low, high, list(by_window.values()), n_seeds if learned else FEWEST_SEEDS)
    return Verdict(method, answer, difference, low, high, by_window, n_seeds, reason)


def _rule(difference: float, low: float, high: float, by_window: list[float], n_seeds: int) -> tuple[Answer, str]:
    if math.isnan(difference):
        return Answer.UNKNOWN, "there is no result for it in every window"
    if high < 0.0:
        return Answer.DOES_NOT, "it is worse by more than luck explains"
    if difference <= 0.0:
        certain = "" if math.isnan(low) else ", though it is not worse by more than luck explains"
        return Answer.DOES_NOT, f"there is no gain{certain}"
    if math.isnan(low):
        return Answer.UNKNOWN, "the windows are too short for an interval"
    if low <= 0.0:
        return Answer.UNKNOWN, "a difference of this size may be luck"
    if not all(value > 0.0 for value in by_window):
        return Answer.UNKNOWN, "it is not better in every window"
    if n_seeds < FEWEST_SEEDS:
        return Answer.UNKNOWN, f"fewer than {FEWEST_SEEDS} seeds cannot rule out one lucky training"
    return Answer.BEATS, "more than the luck of the sessions explains, and better in every window"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
