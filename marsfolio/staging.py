"""The place of a run folder on disk: one writer at a time, replaced whole, mended after a kill."""

from __future__ import annotations

import fcntl
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from engine.errors import RunFolderError

_NEW, _OLD = "new", "old"


@contextmanager
def claimed(place: Path, lock: Path) -> Iterator[None]:
    """Hold ``lock``, a file beside the run, so that no other process writes the same run.

    Folders made for it are removed again when nothing came to stand in them.

    Raises
    ------
    RunFolderError
        When another process holds it, or it cannot be written.
    """
    made = [folder for folder in lock.parents if not folder.exists()]
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    except OSError as error:
        raise RunFolderError(f"cannot write {lock}: {error.strerror}; choose another --out") from error
    try:
        with file:
            _lock(file, place)
            file.truncate(0)
            yield
    finally:
        with suppress(OSError):  # the first that a run now stands in ends it
            for folder in made:
                folder.rmdir()


def _lock(file: IO[str], place: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise RunFolderError(f"another marsfolio is writing {place}: wait for it, or choose another --out") from error


def staging_folder(place: Path) -> Path:
    """Return the name of a new folder beside ``place`` in which a run is built."""
    return _beside(place, _NEW, secrets.token_hex(4))


def swap(staging: Path, place: Path, keep: Iterable[str]) -> None:
    """Put ``staging`` in the place of a run; undo everything when a step fails.

    Parameters
    ----------
    keep : sub-folders of the old run that move into the new one.
    """
    old = _beside(place, _OLD, staging.name.rpartition("-")[2])
    undo: list[tuple[Path, Path]] = []

    def move(source: Path, target: Path) -> None:
        source.rename(target)
        undo.append((target, source))

    try:
        if place.exists():
            move(place, old)
        for name in keep:
            if (old / name).exists() and not (staging / name).exists():
                move(old / name, staging / name)
        move(staging, place)
    except OSError:
        for target, source in reversed(undo):
            target.rename(source)
        raise
    shutil.rmtree(old, ignore_errors=True)


def mend(place: Path, keep: Iterable[str]) -> None:
    """Finish or undo what a killed process left beside ``place``, and remove its leftovers.

    A swap begins when the new run is complete, so one that was cut short is finished.
    """
    if not place.parent.is_dir():
        return
    for old in _leftovers(place, _OLD):
        new = _beside(place, _NEW, old.name.rpartition("-")[2])
        if not place.exists() and new.exists():
            for name in keep:
                if (old / name).exists() and not (new / name).exists():
                    (old / name).rename(new / name)
            new.rename(place)
        elif not place.exists():
            old.rename(place)
    for leftover in (*_leftovers(place, _OLD), *_leftovers(place, _NEW)):
        shutil.rmtree(leftover, ignore_errors=True)


def _beside(place: Path, what: str, token: str) -> Path:
    return place.with_name(f".{place.name}.{what}-{token}")


def _leftovers(place: Path, what: str) -> list[Path]:
    start = f".{place.name}.{what}-"
    return sorted(path for path in place.parent.iterdir() if path.name.startswith(start) and path.is_dir())
