"""One cell of the evaluation: a method in a window with a seed, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from engine.clock import SystemClock
from engine.errors import DataError, RunFolderError
from engine.panel import MarketPanel
from engine.rebalancer import Terms
from engine.result import Result
from engine.walkforward import Fold
from marsfolio.evaluation import learned
from marsfolio.evaluation.methods import Method
from marsfolio.evaluation.periods import Periods
from marsfolio.evaluation.tracks import Course, Track, arrays_of, same_exposure, same_volatility, track_from, track_of

if TYPE_CHECKING:
    from agents.checkpoint import Model
    from agents.reporting import Reporter

FORMAT = 1
MAIN, UNTRAINED, SAME_VOLATILITY, SAME_EXPOSURE = "main", "untrained", "same_volatility", "same_exposure"
AGENT = "agent."
"""Tracks of a cell: the method itself, what stands beside a learned one, and each of its agents alone."""

CELL, ARRAYS = "cell.json", "arrays.npz"


@dataclass(frozen=True)
class Cell:
    """One method in one window with one seed, before it is computed.

    Attributes
    ----------
    out : folder of the evaluation.
    data, symbols : where the bars are, and which are used; None for the bundled sample, and for all.
    data_hash : content of the bars up to the end of the test window.
    null_paths : random portfolios of the no-skill null; 0 for none.
    universe : whose members are held, see `marsfolio.compose.load_market`.
    """

    out: Path
    data: Path | None
    symbols: tuple[str, ...] | None
    data_hash: str
    periods: Periods
    method: Method
    seed: int
    terms: Terms
    null_paths: int
    universe: str | None = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that determines the result, as JSON values."""
        return {**self._training_identity, "test": list(self.periods.test), "null_paths": self.null_paths}

    @cached_property
    def _training_identity(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "data_hash": self.data_hash,
            "train": list(self.periods.train),
            "validation": list(self.periods.validation),
            **self.method.identity(),
            "terms": terms_table(self.terms),
            "seed": self.seed,
        }

    @property
    def digest(self) -> str:
        """The first digits of the sha256 of the identity."""
        return _digest(self.identity)

    @property
    def configuration(self) -> str:
        """The first digits of the sha256 of what the method is, whatever window, data and seed."""
        return _digest({**self.method.identity(), "terms": terms_table(self.terms)})

    @property
    def folder(self) -> Path:
        """Where the computed cell lies: a readable name, and the digest that tells it from all others."""
        name = f"{self.periods.name}-{_plain(self.method.name)}-seed{self.seed}-{self.digest}"
        return self.out / "cells" / name

    @property
    def model(self) -> Path:
        """Where the model is trained, or lies."""
        place = self.out / "models" / self.periods.name / _plain(self.method.name)
        return place / f"{self.seed}-{_digest(self._training_identity)}"

    @property
    def label(self) -> str:
        """What the terminal calls it."""
        return f"{self.periods.name} {self.method.name}" + (f" seed {self.seed}" if self.method.is_learned else "")


@dataclass(frozen=True, eq=False)
class Outcome:
    """A computed cell.

    Attributes
    ----------
    tracks : by name, see `MAIN`.
    null : percentile of the method among random portfolios, and their Sharpe ratios' median and 5 % and 95 %
        quantiles; NaN where there is no null.
    curve : (episode, validation score) of the training.
    facts : what cell.json says beside: identity, time_utc, seconds, agent_names, notes.
    """

    tracks: dict[str, Track]
    null: dict[str, float]
    curve: list[tuple[int, float]]
    facts: Mapping[str, Any]

    @property
    def agent_names(self) -> tuple[str, ...]:
        """A names, most cautious first; empty for a method without agents."""
        return tuple(self.facts["agent_names"])


def compute(cell: Cell, reporter: Reporter | None = None) -> None:
    """Compute a cell and keep it, whole or not at all; a training that was interrupted goes on.

    Raises
    ------
    MarsfolioError
        When the data has changed, or the method cannot be run on it; the message begins with the cell.
    """
    from threadpoolctl import threadpool_limits

    begun = time.monotonic()
    panel = _panel(cell.data, cell.symbols, cell.universe)
    fold = cell.periods.fold(panel)
    if panel.rows(0, fold.test.last + 1).content_hash != cell.data_hash:
        raise DataError(f"{panel.source} has changed since the evaluation began: run it again")
    with threadpool_limits(1):  # the other processes have the other cores
        outcome = _learned(cell, panel, fold, reporter) if cell.method.is_learned else _baseline(cell, panel, fold)
    seconds = time.monotonic() - begun
    _write(cell.folder, outcome, {"identity": cell.identity, "seconds": seconds})


def read(cell: Cell) -> Outcome | None:
    """Return a computed cell, None when it has not been computed.

    Raises
    ------
    RunFolderError
        When it is damaged.
    """
    if not cell.folder.is_dir():
        return None
    try:
        facts = json.loads((cell.folder / CELL).read_text(encoding="utf-8"))
        tracks = {}
        with (cell.folder / ARRAYS).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for name, metrics in facts.pop("tracks").items():
                tracks[name] = track_from(name, arrays, _numbers(metrics))
        curve = [(int(episode), float(score)) for episode, score in facts.pop("curve")]
        return Outcome(tracks, _numbers(facts.pop("null")), curve, facts)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise RunFolderError(f"{cell.folder} is damaged ({error}): remove it, and it is computed again") from error


def clean(out: Path) -> None:
    """Remove what killed processes left half-written."""
    for leftover in (out / "cells").glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True)


def terms_table(terms: Terms) -> dict[str, Any]:
    """Return terms of trading as JSON values."""
    limits = terms.limits
    return {
        "cash": terms.cash,
        **terms.costs.table(),
        "fill": terms.timing.name.lower(),
        "fractional": terms.fractional,
        "cap": limits.cap if limits else None,
        "cash_buffer": limits.cash_buffer if limits else None,
    }


def _baseline(cell: Cell, panel: MarketPanel, fold: Fold) -> Outcome:
    from strategies.registry import baseline

    course = Course(panel, fold.test, cell.terms)
    cap = cell.terms.limits.cap if cell.terms.limits else 1.0
    result = course.run(baseline(cell.method.name.partition(":")[0], cap), cell.method.schedule)
    facts = {"agent_names": [], "notes": result.remarks()}
    return Outcome({MAIN: track_of(result)}, _null(cell, panel, fold, result), [], facts)


def _learned(cell: Cell, panel: MarketPanel, fold: Fold, reporter: Reporter | None) -> Outcome:
    assert cell.method.settings is not None
    model = learned.train(panel, fold, cell.method.settings, cell.terms, cell.seed, cell.model, reporter)
    course = Course(panel, fold.test, cell.terms)
    result = course.run(model.policy)
    facts = {"agent_names": list(result.agent_names), "notes": result.remarks(), "model_hash": model.hash}
    tracks = {MAIN: track_of(result), **dict(_companions(course, model, track_of(result)))}
    return Outcome(tracks, _null(cell, panel, fold, result), learned.learning_curve(model), facts)


def _companions(course: Course, model: Model, track: Track) -> Iterator[tuple[str, Track]]:
    yield UNTRAINED, track_of(course.run(model.untrained_policy))
    yield SAME_VOLATILITY, track_of(same_volatility(course, track))
    yield SAME_EXPOSURE, track_of(same_exposure(course, track))
    for name, make_policy in learned.agents_alone(model).items():
        yield AGENT + name, track_of(course.run(make_policy))


def _null(cell: Cell, panel: MarketPanel, fold: Fold, result: Result) -> dict[str, float]:
    from engine.statistics import no_skill_null, timing_percentile

    if not cell.null_paths or not result.decided.any():
        return {}
    null = no_skill_null(result, panel, fold.test.first, paths=cell.null_paths, seed=cell.seed)
    low, high = null.range()["sharpe_ratio"]
    percentile = null.percentile(result.metrics())
    return {
        "null_percentile": percentile["sharpe_ratio"],
        "null_percentile_return": percentile["total_return"],
        "null_sharpe_median": null.median()["sharpe_ratio"],
        "null_sharpe_low": low,
        "null_sharpe_high": high,
        "null_turnover": null.turnover,
        "timing_percentile": timing_percentile(result, panel, fold.test.first),
    }


def _write(folder: Path, outcome: Outcome, more: Mapping[str, Any]) -> None:
    document = {
        **outcome.facts,
        **more,
        "time_utc": SystemClock().now().isoformat(timespec="seconds"),
        "tracks": {name: _json(track.metrics) for name, track in outcome.tracks.items()},
        "null": _json(outcome.null),
        "curve": outcome.curve,
    }
    arrays = {key: values for name, track in outcome.tracks.items() for key, values in arrays_of(name, track).items()}
    staging = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        staging.mkdir(parents=True)
        np.savez_compressed(staging / ARRAYS, **arrays)
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        (staging / CELL).write_text(text + "\n", encoding="utf-8")
        staging.rename(folder)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise RunFolderError(f"cannot write {folder}: {error.strerror}; make room, or choose another --out") from error


@lru_cache(maxsize=1)
def _panel(data: Path | None, symbols: tuple[str, ...] | None, universe: str | None) -> MarketPanel:
    from marsfolio.compose import load_market

    return load_market(data, symbols, universe).panel


def _digest(identity: Mapping[str, Any]) -> str:
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name)


def _json(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else float(value) for name, value in values.items()}
