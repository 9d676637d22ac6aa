"""A cgroup of the job's own: the kernel names a socket's cgroup, whichever process holds it (cgroups(7))."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_LIMITS: Final = ("memory.max", "memory.high", "cpu.max", "pids.max")
_PREFIX: Final = "ss-pusher-run-"
_ABANDONED: Final = 60.0
"""Seconds after which an empty cgroup waits for no job any more: a process of that id may be in another namespace."""
_ROOT_ID: Final = 1
"""What the kernel gives for the root, and on hosts with cgroup v1 only for everything."""


def own_directory(mount: Path | None) -> Path | None:
    """Where this process' cgroup is, below `mount` of the cgroup2 file system; None where that cannot be seen."""
    try:
        lines = Path("/proc/self/cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if mount is None or path is None:
        return None
    directory = mount / path.lstrip("/")
    return directory if (directory / "cgroup.procs").exists() else None


def is_alone(directory: Path, ours: Collection[int]) -> bool:
    """Whether none but our processes are in this cgroup and below, so that all that comes there is the job's."""
    if directory.stat().st_ino == _ROOT_ID or any(entry.is_dir() for entry in directory.iterdir()):
        return False
    return set(map(int, (directory / "cgroup.procs").read_text().split())) == set(ours)


@contextmanager
def made_below(directory: Path) -> Iterator[Path | None]:
    """A new cgroup, removed in the end unless something still runs in it; None where we may not make one.

    A cgroup with limits gets none below it: programs read their limits from their own cgroup, and would see none.
    """
    made = directory / f"{_PREFIX}{os.getpid()}"
    try:
        _sweep(directory)
        limited = any((directory / name).read_text().split()[:1] not in ([], ["max"]) for name in _present(directory))
        if not limited:
            made.mkdir()
    except OSError:
        limited = True
    try:
        yield None if limited else made
    finally:
        if not limited:
            with suppress(OSError):
                made.rmdir()


def moved(process: int, made: Path) -> bool:
    """Move a process into the cgroup; where that is refused, the cgroup is removed."""
    try:
        (made / "cgroup.procs").write_text(str(process))
    except OSError:
        with suppress(OSError):
            made.rmdir()
        return False
    return True


def ids(directory: Path) -> list[int]:
    """The id of the cgroup and of each below it, as sockets carry them: the inode numbers of the directories."""
    try:
        found = [directory.stat().st_ino]
        with os.scandir(directory) as entries:
            below = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [*found, *(number for child in below for number in ids(child))]


def _sweep(directory: Path) -> None:
    """Remove what earlier runs left, whose jobs went on in the background or which were killed. Raises OSError."""
    for left in directory.glob(f"{_PREFIX}*"):
        owner = left.name.removeprefix(_PREFIX)
        with suppress(OSError):
            runs = owner != str(os.getpid()) and Path("/proc", owner).exists()
            if not runs and time.time() - left.stat().st_mtime > _ABANDONED:
                left.rmdir()  # refused where something runs in it


def _present(directory: Path) -> list[str]:
    return [name for name in _LIMITS if (directory / name).exists()]
