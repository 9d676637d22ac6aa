"""Sockets written by hand, a row each."""

from ipaddress import ip_address

import numpy as np

from ss_pusher.addresses import WORD, number
from ss_pusher.model import AddressFamily, Sockets, TcpState

_cookies = iter(range(1, 1 << 62))


def row(
    local: str,
    remote: str = "0.0.0.0:0",
    state: TcpState = TcpState.ESTABLISHED,
    *,
    uid: int = 0,
    inode: int = 0,
    cgroup: int = 0,
    interface: int = 0,
    congestion: bytes = b"",
    cookie: int = 0,
) -> Sockets:
    """One socket; an end is `10.0.0.1:80` or `[2001:db8::1]:80`."""
    (near, near_port), (far, far_port) = _end(local), _end(remote)
    return Sockets(
        cookie=np.array([cookie or next(_cookies)], np.uint64),
        family=np.array([AddressFamily.IPV6 if "[" in local else AddressFamily.IPV4], np.uint8),
        state=np.array([state], np.uint8),
        local=np.array([[near >> 64, near & WORD]], np.uint64),
        remote=np.array([[far >> 64, far & WORD]], np.uint64),
        local_port=np.array([near_port], np.uint16),
        remote_port=np.array([far_port], np.uint16),
        interface=np.array([interface], np.uint32),
        uid=np.array([uid], np.uint32),
        inode=np.array([inode], np.uint32),
        cgroup=np.array([cgroup], np.uint64),
        congestion=np.array([congestion], "S16"),
    )


def listening(local: str, *, cgroup: int = 0) -> Sockets:
    """One listening socket."""
    return row(local, "[::]:0" if "[" in local else "0.0.0.0:0", TcpState.LISTEN, cgroup=cgroup)


def table(*rows: Sockets) -> Sockets:
    """All rows in one."""
    return Sockets.concatenate([*rows, Sockets.none({})])


def _end(text: str) -> tuple[int, int]:
    address, _, port = text.rpartition(":")
    return number(ip_address(address.strip("[]"))), int(port)
