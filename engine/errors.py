"""Every error this project raises on purpose, split by what the reader can do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MarsfolioError(Exception):
    """Base of all errors below; the message names the place, the rule and the value, and says what to do."""

    exit_code = 1


class InputError(MarsfolioError):
    """Something the user gave is wrong: mend it and run again (exit code 2)."""

    exit_code = 2


class DataError(InputError):
    """A file of bars or of target weights breaks a rule; names file, row and value."""


class ConfigError(InputError):
    """A flag or a key of a configuration file is unknown or out of range."""


class CheckpointError(InputError):
    """A model folder is missing, damaged, or was made by something else."""


class PolicyError(InputError):
    """A policy returned weights that are not a long-only portfolio."""


class UserCodeError(InputError):
    """A strategy of the user's own raised an exception; the message says where, the log has the traceback."""


class LookAheadError(InputError):
    """A strategy knows what comes after its decision, or does not decide the same twice."""


class RunFolderError(InputError):
    """A run folder is missing, incomplete, or in the way of something else."""


class TemporaryError(MarsfolioError):
    """The outside world failed for now: try again later (exit code 3)."""

    exit_code = 3


class TradingStopped(MarsfolioError):  # noqa: N818 - a state, not a fault of the program
    """Trading has stopped and a person is needed (exit code 4)."""

    exit_code = 4


class Interrupted(MarsfolioError):  # noqa: N818 - not a fault
    """The user stopped it; the message says what is kept and how to go on (exit code 130)."""

    exit_code = 130


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``, did you mean 'x'`` with the nearest of the known names; empty when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}" if near else ""
