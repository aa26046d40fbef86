"""Run folders below a folder: what each is, its tags, and in what two of them differ."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.errors import InputError, RunFolderError
from marsfolio.report.writing import write_whole
from marsfolio.runs import Run, open_run

TAGS_FILE = "tags.json"
_PASSED_OVER = ("models", "cells", "figures", "bars")


@dataclass(frozen=True, slots=True)
class Entry:
    """One run of an index; None where a run has no such thing.

    Attributes
    ----------
    run : its folder, as seen from the index's.
    when : time of its config.toml, UTC.
    """

    run: str
    kind: str
    strategy: str
    start: str | None
    end: str | None
    sharpe_ratio: float | None
    total_return: float | None
    data_hash: str | None
    when: datetime
    tags: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "when": self.when.isoformat(timespec="seconds")}


def index(folder: Path) -> list[Entry]:
    """Return the runs in and below a folder, the latest last; folders that are no runs are passed over.

    Raises
    ------
    RunFolderError
        When the folder does not exist.
    """
    if not folder.is_dir():
        raise RunFolderError(f"{folder} is not a folder: name one that has runs in it or below")
    return sorted((_entry(run, folder) for run in _runs(folder)), key=lambda entry: (entry.when, entry.run))


def _runs(folder: Path) -> Iterator[Run]:
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if name not in _PASSED_OVER and not name.startswith("."))
        if "config.toml" in names:
            try:
                yield open_run(Path(place))
            except RunFolderError:  # as the config.toml of a project
                continue


def _entry(run: Run, folder: Path) -> Entry:
    try:
        metrics: Mapping[str, Any] = run.metrics
    except RunFolderError:  # an evaluation has none
        metrics = {}
    found = run.provenance.get("data_hash")
    written = (run.path / "config.toml").stat().st_mtime
    return Entry(
        run.path.relative_to(folder).as_posix(),
        run.kind,
        strategy_of(run),
        metrics.get("start"),
        metrics.get("end"),
        metrics.get("sharpe_ratio"),
        metrics.get("total_return"),
        None if found is None else str(found),
        datetime.fromtimestamp(written, UTC),
        tuple(tags_of(run)),
    )


def strategy_of(run: Run) -> str:
    """Return in a few words what a run traded."""
    said = run.options
    if "methods" in said:
        return ", ".join(map(str, said["methods"]))
    if "model" in said:
        parts = [
            Path(str(said["model"])).name,
            str(said.get("agent", "")),
            "untrained" if said.get("untrained") else "",
        ]
        return " ".join(["model", *filter(None, parts)])
    name = str(said.get("strategy") or said.get("setting") or "")
    return Path(name).name if ".py:" in name else name


def tags_of(run: Run) -> list[str]:
    """Return the tags of a run, the first given first."""
    try:
        found = json.loads((run.path / TAGS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"{run.path / TAGS_FILE} cannot be read: {error}; remove it, and tag the run anew"
        ) from error
    return [str(tag) for tag in found]


def tag(run: Run, text: str, remove: bool = False) -> list[str]:
    """Add a tag to a run, or take it away, and return the tags; they are kept in the run's folder.

    Raises
    ------
    InputError
        When the tag is empty, or is to be removed and not there.
    """
    known, text = tags_of(run), text.strip()
    if not text:
        raise InputError("a tag must not be empty")
    if remove and text not in known:
        raise InputError(f"{run.path} has no tag {text!r}; it has {', '.join(known) or 'none'}")
    tags = [one for one in known if one != text] + ([] if remove else [text])
    try:
        write_whole(run.path / TAGS_FILE, (json.dumps(tags, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise InputError(f"{run.path / TAGS_FILE} cannot be written: {error.strerror}") from error
    return tags


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in which two runs differ; None where one has no such thing."""

    what: str
    name: str
    one: Any
    other: Any


def differences(one: Run, other: Run) -> list[Difference]:
    """Return in which settings, data, versions and metrics two runs differ."""
    others = _parts(other)
    return [
        Difference(what, name, parts.get(name), others[what].get(name))
        for what, parts in _parts(one).items()
        for name in dict.fromkeys([*parts, *others[what]])
        if parts.get(name) != others[what].get(name)
    ]


def _parts(run: Run) -> dict[str, dict[str, Any]]:
    said = dict(run.provenance)
    versions, costs = said.pop("versions", {}), said.pop("costs", {})
    said.pop("remarks", None)
    try:
        metrics: dict[str, Any] = dict(run.metrics)
    except RunFolderError:
        metrics = {}
    settings = {name: value for name, value in run.options.items() if name != "out"}
    return {
        "kind": {"kind": run.kind},
        "setting": settings,
        "cost": dict(costs),
        "provenance": said,
        "version": dict(versions),
        "metric": metrics,
    }
