"""Sockets as columns, and the rules that choose among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Self

import numpy as np
import numpy.typing as npt

from ss_pusher.model.arrays import U8, U16, U32, U64, Bools, Column, Rows


class AddressFamily(IntEnum):
    """Linux include/linux/socket.h."""

    IPV4 = 2
    IPV6 = 10


class TcpState(IntEnum):
    """Linux include/net/tcp_states.h. The kernel reports request sockets (NEW_SYN_RECV) as SYN_RECV."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11


class Direction(IntEnum):
    """Who opened the connection, as this host sees it."""

    IN = 1
    OUT = 2


@dataclass(frozen=True, slots=True)
class Sockets:
    """TCP sockets as columns; every array has n rows, in the order in which the kernel gave them.

    Addresses are two 64-bit words, high and low, as numbers in host order. An IPv4 address stands in its mapped form
    (::ffff:a.b.c.d), so that one comparison serves both families; `family` says which it is.

    A field of `info` that the kernel did not send for a row is absent there: its value is 0 and means nothing.
    Ask `known`. A field that the kernel does not know at all is absent in every row.
    """

    cookie: U64
    family: U8
    state: U8
    local: U64  # [n, 2]
    remote: U64  # [n, 2]
    local_port: U16
    remote_port: U16
    interface: U32
    uid: U32
    inode: U32
    cgroup: U64  # 0: not told
    congestion: npt.NDArray[np.bytes_]  # S16; empty: not told or not asked for
    info: Mapping[str, Column] = field(default_factory=dict)
    absent: Mapping[str, Bools] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cookie)

    def known(self, name: str) -> Bools:
        """Bool[n]: the rows in which the kernel gave a value for this field of `info`."""
        if name not in self.info:
            return np.zeros(len(self), dtype=np.bool_)
        absent = self.absent.get(name)
        return np.ones(len(self), dtype=np.bool_) if absent is None else ~absent

    def take(self, rows: Rows | Bools) -> Self:
        """The given rows (indices or a mask), in that order."""
        if rows.dtype != np.bool_:
            return self._at(rows)
        if rows.all():
            return self
        chosen = np.flatnonzero(rows)
        # Listeners come first in a dump, so the rest is often one run of rows, which needs no copy.
        if len(chosen) and chosen[-1] - chosen[0] + 1 == len(chosen):
            return self._at(slice(chosen[0], chosen[-1] + 1))
        return self._at(chosen)

    def _at(self, rows: Rows | Bools | slice) -> Self:
        plain = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in ("info", "absent")}
        masks = {id(mask): mask[rows] for mask in {id(mask): mask for mask in self.absent.values()}.values()}
        return type(self)(
            **plain,
            info={name: column[rows] for name, column in self.info.items()},
            absent={name: masks[id(mask)] for name, mask in self.absent.items()},
        )

    @classmethod
    def concatenate(cls, parts: "Sequence[Sockets]") -> "Sockets":
        """All rows of `parts` (at least one), which must have the same fields in `info`."""
        if len(parts) == 1:
            return parts[0]
        plain = {
            f.name: np.concatenate([getattr(part, f.name) for part in parts])
            for f in fields(cls)
            if f.name not in ("info", "absent")
        }
        info = {name: np.concatenate([part.info[name] for part in parts]) for name in parts[0].info}
        masked = {name for part in parts for name in part.absent}
        absent = {name: np.concatenate([~part.known(name) for part in parts]) for name in sorted(masked)}
        return cls(**plain, info=info, absent=absent)

    @classmethod
    def none(cls, info: Mapping[str, np.dtype[np.generic]]) -> "Sockets":
        """No rows; `info` gives the dtype of each field."""
        return cls(
            cookie=np.empty(0, np.uint64),
            family=np.empty(0, np.uint8),
            state=np.empty(0, np.uint8),
            local=np.empty((0, 2), np.uint64),
            remote=np.empty((0, 2), np.uint64),
            local_port=np.empty(0, np.uint16),
            remote_port=np.empty(0, np.uint16),
            interface=np.empty(0, np.uint32),
            uid=np.empty(0, np.uint32),
            inode=np.empty(0, np.uint32),
            cgroup=np.empty(0, np.uint64),
            congestion=np.empty(0, "S16"),
            info={name: np.empty(0, dtype) for name, dtype in info.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the filter: keep or drop the sockets that meet every condition.

    A condition is met by any of its elements, and an empty one by every socket. Names may be patterns of fnmatch.
    Port ranges are first and last, both included.
    """

    keeps: bool
    directions: tuple[Direction, ...] = ()
    remote_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    local_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    hosts: tuple[str, ...] = ()
    service_ports: tuple[tuple[int, int], ...] = ()
    local_ports: tuple[tuple[int, int], ...] = ()
    remote_ports: tuple[tuple[int, int], ...] = ()
    units: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    commands: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    uids: tuple[int, ...] = ()
    interfaces: tuple[str, ...] = ()
    families: tuple[AddressFamily, ...] = ()
    congestions: tuple[str, ...] = ()
    states: tuple[TcpState, ...] = ()
    namespaces: tuple[str, ...] = ()
    marks: tuple[int, ...] = ()
