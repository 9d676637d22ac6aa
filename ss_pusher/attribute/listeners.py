"""Who opened a connection: what this host listens on, learned from each dump."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from ss_pusher.addresses import MAPPED_LOW
from ss_pusher.model import U64, AddressFamily, Bools, Rows, Sockets, TcpState

KEEP_SECONDS: Final = 120.0
"""How long a listener is remembered after it vanished and after the last socket on its port."""

PORTS: Final = 65_536
WILDCARDS: Final = {(0, MAPPED_LOW): (AddressFamily.IPV4,), (0, 0): (AddressFamily.IPV4, AddressFamily.IPV6)}
"""High and low word of 0.0.0.0 and ::, and the families that a listener there serves."""


class _Endpoint(NamedTuple):
    high: int
    low: int
    port: int


class _Listener(NamedTuple):
    cgroup: int
    missing_since: float | None  # None: it was in the last dump


class Listeners:
    """The endpoints of one network namespace that accept connections, or did until lately."""

    def __init__(self) -> None:
        self._listeners: dict[_Endpoint, _Listener] = {}
        self._index()

    def observe(self, sockets: Sockets, now: float) -> None:
        """Learn from a whole dump: `sockets` has the LISTEN rows and the others. `now` is monotonic seconds."""
        listening = sockets.state == TcpState.LISTEN
        used = np.zeros(PORTS, np.bool_)
        used[sockets.local_port[~listening]] = True
        present = dict(_present(sockets.take(np.flatnonzero(listening))))
        kept = {}
        for endpoint, listener in self._listeners.items():
            since = listener.missing_since
            if since is None or used[endpoint.port]:
                since = now
            if now - since <= KEEP_SECONDS:
                kept[endpoint] = _Listener(listener.cgroup, since)
        self._listeners = kept | present
        self._index()

    def inbound(self, sockets: Sockets) -> Bools:
        """Bool[n]: the local end of each socket is one that is listened on."""
        port = sockets.local_port
        ipv6 = sockets.family == AddressFamily.IPV6
        inbound = np.where(ipv6, self._any[AddressFamily.IPV6][port], self._any[AddressFamily.IPV4][port])
        rest = np.flatnonzero((self._specific[port] > 0) & ~inbound)
        inbound[rest] = self._find(sockets, rest) >= 0
        return inbound

    def cgroups(self, sockets: Sockets) -> U64:
        """U64[n]: the cgroup of the listener that each inbound socket came through; 0 where it is not known."""
        port = sockets.local_port
        ipv6 = sockets.family == AddressFamily.IPV6
        of_any = self._cgroup_of_any
        cgroups = np.where(ipv6, of_any[AddressFamily.IPV6][port], of_any[AddressFamily.IPV4][port])
        rest = np.flatnonzero(self._specific[port])
        found = self._find(sockets, rest)
        cgroups[rest[found >= 0]] = self._cgroup_of_specific[found[found >= 0]]
        return cgroups

    def every_cgroup(self) -> list[int]:
        """The cgroups of all listeners."""
        return list({listener.cgroup for listener in self._listeners.values()})

    def _find(self, sockets: Sockets, rows: Rows) -> Rows:
        """Intp[rows]: which specific listener each row's local end is; -1: none."""
        if not len(self._addresses):
            return np.full(len(rows), -1)
        ports, wanted = sockets.local_port[rows], sockets.local[rows]
        first = self._first[ports]
        end = after = first + self._specific[ports]
        last = len(self._addresses) - 1
        # A binary search in all rows at once: hosts of many addresses listen on each of them.
        for _ in range((int(self._specific.max()) - 1).bit_length()):
            middle = (first + after) // 2
            here = self._addresses[np.minimum(middle, last)]
            more = (here[:, 0] > wanted[:, 0]) | ((here[:, 0] == wanted[:, 0]) & (here[:, 1] > wanted[:, 1]))
            first, after = np.where(more, first, middle), np.where(more, middle, after)
        same = (self._addresses[np.minimum(first, last)] == wanted).all(axis=1)
        return np.where(same & (first < end), first, -1)

    def _index(self) -> None:
        self._any = {family: np.zeros(PORTS, np.bool_) for family in AddressFamily}
        self._cgroup_of_any = {family: np.zeros(PORTS, np.uint64) for family in AddressFamily}
        specific = []
        # An IPv4 wildcard comes after an IPv6 one, whose IPv4 it takes.
        for endpoint, listener in sorted(self._listeners.items()):
            families = WILDCARDS.get(endpoint[:2], ())
            for family in families:
                self._any[family][endpoint.port] = True
                self._cgroup_of_any[family][endpoint.port] = listener.cgroup
            if not families:
                specific.append((endpoint, listener.cgroup))
        specific.sort(key=lambda item: item[0].port)  # and, of one port, by address as before
        ports = np.array([endpoint.port for endpoint, _ in specific], np.intp)
        self._specific = np.bincount(ports, minlength=PORTS)
        self._first = np.cumsum(self._specific) - self._specific
        self._addresses = np.array([endpoint[:2] for endpoint, _ in specific], np.uint64).reshape(-1, 2)
        self._cgroup_of_specific = np.array([cgroup for _, cgroup in specific], np.uint64)


def _present(listening: Sockets) -> Iterator[tuple[_Endpoint, _Listener]]:
    rows = zip(listening.local.tolist(), listening.local_port.tolist(), listening.cgroup.tolist(), strict=True)
    for (high, low), port, cgroup in rows:
        yield _Endpoint(high, low, port), _Listener(cgroup, None)
