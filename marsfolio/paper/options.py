"""What a paper account is told: flags, a configuration file, and what the state folder remembers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

from engine.errors import ConfigError, RunFolderError
from marsfolio.config import check_version, read_toml

KIND = "paper"
CONFIG_FILE = "config.toml"
JOURNAL_FILE = "paper.db"
DATABASE_VARIABLE = "MARSFOLIO_DATABASE"
BROKERS = ("alpaca", "simulated")


@dataclass(frozen=True, slots=True)
class PaperOptions:
    """Everything that makes a paper account what it is, and how it may trade; names are those of the flags."""

    model: str | None = None
    agent: str | None = None
    strategy: str | None = None
    param: tuple[str, ...] = ()
    weights: str | None = None
    symbols: str | None = None
    rebalance: str = "daily"
    broker: str = "alpaca"
    data: str | None = None
    feed: str = "sip"
    cash: float = 1_000_000.0
    costs: str | None = None
    commission_bps: float | None = None
    slippage_bps: float | None = None
    fill: str = "next_open"
    fractional: bool = False
    cap: float | None = None
    cash_buffer: float | None = None
    history: int = 300
    calendar: str = "XNYS"
    at: str = "09:00"
    max_turnover: float = 0.5
    max_orders: int = 500
    max_notional: float | None = None
    max_loss: float = 0.3
    database: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str) -> PaperOptions:
        """Return the options of a table of values.

        Raises
        ------
        ConfigError
            When there is one that no flag is called.
        """
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise ConfigError(f"{where} has the unknown key {name!r}: it was written by another marsfolio")
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**given)

    def table(self) -> dict[str, Any]:
        """Return them as a table of TOML values; without the database's address, which may hold a password."""
        kept = {name: value for name, value in asdict(self).items() if value is not None and name != "database"}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}


def resolved_options(given: Mapping[str, Any], state: Path) -> PaperOptions:
    """Return what the state folder remembers, overruled by what was given on the command line or in a file.

    Parameters
    ----------
    given : flag name to value, of those that were given.

    Raises
    ------
    RunFolderError
        When the folder holds something else, or is damaged.
    """
    known = remembered(state)
    base = PaperOptions() if known is None else known
    changed = {name: _plain(value) for name, value in given.items()}
    if "model" in changed and "strategy" not in changed:
        base = replace(base, strategy=None)
    if "strategy" in changed and "model" not in changed:
        base = replace(base, model=None)
    return replace(base, **changed)


def remembered(state: Path) -> PaperOptions | None:
    """Return the options that a state folder remembers; None for a new one."""
    if not state.exists():
        return None
    if not state.is_dir():
        raise RunFolderError(f"--state {state} is a file: give a folder, made when there is none")
    path = state / CONFIG_FILE
    if not path.exists():
        others = [entry.name for entry in state.iterdir() if not _is_ours(entry.name)]
        if others:
            raise RunFolderError(
                f"--state {state} is not empty and not the state of a paper account (it has {others[0]}): "
                "choose another --state"
            )
        return None
    document = read_toml(path)
    check_version(document, path)
    if document.get("kind") != KIND:
        raise RunFolderError(
            f"--state {state} is a run of kind {document.get('kind')!r}, not of a paper account: choose another --state"
        )
    options = PaperOptions.of(document.get(KIND, {}), f"{path}: [{KIND}]")
    # The address may hold a password, so that no file keeps it: it is given to every command anew.
    return replace(options, database=os.environ.get(DATABASE_VARIABLE) or None)


OURS = ("lock", "marsfolio.log", "paper.db", "simulated.db", "schedule.db", "health.json", "bars", ".probe")
"""What may stand in a state folder before its config.toml does."""


def _is_ours(name: str) -> bool:
    """Return whether a first run that was killed may have left this."""
    name = name.removesuffix("-journal")
    return name in OURS or (name.startswith(".") and name.endswith(".new"))


_PATHS = ("model", "data", "weights")


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return os.path.abspath(value)
    return tuple(value) if isinstance(value, list) else value
