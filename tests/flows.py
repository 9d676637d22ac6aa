"""Flows for tests of the stages after the collector: columns made from plain records."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ss_pusher.ledger import NEEDS
from ss_pusher.model import AddressFamily, Flows, Sockets, TcpState

WIDTHS = {"segs_out": np.uint32, "total_rto": np.uint16, "delivered": np.uint32, "min_rtt": np.uint32}
FIELDS = tuple(dict.fromkeys((*NEEDS, "segs_out", "total_rto", "busy_time")))
NO_MIN_RTT = 0xFFFFFFFF


@dataclass
class Flow:
    """One socket as a dump or an event tells it."""

    cookie: int
    counters: dict[str, int] = field(default_factory=dict)
    key: int = 1
    remote_port: int = 443
    kept: bool = True
    state: TcpState = TcpState.ESTABLISHED
    local_port: int = 40000
    peer: int = 1  # which of the addresses after the local one


def sockets(flows: Iterable[Flow]) -> Sockets:
    """The columns of these flows; a min_rtt that is not given is the kernel's "none"."""
    rows = list(flows)
    count = len(rows)
    info = {
        name: np.array([flow.counters.get(name, 0) for flow in rows], dtype=WIDTHS.get(name, np.uint64))
        for name in FIELDS
    }
    absent = {"min_rtt": np.array(["min_rtt" not in flow.counters for flow in rows], dtype=np.bool_)}
    addresses = np.tile(np.array([0, 0xFFFF_0A00_0001], dtype=np.uint64), (count, 1))
    return Sockets(
        cookie=np.array([flow.cookie for flow in rows], dtype=np.uint64),
        family=np.full(count, AddressFamily.IPV4, dtype=np.uint8),
        state=np.array([flow.state for flow in rows], dtype=np.uint8),
        local=addresses,
        remote=addresses + np.array([[0, flow.peer] for flow in rows], dtype=np.uint64).reshape(-1, 2),
        local_port=np.array([flow.local_port for flow in rows], dtype=np.uint16),
        remote_port=np.array([flow.remote_port for flow in rows], dtype=np.uint16),
        interface=np.zeros(count, np.uint32),
        uid=np.zeros(count, np.uint32),
        inode=np.zeros(count, np.uint32),
        cgroup=np.zeros(count, np.uint64),
        congestion=np.zeros(count, "S16"),
        info=info,
        absent=absent,
    )


def flows(*records: Flow) -> Flows:
    """What the ledger takes, with keys of one word."""
    return Flows(
        sockets(records),
        np.array([[flow.key] for flow in records], dtype=np.uint64).reshape(-1, 1),
        np.array([flow.kept for flow in records], dtype=np.bool_),
    )
