"""`ss-pusher run`: what watches is there before the job starts, unless that would hold it for too long."""

import gc
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from ss_pusher.app.job_config import config_of, for_job, parse_labels
from ss_pusher.attribute.cgroup import mount_point
from ss_pusher.batch import cgroup, process
from ss_pusher.batch.stderr import Stderr
from ss_pusher.config import Config
from ss_pusher.stop import leave

if TYPE_CHECKING:
    from ss_pusher.app.batch import Session

logger = logging.getLogger(__name__)

_PROC: Final = Path("/proc")
_PATIENCE: Final = 0.15
"""Seconds that the job waits at most for its sockets to be watched, on a host that is slow or has very many."""
_LAST_WORDS: Final = 0.2
"""Seconds for what is said at last, where the push took all of `shutdown_deadline`."""
_SOCKETS_NAME_CGROUPS: Final = (5, 9)
"""Linux since which a dump tells the cgroups of sockets, and can be asked for those of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line says. `labels` are as they were given, `interval` is in seconds."""

    config: Path | None
    command: Sequence[str]
    job: str
    labels: Sequence[str]
    run_id: str
    interval: float | None
    summary: bool


def run(wish: Wish, waiting: process.Waiting, stderr: Stderr) -> NoReturn:
    """Run the job that waits, push, and end this process as the job ended.

    Raises:
        ConfigError: the configuration or a label cannot be used; nothing was started.
    """
    name = wish.job or Path(wish.command[0]).name or wish.command[0]
    labels = parse_labels(wish.labels) | ({"run_id": wish.run_id} if wish.run_id else {})
    config = for_job(config_of(wish.config), name, labels)
    with _cgroup(waiting.pid) as cgroups:
        at_the_latest = threading.Timer(_PATIENCE, waiting.start)
        at_the_latest.daemon = True
        at_the_latest.start()
        session = _session(config, cgroups, wish.interval)
        job, began, began_at = waiting.start()
        process.let_go_of_streams()
        if session:
            session.began = began
        ended = job.wait() if isinstance(job, process.Job) else job
        over = time.monotonic()
        duration = over - began_at
        if session:
            _finish(session, ended, began, duration)
    if wish.summary:
        seen = session.summary() if session else ""
        stderr.write(f"{config.external_labels['job']}: exit code {ended.exit_code} after {duration:.1f} s\n{seen}")
    stderr.drain(max(over + config.shutdown_deadline - time.monotonic(), _LAST_WORDS))
    process.die_alike(ended)
    leave(ended.exit_code)


Cgroups: TypeAlias = Callable[[], list[int]]
"""The ids of the job's cgroups; none where it has none of its own."""


def _session(config: Config, cgroups: Cgroups, interval: float | None) -> "Session | None":
    """Watches what this process starts; None where that cannot be, which is no reason not to start it."""
    gc.disable()  # all that is loaded now stays, and to find that out holds the job for 20 ms (measured)
    try:
        session = _watching(config, cgroups, interval)
        session.start(_PATIENCE)
    except Exception as error:  # noqa: BLE001 - as said: little memory, a library that cannot be loaded
        logger.warning("the job is not watched, and nothing is pushed: %s", error)
        return None
    finally:
        gc.freeze()
        gc.enable()
    return session


def _watching(config: Config, cgroups: Cgroups, interval: float | None) -> "Session":
    # These take most of the time there is before the job starts; if it has to, it starts meanwhile.
    from ss_pusher.app.batch import Session  # noqa: PLC0415
    from ss_pusher.attribute.process import socket_inodes  # noqa: PLC0415
    from ss_pusher.batch.sockets import JobSockets  # noqa: PLC0415
    from ss_pusher.batch.tree import ProcessTree  # noqa: PLC0415

    def own() -> set[int]:
        return set(socket_inodes(_PROC, os.getpid()))

    inherited = own()
    # This process has connections of its own only if it pushes meanwhile; to list them takes a tenth of a look.
    others = (lambda: inherited | own()) if interval else (lambda: inherited)
    tree = ProcessTree(os.getpid(), partial(socket_inodes, _PROC), with_root=False)
    return Session(lambda: config, JobSockets(tree, others, cgroups), cgroups=cgroups, interval=interval)


def _finish(session: "Session", ended: process.Ended, began: float, duration: float) -> None:
    from ss_pusher.batch.outcome import Outcome  # noqa: PLC0415 - as above

    session.finish(
        Outcome(
            end=began + duration,
            duration=duration,
            exit_code=ended.exit_code,
            max_resident_bytes=ended.max_resident_bytes,
            cpu_seconds=ended.cpu_seconds,
        )
    )


@contextmanager
def _cgroup(job: int) -> Iterator[Cgroups]:
    """Gives the ids of the job's cgroups: of ours where only we and the job are, or of a new one below to move it to.

    None where there is no such cgroup: then the process tree tells.
    """
    home = cgroup.own_directory(mount_point(Path("/"))) if _sockets_name_cgroups() else None
    if home is None:
        yield list
    elif cgroup.is_alone(home, (os.getpid(), job)):
        yield partial(cgroup.ids, home)
    else:
        with cgroup.made_below(home) as made:
            yield partial(cgroup.ids, made) if made and cgroup.moved(job, made) else list


def _sockets_name_cgroups() -> bool:
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return found is not None and (int(found[1]), int(found[2])) >= _SOCKETS_NAME_CGROUPS
