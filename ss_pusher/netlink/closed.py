"""Sockets as they close: the kernel announces each with its last counters, to whoever listens at that moment."""

import array
import os
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, NamedTuple, Self

from ss_pusher.errors import CollectError
from ss_pusher.model import AddressFamily, Sockets
from ss_pusher.netlink.batch import BATCH, BatchReceiver
from ss_pusher.netlink.columns import Columns
from ss_pusher.netlink.dump import explain, of_families, open_diag_socket
from ss_pusher.netlink.event_filter import SOCK_FILTER, event_filter
from ss_pusher.netlink.layout import padded
from ss_pusher.netlink.tcp_info import Field
from ss_pusher.netlink.wire import append

_SOL_NETLINK: Final = 270  # include/linux/socket.h
_NETLINK_ADD_MEMBERSHIP: Final = 1  # include/uapi/linux/netlink.h
_NETLINK_NO_ENOBUFS: Final = 5
_SKNLGRP_INET_TCP_DESTROY: Final = 1  # include/uapi/linux/sock_diag.h
_SKNLGRP_INET6_TCP_DESTROY: Final = 3
_SK_MEMINFO: Final = struct.Struct("=9I")
_SK_MEMINFO_RMEM_ALLOC: Final = 0
_SK_MEMINFO_RCVBUF: Final = 1
_SK_MEMINFO_DROPS: Final = 8
_SO_ATTACH_FILTER: Final = 26  # include/uapi/asm-generic/socket.h
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO: Final = 55  # since Linux 4.12
_SOCK_FPROG: Final = struct.Struct("@HP")  # include/uapi/linux/filter.h

_RECEIVE_BUFFER: Final = 32 << 20
MOST_EVENT_BYTES: Final = 128 << 20
_ROOM_OF_AN_EVENT: Final = 1300  # what it takes of the receive buffer, as measured: 212,992 bytes hold 166
_CLOSES_PER_SECOND: Final = 250_000  # that a pause leaves room for; 100,000 began to lose at 40,000 (measured)
_LONGEST_PAUSE: Final = 0.05
_LEFT_THERE: Final = 1 / 8
"""Of a large receive buffer, what may stay in it: to wake the thread for each event costs 0.3 ms (measured)."""
_U32: Final = 1 << 32
_PIECE: Final = 1 << 20  # decoded at a time, so that it stays in the cache


class Closed(NamedTuple):
    """The sockets that closed, and how many more did of which nothing is known."""

    sockets: Sockets
    lost: int


class ClosedFlows:
    """Collects destroy events of flows in a thread of its own, from construction to `close`.

    It holds at most `max_bytes` of them (380 each on Linux 6.18), and counts as lost what comes beyond. Flows over
    loopback (to 127.0.0.0/8 or ::1) are left out unless asked for; listeners always are. `fields` are those of each
    socket that `take` gives. What an event does not tell is 0: cgroup, congestion control, uid and inode.

    Raises:
        CollectError: the kernel does not let us listen.
        UnsupportedHostError: it has no sock_diag.
    """

    def __init__(
        self,
        families: Collection[AddressFamily],
        fields: Sequence[Field],
        *,
        loopback: bool,
        max_bytes: int = MOST_EVENT_BYTES,
        receive_buffer: int = _RECEIVE_BUFFER,
        open_socket: Callable[[], socket.socket] = open_diag_socket,
    ) -> None:
        self._families = frozenset(families)
        self._fields = tuple(fields)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._events: deque[bytes] = deque()  # several in each
        self._bytes = 0
        self._kept = 0
        self._refused = 0
        self._drops = 0
        self._socket = open_socket()
        try:
            _listen(self._socket, event_filter(loopback=loopback), receive_buffer)
            room = _memory(self._socket, _SK_MEMINFO_RCVBUF)
        except OSError as error:
            self._socket.close()
            raise CollectError(f"the kernel does not announce closed sockets: {explain(error)}") from error
        self._pause = min(room / _ROOM_OF_AN_EVENT / _CLOSES_PER_SECOND, _LONGEST_PAUSE)
        self._left_there = room * _LEFT_THERE if self._pause == _LONGEST_PAUSE else 0
        self._receiver = BatchReceiver(self._socket.fileno())
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="closed-flows", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening. What was not taken is forgotten."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        os.close(self._stop)
        self._socket.close()

    def take(self) -> Closed:
        """Every flow that was announced since the last call. The kernel may do so a moment after the socket is gone.

        Raises:
            CollectError: the events cannot be received.
        """
        with self._lock:
            try:
                self._drain()
                drops = _memory(self._socket, _SK_MEMINFO_DROPS)
            except OSError as error:
                raise CollectError(f"closed sockets cannot be received: {explain(error)}") from error
            lost = self._refused + (drops - self._drops) % _U32
            events, kept = self._events, self._kept
            self._events, self._bytes, self._kept, self._refused, self._drops = deque(), 0, 0, 0, drops
        columns = Columns(self._fields, kept)
        for piece in _pieces(events):
            append(columns, padded(piece), len(piece))
        sockets = columns.sockets()
        return Closed(of_families(sockets, self._families), lost + kept - len(sockets))

    def _run(self) -> None:
        idle, paused = select.poll(), select.poll()
        for poll in (idle, paused):
            poll.register(self._stop, select.POLLIN)
        idle.register(self._socket, select.POLLIN)
        gathering = False
        while True:
            # While sockets close, let them gather: what costs is to wake, not to receive.
            ready = paused.poll(self._pause * 1000) if gathering else idle.poll()
            if any(descriptor == self._stop for descriptor, _ in ready):
                return
            with self._lock:
                try:
                    waiting = _memory(self._socket, _SK_MEMINFO_RMEM_ALLOC)
                    gathering = 0 < waiting < self._left_there or self._drain() > 0
                except OSError:  # if it lasts, `take` meets it too
                    gathering = True

    def _drain(self) -> int:
        received = 0
        while True:
            batch = self._receiver.receive()
            self._refused += batch.cut
            for events in batch.blocks:
                kept = events[: (self._max_bytes - self._bytes) // events.shape[1]]
                self._events.append(kept.tobytes())
                self._bytes += kept.nbytes
                self._kept += len(kept)
                self._refused += len(events) - len(kept)
            received += batch.received
            if batch.received < BATCH:
                return received


def _listen(diag: socket.socket, program: bytes, receive_buffer: int) -> None:
    """Filter first, join last: nothing unwanted is ever queued."""
    try:
        diag.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer)
    except PermissionError:
        # Without CAP_NET_ADMIN the kernel gives as much as net.core.rmem_max allows.
        diag.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    instructions = array.array("B", program)
    program_at, _ = instructions.buffer_info()
    fprog = _SOCK_FPROG.pack(len(program) // SOCK_FILTER.size, program_at)
    diag.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
    # After an ENOBUFS the kernel drops everything until the queue is empty. The count of drops says more, for less.
    diag.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
    # Dual-stack sockets are announced as IPv6 whatever they carry, so both groups are always joined.
    for group in (_SKNLGRP_INET_TCP_DESTROY, _SKNLGRP_INET6_TCP_DESTROY):
        diag.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)


def _memory(diag: socket.socket, index: int) -> int:
    """One number of the socket's memory; the drops are those of the Drops column of /proc/net/netlink."""
    number: int = _SK_MEMINFO.unpack(diag.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _SK_MEMINFO.size))[index]
    return number


def _pieces(events: deque[bytes]) -> Iterator[bytes]:
    """Join the events to pieces of a good size, and forget each as it is taken."""
    while events:
        piece, size = [], 0
        while events and size < _PIECE:
            piece.append(events.popleft())
            size += len(piece[-1])
        yield b"".join(piece)
