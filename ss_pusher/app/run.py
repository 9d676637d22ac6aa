"""`ss-pusher run`: the job starts as soon as it is certain that the configuration can be used, and before the rest."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from ss_pusher.app.job_config import for_job, parse_labels
from ss_pusher.app.plan import read_config
from ss_pusher.attribute.cgroup import mount_point
from ss_pusher.attribute.process import socket_inodes
from ss_pusher.batch import cgroup, process
from ss_pusher.batch.outcome import Outcome
from ss_pusher.batch.tree import ProcessTree

_PROC: Final = Path("/proc")
_SOCKETS_NAME_CGROUPS: Final = (5, 9)
"""Linux since which a dump tells the cgroups of sockets, and can be asked for those of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line says. `labels` are as they were given, `interval` is in seconds."""

    config: Path
    command: Sequence[str]
    job: str
    labels: Sequence[str]
    run_id: str
    interval: float | None
    summary: bool


def run(wish: Wish, mask: process.Mask) -> int:
    """Run the job with this mask of signals, and push before this process ends: the job's exit code.

    Raises:
        ConfigError: the configuration or a label cannot be used; nothing was started.
    """
    labels = parse_labels(wish.labels) | ({"run_id": wish.run_id} if wish.run_id else {})
    name = wish.job or Path(wish.command[0]).name or wish.command[0]
    config = for_job(read_config(wish.config), name, labels)
    inherited = _own_sockets()
    with _cgroup() as place:
        began, began_at = time.time(), time.monotonic()
        job = process.start(wish.command, mask, place.spawn)
        process.let_go_of_streams()

        # The job runs already; what is imported from here on costs it nothing but a part of another core.
        from ss_pusher.app.batch import Session  # noqa: PLC0415
        from ss_pusher.batch.sockets import JobSockets  # noqa: PLC0415

        tree = ProcessTree(os.getpid(), partial(socket_inodes, _PROC), with_root=False)
        sockets = JobSockets(tree, lambda: inherited | _own_sockets(), place.ids)
        session = Session(lambda: config, sockets, began=began, cgroups=place.ids, interval=wish.interval)
        session.start()
        ended = job.wait() if isinstance(job, process.Job) else job
        duration = time.monotonic() - began_at
        session.finish(
            Outcome(
                end=began + duration,
                duration=duration,
                exit_code=ended.exit_code,
                max_resident_bytes=ended.max_resident_bytes,
                cpu_seconds=ended.cpu_seconds,
            )
        )
    if wish.summary:
        sys.stderr.write(f"{name}: exit code {ended.exit_code} after {duration:.1f} s\n{session.summary.text()}")
    return ended.exit_code


class _Place(NamedTuple):
    """Where the job runs: `spawn` starts it there, `ids` are those of its cgroups, none where it has none."""

    spawn: Callable[[Callable[[], int]], int]
    ids: Callable[[], list[int]]


_WITHOUT_CGROUP: Final = _Place(lambda spawn: spawn(), list)


@contextmanager
def _cgroup() -> Iterator[_Place]:
    """A cgroup where only the job and this process are, or a new one below; else the process tree tells."""
    home = cgroup.own_directory(mount_point(Path("/"))) if _sockets_name_cgroups() else None
    if home is None:
        yield _WITHOUT_CGROUP
    elif cgroup.is_alone(home):
        yield _Place(lambda spawn: spawn(), partial(cgroup.ids, home))
    else:
        with cgroup.made_below(home) as made:
            yield (
                _Place(partial(cgroup.spawn_inside, made, home), partial(cgroup.ids, made)) if made else _WITHOUT_CGROUP
            )


def _sockets_name_cgroups() -> bool:
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return found is not None and (int(found[1]), int(found[2])) >= _SOCKETS_NAME_CGROUPS


def _own_sockets() -> set[int]:
    return set(socket_inodes(_PROC, os.getpid()))
