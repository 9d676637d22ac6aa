"""Makes the fixtures in data/ from this host's kernel: `python -m tests.netlink.capture`, as root.

They are the bytes that the kernel sent, datagram behind datagram, in a network namespace with a socket of every kind
(see traffic.py): `privileged` and `unprivileged` are dumps with INET_DIAG_INFO and INET_DIAG_CONG, `events` are the
destroy events of those sockets. Committed are those of Linux 6.18 on x86-64, whose tcp_info is 280 bytes.
"""

import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ss_pusher.model import TcpState
from ss_pusher.netlink.columns import INET_DIAG_CONG, INET_DIAG_INFO
from ss_pusher.netlink.dump import open_diag_socket
from ss_pusher.netlink.wire import dump_request
from tests import hosts
from tests.netlink.privileges import without_capabilities
from tests.netlink.traffic import every_kind

DATA: Final = Path(__file__).parent / "data"
SEQUENCE: Final = 0x5EED_BEEF
_NLMSG_DONE: Final = 3
_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_DESTROY_GROUPS: Final = (1, 3)


def dump() -> bytes:
    """Everything that a dump of this network namespace says."""
    return answer(dump_request(tuple(TcpState), (INET_DIAG_INFO, INET_DIAG_CONG), b"", SEQUENCE))


def answer(request: bytes) -> bytes:
    """Everything that the kernel says to a request for a dump."""
    with open_diag_socket() as diag:
        diag.send(request)
        datagrams = [diag.recv(1 << 16)]
        while int.from_bytes(datagrams[-1][4:6], sys.byteorder) != _NLMSG_DONE:
            datagrams.append(diag.recv(1 << 16))
    return b"".join(datagrams)


def _capture() -> dict[str, bytes]:
    with open_diag_socket() as closing:
        for group in _DESTROY_GROUPS:
            closing.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
        with every_kind():
            captured = {"privileged": dump(), "unprivileged": without_capabilities(dump)}
        closing.settimeout(0)
        return captured | {"events": b"".join(_waiting(closing))}


def _waiting(diag: socket.socket) -> Iterator[bytes]:
    with suppress(BlockingIOError):
        while True:
            yield diag.recv(1 << 16)


if __name__ == "__main__":
    with hosts.single() as host:
        for name, data in host.call(_capture).items():
            (DATA / f"{name}.bin").write_bytes(data)
            print(name, len(data))  # noqa: T201 - a script that reports
