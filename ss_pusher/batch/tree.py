"""The processes that descend from one, and the sockets that they hold (proc_pid_stat(5))."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PARENT: Final = 1  # among the fields of stat after the command's name, which may hold anything
_SHORTEST: Final = 2


def parents(proc: Path = _PROC) -> dict[int, int]:
    """The parent of every process that can be seen."""
    found = {}
    for name in os.listdir(proc):  # noqa: PTH208 - names, no paths
        if not name.isdecimal():
            continue
        try:
            fields = (proc / name / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if len(fields) >= _SHORTEST:
            found[int(name)] = int(fields[_PARENT])
    return found


def descendants(root: int, parent_of: Mapping[int, int]) -> set[int]:
    """Children of `root`, their children, and so on; without `root`."""
    children: dict[int, list[int]] = {}
    for process, parent in parent_of.items():
        children.setdefault(parent, []).append(process)
    found: set[int] = set()
    pending = [root]
    while pending:
        new = set(children.get(pending.pop(), ())) - found - {root}
        found |= new
        pending += new
    return found


class ProcessTree:
    """The sockets of a process tree, by inode.

    `sockets` gives the inodes of the sockets that a process holds. `root` is the process at the top; `with_root` says
    whether it is part of the job.
    """

    def __init__(self, root: int, sockets: Callable[[int], Iterable[int]], *, with_root: bool) -> None:
        self._root = root
        self._sockets = sockets
        self._own = {root} if with_root else set()
        self._processes = set(self._own)

    def held_now(self) -> set[int]:
        """The sockets of the processes that `held` found last: quick, and right before a dump."""
        return {inode for process in self._processes for inode in self._sockets(process)}

    def held(self) -> set[int]:
        """The sockets of all processes that there are now."""
        self._processes = self._own | descendants(self._root, parents())
        return self.held_now()
