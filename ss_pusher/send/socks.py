"""SOCKS5 for clients: RFC 1928, and RFC 1929 for user name and password."""

import socket
import struct
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from ss_pusher.send.deadline import Deadline, DeadlineSocket, connect

_VERSION: Final = 5
_NO_AUTHENTICATION: Final = 0
_USER_AND_PASSWORD: Final = 2
_IPV4: Final = 1
_NAME: Final = 3
_IPV6: Final = 4
_REFUSALS: Final = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live expired",
    7: "command not supported",
    8: "address type not supported",
}


@dataclass(frozen=True, slots=True)
class SocksProxy:
    """Where the proxy is, and who may use it. It resolves names itself, as with Prometheus (Go) for all of SOCKS5."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)


def connect_through(proxy: SocksProxy, host: str, port: int, deadline: Deadline) -> DeadlineSocket:
    """A connection to `host` by way of `proxy`. Raises OSError."""
    sock = connect(proxy.host, proxy.port, deadline)
    try:
        _authenticate(sock, proxy)
        sock.sendall(bytes([_VERSION, 1, 0]) + _destination(host) + struct.pack(">H", port))
        _check_reply(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _authenticate(sock: socket.socket, proxy: SocksProxy) -> None:
    methods = bytes([_NO_AUTHENTICATION, _USER_AND_PASSWORD] if proxy.user else [_NO_AUTHENTICATION])
    sock.sendall(bytes([_VERSION, len(methods)]) + methods)
    version, method = _read(sock, 2)
    if version != _VERSION:
        raise OSError("the proxy does not speak SOCKS5")
    if method == _USER_AND_PASSWORD and proxy.user:
        user, password = proxy.user.encode(), proxy.password.encode()
        sock.sendall(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if _read(sock, 2)[1]:
            raise OSError("the SOCKS proxy refused user and password")
    elif method != _NO_AUTHENTICATION:
        raise OSError("the SOCKS proxy wants an authentication that is not configured")


def _destination(host: str) -> bytes:
    try:
        address: IPv4Address | IPv6Address = ip_address(host)
    except ValueError:
        name = host.encode("idna")
        return bytes([_NAME, len(name)]) + name
    return bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed  # noqa: PLR2004 - IP's own number


def _check_reply(sock: socket.socket) -> None:
    _, refusal, _, kind = _read(sock, 4)
    if refusal:
        raise OSError(f"the SOCKS proxy: {_REFUSALS.get(refusal, f'refusal {refusal}')}")
    size = _read(sock, 1)[0] if kind == _NAME else {_IPV4: 4, _IPV6: 16}.get(kind, 0)
    _read(sock, size + 2)


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise OSError("the SOCKS proxy closed the connection")
        data += piece
    return data
