"""The one way this project compiles array functions with numba."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def _engine_stamp() -> tuple[float, int]:
    """Return when any source file of the engine last changed, and their total size."""
    files = [path.stat() for path in Path(__file__).parent.rglob("*.py")]
    return max(file.st_mtime for file in files), sum(file.st_size for file in files)


ENGINE_STAMP = _engine_stamp()


def compiled(function: F) -> F:
    """Compile ``function`` with numba on its first call and keep the machine code on disk.

    No fast-math: the same input must give the same bits in training, backtest and paper trading. Numba's cache
    knows the file of a function but not those of the functions it calls; here a change of any file of the
    engine makes all cached code stale, or a corrected cost would go on being charged as before.
    """
    dispatcher = numba.njit(cache=True)(function)
    # Numba offers no public way to set the stamp; under NUMBA_DISABLE_JIT there is no dispatcher.
    cache = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if cache is not None:
        cache._source_stamp = ENGINE_STAMP
    return cast(F, dispatcher)
