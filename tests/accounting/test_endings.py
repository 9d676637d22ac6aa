"""How single flows end, tick by tick, against the real kernel: what is told of each, and what is not made up."""

import ctypes
import errno
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

import pytest

from tests.accounting.agent import EVERYTHING, Hand, by_hand, of_groups, of_host
from tests.end_to_end.connections import Connection, Service, service
from tests.hosts import Host
from tests.servers import Labels
from tests.waiting import wait_for

ABORT: Final = struct.pack("ii", 1, 0)  # struct linger: close() resets
NO_PEER: Final = struct.pack("=H14x", socket.AF_UNSPEC)  # struct sockaddr: connect() to it disconnects


@pytest.fixture
def hand(host: Host) -> Iterator[Hand]:
    with by_hand(host) as hand:
        yield hand


@pytest.fixture
def server(host: Host) -> Iterator[Service]:
    with service("127.0.0.1", at=host, clients=host) as server:
        yield server


def counted(rises: Mapping[Labels, float]) -> dict[str, float]:
    """What is counted of flows that are not as others, where it is not 0."""
    names = {"connect_failures": "connect_failures", "flows_wiped": "wiped", "flows_lost": "lost"}
    totals = {short: of_host(rises, f"ss_tcp_{name}_total") for name, short in names.items()}
    return {short: total for short, total in totals.items() if total}


def moved(rises: Mapping[Labels, float], server: Service, direction: str) -> tuple[float, float]:
    """Bytes sent and received by one end of a service's flows."""
    labels = {"service_port": str(server.port), "direction": direction}
    sent, received = (of_groups(rises, f"ss_flow_{name}_bytes_total", **labels) for name in ("sent", "received"))
    return sent, received


def abort(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    end.close()


def read_until_reset(end: socket.socket) -> None:
    with suppress(ConnectionResetError):
        while end.recv(1 << 16):
            pass
        pytest.fail("the connection was closed, and not reset")


def test_what_moved_before_the_first_tick_is_credited_to_nobody(host: Host, server: Service) -> None:
    connection = server.connect()
    connection.ask(1000)
    with by_hand(host) as hand:
        connection.ask(234)
        connection.close()
        rises = hand.until(closed=2)
    assert moved(rises, server, "out")[0] == 234
    assert of_host(rises, "ss_tcp_flows_opened_total") == 0


def test_an_aborted_flow_keeps_what_the_last_tick_knew_of_it(hand: Hand, server: Service) -> None:
    connection = server.connect()
    connection.ask(5000)
    connection.answer(700)
    hand.tick()
    connection.ask(300)
    abort(connection.client)
    read_until_reset(connection.server)
    connection.server.close()
    rises = hand.until(closed=2)
    assert moved(rises, server, "out") == (5000, 700)
    assert moved(rises, server, "in") == (700, 5300)
    assert counted(rises) == {"wiped": 1}
    assert of_host(rises, "ss_tcp_closed_flow_bytes_sum") == 5700 + 6000


def test_an_aborted_flow_that_no_tick_saw_adds_nothing_but_itself(hand: Hand, server: Service) -> None:
    connection = server.connect()
    connection.ask(5000)
    abort(connection.client)
    read_until_reset(connection.server)
    connection.server.close()
    rises = hand.until(closed=2)
    assert of_host(rises, "ss_tcp_sent_bytes_total") == 0
    assert moved(rises, server, "in") == (0, 5000)
    assert counted(rises) == {"wiped": 1}
    assert of_host(rises, "ss_tcp_flows_opened_total") == 2
    assert of_host(rises, "ss_tcp_closed_flow_bytes_count") == 1


def test_the_time_that_an_aborted_flow_was_busy_is_not_counted_twice(hand: Hand, server: Service) -> None:
    """The kernel erases what a flow moved, but not how long it was busy."""
    connection = server.connect()
    began = time.monotonic()
    connection.client.settimeout(0)
    with suppress(BlockingIOError):
        while connection.client.send(bytes(1 << 16)):
            pass
    wait_for(lambda: busy(hand) > 0.01, "the connection is known to be busy")
    abort(connection.client)
    read_until_reset(connection.server)
    connection.server.close()
    rises = hand.until(closed=2)
    assert 0.01 < of_groups(rises, "ss_flow_busy_seconds_total", direction="out") < time.monotonic() - began + 0.01


def busy(hand: Hand) -> float:
    """Seconds that the groups were busy, as of one more tick."""
    blocks = [block for block in hand.tick().blocks if block.families[0].name.startswith("ss_flow_")]
    names = [family.name for family in blocks[0].families] if blocks else []
    return float(blocks[0].values[names.index("ss_flow_busy_seconds_total")].sum()) if blocks else 0.0


def test_a_dead_socket_that_its_application_holds_is_counted_once(hand: Hand, server: Service) -> None:
    """Reset by its peer, it leaves the dumps at once; it is announced when the application closes it."""
    connection = server.connect()
    connection.ask(5000)
    connection.answer(700)
    hand.tick()
    connection.answer(30)
    abort(connection.server)
    for _ in range(4):
        hand.tick()
    read_until_reset(connection.client)
    connection.client.close()
    rises = hand.until(closed=2)
    assert moved(rises, server, "out") == (5000, 730)
    assert counted(rises) == {"wiped": 1}
    assert of_host(rises, "ss_tcp_flows_opened_total") == 2


def test_a_socket_that_is_connected_again_has_both_lives_counted(hand: Hand, host: Host, server: Service) -> None:
    with service("127.0.0.2", at=host, clients=host) as second:
        connection = server.connect()
        connection.ask(5000)
        hand.tick()
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.connect(connection.client.fileno(), NO_PEER, len(NO_PEER)) == 0
        read_until_reset(connection.server)
        connection.client.connect(second.listener.getsockname())
        again = Connection(connection.client, second.listener.accept()[0])
        again.ask(6000)
        hand.tick()
        again.ask(1)
        again.close()
        connection.server.close()
        rises = hand.until(closed=4)
        assert moved(rises, second, "out")[0] == 6001
    assert moved(rises, server, "out")[0] == 5000
    assert counted(rises) == {"wiped": 1}
    assert of_host(rises, "ss_tcp_flows_opened_total") == 4


def test_a_refused_connection_is_a_connect_failure(hand: Hand, host: Host) -> None:
    with host.call(socket.socket) as silent, host.call(socket.socket) as client:
        silent.bind(("127.0.0.1", 0))
        assert client.connect_ex(silent.getsockname()) == errno.ECONNREFUSED
    rises = hand.until(closed=1)
    assert counted(rises) == {"connect_failures": 1}
    assert of_host(rises, "ss_tcp_closed_flow_bytes_count") == 0


def test_a_refused_connection_that_nobody_waited_for_is_a_failure_of_its_destination(
    host_pair: tuple[Host, Host],
) -> None:
    left, right = host_pair
    with right.call(socket.socket) as silent, by_hand(left) as hand:
        silent.bind((right.ipv4, 0))
        port = silent.getsockname()[1]
        with left.call(socket.socket) as client:
            client.settimeout(0)
            number = client.connect_ex((right.ipv4, port))
            while number == errno.EINPROGRESS:
                select.select([], [client], [], 10)
                number = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            assert number == errno.ECONNREFUSED
        rises = hand.until(closed=1)
    assert counted(rises) == {"connect_failures": 1}
    assert of_groups(rises, "ss_flow_connect_failures_total", service_port=str(port)) == 1


def test_a_connection_that_nobody_answers_is_a_failure_of_the_destination_that_a_tick_saw(
    hand: Hand, host: Host
) -> None:
    with host.call(lambda: socket.create_server(("127.0.0.1", 0), backlog=0)) as full, host.call(socket.socket) as held:
        held.connect(full.getsockname())
        with host.call(socket.socket) as client:
            client.settimeout(0)
            assert client.connect_ex(full.getsockname()) == errno.EINPROGRESS
            hand.tick()
        rises = hand.until(closed=1)
        failures = of_groups(rises, "ss_flow_connect_failures_total", service_port=str(full.getsockname()[1]))
    assert counted(rises) == {"connect_failures": 1}
    assert failures == 1


def test_without_the_kernels_announcements_flows_that_vanish_count_as_lost(host: Host, server: Service) -> None:
    with by_hand(host, EVERYTHING.replace("loopback: true", "loopback: true, closed_flows: false")) as hand:
        connection = server.connect()
        connection.ask(1000)
        hand.tick()
        connection.ask(50)
        connection.close()
        wait_for(lambda: of_host(hand.rises(), "ss_tcp_flows_lost_total") >= 2, "both ends count as lost")
        rises = hand.rises()
    assert counted(rises) == {"lost": 2}
    assert moved(rises, server, "out")[0] == 1000
