"""Network namespaces: which there are, and how to do something inside one. To enter another takes CAP_SYS_ADMIN.

Sources: namespaces(7), network_namespaces(7), setns(2); /run/netns is where ip-netns(8) keeps names.
"""

import ctypes
import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

_CLONE_NEWNET: Final = 0x4000_0000  # include/uapi/linux/sched.h

_Result = TypeVar("_Result")


class Namespace(NamedTuple):
    """A network namespace. Its inode tells it from all others; `path` leads into it while somebody keeps it there."""

    inode: int
    name: str  # the file's under /run/netns, else net:[INODE]; the own one has none
    path: Path

    def call(self, function: Callable[[], _Result]) -> _Result:
        """What `function` gives in a thread inside; sockets that it opens stay inside.

        Raises:
            OSError: the namespace is not there any more, or may not be entered.
        """

        def inside() -> _Result:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if os.fstat(descriptor).st_ino != self.inode:
                    raise FileNotFoundError(f"{self.path} is another network namespace now")
                _enter(descriptor)
            finally:
                os.close(descriptor)
            return function()

        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="namespace") as pool:
            return pool.submit(inside).result()


def own(root: Path = Path("/")) -> Namespace:
    """The namespace that this thread is in. Its number is only told where /proc is mounted, and else 0."""
    path = root / "proc/thread-self/ns/net"
    with suppress(OSError):
        return Namespace(path.stat().st_ino, "", path)
    return Namespace(0, "", path)


def find(wanted: Collection[str], here: Namespace, root: Path = Path("/")) -> list[Namespace]:
    """Each namespace once: `self`, `named` under /run/netns, or `all` in which processes live, `here` being the own.

    One that is named and lived in has its name. What cannot be looked into is left out.
    """
    found: dict[int, Namespace] = {}
    if not {"self", "all"}.isdisjoint(wanted):
        found[here.inode] = here
    if "named" in wanted or "all" in wanted:
        named = {namespace.inode: namespace for namespace in _named(root, here.path.stat().st_dev)}
        lived_in = dict(_lived_in(root)) if "all" in wanted else {}
        for inode, namespace in named.items():
            if "named" in wanted or inode in lived_in:
                found.setdefault(inode, namespace)
        for inode, path in lived_in.items():
            found.setdefault(inode, Namespace(inode, f"net:[{inode}]", path))
    return list(found.values())


def _named(root: Path, device: int) -> Iterator[Namespace]:
    """Those under /run/netns; a file there onto which no namespace is mounted is on another device."""
    for path in _entries(root / "run/netns"):
        try:
            status = path.stat()
        except OSError:  # removed meanwhile
            continue
        if status.st_dev == device:
            yield Namespace(status.st_ino, path.name, path)


def _lived_in(root: Path) -> Iterator[tuple[int, Path]]:
    for process in _entries(root / "proc"):
        if process.name.isdecimal():
            path = process / "ns/net"
            try:
                yield path.stat().st_ino, path
            except OSError:  # it ended, or belongs to another user
                continue


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _enter(descriptor: int) -> None:
    """Move this thread (os.setns came with Python 3.12)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
