"""Walk-forward windows: nothing overlaps, nothing is skipped, nothing is learnt from the future."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.panel import Window
from engine.walkforward import Fold, Walk


def test_rolling_windows_keep_their_length_and_leave_the_gaps_out() -> None:
    folds = Walk(train=10, test=4, validation=3, purge=2, embargo=1).folds(Window(16, 24))
    assert folds == (
        Fold(Window(0, 9), Window(12, 14), Window(16, 19)),
        Fold(Window(4, 13), Window(16, 18), Window(20, 23)),
        Fold(Window(8, 17), Window(20, 22), Window(24, 24)),
    )
    assert folds[0].last_known == 14


def test_anchored_windows_grow_from_the_first_session() -> None:
    folds = Walk(train=10, test=4, validation=3, purge=2, embargo=1, anchored=True).folds(Window(20, 26))
    assert [fold.train for fold in folds] == [Window(4, 13), Window(4, 17)]


def test_without_validation_the_training_window_ends_before_purge_and_embargo() -> None:
    (fold,) = Walk(train=5, test=9, validation=0, purge=2, embargo=1).folds(Window(8, 12))
    assert fold == Fold(Window(0, 4), None, Window(8, 12))
    assert fold.last_known == 4


def test_too_little_history_says_what_is_needed() -> None:
    with pytest.raises(ConfigError, match="has 15 sessions before it, and the windows need 16"):
        Walk(train=10, test=4, validation=3, purge=2, embargo=1).folds(Window(15, 24))


@pytest.mark.parametrize("name", ["train", "test", "validation", "purge", "embargo"])
def test_a_length_out_of_range_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} sessions must be at least"):
        Walk(**{name: -1})


@given(
    walk=st.builds(
        Walk,
        train=st.integers(1, 30),
        test=st.integers(1, 9),
        validation=st.integers(0, 9),
        purge=st.integers(0, 5),
        embargo=st.integers(0, 5),
        anchored=st.booleans(),
    ),
    extra=st.integers(0, 9),
    length=st.integers(1, 60),
)
def test_test_windows_tile_the_span_and_learning_ends_before_each(walk: Walk, extra: int, length: int) -> None:
    span = Window(walk.before_test + extra, walk.before_test + extra + length - 1)
    folds = walk.folds(span)
    tested = [row for fold in folds for row in range(fold.test.first, fold.test.last + 1)]
    assert tested == list(range(span.first, span.last + 1))
    for fold in folds:
        assert 0 <= fold.train.first <= fold.train.last
        assert fold.last_known == fold.test.first - 1 - walk.embargo - (walk.purge if fold.validation is None else 0)
        assert walk.anchored or fold.train.last - fold.train.first + 1 == walk.train
        if fold.validation is not None:
            assert fold.train.last + walk.purge + 1 == fold.validation.first
            assert fold.validation.last - fold.validation.first + 1 == walk.validation
