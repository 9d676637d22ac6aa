"""Reads this host's kernel: dumps, and the flows that closed since the last one."""

import socket
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from ss_pusher.errors import UnsupportedHostError
from ss_pusher.model import AddressFamily, Sockets
from ss_pusher.netlink.dump import Dumper
from ss_pusher.netlink.filter import Program
from ss_pusher.netlink.tcp_info import FIELDS, Field, Source
from ss_pusher.telemetry import Telemetry

_ROOM_FOR_TCP_INFO: Final = 1024


def kernel_fields() -> frozenset[str]:
    """The names of the fields that this kernel has: TCP_INFO gives as much of the structure as there is (tcp(7)).

    Raises:
        UnsupportedHostError: this is no Linux.
    """
    if not hasattr(socket, "TCP_INFO"):
        raise UnsupportedHostError("this host has no TCP_INFO; TCP statistics are read from Linux only")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        size = len(probe.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ROOM_FOR_TCP_INFO))
    return frozenset(f.name for f in FIELDS.values() if f.source is not Source.TCP_INFO or f.end <= size)


class ClosedFlows(Protocol):
    """Where destroy events wait; `netlink.closed.ClosedFlows` is one."""

    def take(self) -> tuple[Sockets, int]:
        """The sockets that were destroyed since the last call, and how many more there were but are lost."""

    def close(self) -> None:
        """Listen no more."""


class Collector:
    """One network namespace. `closed` must listen since before the first dump, so that nothing is missed between."""

    def __init__(
        self,
        dumper: Dumper,
        closed: ClosedFlows | None,
        telemetry: Telemetry,
        *,
        families: Collection[AddressFamily],
        fields: Sequence[Field],
        congestion: bool,
        program: Callable[[], Program],
    ) -> None:
        """`program` gives the filter for the kernel as it is for the next dump."""
        self._dumper: Final = dumper
        self._closed: Final = closed
        self._telemetry: Final = telemetry
        self._families: Final = families
        self._fields: Final = fields
        self._congestion: Final = congestion
        self._program: Final = program
        self._none: Final = Sockets.none({field.name: field.dtype for field in fields})

    def dump(self) -> Sockets:
        """All sockets that the kernel's filter lets through. Raises CollectError."""
        program = self._program()
        return self._dumper.dump(
            self._families, program.states, self._fields, congestion=self._congestion, bytecode=program.bytecode
        )

    def closed(self) -> tuple[Sockets, bool]:
        """What was destroyed since the last call, and whether that is all: no event was lost.

        To be drained after a dump, so that no flow falls between.
        """
        if self._closed is None:
            return self._none, False
        sockets, lost = self._closed.take()
        self._telemetry.add("ss_pusher_closed_flow_events_total", len(sockets))
        self._telemetry.add("ss_pusher_closed_flow_events_lost_total", lost)
        return sockets, not lost

    def close(self) -> None:
        """Give the sockets back."""
        self._dumper.close()
        if self._closed is not None:
            self._closed.close()
