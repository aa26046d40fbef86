"""Run folders: written whole or not at all, and read back."""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from engine.arrays import FloatArray
from engine.errors import ConfigError, RunFolderError
from engine.ledger import FillTiming
from engine.result import Result
from engine.tradelog import CASH_FLOW_COLUMNS, COLUMNS, ROUND_TRIP_COLUMNS, read_table, write_table
from marsfolio.config import FORMAT_VERSION, RUN_KEYS, check_version, read_toml
from marsfolio.logs import logged_at, open_log, run_log
from marsfolio.report.page import render
from marsfolio.report.writing import write_whole
from marsfolio.staging import claimed, mend, staging_folder, swap
from marsfolio.values import json_value, plain

EQUITY_COLUMNS = ("session", "equity", "cash", "gross_exposure", "turnover", "drawdown")
DECISION_COLUMNS = ("session", "symbol", "target_weight", "executed_weight", "limit_applied")
LOG_FILE = "marsfolio.log"

CLOSES_ONLY_REMARK = "the data has closes only: next_open means the next close, and volumes are unknown"
SAME_CLOSE_REMARK = (
    "fills at the close that was decided on (same_close) are optimistic: nobody can see a close and trade at it. "
    "equity.csv shows a close before its fills: those of a session are in the cash and turnover of the next row"
)

_PACKAGES = ("marsfolio", "numpy", "pandas", "backtrader", "torch", "numba")
_TEXT = {*COLUMNS[:6], "reason", *ROUND_TRIP_COLUMNS[:3], *CASH_FLOW_COLUMNS[:3], "limit_applied"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run folder; its files are read when they are asked for.

    Attributes
    ----------
    config : config.toml.
    """

    path: Path
    config: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What made the run, such as ``backtest``."""
        return str(self.config["kind"])

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Seed, versions, hashes of data and model."""
        return _table(self.config, "provenance")

    @property
    def command(self) -> str:
        """The command that made the run, whose table of options config.toml holds; empty when it holds none."""
        return next((key for key in self.config if key not in RUN_KEYS), "")

    @property
    def options(self) -> Mapping[str, Any]:
        """The resolved options of that command."""
        return _table(self.config, self.command)

    @property
    def remarks(self) -> list[str]:
        """What a reader of the results should know."""
        return [str(remark) for remark in self.provenance.get("remarks", [])]

    @cached_property
    def equity(self) -> pd.DataFrame:
        """The table of equity.csv."""
        table = self._read("equity.csv", EQUITY_COLUMNS)
        if table.empty:
            raise RunFolderError(f"{self.path / 'equity.csv'} has no rows: it is damaged, repeat the run")
        return table

    @cached_property
    def trades(self) -> pd.DataFrame:
        """The table of trades.csv."""
        table = self._read("trades.csv", COLUMNS)
        if len(table) != self.metrics.get("n_fills", len(table)):
            raise RunFolderError(
                f"{self.path / 'trades.csv'} has {len(table)} fills and metrics.json says {self.metrics['n_fills']}: "
                "it is damaged, repeat the run"
            )
        return table

    @cached_property
    def cash_flows(self) -> pd.DataFrame:
        """The table of cash_flows.csv."""
        return self._read("cash_flows.csv", CASH_FLOW_COLUMNS)

    @cached_property
    def round_trips(self) -> pd.DataFrame:
        """The table of round_trips.csv."""
        return self._read("round_trips.csv", ROUND_TRIP_COLUMNS)

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """The table of decisions.parquet."""
        return self._read("decisions.parquet", DECISION_COLUMNS)

    def arrow_decisions(self) -> Any:
        """Return the table of decisions.parquet as Arrow's, in which thousands of symbols need little memory."""
        import pyarrow.parquet as pq

        names = ["session", "symbol"]
        return pq.read_table(self.path / "decisions.parquet", read_dictionary=names).combine_chunks()

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The entries of metrics.json; None where undefined."""
        return self._object("metrics.json")

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """The entries of statistics.json: intervals, trials, the no-skill null; empty when there is no such file."""
        return self._object("statistics.json") if (self.path / "statistics.json").exists() else {}

    def _object(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RunFolderError(f"{path} does not exist: is its folder a finished run?") from error
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{path} cannot be read as JSON: {error}") from error
        if not isinstance(found, dict):
            raise RunFolderError(f"{path} must hold an object, holds {type(found).__name__}")
        return found

    def _read(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        path = self.path / name
        table = read_table(path)
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise RunFolderError(f"{path} has no column {missing[0]!r}: it is damaged, repeat the run")
        for column in table.columns:
            if column not in _TEXT and not pd.api.types.is_numeric_dtype(table[column]):
                table[column] = _numbers(table[column], path)
        return table


def open_run(path: Path) -> Run:
    """Open a run folder.

    Raises
    ------
    RunFolderError
        When the folder or its config.toml is missing, damaged, or of a newer format.
    """
    if not path.is_dir():
        raise RunFolderError(f"{path} is not a folder: give the folder of a run")
    file = path / "config.toml"
    if not file.exists():
        raise RunFolderError(f"{path} is not a run: it has no config.toml")
    try:
        config = read_toml(file)
        check_version(config, file)
    except ConfigError as error:
        raise RunFolderError(str(error)) from error
    if not isinstance(config.get("kind"), str):
        raise RunFolderError(f"{file} does not say the kind of the run: it is damaged, repeat the run")
    return Run(path, config)


def check_out(out: Path, kind: str, keep: Iterable[str] = ()) -> None:
    """Refuse a place where a run cannot be written; call it before long work.

    Parameters
    ----------
    kind : kind of the run; an earlier run of the same kind is replaced.
    keep : names of sub-folders that may be there before the run.

    Raises
    ------
    RunFolderError
        When ``out`` is a file, a folder with anything but a run of this kind, or cannot be written.
    """
    if out.is_dir():
        _check_replaceable(out, kind, keep)
    elif os.path.lexists(out):
        raise RunFolderError(f"{out} is a file, and a run is a folder: choose another --out")
    above = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise RunFolderError(f"{out} cannot be written: {above} is not a folder open to you; choose another --out")


def _check_replaceable(out: Path, kind: str, keep: Iterable[str]) -> None:
    try:
        if {entry.name for entry in out.iterdir()} <= set(keep):
            return
        found = open_run(out).kind
    except RunFolderError as error:
        raise RunFolderError(
            f"{out} is not empty and not a finished run ({error}): choose another --out, or empty it"
        ) from error
    except OSError as error:
        raise RunFolderError(f"{out} cannot be read: {error.strerror}; choose another --out") from error
    if found != kind:
        raise RunFolderError(
            f"{out} holds a run of kind {found!r}, which a run of kind {kind!r} does not replace: "
            "choose another --out, or remove it"
        )


@contextmanager
def recording(out: Path, kind: str, keep: Iterable[str] = ()) -> Iterator[None]:
    """Check ``out`` and log what happens inside; use it around the whole of a run.

    The log is OUT.marsfolio.log beside the folder; it moves into the run once that is written, stays when a bug
    stops the run, and goes otherwise.

    Raises
    ------
    RunFolderError
        As `check_out`.
    """
    place = out.resolve()
    beside = place.with_name(f"{place.name}.{LOG_FILE}")
    _check_place(out, place)
    with claimed(place, beside):
        needed = False
        try:
            mend(place, keep)
            check_out(out, kind, keep)
            with run_log(beside):
                yield
            if (place / LOG_FILE).exists():
                beside.replace(place / LOG_FILE)
        except BaseException as error:
            needed = logged_at(error) is not None
            raise
        finally:
            if not needed:
                beside.unlink(missing_ok=True)


def _check_place(out: Path, place: Path) -> None:
    here = Path.cwd()
    if place == here or place in here.parents:
        raise RunFolderError(f"--out {out} is the folder you are in, or above it: name a folder of its own for the run")


def write_run(
    out: Path,
    kind: str,
    result: Result,
    command: str,
    options: Mapping[str, Any],
    provenance: Mapping[str, Any],
    benchmark: FloatArray | None = None,
    remarks: Iterable[str] = (),
    keep: Sequence[str] = (),
    statistics: Mapping[str, Any] | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> None:
    """Write a run folder, replacing an earlier run of the same kind at once.

    Parameters
    ----------
    kind : what makes the run; the name of its table of options in config.toml is ``command``.
    options : the command's resolved options, as TOML values.
    provenance : seed, data_hash, model_hash and whatever else repeats the run; versions are added, None is
        left out.
    benchmark : (T,) value of the benchmark at each close.
    remarks : what a reader should know, beyond the result's own remarks.
    keep : sub-folders of an earlier run that move into the new one.
    statistics : what statistics.json holds (`engine.statistics.statistics_table`); None for no such file.
    tables : file name, such as folds.csv, to further tables.

    Raises
    ------
    RunFolderError
        When the folder cannot be written or replaced; an earlier run is then still there.
    """
    check_out(out, kind, keep)
    place = out.resolve()
    staging = staging_folder(place)
    try:
        staging.mkdir(parents=True)
        told = told_of(result, remarks)
        write_config(staging / "config.toml", kind, command, options, {**provenance, "remarks": told})
        _write_tables(staging, result, benchmark, tables or {})
        write_values(staging / "metrics.json", result.metrics())
        if statistics is not None:
            write_values(staging / "statistics.json", statistics)
        write_report(staging, place)
        for remark in told:
            logger.info("%s", remark)
        logger.info("run written to %s", out)
        _copy_log(staging / LOG_FILE)
        swap(staging, place, keep)
    except OSError as error:
        raise RunFolderError(f"cannot write the run {out}: {error.strerror or error}; choose another --out") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_report(folder: Path, place: Path | None = None) -> Path:
    """Write report.html from the other files of a run folder, and return its path.

    Parameters
    ----------
    place : where the folder will be, for the report to name; where it is when None.

    Raises
    ------
    RunFolderError
        When a file of the run is missing or damaged, or the report cannot be written.
    """
    target = folder / "report.html"
    page = render(open_run(folder), place or folder.resolve())
    try:
        write_whole(target, page.encode())
    except OSError as error:
        raise RunFolderError(f"cannot write {target}: {error.strerror}") from error
    return target


def _timing_remarks(result: Result) -> list[str]:
    return [SAME_CLOSE_REMARK] if result.terms.timing is FillTiming.SAME_CLOSE else []


def write_config(
    path: Path, kind: str, command: str, options: Mapping[str, Any], provenance: Mapping[str, Any]
) -> None:
    """Write the config.toml of a run or an evaluation; parameters as in `write_run`, versions are added."""
    document = config_document(kind, command, options, provenance)
    path.write_text(tomli_w.dumps(document, multiline_strings=False), encoding="utf-8")


def config_document(
    kind: str, command: str, options: Mapping[str, Any], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what config.toml says; parameters as in `write_config`."""
    document = {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        command: options,
        "provenance": {**provenance, "versions": versions()},
    }
    found: dict[str, Any] = plain(document)
    return found


def told_of(result: Result, remarks: Iterable[str]) -> list[str]:
    """Return all remarks of a run: on its timing, its result's own, and others."""
    return list(dict.fromkeys([*_timing_remarks(result), *result.remarks(), *remarks]))


def _write_tables(
    folder: Path, result: Result, benchmark: FloatArray | None, tables: Mapping[str, pd.DataFrame]
) -> None:
    write_table(result.equity_table(benchmark), folder / "equity.csv", "csv")
    write_table(result.trades.table(), folder / "trades.csv", "csv")
    write_table(result.cash_flow_table(), folder / "cash_flows.csv", "csv")
    write_table(result.round_trip_table(), folder / "round_trips.csv", "csv")
    write_table(result.decision_table(), folder / "decisions.parquet", "parquet")
    for name, table in tables.items():
        write_table(table, folder / name, name.rpartition(".")[2])


def write_values(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as JSON, whole or not at all; null for numbers that are not finite."""
    text = json.dumps(json_value(values), indent=2, allow_nan=False, ensure_ascii=False)
    write_whole(path, (text + "\n").encode())


def _copy_log(path: Path) -> None:
    log = open_log()
    if log is None:
        path.touch()
    else:
        shutil.copyfile(log, path)


def versions() -> dict[str, str]:
    """Return the versions of what computes a run."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = config.get(name, {})
    return table if isinstance(table, Mapping) else {}


def _numbers(column: pd.Series[Any], path: Path) -> pd.Series[Any]:
    # Python's float, because pandas' conversion of text may be off in the last digit.
    try:
        return pd.Series([math.nan if text == "" else float(text) for text in column], dtype="float64")
    except (TypeError, ValueError) as error:
        raise RunFolderError(
            f"{path}: {column.name} must be numbers ({error}): it is damaged, repeat the run"
        ) from error
