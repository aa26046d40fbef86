"""What the page leaves to commands in processes of their own: the kill switch, and the backtest to compare with.

They load compilers and tables that the page itself does without, and the page lives on whatever becomes of them.
"""

from __future__ import annotations

import asyncio
import csv
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

SWITCH_SECONDS = 120.0
DRIFT_SECONDS = 300.0
PAUSE_SECONDS = 20.0
"""A replay books many sessions a second: the comparison is made no more often than this."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a command said; ``code`` 0 when it did all it was asked for."""

    code: int
    lines: tuple[str, ...]


async def command(arguments: Sequence[str], seconds: float) -> Told:
    """Run a marsfolio command and return what it printed; one that takes too long is ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "marsfolio", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, errors = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        return Told(3, (f"`marsfolio {' '.join(arguments[:2])}` took more than {seconds:.0f} s and was ended",))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = (said + errors).decode(errors="replace").splitlines()
    return Told(process.returncode or 0, tuple(line for line in lines if line.strip()))


async def switch(state: Path, what: str, reason: str) -> Told:
    """Halt or resume trading."""
    given = [f"--reason={reason}"] if what == "halt" else []
    return await command(["paper", what, "--state", str(state), *given], SWITCH_SECONDS)


@dataclass
class Backtest:
    """The backtest of an account's own decisions, computed anew once a session is booked, in the background.

    Attributes
    ----------
    equity : session to account value of the backtest, as far as it is known.
    trouble : why it is not known.
    """

    state: Path
    equity: dict[str, float] = field(default_factory=dict)
    trouble: str = ""
    version: int = 0
    _upto: date | None = None
    _not_before: float = 0.0
    _task: asyncio.Task[None] | None = None

    def want(self, upto: date | None, closes: int) -> None:
        """Begin to compute it when there is something new to compare; one computation at a time."""
        loop = asyncio.get_running_loop()
        busy = loop.time() < self._not_before or (self._task is not None and not self._task.done())
        if upto is None or closes < 2 or upto == self._upto or busy:
            return
        self._upto, self._not_before = upto, loop.time() + PAUSE_SECONDS
        self._task = loop.create_task(self._compute())

    async def end(self) -> None:
        """Stop computing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _compute(self) -> None:
        with tempfile.TemporaryDirectory(prefix="marsfolio-page-") as folder:
            out = Path(folder) / "drift.csv"
            told = await command(["paper", "drift", f"--state={self.state}", f"--out={out}"], DRIFT_SECONDS)
            if told.code == 0:
                self.equity, self.trouble = _backtest_of(out), ""
            else:
                self.trouble = " ".join(told.lines)[-500:].removeprefix("error: ")
        self.version += 1


def _backtest_of(table: Path) -> dict[str, float]:
    with table.open(encoding="utf-8", newline="") as file:
        return {row["session"]: float(row["backtest"]) for row in csv.DictReader(file)}
