"""Requests that wait on disk, so that the end of the process loses none of them. See `segments` for what is synced."""

import errno
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Final

from ss_pusher.errors import SpoolError
from ss_pusher.model import Pending, Request
from ss_pusher.queue.directory import deposited, open_directory, open_file, write_whole
from ss_pusher.queue.memory import QUEUE_FULL, TOO_OLD, leading
from ss_pusher.queue.segments import Item, SegmentLog
from ss_pusher.ratelimit import RateLimit

logger = logging.getLogger(__name__)

DAMAGED: Final = "damaged"
DISK_FULL: Final = "disk_full"

MAX_IN_MEMORY: Final = 8 << 20
"""Bytes that wait in memory while the disk takes nothing."""
_SEGMENTS: Final = 16
"""Into how many files `max_bytes` is divided: what is dropped at once is one of them."""
_LARGEST_SEGMENT: Final = 16 << 20
_STATE: Final = "state.json"


class _Source(Enum):
    """Where what is leased stands."""

    NOWHERE = 0
    PARTS = 1
    DISK = 2
    MEMORY = 3


class Spool:
    """A queue in a directory of its own, for one process and one consumer; any thread may put.

    Its methods promise what those of `MemoryQueue` do. What waits is dropped from its oldest end, a file at a time:
    over `max_bytes`, over `max_age` (seconds by the newest sample), or when the disk is full. Damage, wherever it is,
    costs the damaged record. `dropped` is told the reason and the number of samples, `damaged` each place that could
    not be read; neither must call back. `now` is as that of `MemoryQueue`; `monotonic` is for how often the log says
    something. Raises SpoolError.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        max_age: float,
        dropped: Callable[[str, int], None],
        damaged: Callable[[], None],
        now: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = directory
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._dropped = dropped
        self._damaged = damaged
        self._now = now
        self._directory, self._lock = open_directory(directory)
        try:
            self._log = SegmentLog(self._directory, min(max_bytes // _SEGMENTS, _LARGEST_SEGMENT))
        except OSError as error:
            os.close(self._lock)
            os.close(self._directory)
            raise SpoolError(f"the spool {directory}: {error.strerror or error}") from error
        self._parts: deque[Request] = deque()  # of what was leased; its records are not acknowledged yet
        self._memory: deque[Request] = deque()  # the newest, which the disk did not take
        self._source = _Source.NOWHERE
        self._items: list[Item] = []  # what is leased from disk
        self._leased = 0  # how many are leased from `_parts` or `_memory`
        self._disk_takes = True  # as the log has it
        self._disk_line_is_due = RateLimit(monotonic)
        self._damage_line_is_due = RateLimit(monotonic)
        self._damage_not_told = 0  # records
        self._adopts = True
        self._finished = False
        self._closed = False
        self._changed = threading.Condition()
        self._adopt()

    def put(self, request: Request) -> None:
        """As MemoryQueue.put."""
        with self._changed:
            if self._closed or len(request.body) > self._max_bytes:
                self._dropped(QUEUE_FULL, request.samples)
                return
            if self._adopts:
                self._adopt()
            self._memory.append(request)
            self._write()
            self._bound()
            self._changed.notify_all()

    def lease(self, timeout: float, samples: int = 1) -> tuple[Request, ...]:
        """As MemoryQueue.lease."""
        with self._changed:
            self._release()
            self._changed.wait_for(lambda: self._finished or self._pending().requests, timeout)
            if self._closed:
                return ()
            self._bound()
            return self._lease(samples)

    def acknowledge(self) -> None:
        """As MemoryQueue.acknowledge."""
        self.replace(())

    def release(self) -> None:
        """As MemoryQueue.release."""
        with self._changed:
            self._release()

    def replace(self, requests: Sequence[Request]) -> None:
        """As MemoryQueue.replace. On disk the original stays until all that replaced it is acknowledged."""
        with self._changed:
            source = self._source
            if self._closed or source is _Source.NOWHERE:
                return
            if source is _Source.DISK:
                self._log.advance(self._items)
            waiting = self._memory if source is _Source.MEMORY else self._parts
            for _ in range(self._leased):
                waiting.popleft()
            waiting.extendleft(reversed(requests))
            self._release()
            if source is not _Source.MEMORY and not self._parts:
                self._log.acknowledge()

    def pending(self) -> Pending:
        """As MemoryQueue.pending."""
        with self._changed:
            return self._pending()

    def finish(self) -> None:
        """As MemoryQueue.finish."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> None:
        """Give the directory back. What waits is sent by the next process that opens it."""
        with self._changed:
            if not self._closed:
                self._closed = True
                self._tell_damage()
                self._log.close()
                for request in self._memory:
                    self._dropped(DISK_FULL, request.samples)
                os.close(self._directory)
                os.close(self._lock)

    def recall(self) -> Mapping[str, object]:
        """What was given to `remember`, by whatever process; empty where that was nothing."""
        try:
            with os.fdopen(open_file(self._directory, _STATE, os.O_RDONLY), encoding="utf-8") as file:
                state = json.load(file)
        except (OSError, ValueError, RecursionError):
            return {}
        return state if isinstance(state, dict) else {}

    def remember(self, state: Mapping[str, object]) -> None:
        """Keep a few words about the endpoint beside its requests. A disk that does not take them is no error."""
        with self._changed, suppress(OSError):
            if not self._closed:
                write_whole(self._directory, _STATE, json.dumps(state).encode())

    # ---- with the lock held ----

    def _pending(self) -> Pending:
        disk = self._log.pending()
        rest = [*self._parts, *self._memory]
        return Pending(
            disk.requests + len(rest),
            disk.samples + sum(request.samples for request in rest),
            disk.bytes + sum(len(request.body) for request in rest),
        )

    def _lease(self, samples: int) -> tuple[Request, ...]:
        if not self._parts and (items := self._take(samples)):
            self._source, self._items = _Source.DISK, items
            return tuple(item.request for item in items if item.request)
        waiting = self._parts or self._memory
        if waiting:
            self._source = _Source.PARTS if self._parts else _Source.MEMORY
            self._leased = leading(waiting, samples)
        return tuple(islice(waiting, self._leased))

    def _release(self) -> None:
        self._source, self._items, self._leased = _Source.NOWHERE, [], 0

    def _take(self, samples: int) -> list[Item]:
        """The next items on disk that fit; what is damaged or too old before them is dropped."""
        items: list[Item] = []
        total = 0
        at = self._log.read
        while item := self._log.peek(at):
            request = item.request
            if request is None or request.newest_ms < self._oldest_allowed():
                if items:
                    break
                self._skip(item)
                at = self._log.read
                continue
            total += request.samples
            first = items[0].request if items else None
            if first and (total > samples or request.protocol is not first.protocol):
                break
            items.append(item)
            at = item.end
        return items

    def _skip(self, item: Item) -> None:
        self._log.advance([item])
        self._log.acknowledge()
        if item.request is None:
            self._damaged()
            self._damage_not_told += 1
            if self._damage_line_is_due():
                self._tell_damage()
        if item.header:
            self._dropped(DAMAGED if item.request is None else TOO_OLD, item.header.samples)

    def _write(self) -> None:
        """Bring to disk what it takes of what waits in memory; the oldest goes where both are full."""
        while self._memory and self._source is not _Source.MEMORY:
            try:
                self._log.append(self._memory[0])
            except OSError as error:
                self._tell_disk(takes=False, why=error.strerror or str(error))
                makes_room = error.errno in (errno.ENOSPC, errno.EDQUOT) and self._log.segments() > 1
                if not (makes_room and self._memory_is_full()):
                    break
                self._drop_segment(DISK_FULL)
            else:
                self._memory.popleft()
                self._tell_disk(takes=True)
        while self._memory_is_full():
            index = self._leased if self._source is _Source.MEMORY else 0
            if index == len(self._memory):
                break
            self._dropped(DISK_FULL, self._memory[index].samples)
            del self._memory[index]

    def _memory_is_full(self) -> bool:
        return sum(len(request.body) for request in self._memory) > min(MAX_IN_MEMORY, self._max_bytes)

    def _bound(self) -> None:
        oldest_allowed = self._oldest_allowed()
        while self._log.segments() > 1:
            if self._log.size() > self._max_bytes:
                self._drop_segment(QUEUE_FULL)
            elif self._log.oldest_segment_ms() < oldest_allowed:
                self._drop_segment(TOO_OLD)
            else:
                return

    def _drop_segment(self, reason: str) -> None:
        if self._source is _Source.DISK:
            # What is being sent at this moment is in memory anyway: it stays there, and is not counted as dropped.
            self._log.advance(self._items)
            self._parts.extend(item.request for item in self._items if item.request)
            self._source, self._items, self._leased = _Source.PARTS, [], len(self._parts)
        if samples := self._log.drop_oldest():
            self._dropped(reason, samples)

    def _oldest_allowed(self) -> float:
        return (self._now() - self._max_age) * 1000

    def _tell_damage(self) -> None:
        if self._damage_not_told:
            logger.warning("%s: damaged records were skipped: %d", self._path, self._damage_not_told)
            self._damage_not_told = 0

    def _tell_disk(self, *, takes: bool, why: str = "") -> None:
        if takes is not self._disk_takes and self._disk_line_is_due():
            self._disk_takes = takes
            if takes:
                logger.info("%s: can be written to again", self._path)
            else:
                logger.warning("%s: cannot be written to, so requests wait in memory: %s", self._path, why)

    def _adopt(self) -> None:
        try:
            for request in deposited(self._directory):
                self._memory.append(request)
                self._write()
        except OSError as error:
            # Not tried again: what cannot be deleted would be sent again and again.
            self._adopts = False
            logger.warning("%s: cannot take in what other processes left: %s", self._path, error.strerror or error)
