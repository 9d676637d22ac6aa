"""Requests that wait in memory, within bounds of bytes, age and number."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from ss_pusher.model import Pending, Request

QUEUE_FULL: Final = "queue_full"
MEMORY_LIMIT: Final = "memory_limit"
TOO_OLD: Final = "max_age"
SUPERSEDED: Final = "superseded"


class Room:
    """Memory that queues share: each that is open has an equal part of the bytes. Safe from any thread."""

    def __init__(self, total: int) -> None:
        self.total: Final = total
        self._queues = 0
        self._lock: Final = threading.Lock()

    def part(self) -> int:
        """What each may have now."""
        return self.total // max(self._queues, 1)

    def add(self, queues: int) -> None:
        """So many more have come, or gone."""
        with self._lock:
            self._queues += queues


class MemoryQueue:
    """A queue for one consumer; any thread may put.

    What waits is dropped from its oldest end, never what is leased: over `max_bytes`, over its part of the `room`, over
    `max_age` (seconds by the newest sample), or over `max_requests`, which is 1 for a sink where only the latest
    snapshot means anything. `now` gives the Unix seconds by which age is measured.
    `dropped` is told the reason and the number of samples, and must not call back. What still waits at the end is
    handed to `leave`, which may keep it for another process.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        max_age: float,
        dropped: Callable[[str, int], None],
        now: Callable[[], float],
        max_requests: int | None = None,
        room: Room | None = None,
        leave: Callable[[Sequence[Request]], None] | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._max_requests = max_requests
        self._room = room
        self._dropped = dropped
        self._leave = leave
        self._now = now
        self._requests: deque[Request] = deque()
        self._leased = 0
        self._samples = 0
        self._bytes = 0
        self._finished = False
        self._closed = False
        self._changed = threading.Condition()
        if room:
            room.add(1)

    def put(self, request: Request) -> None:
        """Add the newest request; drop what is then beyond the bounds."""
        with self._changed:
            if excess := self._excess(len(request.body)):
                self._dropped(excess, request.samples)
                return
            self._requests.append(request)
            self._count(request, 1)
            self._bound()
            self._changed.notify_all()

    def lease(self, timeout: float, samples: int = 1) -> tuple[Request, ...]:
        """The oldest request, and those after it while together they have at most `samples` and are of one protocol.

        Waits up to `timeout` seconds for one to come; empty when none came. They stay in the queue until they are
        acknowledged. An earlier lease ends as if released.
        """
        with self._changed:
            self._leased = 0
            self._changed.wait_for(lambda: self._requests or self._finished, timeout)
            self._bound()
            self._leased = leading(self._requests, samples)
            return tuple(islice(self._requests, self._leased))

    def acknowledge(self) -> None:
        """What is leased has been dealt with: forget it."""
        with self._changed:
            self._take_leased()
            self._changed.notify_all()

    def release(self) -> None:
        """What is leased has not been dealt with: it waits again, in its place."""
        with self._changed:
            self._leased = 0
            self._bound()

    def replace(self, requests: Sequence[Request]) -> None:
        """These wait in the place of what is leased."""
        with self._changed:
            self._take_leased()
            self._requests.extendleft(reversed(requests))
            for request in requests:
                self._count(request, 1)

    def pending(self) -> Pending:
        """What waits and what is leased."""
        with self._changed:
            return Pending(len(self._requests), self._samples, self._bytes)

    def finish(self) -> None:
        """Nothing more will be put: `lease` waits no longer."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> None:
        """The end: what still waits is left to another process, or lost with this one."""
        with self._changed:
            waiting, self._requests = self._requests, deque()
            self._leased = self._samples = self._bytes = 0
            if self._room and not self._closed:
                self._room.add(-1)
            self._closed = True
        if self._leave and waiting:
            self._leave(tuple(waiting))

    def _take_leased(self) -> None:
        for _ in range(self._leased):
            self._count(self._requests.popleft(), -1)
        self._leased = 0

    def _count(self, request: Request, sign: int) -> None:
        self._samples += sign * request.samples
        self._bytes += sign * len(request.body)

    def _excess(self, size: int) -> str:
        """Which bound so many bytes exceed; empty: none."""
        if size > self._max_bytes:
            return QUEUE_FULL
        return MEMORY_LIMIT if self._room and size > self._room.part() else ""

    def _bound(self) -> None:
        oldest_allowed = (self._now() - self._max_age) * 1000
        while len(self._requests) > self._leased:
            oldest = self._requests[self._leased]
            if oldest.newest_ms < oldest_allowed:
                reason = TOO_OLD
            elif excess := self._excess(self._bytes):
                reason = excess
            elif self._max_requests is not None and len(self._requests) - self._leased > self._max_requests:
                reason = SUPERSEDED
            else:
                return
            del self._requests[self._leased]
            self._count(oldest, -1)
            self._dropped(reason, oldest.samples)


def leading(requests: Sequence[Request], samples: int) -> int:
    """How many of the first requests, at least one, make together at most `samples` of one protocol."""
    total = 0
    for index, request in enumerate(requests):
        total += request.samples
        if index and (total > samples or request.protocol is not requests[0].protocol):
            return index
    return len(requests)
