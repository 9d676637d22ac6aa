"""The types that travel from stage to stage. Imports nothing of ours; holds no behaviour but access to columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Final, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

U8: TypeAlias = npt.NDArray[np.uint8]
U16: TypeAlias = npt.NDArray[np.uint16]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
I64: TypeAlias = npt.NDArray[np.int64]
F64: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Rows: TypeAlias = npt.NDArray[np.intp]
Column: TypeAlias = npt.NDArray[np.generic]


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


# ---- declarations of metrics ----------------------------------------------------------------------------------------


class MetricType(StrEnum):
    """The names are those of the exposition format's TYPE line."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Preset(IntEnum):
    """How much of the metrics is wanted; each includes the ones before, but SS_EXPORTER, which stands alone."""

    ESSENTIAL = 1
    STANDARD = 2
    ALL = 3
    SS_EXPORTER = 4


@dataclass(frozen=True, slots=True)
class Family:
    """A metric as receivers know it. The name is that on the wire, with the _total that counters of ours end in."""

    name: str
    type: MetricType
    help: str
    unit: str = ""


class Fold(Enum):
    """How the sockets of a group make one value of a gauge."""

    SUM = "sum"
    MEAN = "mean"
    MAX = "max"
    MIN = "min"


class LedgerField(StrEnum):
    """Counted by the ledger for each flow, beside the fields of tcp_info."""

    OPENED = "flows_opened"
    CLOSED = "flows_closed"
    CONNECT_FAILURES = "connect_failures"
    WIPED = "flows_wiped"
    LOST = "flows_lost"


@dataclass(frozen=True, slots=True)
class FlowCounter:
    """A counter kept for each socket: `field` of tcp_info or of the ledger, less `minus` where given.

    The exported value is the integer total divided by `per`. `host` is the family of the whole host's total, if it has
    one besides the groups' own.
    """

    family: Family
    field: str
    preset: Preset
    minus: str = ""
    per: int = 1
    host: Family | None = None


@dataclass(frozen=True, slots=True)
class FlowGauge:
    """A momentary value of a socket, and how a group of sockets folds it. Rows where `unless` is set do not count."""

    family: Family
    field: str
    preset: Preset
    fold: Fold
    per: int = 1
    unless: str = ""


@dataclass(frozen=True, slots=True)
class FlowHistogram:
    """How a momentary value of the open flows is distributed, divided by `per`. Bounds are inclusive."""

    family: Family
    field: str
    bounds: tuple[float, ...]
    per: int = 1


# ---- one tick -------------------------------------------------------------------------------------------------------

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Label pairs sorted by name, without __name__ and without external labels; no empty values."""

OTHER: Final = "other"
"""The value of every group label but direction in the series that holds what is not exported by itself."""


OTHER_WORD: Final = 0xFFFF_FFFF_FFFF_FFFF
"""Stands for `OTHER` in each word of a group's key."""


class KeyPart(NamedTuple):
    """Where a label stands in a group's key: `width` words from word `first` on."""

    label: str
    first: int
    width: int


@dataclass(frozen=True, slots=True)
class Flows:
    """Connections: sockets with a peer, each with the key of the group that it belongs to."""

    sockets: Sockets
    keys: U64  # [n, words]
    kept: Bools  # [n]; what the filters decided

    def __len__(self) -> int:
        return len(self.kept)


@dataclass(frozen=True, slots=True)
class Movement:
    """What every flow moved since the tick before: a row for each open flow, then the closed, then the lost ones."""

    fields: tuple[str, ...]  # of tcp_info, and `LedgerField`
    keys: U64  # [rows, words]
    kept: Bools  # [rows]
    increments: I64  # [fields, rows]
    closed_bytes: F64  # [flows that ended and had been established, and were kept]; payload over their whole life


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of one tick, and what their sockets add up to. No key occurs twice.

    `counters` are the increments of this tick in the kernel's own integers. `gauges` are folded values already
    scaled, NaN where no socket of the group has one; `weights` is how many sockets stand behind each.
    """

    flow_counters: tuple[FlowCounter, ...]
    flow_gauges: tuple[FlowGauge, ...]
    keys: U64  # [groups, words]
    sockets: I64  # [groups], open ones
    counters: I64  # [flow_counters, groups]
    gauges: F64  # [flow_gauges, groups]
    weights: I64  # [flow_gauges, groups]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which keys are exported in this tick, and to which of them each group is credited: to exactly one.

    The keys of the remainder are among `keys`: `OTHER_WORD` in every word but those of `direction`. A key may have no
    group in this tick (it is held), and several groups may have one owner (the remainder, a prefix).
    """

    keys: U64  # [exported, words]
    owner: Rows  # [groups], indices into `keys`


@dataclass(frozen=True, slots=True)
class Block:
    """Families that share their label sets. `values[f, s]` is family f's sample of label set s; NaN: it has none.

    `start_ms` is when each label set's counters began, in milliseconds of Unix time; it says nothing of gauges.
    """

    families: tuple[Family, ...]
    labels: tuple[Labels, ...]
    values: F64  # [families, label sets]
    start_ms: I64  # [label sets]


@dataclass(frozen=True, slots=True)
class HistogramBlock:
    """One histogram. `counts` are per bucket, not cumulative; the last is above every bound. Bounds are inclusive."""

    family: Family
    labels: tuple[Labels, ...]
    bounds: tuple[float, ...]
    counts: U64  # [label sets, bounds + 1]
    sums: F64  # [label sets]
    start_ms: I64  # [label sets]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that one tick says, in Unix milliseconds. `previous_ms` is the tick before, or 0 when there was none."""

    time_ms: int
    previous_ms: int
    blocks: tuple[Block, ...]
    histograms: tuple[HistogramBlock, ...] = ()

    def series(self) -> int:
        """How many series this is in a text or remote write sink: each bucket, sum and count is one."""
        plain = sum(int(np.count_nonzero(~np.isnan(block.values))) for block in self.blocks)
        return plain + sum(len(h.labels) * (len(h.bounds) + 3) for h in self.histograms)


# ---- on the way out -------------------------------------------------------------------------------------------------


class Protocol(IntEnum):
    """What the body of a request is. The numbers stand in spool files: never reuse one."""

    REMOTE_WRITE_1 = 1  # prometheus.WriteRequest, snappy block format
    REMOTE_WRITE_2 = 2  # io.prometheus.write.v2.Request, snappy block format
    TEXT = 3  # text exposition format 0.0.4
    DELIMITED = 4  # io.prometheus.client.MetricFamily, length-delimited protobuf


@dataclass(frozen=True, slots=True)
class Request:
    """One request's body, ready for the wire, and what the queue and the self-metrics need to know of it."""

    protocol: Protocol
    body: bytes
    samples: int
    oldest_ms: int  # the lowest timestamp inside
    newest_ms: int  # the highest timestamp inside


class Pending(NamedTuple):
    """What waits in a queue, leased requests included."""

    requests: int
    samples: int
    bytes: int
