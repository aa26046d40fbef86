"""The scheduler in front of the service: what it keeps, and how it ends."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.errors import Interrupted, RunFolderError
from live import scheduler
from live.scheduler import JOB, STORE_FILE, serve, started
from live.timing import EXCHANGE

LONG = 3600.0


def nothing() -> None:
    """Stop nothing."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_what_the_tick_waits_for(tmp_path: Path, number: int) -> None:
    stopped = threading.Event()
    waits: list[bool] = []

    def tick() -> None:
        os.kill(os.getpid(), number)
        waits.append(stopped.wait(10))

    before = signal.getsignal(number)
    serve(tick, stopped.set, tmp_path, LONG)
    assert waits == [True]
    assert signal.getsignal(number) == before


def test_what_a_tick_raises_is_raised(tmp_path: Path) -> None:
    def tick() -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        serve(tick, nothing, tmp_path, LONG)


def test_an_interrupted_tick_is_a_good_end(tmp_path: Path) -> None:
    def tick() -> None:
        raise Interrupted("between two orders")

    serve(tick, nothing, tmp_path, LONG)


def test_ticks_never_overlap_and_none_follows_the_end(tmp_path: Path) -> None:
    running = threading.Lock()
    overlaps: list[bool] = []

    def tick() -> None:
        free = running.acquire(blocking=False)
        overlaps.append(not free)
        threading.Event().wait(0.03)
        running.release()
        if len(overlaps) == 3:
            raise Interrupted("enough")

    serve(tick, nothing, tmp_path, 0.01)
    assert overlaps == [False] * 3


def test_the_job_is_kept_in_new_york_time_and_is_made_up_for_once(tmp_path: Path) -> None:
    running = started(tmp_path, LONG)
    try:
        job = running.get_job(JOB)
        assert (job.coalesce, job.max_instances, job.misfire_grace_time) == (True, 1, None)
        assert job.trigger.timezone == EXCHANGE
        assert job.trigger.interval == timedelta(seconds=LONG)
        assert running.timezone == EXCHANGE
    finally:
        running.shutdown()
    with sqlite3.connect(tmp_path / STORE_FILE) as store:
        assert store.execute("SELECT id FROM apscheduler_jobs").fetchall() == [(JOB,)]
    store.close()


def test_a_tick_missed_long_ago_is_done_once_after_a_restart(tmp_path: Path) -> None:
    running = started(tmp_path, 0.5)
    running.pause()
    running.modify_job(JOB, next_run_time=SystemClock().now() - timedelta(days=3))
    running.shutdown()
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(1)
        os.kill(os.getpid(), signal.SIGTERM)

    serve(tick, nothing, tmp_path, LONG)
    assert ticks == [1]


def test_a_stored_job_of_another_process_does_nothing() -> None:
    scheduler.fire()


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    (tmp_path / STORE_FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(RunFolderError, match=r"schedule\.db is damaged"):
        serve(nothing, nothing, tmp_path, LONG)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
