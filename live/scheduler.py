"""APScheduler in front of the service: a job, kept in a database, that fires often and asks the broker's clock."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import DatabaseError

from engine.clock import SystemClock
from engine.errors import Interrupted, RunFolderError
from live.timing import EXCHANGE

logger = logging.getLogger(__name__)

JOB = "tick"
STORE_FILE = "schedule.db"
WAKE_SECONDS = 0.5


class Ticking:
    """Does the ticks of this process, and keeps what ended them.

    Attributes
    ----------
    ended : set once no more ticks are wanted.
    failure : what a tick raised.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self.ended = threading.Event()
        self.failure: BaseException | None = None

    def fire(self) -> None:
        """Do one tick, unless they have ended."""
        if self.ended.is_set():
            return
        try:
            self._tick()
        except BaseException as error:  # told by `serve`, in the thread that waits for it
            self.failure = error
            self.ended.set()


_ticking: Ticking | None = None


def fire() -> None:
    """Do one tick of the service of this process; the stored job names this function."""
    if _ticking is not None:
        _ticking.fire()


def serve(tick: Callable[[], None], stop: Callable[[], None], folder: Path, seconds: float) -> None:
    """Call ``tick`` at once and then every so many seconds until SIGTERM, SIGINT, or a tick that raises.

    A tick that comes late is made up for once; two never run at the same time. What a tick raises is raised here,
    `Interrupted` apart: that is a good end.

    Parameters
    ----------
    stop : called on a signal, to end what the tick waits for.
    folder : of the state.

    Raises
    ------
    RunFolderError
        When the file of the schedule is damaged.
    """
    global _ticking
    ticking = _ticking = Ticking(tick)

    def end(number: int, frame: object) -> None:
        logger.info("signal %s: stopping", signal.Signals(number).name)
        stop()
        ticking.ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        scheduler = started(folder, seconds)
        try:
            # The system may give a signal to another thread; its handler runs when this one wakes up, and not before.
            while not ticking.ended.wait(WAKE_SECONDS):
                pass
        finally:
            scheduler.shutdown(wait=True)
    finally:
        _ticking = None
        for number, handler in before.items():
            signal.signal(number, handler)
    if ticking.failure is not None and not isinstance(ticking.failure, Interrupted):
        raise ticking.failure


def started(folder: Path, seconds: float) -> BackgroundScheduler:
    """Return a running scheduler whose one job is due at once, kept in the store of a state folder.

    Raises
    ------
    RunFolderError
        When the store is damaged.
    """
    path = folder / STORE_FILE
    # It warns of every tick that is left out while a session is worked: that is what they are for.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    scheduler = BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=f"sqlite:///{path.absolute()}")},
        executors={"default": ThreadPoolExecutor(1)},
        # Late is better than never: the tick asks the broker's clock what there is to do.
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone=EXCHANGE,
    )
    try:
        scheduler.start(paused=True)
        trigger = IntervalTrigger(seconds=seconds, timezone=EXCHANGE)
        now = SystemClock().now()
        scheduler.add_job(fire, trigger, id=JOB, replace_existing=True, next_run_time=now)
    except DatabaseError as error:
        raise RunFolderError(
            f"{path} is damaged or cannot be written ({error.orig}): it holds only when to look next, so remove it and "
            "start again"
        ) from error
    scheduler.resume()
    return scheduler
