"""The marks of sockets, as the kernel tells them to those who may know."""

import socket
import sys
from contextlib import closing

from ss_pusher.model import AddressFamily, Sockets, TcpState
from ss_pusher.netlink.dump import Dumper
from ss_pusher.netlink.tcp_info import FIELDS, MARK
from tests.attribute.test_process import as_nobody
from tests.end_to_end.connections import service
from tests.hosts import Host


def dumped() -> Sockets:
    with Dumper() as dumper:
        return dumper.dump(list(AddressFamily), list(TcpState), [FIELDS["rtt"], MARK])


def test_a_mark_is_read_and_0_is_one(host: Host) -> None:
    with service(at=host, clients=host) as some:
        connection = some.connect()
        connection.client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, (0xDEAD_BEEF).to_bytes(4, sys.byteorder))
        found = host.call(dumped)
        port = connection.client.getsockname()[1]
    assert found.known("mark").all()
    marks = dict(zip(found.local_port.tolist(), found.info["mark"].tolist(), strict=True))
    assert marks == {port: 0xDEAD_BEEF, some_port(found): 0}


def some_port(sockets: Sockets) -> int:
    """The port that is listened on."""
    return int(sockets.local_port[sockets.state == TcpState.LISTEN][0])


def test_without_the_privilege_no_mark_is_known() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        found = as_nobody(dumped)
        here = found.local_port == listener.getsockname()[1]
    assert here.any()
    assert not found.known("mark").any()
    assert not found.info["mark"].any()


def test_nobody_who_does_not_ask_gets_a_mark() -> None:
    with Dumper() as dumper:
        assert "mark" not in dumper.dump(list(AddressFamily), [TcpState.LISTEN], [FIELDS["rtt"]]).info
