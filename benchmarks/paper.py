"""CPU, memory and growth of a replay through the paper service, and of its status page: twenty symbols.

python benchmarks/paper.py --data us50.parquet

Without --data, the file us50.parquet in the folder that MARSFOLIO_DATA names; without that, the bundled sample.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.clock import VirtualClock
from live.replay import ReplayWaiter, replay
from live.timing import StartTime
from marsfolio.paper.account import open_account, replay_sessions
from marsfolio.paper.folder import write_folder
from marsfolio.paper.options import PaperOptions
from marsfolio.paper.setup import panel_of

SYMBOLS, SESSIONS, WARM_UP, YEAR = 20, 124, 20, 252
HEADER = ("", "found")
WORDS = (
    f"`marsfolio paper run --broker simulated --replay` of equal_weight, {SYMBOLS} symbols, {SESSIONS} sessions: every "
    "order is journalled, sent, filled by the embedded account and booked. Growth compares the first and the last "
    f"quarter of the sessions after the first {WARM_UP}, and must stay level. The page is `marsfolio paper serve` "
    f"on {YEAR} sessions, asked over the loopback."
)


@dataclass
class Samples:
    """CPU seconds and resident bytes after each session."""

    cpu: list[float] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)

    def take(self, *_: Any) -> None:
        """Take one sample."""
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        self.cpu.append(time.process_time())
        self.resident.append(pages * os.sysconf("SC_PAGESIZE"))


def rows(data: Path | None) -> list[list[str]]:
    """Replay once and return what was found."""
    whole = panel_of(PaperOptions(strategy="equal_weight", data=None if data is None else str(data)))
    symbols = ",".join(whole.symbols[:SYMBOLS])
    file = None if data is None else str(data)
    options = PaperOptions(strategy="equal_weight", symbols=symbols, broker="simulated", data=file)
    samples, start, before = Samples(), time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        fills = _replay(options, samples, Path(folder), SESSIONS)
    wall, cpu = time.perf_counter() - start, time.process_time() - before
    each = np.diff(samples.cpu)[WARM_UP:]
    quarter = len(each) // 4
    grown = np.median(each[-quarter:]) / np.median(each[:quarter]) - 1
    memory = samples.resident[-1] / samples.resident[WARM_UP] - 1
    return [
        ["wall s", f"{wall:.1f}"],
        ["CPU s", f"{cpu:.1f}"],
        ["fills", f"{fills:,}"],
        ["CPU ms a session, median", f"{1e3 * np.median(each):.0f}"],
        ["growth of a session's CPU", f"{grown:+.0%}"],
        ["resident MB at the end", f"{samples.resident[-1] / 2**20:,.0f}"],
        ["growth of memory", f"{memory:+.1%}"],
        *_page_rows(options),
    ]


def _page_rows(options: PaperOptions) -> list[list[str]]:
    """Serve the page of a year of sessions, and return how long it takes and how large the server becomes."""
    with tempfile.TemporaryDirectory() as folder:
        _replay(options, Samples(), Path(folder), YEAR)
        command = [sys.executable, "-m", "marsfolio", "paper", "serve", "--state", folder, "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                url = str(server.stdout.readline()).split()[-4] if server.stdout else ""
                first, size = _fetch(url)
                again = [_fetch(url)[0] for _ in range(20)]
                status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
            finally:
                server.terminate()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return [
        ["page of a year: first answer, ms", f"{1e3 * first:.0f}"],
        ["page of a year: later, median ms", f"{1e3 * np.median(again):.0f}"],
        ["page of a year: kB", f"{size / 1e3:.0f}"],
        ["its server: peak resident MB", f"{peak / 2**10:.0f}"],
    ]


def _fetch(url: str) -> tuple[float, int]:
    """Return seconds and bytes of the page with all that it shows."""
    start = time.perf_counter()
    size = 0
    for path in ("", "content"):
        with urllib.request.urlopen(url + path) as answer:
            size += len(answer.read())
    return time.perf_counter() - start, size


def _replay(options: PaperOptions, samples: Samples, state: Path, n_sessions: int) -> int:
    """Replay the last sessions of the data as the command does, and return the number of fills."""
    panel = panel_of(options)
    days = panel.sessions[-n_sessions:]
    sessions = replay_sessions(panel, options.calendar, f"{days[0]}:{days[-1]}")
    clock = VirtualClock(sessions[0].close)
    desk = open_account(options, state, ReplayWaiter(clock), clock, sessions[0].session).desk
    replay(desk, clock, StartTime.parse(options.at), sessions, samples.take)
    write_folder(state, desk.journal, desk.recipe.symbols, desk.recipe.terms)
    fills = desk.journal.count_fills()
    desk.journal.dispose()
    return fills


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    known = Path(os.environ.get("MARSFOLIO_DATA", "absent")) / "us50.parquet"
    found = rows(given.data or (known if known.exists() else None))
    if given.json:
        print(json.dumps({"words": WORDS, "header": HEADER, "rows": found}))
        return
    for name, value in found:
        print(f"{name:34} {value:>10}")


if __name__ == "__main__":
    main()
