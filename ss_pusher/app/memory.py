"""How much memory this process may have, and how much of it for what waits to be sent."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

from ss_pusher.netlink.closed import MOST_EVENT_BYTES
from ss_pusher.queue.memory import Room

logger = logging.getLogger(__name__)

_SHARE: Final = 4
"""One part in so many is for the queues: the rest is for Python, the tables of a tick, and the requests in flight."""
_MEBIBYTE: Final = 1 << 20
_AT_REST: Final = 64 << 20
_OF_A_SOCKET: Final = 1100
"""Bytes that a tick needs for each open socket; `make bench` measures it with 100,000, `bench.flood` with a million."""
_FEWEST: Final = 10_000

_NO_LIMIT: Final = 1 << 60
"""Version 1 writes the highest number of pages there is, in bytes, where there is no limit."""

# Where the hierarchies are, by the controllers that /proc/self/cgroup names. Those of version 2 are not named.
_MEMORY: Final = (("sys/fs/cgroup/memory",), ("memory.limit_in_bytes",))
_UNIFIED: Final = (("sys/fs/cgroup", "sys/fs/cgroup/unified"), ("memory.max", "memory.high"))


def queue_room() -> Room | None:
    """What all queues in memory may have together; None: this process' memory has no limit."""
    most = memory_limit()
    return Room(most // _SHARE) if most else None


def most_sockets() -> int | None:
    """How many sockets a tick may read without exceeding the limit; None: this process' memory has no limit."""
    most = memory_limit()
    return max((most - most // _SHARE - _AT_REST) // _OF_A_SOCKET, _FEWEST) if most else None


def most_event_bytes() -> int:
    """How many bytes of announcements of closed sockets may wait for a tick."""
    most = memory_limit()
    return min(MOST_EVENT_BYTES, most // _SHARE) if most else MOST_EVENT_BYTES


def tell_room(room: Room) -> None:
    """Say what the limit leaves for what waits."""
    words = "memory is limited to %d MiB here: of it %d MiB are for what waits in memory, all endpoints together"
    logger.info(words, room.total * _SHARE // _MEBIBYTE, room.total // _MEBIBYTE)


def memory_limit(root: Path = Path("/")) -> int | None:
    """The least limit in bytes of the cgroups that this process is in; None: there is none.

    See cgroups(7), and Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of the kernel.
    """
    limits: list[int] = []
    for file in _files(root):
        with suppress(OSError, ValueError):  # ValueError: "max"
            limits.append(int(file.read_text(encoding="ascii")))
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


def _files(root: Path) -> Iterator[Path]:
    """Those that may hold a limit: of each cgroup, and of those above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mounts, names = _MEMORY if controllers else _UNIFIED
        for cgroup in (PurePosixPath(own), *PurePosixPath(own).parents):
            yield from (root / mount / cgroup.relative_to("/") / name for mount in mounts for name in names)
