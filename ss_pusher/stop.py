"""How a command that runs on is told to end, and ends. It imports little: it stands before the rest is loaded."""

import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from time import monotonic
from types import FrameType
from typing import Final, NoReturn

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_GRACE: Final = 1.0
"""Seconds in which a further signal means the same as the first: timeout(1) sends one to its child and to its group."""


class StopSignal:
    """A `Stop` that a signal handler may set: threading.Event has a lock, which the interrupted thread may hold."""

    def __init__(self) -> None:
        self._set = False
        self._wakeups: Final[SimpleQueue[None]] = SimpleQueue()

    def set(self) -> None:
        """It is time."""
        self._set = True
        self._wakeups.put(None)

    def wake(self) -> None:
        """End a wait, though it is not time."""
        self._wakeups.put(None)

    def is_set(self) -> bool:
        """Whether it is time."""
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is, or `timeout` seconds, or `wake`: whether it is."""
        if not self._set:
            with suppress(Empty):
                self._wakeups.get(timeout=timeout)
        return self._set


@contextmanager
def stop_on_signals() -> Iterator[StopSignal]:
    """A stop that SIGTERM and SIGINT set. Another one, a moment later, ends the process as if nobody listened."""
    stop = StopSignal()
    told_at = math.inf
    before = {number: signal.getsignal(number) for number in _STOPPING}

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal told_at
        if not stop.is_set():
            told_at = monotonic()
            stop.set()
        elif monotonic() - told_at >= _GRACE:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in _STOPPING:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(code: int) -> NoReturn:
    """End this process, whatever its threads are at: who had the time to end has ended.

    Python's own end would first end each of them where it is, and if that is in C++, abort all of the process (before
    3.14).
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):  # there is none where it was closed from the start
        with suppress(OSError):
            stream.flush()
    os._exit(code)
