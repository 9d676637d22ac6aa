"""Whom the job talked to, for people: one line a peer, the most bytes first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ss_pusher.model import Labels, Snapshot

_SENT: Final = "ss_flow_sent_bytes_total"
_RECEIVED: Final = "ss_flow_received_bytes_total"
_RETRANSMITTED: Final = "ss_flow_retransmitted_segments_total"
_RTT: Final = "ss_flow_rtt_max_seconds"
_MILLISECONDS: Final = 1000.0
_STEP: Final = 1024.0
_UNKNOWN: Final = "connections of this host that closed between two looks, and whose they were is unknown: {}\n"
_HEADINGS: Final = ("peer", "sent", "received", "worst rtt", "retransmits")


@dataclass(slots=True)
class _Peer:
    values: dict[str, float]
    worst_rtt: float = 0.0


class Summary:
    """Remembers the worst round-trip time of each group: at the end its connections are closed and have none."""

    def __init__(self) -> None:
        self._peers: dict[Labels, _Peer] = {}

    def observe(self, snapshot: Snapshot) -> None:
        """Learn from one tick."""
        for labels, name, value in _samples(snapshot):
            peer = self._peers.setdefault(labels, _Peer({}))
            peer.values[name] = value
            if name == _RTT:
                peer.worst_rtt = max(peer.worst_rtt, value)

    def text(self, unknown: int) -> str:
        """A table in plain text; what the configuration does not export is a dash.

        `unknown` is how many connections closed of which nobody knows whose they were.
        """
        return self._table() + (_UNKNOWN.format(unknown) if unknown else "")

    def _table(self) -> str:
        ranked = sorted(self._peers.items(), key=lambda item: (-_bytes(item[1]), item[0]))
        rows = [_HEADINGS, *(_cells(labels, peer) for labels, peer in ranked if _bytes(peer) or _is_named(labels))]
        if len(rows) == 1:
            return "it talked to nobody that could be seen\n"
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (
            "  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(pairs))
            for pairs in (list(zip(row, widths, strict=True)) for row in rows)
        )
        return "".join(f"{line.rstrip()}\n" for line in lines)


def _samples(snapshot: Snapshot) -> Iterator[tuple[Labels, str, float]]:
    for block in snapshot.blocks:
        for family, row in zip(block.families, block.values, strict=True):
            if family.name in (_SENT, _RECEIVED, _RETRANSMITTED, _RTT):
                for labels, value in zip(block.labels, row.tolist(), strict=True):
                    if not np.isnan(value):
                        yield labels, family.name, value


def _bytes(peer: _Peer) -> float:
    return peer.values.get(_SENT, 0.0) + peer.values.get(_RECEIVED, 0.0)


def _is_named(labels: Labels) -> bool:
    """Whether this is more than the remainder, which is there even if nothing is in it."""
    return any(value != "other" for name, value in labels if name != "direction")


def _cells(labels: Labels, peer: _Peer) -> tuple[str, ...]:
    retransmitted = peer.values.get(_RETRANSMITTED)
    return (
        _name(dict(labels)),
        _size(peer.values.get(_SENT)),
        _size(peer.values.get(_RECEIVED)),
        f"{peer.worst_rtt * _MILLISECONDS:.3f} ms" if peer.worst_rtt else "-",
        "-" if retransmitted is None else f"{retransmitted:.0f}",
    )


def _name(labels: dict[str, str]) -> str:
    """The remote address and the service's port where they are labels, and whatever else tells groups apart."""
    address, port = labels.pop("remote_address", ""), labels.pop("service_port", "")
    labels.pop("direction", None)
    shown = f"[{address}]" if ":" in address and port else address
    peer = f"{shown}:{port}" if shown and port else shown or port
    return " ".join([*([peer] if peer else []), *(f"{name}={value}" for name, value in labels.items())]) or "all"


def _size(count: float | None) -> str:
    if count is None:
        return "-"
    unit, units = "B", iter(("KiB", "MiB", "GiB", "TiB", "PiB"))
    while count >= _STEP and unit != "PiB":
        count, unit = count / _STEP, next(units)
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
