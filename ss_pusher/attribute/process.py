"""Which process holds a socket: one pass over /proc/*/fd for the sockets that are not known yet (proc_pid_fd(5))."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from ss_pusher.attribute.pace import Pace
from ss_pusher.model import F64, U32, Bools, Rows

KEEP_SECONDS: Final = 300.0
"""How long an answer, also that nobody was found, stands before it is looked up again."""

_FIRST: Final = 1
"""There is always a process of this number."""


def pids(proc: Path) -> list[int]:
    """The processes that can be seen, in ascending order."""
    return sorted(int(name) for name in os.listdir(proc) if name.isdecimal())  # noqa: PTH208 - names, no paths


def socket_inodes(proc: Path, pid: int) -> Iterator[int]:
    """The inode of each socket that the process holds; none when it is gone or not ours to look into."""
    try:
        descriptors = os.scandir(proc / f"{pid}/fd")
    except OSError:
        return
    with descriptors:
        for descriptor in descriptors:
            try:
                target = os.readlink(descriptor.path)  # noqa: PTH115 - a Path for each of 20,000 costs more than the call
            except OSError:  # closed meanwhile
                continue
            if target.startswith("socket:["):
                yield int(target[8:-1])


def command(proc: Path, pid: int) -> str:
    """The process's name as `ps -o comm` shows it, at most 15 bytes."""
    try:
        return (proc / f"{pid}/comm").read_bytes().removesuffix(b"\n").decode(errors="replace")
    except OSError:
        return ""


class Processes:
    """The process of each socket by inode. Of several that hold it, the one with the lowest number."""

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        self._proc = root / "proc"
        self._clock = clock
        self._pace = Pace(clock)
        self._inodes: U32 = np.empty(0, np.uint32)  # ascending
        self._pids: U32 = np.empty(0, np.uint32)  # 0: nobody was found
        self._until: F64 = np.empty(0, np.float64)
        self._commands: dict[int, str] = {}
        self._dumped: dict[str, U32] = {}  # the inodes of the last dump of each network namespace

    def observe(self, inodes: U32, namespace: str) -> None:
        """What the sockets of a dump are: the next pass looks for those of all namespaces, and not of one alone."""
        # Copied, so that they do not keep all columns of the dump in memory until the next one.
        self._dumped[namespace] = inodes.copy()

    def forget(self, namespace: str) -> None:
        """Look no more for the sockets of a namespace that went away."""
        self._dumped.pop(namespace, None)

    def look_up(self, inodes: U32) -> U32:
        """U32[n]: the process of each inode; 0 where it is not known, and for inode 0."""
        at, found = self._find(inodes)
        if not (found | (inodes == 0)).all() and self._pace.due():
            with self._pace.timed():
                self._learn(self._unknown(np.concatenate([inodes, *self._dumped.values()])))
            at, found = self._find(inodes)
        holders = np.zeros(len(inodes), np.uint32)
        holders[found] = self._pids[at[found]]
        return holders

    def command(self, pid: int) -> str:
        """The name of a process that `look_up` gave; empty for any other."""
        return self._commands.get(pid, "")

    def _find(self, inodes: U32) -> tuple[Rows, Bools]:
        if not len(self._inodes):
            return np.zeros(len(inodes), np.intp), np.zeros(len(inodes), np.bool_)
        at = np.minimum(np.searchsorted(self._inodes, inodes), len(self._inodes) - 1)
        return at, (self._inodes[at] == inodes) & (self._until[at] > self._clock())

    def _unknown(self, inodes: U32) -> U32:
        """Each of `inodes` once of which there is no answer that stands."""
        _, found = self._find(inodes)
        unknown: U32 = np.unique(inodes[~found & (inodes != 0)])
        return unknown

    def _learn(self, unknown: U32) -> None:
        holders = self._pass(set(unknown.tolist()))
        fresh = self._until > self._clock()
        inodes = np.concatenate([self._inodes[fresh], unknown])
        pids = np.array([holders.get(inode, 0) for inode in unknown.tolist()], np.uint32)
        until = np.full(len(unknown), self._clock() + KEEP_SECONDS)
        order = np.argsort(inodes)
        self._inodes = inodes[order]
        self._pids = np.concatenate([self._pids[fresh], pids])[order]
        self._until = np.concatenate([self._until[fresh], until])[order]
        self._commands |= {pid: command(self._proc, pid) for pid in set(holders.values())}
        held = set(self._pids.tolist())
        self._commands = {pid: name for pid, name in self._commands.items() if pid in held}

    def _pass(self, wanted: set[int]) -> dict[int, int]:
        """Who holds the wanted inodes; ends as soon as all are found."""
        holders: dict[int, int] = {}
        for pid in pids(self._proc):
            found = wanted.intersection(socket_inodes(self._proc, pid))
            wanted -= found
            holders |= dict.fromkeys(found, pid)
            if not wanted:
                break
        return holders


def missing_privilege(root: Path, *, may_trace: bool) -> str:
    """What keeps this process from naming the processes of all sockets, and how to give it; empty: nothing.

    `may_trace`: it has CAP_SYS_PTRACE. What it may not read then, no capability gives.
    """
    proc = root / "proc"
    visible = pids(proc)
    refused = sum(not _readable(proc / f"{pid}/fd", links=not may_trace) for pid in visible)
    if refused:
        which = f"{refused} of {len(visible)} processes belong to other users and may not be looked into"
    elif _FIRST not in visible:
        which = f"processes of other users are hidden (hidepid, proc(5)), only {len(visible)} can be seen"
    else:
        return ""
    return (
        f"pid and command: {which}, so their sockets stay without; give CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH (for "
        "the systemd unit, the drop-in process-names.conf does), or run as root"
    )


def _readable(directory: Path, *, links: bool) -> bool:
    """Whether the directory can be listed, and its links be read: each takes a capability (proc_pid_fd(5))."""
    try:
        with os.scandir(directory) as descriptors:
            for descriptor in itertools.islice(descriptors, int(links)):
                os.readlink(descriptor.path)  # noqa: PTH115 - what the pass does
    except FileNotFoundError:  # it ended meanwhile
        return True
    except OSError:
        return False
    return True
