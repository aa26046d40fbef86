"""Walk-forward windows: where a policy learns, where it is chosen, and where it is tested, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from engine.errors import ConfigError
from engine.panel import Window


class Fold(NamedTuple):
    """One step of a walk: rows of a panel; ``validation`` is None when none was asked for."""

    train: Window
    validation: Window | None
    test: Window

    @property
    def last_known(self) -> int:
        """The last row that fitting may look at."""
        return self.train.last if self.validation is None else self.validation.last


@dataclass(frozen=True, slots=True)
class Walk:
    """How long the windows of a walk-forward test are, in sessions.

    Going back from each test window: ``embargo`` sessions that nobody looks at, the validation window, ``purge``
    sessions that nobody looks at, the training window. The gaps keep what overlaps two windows (rolling features, an
    outcome some sessions ahead) from carrying one into the other (Lopez de Prado 2018, "Advances in Financial Machine
    Learning", chapter 7; here they lie before each test, since in a walk nothing is trained on what comes after it).

    Parameters
    ----------
    train, test : sessions of the training and test windows, >= 1; the last test window may be shorter.
    validation, purge, embargo : sessions, >= 0.
    anchored : every training window begins with the first one's first session and grows; else it keeps its length.

    Raises
    ------
    ConfigError
        When a number is out of range.
    """

    train: int = 756
    test: int = 126
    validation: int = 126
    purge: int = 0
    embargo: int = 0
    anchored: bool = False

    def __post_init__(self) -> None:
        for name, least in (("train", 1), ("test", 1), ("validation", 0), ("purge", 0), ("embargo", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} sessions must be at least {least}, were {getattr(self, name)}")

    @property
    def before_test(self) -> int:
        """Sessions needed before the first test window."""
        return self.train + self.purge + self.validation + self.embargo

    def folds(self, span: Window) -> tuple[Fold, ...]:
        """Return the folds whose test windows cover ``span`` (rows of a panel), without gaps or overlaps.

        Raises
        ------
        ConfigError
            When the first training window would begin before the first row.
        """
        if span.first < self.before_test:
            raise ConfigError(
                f"the first test session has {span.first} sessions before it, and the windows need {self.before_test} "
                f"(training {self.train}, purge {self.purge}, validation {self.validation}, embargo {self.embargo}): "
                "start later, or make them shorter"
            )
        return tuple(self._folds(span))

    def _folds(self, span: Window) -> Iterator[Fold]:
        anchor = span.first - self.before_test
        for first in range(span.first, span.last + 1, self.test):
            known = first - 1 - self.embargo
            validation = Window(known - self.validation + 1, known) if self.validation else None
            train_last = known - self.validation - self.purge
            train_first = anchor if self.anchored else train_last - self.train + 1
            yield Fold(
                Window(train_first, train_last), validation, Window(first, min(first + self.test - 1, span.last))
            )
