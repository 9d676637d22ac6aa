"""The edge to the kernel: asks sock_diag for the TCP sockets that exist now, and gives all of them or an error."""

import errno
import os
import select
import socket
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final, Protocol, Self

import numpy as np

from ss_pusher.errors import CollectError, UnsupportedHostError
from ss_pusher.model import AddressFamily, Sockets, TcpState
from ss_pusher.netlink.columns import Columns
from ss_pusher.netlink.layout import NLMSG_HEADER, SLACK
from ss_pusher.netlink.tcp_info import Field
from ss_pusher.netlink.wire import Control, append, dump_request, extensions_for

NETLINK_SOCK_DIAG: Final = 4  # include/uapi/linux/netlink.h

_CHUNK: Final = 2 << 20  # decoded as soon as it is full, while it is still in the cache
_LARGEST_DATAGRAM: Final = 1 << 16  # the kernel gives 32 KiB at a time
_RECEIVE: Final = socket.MSG_TRUNC | socket.MSG_DONTWAIT  # recv tells a datagram's real length
_LAST_SEQUENCE: Final = 0x7FFF_FFFF
_ATTEMPTS: Final = 3
_MISSING: Final = (errno.ENOENT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP)
_NO_SOCK_DIAG: Final = (
    "this host's kernel has no sock_diag for TCP ({}); Linux built with CONFIG_INET_DIAG and CONFIG_INET_TCP_DIAG has"
)


class DiagSocket(Protocol):
    """What is used of a netlink socket; `socket.socket` is one."""

    def send(self, data: bytes, /) -> int: ...  # noqa: D102 - as in socket.socket
    def recv_into(self, buffer: memoryview, nbytes: int, flags: int, /) -> int: ...  # noqa: D102 - as in socket.socket
    def getsockname(self) -> tuple[int, int]: ...  # noqa: D102 - as in socket.socket
    def fileno(self) -> int: ...  # noqa: D102 - as in socket.socket
    def close(self) -> None: ...  # noqa: D102 - as in socket.socket


def open_diag_socket() -> socket.socket:
    """A sock_diag socket of the network namespace that the calling thread is in.

    Raises:
        UnsupportedHostError: this host has no netlink, or its kernel no sock_diag.
        CollectError: it has, but gives none now.
    """
    if not hasattr(socket, "AF_NETLINK"):
        raise UnsupportedHostError("this host has no netlink sockets; TCP statistics are read from Linux only")
    try:
        diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
        diag.bind((0, 0))
    except OSError as error:
        if error.errno in _MISSING:
            raise UnsupportedHostError(_NO_SOCK_DIAG.format(error.strerror)) from error
        raise CollectError(f"the kernel gives no netlink socket: {error.strerror}") from error
    return diag


class Dumper:
    """Reads the table of sockets; keeps its socket, from the `first` on, and its buffer between the reads.

    `open_socket` is called when there is no socket yet, and after a failure, so that the rest of a failed dump is never
    taken for the next. `timeout` is in seconds and holds for a whole dump. There is memory for `most` sockets.
    """

    def __init__(
        self,
        open_socket: Callable[[], DiagSocket] = open_diag_socket,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        first: DiagSocket | None = None,
        most: int | None = None,
    ) -> None:
        self._open_socket = open_socket
        self._timeout = timeout
        self._clock = clock
        self._socket = first
        self._most = most
        self._sequence = int.from_bytes(os.urandom(4)) & _LAST_SEQUENCE
        self._buffer = np.zeros(_CHUNK + _LARGEST_DATAGRAM + SLACK, np.uint8)
        self._words = self._buffer.view(np.uint32)
        self._expected = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the socket back; the next dump opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def dump(
        self,
        families: Collection[AddressFamily],
        states: Collection[TcpState],
        fields: Sequence[Field],
        *,
        congestion: bool = False,
        bytecode: bytes = b"",
    ) -> Sockets:
        """Every socket of `families` in one of `states` that `bytecode` lets through (empty: all), with `fields`.

        A dual-stack socket that carries IPv4 counts as IPv4, though the kernel lists it as IPv6.

        Raises:
            CollectError: the kernel refused, or the dump was cut short, overrun, or did not end in time.
            UnsupportedHostError: the kernel cannot do it at all.
        """
        deadline = self._clock() + self._timeout
        request = partial(dump_request, states, extensions_for(fields, congestion=congestion), bytecode)
        for _ in range(_ATTEMPTS):
            columns = Columns(fields, self._expected)
            if self._read(columns, request, deadline):
                sockets = columns.sockets()
                self._expected = len(sockets) + len(sockets) // 8
                return of_families(sockets, families)
        raise CollectError(f"the kernel's table of sockets changed during each of {_ATTEMPTS} dumps")

    def _read(self, columns: Columns, request: Callable[[int], bytes], deadline: float) -> bool:
        """Append what the kernel answers to `request`; false if its table changed meanwhile."""
        whole = False
        try:
            diag = self._socket = self._socket or self._open_socket()
            self._sequence = self._sequence % _LAST_SEQUENCE + 1
            diag.send(request(self._sequence))
            whole = self._receive(diag, columns, deadline)
        except OSError as error:
            raise CollectError(f"the kernel's sockets could not be read: {explain(error)}") from error
        finally:
            if not whole:
                self.close()
        return whole

    def _receive(self, diag: DiagSocket, columns: Columns, deadline: float) -> bool:
        interrupted = False
        while True:
            control = append(columns, self._buffer, self._fill(diag, deadline))
            _refuse(control)
            if self._most is not None and len(columns) > self._most:
                raise CollectError(
                    f"there are more than {self._most:,} sockets: too many for this process' memory limit; raise it "
                    "(in a systemd unit: MemoryMax=)"
                )
            interrupted |= control.interrupted
            if control.done:
                return not interrupted

    def _fill(self, diag: DiagSocket, deadline: float) -> int:
        """Receive until the kernel has nothing more for now or the buffer is full; at least one datagram of ours."""
        view, words = self._buffer.data, self._words.data
        sequence, port = self._sequence, diag.getsockname()[0]
        used = 0
        while used < _CHUNK:
            try:
                size = diag.recv_into(view[used:], _LARGEST_DATAGRAM, _RECEIVE)
            except BlockingIOError:
                if used:
                    break
                self._wait(diag, deadline)
                continue
            if not NLMSG_HEADER <= size <= _LARGEST_DATAGRAM:
                raise CollectError(
                    f"the kernel sent {size} bytes at a time; {NLMSG_HEADER} to {_LARGEST_DATAGRAM} were expected"
                )
            # The last two words of struct nlmsghdr: what was not asked for under this number is not for us.
            if words[used // 4 + 2] == sequence and words[used // 4 + 3] == port:
                used += (size + 3) // 4 * 4
            else:
                self._left(deadline)
        return used

    def _wait(self, diag: DiagSocket, deadline: float) -> None:
        poll = select.poll()
        poll.register(diag.fileno(), select.POLLIN)
        poll.poll(self._left(deadline) * 1000)

    def _left(self, deadline: float) -> float:
        left = deadline - self._clock()
        if left <= 0:
            raise CollectError(f"the kernel's list of sockets did not end within {self._timeout:g} s")
        return left


def of_families(sockets: Sockets, families: Collection[AddressFamily]) -> Sockets:
    """Only the sockets of these families, and for IPv4 the listeners on :: too: they accept it (ipv6(7), V6ONLY)."""
    if set(families) == set(AddressFamily):
        return sockets
    wanted = np.isin(sockets.family, list(families))
    if AddressFamily.IPV4 in families:
        wanted |= (sockets.state == TcpState.LISTEN) & (sockets.local == 0).all(axis=1)
    return sockets.take(wanted)


def _refuse(control: Control) -> None:
    """Raise for whatever makes a dump less than the whole table."""
    if control.error in _MISSING:
        raise UnsupportedHostError(_NO_SOCK_DIAG.format(os.strerror(control.error)))
    if control.error:
        raise CollectError(f"the kernel refused to list its sockets: {explain(OSError(control.error, ''))}")
    if control.overrun:
        raise CollectError("the kernel lost part of its list of sockets (NLMSG_OVERRUN)")
    if control.truncated or control.malformed:
        raise CollectError(
            f"the kernel's list of sockets cannot be read: {control.malformed} malformed messages, "
            f"{control.truncated} bytes that are no whole message"
        )


def explain(error: OSError) -> str:
    """The errno in words, and its name."""
    number = error.errno or 0
    return f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
