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
        present = dict(_present(sockets.take(np.flatnonzero(listening))))
        missing = self._listeners.keys() - present.keys()
        used = set(np.unique(sockets.local_port[~listening]).tolist()) if missing else set()
        kept = {}
        for endpoint in missing:
            listener = self._listeners[endpoint]
            since = listener.missing_since
            if since is None or endpoint.port in used:
                since = now
            if now - since <= KEEP_SECONDS:
                kept[endpoint] = _Listener(listener.cgroup, since)
        if self._listeners != (listeners := kept | present):
            self._listeners = listeners
            self._index()

    def inbound(self, sockets: Sockets) -> Bools:
        """Bool[n]: the local end of each socket is one that is listened on."""
        port = sockets.local_port.astype(np.intp)  # numpy looks up three times as fast by these
        ipv6 = sockets.family == AddressFamily.IPV6
        inbound = np.where(ipv6, self._any[AddressFamily.IPV6][port], self._any[AddressFamily.IPV4][port])
        rest = np.flatnonzero((self._specific[port] > 0) & ~inbound)
        inbound[rest] = self._find(sockets, rest) >= 0
        return inbound

    def cgroups(self, sockets: Sockets) -> U64:
        """U64[n]: the cgroup of the listener that each inbound socket came through; 0 where it is not known."""
        port = sockets.local_port.astype(np.intp)
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
        last = len(self._high) - 1
        if last < 0:
            return np.full(len(rows), -1)
        ports = sockets.local_port[rows].astype(np.intp)
        high, low = (word[rows] for word in sockets.local.T)
        first = self._first[ports]
        end = after = first + self._specific[ports]
        # A binary search in all rows at once: hosts of many addresses listen on each of them.
        for _ in range((int(self._specific.max()) - 1).bit_length()):
            middle = (first + after) // 2
            at = np.minimum(middle, last)
            more = (self._high[at] > high) | ((self._high[at] == high) & (self._low[at] > low))
            first, after = np.where(more, first, middle), np.where(more, middle, after)
        at = np.minimum(first, last)
        same = (self._high[at] == high) & (self._low[at] == low)
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
        self._high = np.array([endpoint.high for endpoint, _ in specific], np.uint64)
        self._low = np.array([endpoint.low for endpoint, _ in specific], np.uint64)
        self._cgroup_of_specific = np.array([cgroup for _, cgroup in specific], np.uint64)


def _present(listening: Sockets) -> Iterator[tuple[_Endpoint, _Listener]]:
    rows = zip(listening.local.tolist(), listening.local_port.tolist(), listening.cgroup.tolist(), strict=True)
    for (high, low), port, cgroup in rows:
        yield _Endpoint(high, low, port), _Listener(cgroup, None)
