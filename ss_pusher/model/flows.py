"""From sockets to groups, and to those that are exported: what stands between the stages of one tick."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from ss_pusher.model.arrays import F64, I64, U64, Bools, Rows
from ss_pusher.model.declarations import FlowCounter, FlowGauge
from ss_pusher.model.sockets import Sockets

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
