"""All cells of an evaluation, computed in parallel processes; what is on disk is not computed again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol

from engine.errors import TemporaryError
from marsfolio.evaluation.cells import Cell, compute

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Watcher(Protocol):
    """Is told how the evaluation goes."""

    def done(self, cell: Cell) -> None:
        """Hear of a cell that is on disk now."""
        ...


def compute_all(cells: Sequence[Cell], jobs: int, watcher: Watcher) -> None:
    """Compute cells; those that take long are begun first.

    With one job they are computed in this process, otherwise in ``jobs`` others with one thread each. When this
    process ends, however it ends, so do they.

    Raises
    ------
    MarsfolioError
        Of the first cell that cannot be computed; those that are on disk stay.
    """
    ordered = sorted(cells, key=lambda cell: not cell.method.is_learned)
    if jobs == 1 or len(ordered) < 2:
        for cell in ordered:
            compute(cell)
            watcher.done(cell)
        return
    with _pool(min(jobs, len(ordered))) as pool:
        pending = {pool.submit(compute, cell): cell for cell in ordered}
        for future in _as_they_end(pending):
            future.result()
            watcher.done(pending[future])


def _as_they_end(pending: Iterable[Future[None]]) -> Iterator[Future[None]]:
    left = set(pending)
    while left:
        ended, left = wait(left, return_when=FIRST_COMPLETED)
        yield from ended


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Yield worker processes; when the block is left by an exception, they are ended at once."""
    with _environment():
        pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin)
        try:
            yield pool
        except BrokenProcessPool as error:
            raise TemporaryError(
                "a worker process was ended from outside, perhaps for want of memory: run the same command again, with "
                "fewer --jobs"
            ) from error
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _environment() -> Iterator[None]:
    """Let the processes that are started inside use one thread each."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin() -> None:
    # Ctrl-C reaches all processes of a terminal: the parent decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent is gone, so that two never train in one folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
