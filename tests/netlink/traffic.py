"""One TCP socket of each kind that the kernel describes in its own way, all of them at rest."""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from ss_pusher.model import AddressFamily, TcpState
from ss_pusher.netlink.dump import Dumper
from ss_pusher.netlink.tcp_info import FIELDS
from tests.waiting import wait_for

CONGESTION: Final = ("cubic", "bbr", "reno")
STATES: Final = frozenset(
    {
        TcpState.LISTEN,
        TcpState.ESTABLISHED,
        TcpState.SYN_SENT,
        TcpState.SYN_RECV,
        TcpState.TIME_WAIT,
        TcpState.CLOSE_WAIT,
        TcpState.FIN_WAIT2,
    }
)
_STILL: Final = 20
_SYNACK_AFTER_DATA: Final = 3600  # TCP_DEFER_ACCEPT in seconds: until data comes, the server has a request socket only


@contextmanager
def every_kind() -> Iterator[None]:
    """Open the sockets in this thread's network namespace, and wait until nothing moves any more."""
    with ExitStack() as opened:
        for congestion in CONGESTION:
            _pair(opened, ("127.0.0.1", 0), congestion)
        _pair(opened, ("::1", 0), "cubic")
        _dual_stack(opened)
        _multipath(opened)
        _half_closed(opened)
        _time_wait(opened)
        _request(opened)
        _unanswered(opened)
        wait_for(_rest(), "every kind of socket is there and at rest")
        yield


def _pair(opened: ExitStack, address: tuple[str, int], congestion: str = "") -> tuple[socket.socket, socket.socket]:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = opened.enter_context(socket.create_server(address, family=family))
    client, server = _connect(opened, listener, listener.getsockname()[:2])
    if congestion:
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
    client.sendall(b"question" * 1000)
    server.recv(3000)
    server.sendall(b"answer" * 5000)
    client.recv(100)
    return client, server


def _connect(
    opened: ExitStack, listener: socket.socket, address: tuple[str, int]
) -> tuple[socket.socket, socket.socket]:
    client = opened.enter_context(socket.create_connection(address))
    server, _ = listener.accept()
    return client, opened.enter_context(server)


def _dual_stack(opened: ExitStack) -> None:
    listener = opened.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
    port = listener.getsockname()[1]
    _connect(opened, listener, ("127.0.0.1", port))
    _connect(opened, listener, ("::1", port))


def _multipath(opened: ExitStack) -> None:
    """Subflows of MPTCP are TCP sockets with an upper layer protocol, and say so in an attribute of their own."""
    try:
        listener = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP))
        client = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP))
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.ENOPROTOOPT):
            return  # a kernel without MPTCP has one kind less
        raise
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    opened.enter_context(server)
    client.sendall(b"x" * 100)


def _half_closed(opened: ExitStack) -> None:
    client, _ = _pair(opened, ("127.0.0.1", 0))
    client.shutdown(socket.SHUT_WR)


def _time_wait(opened: ExitStack) -> None:
    for address in ("127.0.0.1", "::1"):
        listener = opened.enter_context(
            socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        )
        for _ in range(3):
            client, server = _connect(opened, listener, listener.getsockname()[:2])
            client.close()
            server.close()


def _request(opened: ExitStack) -> None:
    listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _SYNACK_AFTER_DATA)
    opened.enter_context(socket.create_connection(listener.getsockname()))


def _unanswered(opened: ExitStack) -> None:
    full = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(3):
        client = opened.enter_context(socket.socket())
        client.settimeout(0)
        client.connect_ex(full.getsockname())


def _rest() -> Callable[[], bool]:
    """A condition: all kinds are there, and the established ones did not move in the last times it was asked."""
    fields = [FIELDS[name] for name in ("segs_in", "segs_out")]
    seen: list[object] = []

    def at_rest() -> bool:
        with Dumper() as dumper:
            sockets = dumper.dump(list(AddressFamily), list(TcpState), fields)
        flows = sockets.take(sockets.state == TcpState.ESTABLISHED)
        seen.append([column.tolist() for column in (flows.cookie, *flows.info.values())])
        return set(sockets.state.tolist()) == STATES and seen[-_STILL:] == [seen[-1]] * _STILL

    return at_rest
