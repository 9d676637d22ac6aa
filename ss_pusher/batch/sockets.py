"""Which sockets are the job's: those of its cgroup or of its processes, and once seen, for good."""

from collections.abc import Callable, Collection
from typing import Final, Protocol

import numpy as np

from ss_pusher.model import U64, Bools, Sockets


class Holder(Protocol):
    """Processes and the inodes of their sockets; `batch.tree.ProcessTree` is one."""

    def held_now(self) -> set[int]:
        """Of the processes that were known last."""

    def held(self) -> set[int]:
        """Of all there are now."""


class JobSockets:
    """Remembers the cookies of the job's open sockets: an orphan in FIN_WAIT2 has neither process nor inode.

    Where `cgroups` gives ids, they decide, and `job` is not asked. Never the job's are the sockets that `others`
    holds: this wrapper's own, and those that were open before the job began.
    """

    def __init__(self, job: Holder, others: Callable[[], set[int]], cgroups: Callable[[], Collection[int]]) -> None:
        self._job: Final = job
        self._others: Final = others
        self._cgroups: Final = cgroups
        self._cookies: U64 = np.empty(0, np.uint64)

    def read(self, dump: Callable[[], Sockets]) -> Sockets:
        """Dump, and learn from it. Who holds what is read before and after, so that what closes meanwhile is found."""
        in_cgroups = bool(self._cgroups())
        held = set() if in_cgroups else self._job.held_now()
        others = self._others()
        sockets = dump()
        others |= self._others()
        if in_cgroups:
            mine: Bools = np.isin(sockets.cgroup, list(self._cgroups()))
        else:
            mine = np.isin(sockets.inode, list(held | self._job.held()))
        mine &= (sockets.inode == 0) | ~np.isin(sockets.inode, list(others))
        self._cookies = sockets.cookie[mine | self.own(sockets)]
        return sockets

    def own(self, sockets: Sockets) -> Bools:
        """Bool[n]: the job's. Of closed ones only what the last dump had: their events name no owner."""
        mine: Bools = np.isin(sockets.cookie, self._cookies)
        return mine
