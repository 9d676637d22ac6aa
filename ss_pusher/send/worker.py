"""One endpoint's thread: what waits in its queue goes out in order, and never delays the tick or another endpoint."""

import math
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from ss_pusher.model import Request
from ss_pusher.send.dispatch import Dispatcher, Limits, Queue, Reshape, Sink
from ss_pusher.telemetry import Telemetry

_IDLE: Final = 60.0
_SLACK: Final = 0.25
"""Seconds beyond a deadline in which the thread may say how its last push ended."""


class Worker:
    """An endpoint with its queue, its sink and its thread."""

    def __init__(
        self,
        endpoint: str,
        queue: Queue,
        sink: Sink,
        limits: Limits,
        telemetry: Telemetry,
        *,
        reshape: Reshape | None = None,
        uniform: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        latest: Callable[[], float] = lambda: math.inf,
        ask: Callable[[float], bool] = lambda _: True,
        ask_first: bool = False,
        patient: Callable[[], float] | None = None,
    ) -> None:
        """The arguments are those of `Dispatcher`."""
        self._endpoint = endpoint
        self._queue = queue
        self._telemetry = telemetry
        self._clock = clock
        self._dispatcher = Dispatcher(
            endpoint,
            queue,
            sink,
            limits,
            telemetry,
            reshape=reshape,
            uniform=uniform,
            clock=clock,
            now=now,
            latest=latest,
            ask=ask,
            ask_first=ask_first,
            patient=patient,
        )
        self._given_up = 0  # samples, at the last flush
        self._stop_at: float | None = None
        self._changed = threading.Condition()
        # A daemon, since a name look-up cannot be ended: what it holds is not acknowledged.
        self._thread = threading.Thread(target=self._run, name=f"send {endpoint}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def put(self, request: Request) -> None:
        """Queue the newest request; never waits for the network."""
        self._telemetry.add("ss_pusher_samples_total", request.samples, endpoint=self._endpoint)
        self._queue.put(request)
        self._tell_pending()

    def flush(self, deadline: float) -> bool:
        """Wait until nothing waits, or nothing can be done, or `deadline` (monotonic).

        Returns whether all that was put since the flush before was accepted.
        """

        def over() -> bool:
            return self._dispatcher.held or not self._queue.pending().requests

        with self._changed:
            self._changed.wait_for(over, max(deadline - self._clock(), 0))
        given_up_before, self._given_up = self._given_up, self._dispatcher.given_up
        return not self._queue.pending().requests and self._given_up == given_up_before

    def stop(self, deadline: float) -> bool:
        """Send what can be sent by `deadline` (monotonic), end the thread and close the queue.

        Ends sooner when the next try would come later than the deadline. Returns whether all that was put since the
        last flush was accepted.
        """
        with self._changed:
            self._stop_at = deadline
            self._changed.notify_all()
        self._queue.finish()
        self._thread.join(max(deadline - self._clock(), 0) + _SLACK)
        accepted = not self._thread.is_alive() and self.flush(0)
        self._queue.close()
        return accepted

    def _run(self) -> None:
        stop_at = self._stop_at
        while not self._over(stop_at):
            until = float("inf") if stop_at is None else stop_at
            delay = self._dispatcher.step(_IDLE, until, hurry=stop_at is not None)
            self._tell_pending()
            with self._changed:
                self._changed.notify_all()
            if delay and not self._pause(delay, stop_at):
                return
            stop_at = self._stop_at

    def _over(self, stop_at: float | None) -> bool:
        return stop_at is not None and (self._clock() >= stop_at or not self._queue.pending().requests)

    def _pause(self, delay: float, stop_at: float | None) -> bool:
        """Wait; False where there is no sense in another try before the end.

        A stop ends the wait, and what could not be sent gets one more try at once.
        """
        with self._changed:
            if stop_at is None:
                stopping = self._changed.wait_for(lambda: self._stop_at is not None, delay)
                return not stopping or not self._dispatcher.held
            if self._clock() + delay >= stop_at:
                return False
            self._changed.wait_for(lambda: False, delay)
            return True

    def _tell_pending(self) -> None:
        pending = self._queue.pending()
        self._telemetry.set("ss_pusher_samples_pending", pending.samples, endpoint=self._endpoint)
        self._telemetry.set("ss_pusher_queue_bytes", pending.bytes, endpoint=self._endpoint)
