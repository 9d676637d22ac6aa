"""The agent: a pipeline, its endpoints, and the ways to run them."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final

from ss_pusher.app.endpoints import Endpoint
from ss_pusher.app.filtering import Filtering
from ss_pusher.app.pipeline import Pipeline
from ss_pusher.config import Config
from ss_pusher.loop import Clock, Loop, Stages, Stop
from ss_pusher.model import Snapshot
from ss_pusher.telemetry import Telemetry

logger = logging.getLogger(__name__)

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Agent:
    """All that runs. `close` gives the sockets back that the pipeline reads."""

    config: Config
    filtering: Filtering
    pipeline: Pipeline
    endpoints: Sequence[Endpoint]
    telemetry: Telemetry
    stages: Stages
    clock: Clock
    close: Callable[[], None]

    def run(self, stop: Stop) -> bool:
        """Tick until `stop` is set, push a last time; whether everything since the start was accepted.

        Raises:
            UnsupportedHostError: this kernel cannot tell of its sockets.
        """
        loop = Loop(self.tick, self.config.interval, self.clock, self.telemetry)
        self.start()
        try:
            loop.run(stop)
            logger.info("stopping; what waits may still be sent for %g s", self.config.shutdown_deadline)
        finally:
            sent = self.finish()
        return sent

    def once(self) -> bool:
        """One tick, pushed: whether it succeeded and every endpoint took it.

        Raises:
            UnsupportedHostError: this kernel cannot tell of its sockets.
        """
        loop = Loop(self.tick, self.config.interval, self.clock, self.telemetry)
        self.start()
        try:
            ticked = loop.once()
        finally:
            sent = self.finish()
        return ticked and sent

    def tick(self, time_ms: int, export: bool) -> None:  # noqa: FBT001 - what the loop knows of this tick
        """One tick; see `Pipeline.tick`."""
        snapshot = self.pipeline.tick(time_ms, export=export)
        if export:
            self.push(snapshot)

    def push(self, snapshot: Snapshot) -> None:
        """Hand a snapshot to every endpoint."""
        with self.stages("encode"):
            for endpoint in self.endpoints:
                endpoint.push(snapshot)

    def start(self) -> None:
        """Begin to send. Raises AddressInUseError."""
        for endpoint in self.endpoints:
            endpoint.start()

    def finish(self) -> bool:
        """Send the last within `shutdown_deadline`, and end: whether every endpoint took all."""
        deadline = self.clock.monotonic() + self.config.shutdown_deadline
        time_ms = self.pipeline.previous_ms + 1
        taken = finish_all(self.endpoints, time_ms, deadline, self.clock)
        self.close()
        unhappy = [endpoint.name for endpoint in self.endpoints if endpoint.name not in taken]
        for name in unhappy:
            logger.warning("%s did not accept everything before the end", name)
        return not unhappy


def finish_all(endpoints: Sequence[Endpoint], time_ms: int, deadline: float, clock: Clock) -> set[str]:
    """Finish all endpoints at once, since they share the deadline (monotonic): the names of those that took all."""
    taken: set[str] = set()

    def finish(endpoint: Endpoint) -> None:
        if endpoint.finish(time_ms, deadline):
            taken.add(endpoint.name)

    threads = [threading.Thread(target=finish, args=(endpoint,), daemon=True) for endpoint in endpoints]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - clock.monotonic()) + 1)
    return taken


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
    """A stop that SIGTERM and SIGINT set. The second of them ends the process at once, as if nobody listened."""
    stop = StopSignal()
    before = {number: signal.getsignal(number) for number in _STOPPING}

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        for each in _STOPPING:
            signal.signal(each, signal.SIG_DFL)

    for number in _STOPPING:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
