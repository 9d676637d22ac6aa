"""Which sockets are the job's: those of its cgroup or of its processes, and once seen, for good."""

from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol, TypeAlias

import numpy as np

from ss_pusher.batch.unseen import Unseen
from ss_pusher.model import U32, U64, Bools, Sockets, TcpState

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
        self._looked: dict[str, Sockets] = {}  # the job's, as the looks since the last `read` showed them
        self.unseen: Final = Unseen()

    def look(self, dump: Callable[[], Dumps]) -> Dumps:
        """Dump, and learn from it. What this shows of the job's sockets stands until the next `read`."""
        dumps = self._learn(dump)
        for namespace, sockets in dumps:
            mine = self.own(sockets)
            if mine.any():
                self._looked[namespace] = self._with_gone(namespace, sockets.take(mine))
        return dumps

    def read(self, dump: Callable[[], Dumps]) -> Dumps:
        """Dump, and learn from it; with what only looks since the last time showed of the job's sockets."""
        dumps = [(namespace, self._with_gone(namespace, sockets)) for namespace, sockets in self._learn(dump)]
        self._looked = {}
        return dumps

    def own(self, sockets: Sockets) -> Bools:
        """Bool[n]: the job's. Of closed ones only what the last dump had: their events name no owner."""
        mine: Bools = np.isin(sockets.cookie, self._cookies)
        return mine

    def _learn(self, dump: Callable[[], Dumps]) -> Dumps:
        """Who holds what is read before and after the dump, so that what closes meanwhile is found."""
        in_cgroups = bool(self._cgroups())
        held = set() if in_cgroups else self._job.held_now()
        others = self._others()
        dumps = dump()
        others = others | self._others()
        wanted = set(self._cgroups()) if in_cgroups else held | self._job.held()
        cookies = [self._learned(sockets, wanted, others, in_cgroups=in_cgroups) for _, sockets in dumps]
        looked = [sockets.cookie for sockets in self._looked.values()]
        self._cookies = np.concatenate([np.empty(0, np.uint64), *cookies, *looked])
        return dumps

    def _learned(self, sockets: Sockets, wanted: set[int], others: set[int], *, in_cgroups: bool) -> U64:
        mine = _among(sockets.cgroup if in_cgroups else sockets.inode, wanted)
        mine &= ~_among(sockets.inode, others)
        told = (sockets.state != TcpState.TIME_WAIT) & (mine | (sockets.inode != 0) | in_cgroups)
        self.unseen.saw(sockets.cookie[told])
        cookies: U64 = sockets.cookie[mine | self.own(sockets)]
        return cookies

    def _with_gone(self, namespace: str, sockets: Sockets) -> Sockets:
        """The sockets, after those that a look showed and that are gone: in TIME_WAIT one has no counters any more."""
        looked = self._looked.get(namespace)
        if looked is None:
            return sockets
        gone = ~np.isin(looked.cookie, sockets.cookie[sockets.state != TcpState.TIME_WAIT])
        return Sockets.concatenate([looked.take(gone), sockets]) if gone.any() else sockets


def _among(values: U32 | U64, wanted: set[int]) -> Bools:
    mine: Bools = np.isin(values, np.fromiter(wanted, values.dtype, len(wanted)))
    return mine
