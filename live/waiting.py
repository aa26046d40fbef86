"""Waiting and stopping: the only place where the paper service sleeps, by a clock that never goes back."""

from __future__ import annotations

import math
import threading
import time
from typing import Protocol

COMMAND_SECONDS = 165.0
"""Every command but a service ends within three minutes: so long it asks and waits; notes and files need the rest."""


class Waiter(Protocol):
    """Lets time pass, and knows whether the service is to stop."""

    def elapsed(self) -> float:
        """Return seconds since some fixed moment; never goes back."""
        ...

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or sooner when the service is to stop."""
        ...

    def left(self) -> float:
        """Return the seconds until everything must be over; infinity for a service."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether the service is to stop as soon as what is under way is written down."""
        ...


class SystemWaiter:
    """The machine's clock since boot; `stop` may be called from a signal handler or another thread.

    Parameters
    ----------
    seconds : until everything must be over, from now.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self._stop = threading.Event()
        self._end = self.elapsed() + seconds

    def elapsed(self) -> float:
        """Return seconds since boot, those in which the machine slept included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond `stop` or the end."""
        self._stop.wait(max(min(seconds, self.left()), 0.0))

    def left(self) -> float:
        """Return the seconds until everything must be over."""
        return self._end - self.elapsed()

    def stop(self) -> None:
        """End all waiting, now and later."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()
