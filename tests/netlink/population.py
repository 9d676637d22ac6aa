"""Real sockets of many kinds in a host of their own, which stay as they are while a test looks at them."""

import itertools
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from ss_pusher.model import AddressFamily, Sockets, TcpState
from ss_pusher.netlink.dump import Dumper
from tests.attribute.cgroups import inside, new_cgroup
from tests.hosts import Host
from tests.waiting import wait_for

IPV4: Final = ("127.0.0.1", "127.0.0.2", "10.1.2.3", "10.1.3.4")
IPV6: Final = ("::1", "2001:db8::1", "2001:db8:1::1")
PORTS: Final = (80, 443, 8080)
DUAL_STACK_PORT: Final = 9000
FULL_PORT: Final = 9001
MARKS: Final = (0, 1, 7)
SLICE: Final = f"ss_pusher_test_{os.getpid()}.slice"
UNITS: Final = ("web.service", "db.service")
STATES: Final = frozenset(
    {
        TcpState.LISTEN,
        TcpState.ESTABLISHED,
        TcpState.SYN_SENT,
        TcpState.TIME_WAIT,
        TcpState.CLOSE_WAIT,
        TcpState.FIN_WAIT2,
    }
)
"""Those that the population is in."""


def dump(host: Host, states: frozenset[TcpState] = frozenset(TcpState), bytecode: bytes = b"") -> Sockets:
    """What the kernel has there in these states and the program lets through."""

    def read() -> Sockets:
        with Dumper() as dumper:
            return dumper.dump(list(AddressFamily), sorted(states), [], congestion=True, bytecode=bytecode)

    return host.call(read)


@contextmanager
def population(host: Host) -> Iterator[Sockets]:
    """Both families, dual-stack, bound to a device, marked, in two cgroups, in every state of `STATES`."""
    for address in (*IPV4[2:], *IPV6[1:]):
        host.run("ip", "address", "add", address, "dev", "lo")
    with ExitStack() as cgroups, ExitStack() as opened:
        above = cgroups.enter_context(new_cgroup(SLICE))
        directories = [cgroups.enter_context(new_cgroup(unit, above)) for unit in UNITS]
        host.call(lambda: _open(opened, directories))
        wait_for(lambda: set(dump(host).state.tolist()) == STATES, "the sockets are in all states")
        yield dump(host)


def _open(opened: ExitStack, cgroups: Sequence[Path]) -> None:
    for addresses, family in ((IPV4, socket.AF_INET), (IPV6, socket.AF_INET6)):
        for number, (address, port) in enumerate(itertools.product(addresses, PORTS)):
            source = addresses[number % len(addresses)]
            with inside(cgroups[number % 2]):
                listener = opened.enter_context(socket.create_server((address, port), family=family))
            with inside(cgroups[number // 2 % 2]):
                client, server = _connect(opened, listener, (address, port), source, mark=MARKS[number % 3])
            if port == PORTS[0]:
                client.shutdown(socket.SHUT_WR)
            elif address == addresses[0]:
                server.close()
                client.close()
    dual = opened.enter_context(
        socket.create_server(("::", DUAL_STACK_PORT), family=socket.AF_INET6, dualstack_ipv6=True)
    )
    _connect(opened, dual, ("127.0.0.1", DUAL_STACK_PORT), "127.0.0.2")
    _connect(opened, dual, ("::ffff:127.0.0.1", DUAL_STACK_PORT), "::ffff:10.1.2.3", device=b"lo")
    _connect(opened, dual, ("2001:db8::1", DUAL_STACK_PORT), "::1", mark=7)
    full = opened.enter_context(socket.create_server(("127.0.0.1", FULL_PORT), backlog=0))
    for _ in range(3):
        refused = opened.enter_context(socket.socket())
        refused.settimeout(0)
        refused.connect_ex(full.getsockname())


def _connect(
    opened: ExitStack,
    listener: socket.socket,
    place: tuple[str, int],
    source: str,
    *,
    mark: int = 0,
    device: bytes = b"",
) -> tuple[socket.socket, socket.socket]:
    client = opened.enter_context(socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    if device:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
    client.bind((source, 0))
    client.connect(place)
    server, _ = listener.accept()
    return client, opened.enter_context(server)
