"""Spools for tests, and what they say that they dropped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ss_pusher.model import Request
from ss_pusher.queue.spool import Spool
from tests.queue.laws import FOR_EVER, PLENTY, drained


@dataclass
class Opened:
    """An open spool."""

    queue: Spool
    dropped: list[tuple[str, int]] = field(default_factory=list)
    damaged: list[None] = field(default_factory=list)

    def drain(self) -> list[Request]:
        """Everything, acknowledged one by one."""
        return drained(self.queue)


@contextmanager
def opened(
    directory: Path,
    *,
    max_bytes: int = PLENTY,
    max_age: float = FOR_EVER,
    now: Callable[[], float] = lambda: 0.0,
    monotonic: Callable[[], float] = lambda: 0.0,
) -> Iterator[Opened]:
    """A spool in a directory, closed at the end."""
    dropped: list[tuple[str, int]] = []
    damaged: list[None] = []
    spool = Spool(
        directory,
        max_bytes=max_bytes,
        max_age=max_age,
        dropped=lambda reason, samples: dropped.append((reason, samples)),
        damaged=lambda: damaged.append(None),
        now=now,
        monotonic=monotonic,
    )
    try:
        yield Opened(spool, dropped, damaged)
    finally:
        spool.close()


def numbers(requests: list[Request]) -> list[int]:
    """By which the requests of `laws.request` can be told."""
    return [request.newest_ms for request in requests]


def segments(directory: Path) -> list[Path]:
    """The files with the records, the oldest first."""
    return sorted(directory.glob("*.segment"))
