"""APScheduler in front of the service: a job, kept in a database, that fires often and asks the broker's clock."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from engine.errors import Interrupted
from live.timing import EXCHANGE

logger = logging.getLogger(__name__)

JOB = "tick"
STORE_FILE = "schedule.db"

_tick: Callable[[], None] | None = None


def fire() -> None:
    """Do one tick of the service of this process; the stored job names this function."""
    if _tick is not None:
        _tick()


def serve(tick: Callable[[], None], stop: Callable[[], None], folder: Path, seconds: float) -> None:
    """Call ``tick`` every so many seconds until SIGTERM, SIGINT, or a tick that raises; what it raises is raised here.

    A tick that comes late is made up for once; two never run at the same time. The store remembers the job over a
    restart, so that the next tick is due when it was due, or at once.

    Parameters
    ----------
    stop : called on a signal, to end what the tick waits for.
    folder : of the state.
    """
    global _tick
    ended, failure = threading.Event(), list[BaseException]()

    def end(number: int, frame: object) -> None:
        logger.info("signal %s: stopping", signal.Signals(number).name)
        stop()
        ended.set()

    def failed(event: JobExecutionEvent) -> None:
        failure.append(event.exception)
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    scheduler = _scheduler(folder)
    scheduler.add_listener(failed, EVENT_JOB_ERROR)
    _tick = tick
    try:
        scheduler.start(paused=True)
        if scheduler.get_job(JOB) is None:  # replacing it would forget a tick that was missed
            scheduler.add_job(fire, IntervalTrigger(seconds=seconds, timezone=EXCHANGE), id=JOB)
        scheduler.reschedule_job(JOB, trigger=IntervalTrigger(seconds=seconds, timezone=EXCHANGE))
        scheduler.resume()
        fire()
        ended.wait()
    except Interrupted:
        pass
    finally:
        scheduler.shutdown(wait=True)
        _tick = None
        for number, handler in before.items():
            signal.signal(number, handler)
    if failure and not isinstance(failure[0], Interrupted):
        raise failure[0]


def _scheduler(folder: Path) -> BackgroundScheduler:
    store = SQLAlchemyJobStore(url=f"sqlite:///{(folder / STORE_FILE).absolute()}")
    return BackgroundScheduler(
        jobstores={"default": store},
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone=EXCHANGE,
    )
