"""Files that a user names: read without waiting, and only so far, whatever stands in their place."""

import errno
import os
import re
import stat
from pathlib import Path
from typing import Final

MAX_SECRET: Final = 64 << 10
"""Bytes of a password or token at most."""
MAX_PEM: Final = 4 << 20
"""Bytes of keys or certificates at most; all the authorities that a system trusts take less than one MiB."""

_KINDS: Final = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def read_file(path: Path, most: int) -> tuple[bytes, int]:
    """The bytes of a regular file, and its mode; links are followed.

    A pipe would be waited for, and a device may never end: both are refused, and so is what has more than `most` bytes.
    Raises OSError, whose strerror says what is wrong, or ValueError where no file can have such a name.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "no file")
            raise OSError(errno.EINVAL, f"it is {kind}; name a regular file", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {_size(most)}, which no such file is", str(path))
    return data, mode


def read_secret(path: Path) -> str:
    """A password or token, without the white space around it. Raises OSError or ValueError as `read_file`."""
    try:
        secret = read_file(path, MAX_SECRET)[0].decode().strip()
    except UnicodeDecodeError:
        raise OSError(errno.EINVAL, "it is not UTF-8 text", str(path)) from None
    if not secret:
        raise OSError(errno.EINVAL, "it is empty", str(path))
    if _CONTROL.search(secret):
        raise OSError(errno.EINVAL, "it holds more than one line, or control characters", str(path))
    return secret


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >> 20 else f"{count >> 10} KiB"


def open_to_others(directory: Path, user: int) -> str:
    """Who besides `user` and root could put something else in the place of what lies in a directory; empty: nobody.

    Where the sticky bit is set, as on /tmp, nobody may rename what is another's. Raises OSError.
    """
    absolute, real = directory.absolute(), directory.resolve()
    status = real.stat()
    if not stat.S_ISDIR(status.st_mode):
        return f"{directory} is no directory"
    if status.st_uid not in (0, user):
        return f"{directory} belongs to user {status.st_uid}, and not to user {user}"
    if _is_open(status, stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(status.st_mode)
        return f"others may write to {directory} (its mode is {mode:04o}); chmod go-w would be right"
    for link in filter(Path.is_symlink, (absolute, *absolute.parents)):
        if (owner := link.lstat().st_uid) not in (0, user):
            return f"{link} is a link of user {owner}, who may turn it elsewhere"
    for above in sorted({absolute.parent, real.parent}):
        if _is_open(above.stat(), stat.S_IWOTH):
            return f"every user may put another directory in the place of {directory}, since {above} is open to all"
    return ""


def _is_open(status: os.stat_result, to: int) -> bool:
    return bool(status.st_mode & to) and not status.st_mode & stat.S_ISVTX
