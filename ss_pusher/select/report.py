"""What the selection says of itself after a tick."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from ss_pusher.model import Bools, Groups
from ss_pusher.select.budget import Limit

_COVERED: Final = {
    "bytes": ("ss_flow_sent_bytes_total", "ss_flow_received_bytes_total"),
    "retransmits": ("ss_flow_retransmitted_segments_total",),
}


@dataclass(frozen=True, slots=True)
class Report:
    """What one call of `Selection.choose` did. Counts are of this tick, not since the start."""

    groups: int  # seen
    exported: int  # groups and networks with series of their own, the remainder not among them
    networks: int  # how many of these are networks
    entered: int
    evicted: int
    new_series: int  # what those that entered cost, the remainder's first appearance included
    refused: Mapping[Limit, int]  # groups that each limit refused; every limit is there
    coverage: Mapping[str, float]  # of bytes, retransmits and flows: the share not in the remainder; NaN: of nothing


def coverage(groups: Groups, exported: Bools) -> Mapping[str, float]:
    """The share of what this tick moved, and of the open sockets, that stands in the groups marked as exported."""
    amounts = {
        name: [row for c, row in zip(groups.flow_counters, groups.counters, strict=True) if c.family.name in families]
        for name, families in _COVERED.items()
    }
    shares = {name: _share(np.array(rows).sum(axis=0), exported) for name, rows in amounts.items() if rows}
    return shares | {"flows": _share(groups.sockets, exported)}


def _share(amounts: np.ndarray, exported: Bools) -> float:
    total = int(amounts.sum())
    return int(amounts[exported].sum()) / total if total else float("nan")
