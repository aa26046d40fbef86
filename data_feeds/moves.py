"""Large moves of a price: what tells an unadjusted split and a bad price from news."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.arrays import FloatArray

_USUAL_SPLITS = np.array([1.5, *range(2, 11), 15, 20, 25, 30, 40, 50, 100])
_LIKENESS = 0.03
_AFTER, _BEFORE = 5, 10
_FEWEST = 3
_BACK = 0.05
_CLEAR = np.log(1.9)
"""Without volumes, a fall by a third is rather news than a split of 3 for 2."""


class SplitMove(NamedTuple):
    """A move of the price by a usual ratio.

    Attributes
    ----------
    name : as in ``3 for 2``.
    stays : whether price and volume went on as after a split.
    """

    name: str
    stays: bool


def split_move(open_: FloatArray, close: FloatArray, volume: FloatArray, row: int) -> SplitMove | None:
    """Return the split that the move from a close to the next open looks like; None when it is like none.

    It stays when the next closes are nearer to the new price than to the old one and, where volumes are known, half as
    many times more (in logarithms) or more shares are traded after it: a split makes more of them.

    Parameters
    ----------
    open_, close, volume : (R,) the bars of one symbol; the move is from ``close[row - 1]`` to ``open_[row]``.
    """
    move = float(open_[row] / close[row - 1])
    ratio = max(move, 1 / move)
    nearest = float(_USUAL_SPLITS[np.argmin(np.abs(np.log(_USUAL_SPLITS / ratio)))])
    if abs(nearest / ratio - 1) > _LIKENESS:
        return None
    new, old = ("3", "2") if nearest == 1.5 else (f"{nearest:g}", "1")
    name = f"{new} for {old}" if move < 1 else f"{old} for {new}"
    return SplitMove(name, _stays(close, move, row) and _volume_follows(volume, move, row))


def comes_back(returns: FloatArray, row: int) -> bool:
    """Return whether a return (of R) is undone by the next: both together are within 5 %."""
    return row + 1 < len(returns) and bool(abs((1 + returns[row]) * (1 + returns[row + 1]) - 1) <= _BACK)


def _stays(close: FloatArray, move: float, row: int) -> bool:
    after = close[row : row + _AFTER]
    off = np.abs(np.log(after / (close[row - 1] * move)))
    return len(after) >= _FEWEST and bool((off < abs(np.log(move)) / 2).all())


def _volume_follows(volume: FloatArray, move: float, row: int) -> bool:
    before, after = volume[max(0, row - _BEFORE) : row], volume[row : row + _BEFORE]
    before, after = before[before > 0], after[after > 0]
    if not before.size or not after.size:
        return bool(abs(np.log(move)) > _CLEAR)
    more = np.log(np.median(after) / np.median(before))
    return bool(more / -np.log(move) >= 0.5)
