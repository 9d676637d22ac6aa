"""The directory of a spool: who may have it, and what other processes may leave in it."""

import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ss_pusher.errors import SpoolError, SpoolInUseError
from ss_pusher.files import open_to_others
from ss_pusher.model import Request
from ss_pusher.queue.record import headers, pack, read_body

logger = logging.getLogger(__name__)

_INCOMING: Final = "incoming"
_LOCK: Final = "lock"
_OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def open_directory(path: Path) -> tuple[int, int]:
    """Descriptors of the directory, made where it is not there, and of its lock. Raises SpoolError.

    The directory itself must not be a link, and nobody else may write to it. If others could put another one in its
    place, the log says so: in a container nobody else may be there.
    """
    try:
        directory = _made(path)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        return directory, _lock(path, directory)
    except SpoolError:
        os.close(directory)
        raise


def _made(path: Path) -> int:
    """A descriptor of a directory that is made where it is not there, and all above it. Raises OSError.

    `Path.mkdir` would say of a link to what may not be seen that the file exists.
    """
    for directory in (*reversed(path.parents), path):
        if not os.path.lexists(directory):
            with suppress(FileExistsError):
                directory.mkdir(mode=0o700)
    return os.open(path, _OPEN_DIRECTORY)


def _unusable(path: Path, error: OSError) -> SpoolError:
    who = f" for user {os.geteuid()}" if isinstance(error, PermissionError) else ""
    return SpoolError(f"the spool {path}: {error.strerror or error}{who}")


def _lock(path: Path, directory: int) -> int:
    try:
        found = open_to_others(path.parent, os.geteuid())
    except OSError as error:
        raise _unusable(path, error) from error
    if found:
        logger.warning("the spool %s is not safe: %s", path, found)
    status = os.fstat(directory)
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
        raise SpoolError(f"the spool {path} must belong to user {os.geteuid()}, and nobody else may write to it")
    try:
        lock = open_file(directory, _LOCK, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise SpoolInUseError(f"the spool {path} is used by another process") from error
    return lock


def open_file(directory: int, name: str, flags: int) -> int:
    """A regular file in an open directory, never a link or a pipe. Raises OSError."""
    file = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{name} is not a regular file")
    return file


def write_whole(directory: int, name: str, data: bytes) -> None:
    """A file that has all of `data`, or is as it was. Raises OSError."""
    temporary = f".{name}"
    try:
        with os.fdopen(open_file(directory, temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(data)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise


def deposit(path: Path, requests: Iterable[Request]) -> None:
    """Leave requests for the process that has the spool in `path`, or that will have it. Raises SpoolError."""
    incoming = path / _INCOMING
    try:
        directory = _made(incoming)
        try:
            write_whole(directory, f"{time.time_ns():020}-{os.getpid()}", b"".join(map(pack, requests)))
        finally:
            os.close(directory)
    except OSError as error:
        raise _unusable(path, error) from error


def deposited(directory: int) -> Iterator[Request]:
    """What others have left in an open spool, the oldest first; a file is deleted when it has been gone through.

    Raises OSError where that cannot be done.
    """
    try:
        incoming = os.open(_INCOMING, _OPEN_DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        return
    try:
        names = os.listdir(incoming)  # noqa: PTH208 - a Path has no descriptor
        for name in sorted(name for name in names if not name.startswith(".")):
            yield from _requests(incoming, name)
            os.unlink(name, dir_fd=incoming)
    finally:
        os.close(incoming)


def _requests(directory: int, name: str) -> Iterator[Request]:
    file = open_file(directory, name, os.O_RDONLY)
    try:
        for header in headers(file, 0):
            if request := read_body(file, header):
                yield request
    finally:
        os.close(file)
