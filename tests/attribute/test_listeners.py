"""Who opened a connection."""

from collections.abc import Sequence

import pytest

from ss_pusher.attribute.listeners import KEEP_SECONDS, Listeners
from ss_pusher.model import Sockets
from tests.attribute.rows import listening, row, table


def learned(*rows: Sockets) -> Listeners:
    listeners = Listeners()
    listeners.observe(table(*rows), 0.0)
    return listeners


def inbound(listeners: Listeners, *rows: Sockets) -> Sequence[bool]:
    return [bool(one) for one in listeners.inbound(table(*rows))]


@pytest.mark.parametrize(
    ("listener", "flow", "is_inbound"),
    [
        ("0.0.0.0:80", "10.0.0.1:80", True),
        ("0.0.0.0:80", "10.0.0.1:81", False),
        ("0.0.0.0:80", "[2001:db8::1]:80", False),
        ("[::]:80", "[2001:db8::1]:80", True),
        ("[::]:80", "10.0.0.1:80", True),
        ("10.0.0.1:80", "10.0.0.1:80", True),
        ("10.0.0.1:80", "10.0.0.2:80", False),
        ("10.0.0.1:80", "10.0.0.1:8080", False),
        ("[2001:db8::1]:80", "[2001:db8::1]:80", True),
        ("[2001:db8::1]:80", "[2001:db8::2]:80", False),
        ("[2001:db8::1]:80", "[2001:db8:0:1::1]:80", False),
    ],
)
def test_a_flow_is_inbound_when_its_local_end_is_listened_on(listener: str, flow: str, *, is_inbound: bool) -> None:
    peer = "[2001:db8::9]:50000" if "[" in flow else "10.9.9.9:50000"
    assert inbound(learned(listening(listener)), row(flow, peer)) == [is_inbound]


def test_of_a_loopback_connection_the_clients_end_is_outbound() -> None:
    client = row("127.0.0.1:50000", "127.0.0.1:80")
    server = row("127.0.0.1:80", "127.0.0.1:50000")
    assert inbound(learned(listening("127.0.0.1:80"), client, server), client, server) == [False, True]


def test_a_clients_port_that_another_address_listens_on_does_not_make_it_inbound() -> None:
    assert inbound(learned(listening("127.0.0.1:50000")), row("10.0.0.1:50000", "10.9.9.9:443")) == [False]


def test_many_listeners_are_told_apart() -> None:
    listeners = learned(*(listening(f"10.0.{i}.1:{1000 + i % 7}", cgroup=100 + i) for i in range(50)))
    flows = [row(f"10.0.{i}.{host}:{1000 + i % 7}", "10.9.9.9:5") for i in range(50) for host in (1, 2)]
    assert inbound(listeners, *flows) == [True, False] * 50
    assert [int(number) for number in listeners.cgroups(table(*flows[::2]))] == [100 + i for i in range(50)]


def test_nothing_is_inbound_before_anything_was_seen() -> None:
    assert inbound(Listeners(), row("10.0.0.1:80", "10.9.9.9:5")) == [False]


def test_the_cgroup_is_that_of_the_most_exact_listener() -> None:
    listeners = learned(
        listening("[::]:80", cgroup=6),
        listening("0.0.0.0:81", cgroup=4),
        listening("[::]:81", cgroup=66),
        listening("10.0.0.1:80", cgroup=1),
    )
    flows = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:81", "[2001:db8::1]:81"]
    rows = table(*(row(flow, "[2001:db8::9]:5" if "[" in flow else "10.9.9.9:5") for flow in flows))
    assert [int(number) for number in listeners.cgroups(rows)] == [1, 6, 4, 66]


def test_a_listener_that_vanished_is_remembered_for_a_while() -> None:
    flow = row("10.0.0.1:80", "10.9.9.9:5")
    listeners = learned(listening("0.0.0.0:80", cgroup=7))
    listeners.observe(table(), 1000.0)
    listeners.observe(table(), 1000.0 + KEEP_SECONDS)
    assert inbound(listeners, flow) == [True]
    assert [int(number) for number in listeners.cgroups(flow)] == [7]
    listeners.observe(table(), 1000.1 + KEEP_SECONDS)
    assert inbound(listeners, flow) == [False]


def test_a_listener_that_vanished_is_remembered_as_long_as_its_connections_last() -> None:
    flow = row("10.0.0.1:80", "10.9.9.9:5")
    listeners = learned(listening("0.0.0.0:80"), flow)
    for tick in range(1, 10):
        listeners.observe(flow, tick * KEEP_SECONDS)
    assert inbound(listeners, flow) == [True]


def test_a_listener_that_vanished_is_not_remembered_for_another_one_on_its_port() -> None:
    flow = row("10.0.0.1:80", "10.9.9.9:5")
    other = listening("10.0.0.2:80")
    listeners = learned(listening("10.0.0.1:80"), other)
    for tick in range(1, 4):
        listeners.observe(other, tick * KEEP_SECONDS)
    assert inbound(listeners, flow) == [False]


def test_of_many_addresses_on_one_port_exactly_those_that_are_listened_on_are_inbound() -> None:
    addresses = [f"10.0.{third}.{fourth}" for third in range(3) for fourth in range(9)]
    addresses += [f"[2001:db8::{group:x}]" for group in range(1, 9)]
    for count in range(len(addresses) + 1):
        listeners = Listeners()
        chosen = addresses[::3][:count] + addresses[1::3][: count // 2]
        others = [listening(f"{address}:{port}") for address in addresses[:3] for port in (79, 81)]
        listeners.observe(table(*others, *(listening(f"{address}:80") for address in chosen)), now=0.0)
        found = inbound(listeners, *(row(f"{address}:80", "10.9.9.9:4000") for address in addresses))
        assert list(found) == [address in chosen for address in addresses]
