"""Which sockets are the job's: those of its cgroup or of its processes, and once seen, for good."""

from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol, TypeAlias

import numpy as np

from ss_pusher.model import U64, Bools, Sockets

Dumps: TypeAlias = Sequence[tuple[str, Sockets]]
"""The sockets of each network namespace, by its name. No cookie stands in two of them."""


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

    def read(self, dump: Callable[[], Dumps]) -> Dumps:
        """Dump, and learn from it. Who holds what is read before and after, so that what closes meanwhile is found."""
        in_cgroups = bool(self._cgroups())
        held = set() if in_cgroups else self._job.held_now()
        others = self._others()
        dumps = dump()
        others |= self._others()
        wanted = set(self._cgroups()) if in_cgroups else held | self._job.held()
        cookies = [self._learned(sockets, wanted, others, in_cgroups=in_cgroups) for _, sockets in dumps]
        self._cookies = np.concatenate([np.empty(0, np.uint64), *cookies])
        return dumps

    def _learned(self, sockets: Sockets, wanted: set[int], others: set[int], *, in_cgroups: bool) -> U64:
        mine = np.isin(sockets.cgroup if in_cgroups else sockets.inode, list(wanted))
        mine &= ~np.isin(sockets.inode, list(others))
        cookies: U64 = sockets.cookie[mine | self.own(sockets)]
        return cookies

    def own(self, sockets: Sockets) -> Bools:
        """Bool[n]: the job's. Of closed ones only what the last dump had: their events name no owner."""
        mine: Bools = np.isin(sockets.cookie, self._cookies)
        return mine
