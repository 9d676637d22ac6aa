"""From sockets to labels: rows written by hand, and real sockets in real cgroups of a host of their own."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from ss_pusher.attribute.attributes import LABELS
from ss_pusher.attribute.attributor import Attributor
from ss_pusher.attribute.networks import Prefix
from ss_pusher.model import OTHER_WORD, AddressFamily, Sockets, TcpState
from ss_pusher.netlink.dump import Dumper
from tests.attribute.cgroups import inside, new_cgroup
from tests.attribute.rows import listening, row, table
from tests.hosts import Host
from tests.waiting import wait_for

NETWORKS = {
    "office": [ip_network("10.0.0.0/8"), ip_network("fd00::/8")],
    "lab": [ip_network("10.1.0.0/16")],
}


def labels(attributor: Attributor, sockets: Sockets, by: Sequence[str], namespace: str = "") -> list[dict[str, str]]:
    keys = attributor.attribute(sockets, namespace).keys(by)
    return [dict(attributor.labels(key, by)) for key in keys]


def dump(host: Host) -> Sockets:
    def read() -> Sockets:
        with Dumper() as dumper:
            return dumper.dump(list(AddressFamily), list(TcpState), [], congestion=True)

    return host.call(read)


class Connection(NamedTuple):
    """The three sockets of a connection."""

    listener: socket.socket
    server: socket.socket
    client: socket.socket

    @property
    def port(self) -> int:
        number: int = self.listener.getsockname()[1]
        return number


@contextmanager
def connection(host: Host, server: Path, client: Path, address: str, listen_on: str = "") -> Iterator[Connection]:
    """A connection within `host` between sockets of two cgroups; `listen_on` is `::` for both families."""
    family = socket.AF_INET6 if ":" in (listen_on or address) else socket.AF_INET
    place = (listen_on or address, 0)
    with ExitStack() as stack:
        with inside(server):
            listener = host.call(
                lambda: socket.create_server(place, family=family, dualstack_ipv6=bool(listen_on)),
            )
            stack.enter_context(listener)
        with inside(client):
            peer = stack.enter_context(
                host.call(lambda: socket.create_connection((address, listener.getsockname()[1]))),
            )
        accepted, _ = listener.accept()
        yield Connection(listener, stack.enter_context(accepted), peer)


BY = ["direction", "remote_address", "service_port", "unit", "family", "command", "pid", "user", "congestion"]


@pytest.mark.parametrize(("address", "listen_on"), [("127.0.0.1", ""), ("::1", ""), ("127.0.0.1", "::"), ("::1", "::")])
def test_both_ends_of_a_real_connection_get_their_labels(host: Host, address: str, listen_on: str) -> None:
    attributor = Attributor()
    with (
        new_cgroup("web.service") as server,
        new_cgroup("shop.service") as client,
        connection(host, server, client, address, listen_on) as ends,
    ):
        everything = dump(host)
        attributor.observe(everything)
        flows = everything.take(everything.state == TcpState.ESTABLISHED)
        found = sorted(labels(attributor, flows, BY), key=lambda one: one["direction"])
        port = ends.port
    shared = {
        "remote_address": address,
        "service_port": str(port),
        "family": f"ipv{ip_address(address).version}",
        "command": Path("/proc/self/comm").read_text(encoding="ascii").strip(),
        "pid": str(os.getpid()),
        "user": "root",
        "congestion": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text(encoding="ascii").strip(),
    }
    assert found == [
        {"direction": "in", "unit": "web.service", **shared},
        {"direction": "out", "unit": "shop.service", **shared},
    ]


def test_what_a_small_socket_does_not_tell_its_listener_does(host: Host) -> None:
    attributor = Attributor()
    with (
        new_cgroup("web.service") as server,
        new_cgroup("shop.service") as client,
        connection(host, server, client, "127.0.0.1") as ends,
    ):
        attributor.observe(dump(host))
        labels(attributor, table(), ["unit"])
        port = ends.port
        ends.server.close()
        ends.client.close()
        ends.listener.close()
        waiting = wait_for(lambda: in_state(TcpState.TIME_WAIT, dump(host)), "the server's end is in TIME_WAIT")
    attributor.observe(dump(host))
    assert waiting.cgroup.tolist() == [0]
    service = {"direction": "in", "unit": "web.service", "service_port": str(port)}
    assert labels(attributor, waiting, ["direction", "unit", "service_port", "user", "pid"]) == [service]


def in_state(state: TcpState, sockets: Sockets) -> Sockets:
    return sockets.take(sockets.state == state)


def test_a_listener_of_one_namespace_says_nothing_of_another() -> None:
    attributor = Attributor()
    flow = row("10.0.0.1:80", "10.9.9.9:50000")
    attributor.observe(table(listening("0.0.0.0:80"), flow), "blue")
    attributor.observe(flow, "green")
    by = ["direction", "namespace", "service_port"]
    assert labels(attributor, flow, by, "blue") == [{"direction": "in", "namespace": "blue", "service_port": "80"}]
    assert labels(attributor, flow, by, "green") == [
        {"direction": "out", "namespace": "green", "service_port": "50000"}
    ]
    attributor.forget(["blue"])
    assert labels(attributor, flow, ["direction"], "blue") == [{"direction": "out"}]


def test_every_label_of_a_row_written_by_hand(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("web:x:33:33::/:\n", encoding="ascii")
    (tmp_path / "proc/7/fd").mkdir(parents=True)
    (tmp_path / "proc/7/comm").write_text("nginx\n", encoding="ascii")
    (tmp_path / "proc/7/fd/3").symlink_to("socket:[99]")
    (tmp_path / "proc/self").mkdir()
    unit = tmp_path / "cg/kubepods.slice/kubepods-pod5d2a0b6f7c8e9d0a1b2c3d4e5f607182.slice" / f"crio-{'ab' * 32}.scope"
    unit.mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text("1 1 0:1 / /cg rw - cgroup2 cgroup2 rw\n", encoding="ascii")
    attributor = Attributor(
        networks=NETWORKS,
        prefix=Prefix(ipv4=24, ipv6=64),
        root=tmp_path,
        interfaces=lambda namespace: [(4, f"eth0.{namespace}")],
    )
    flow = row(
        "10.0.0.1:443",
        "10.1.2.3:50000",
        uid=33,
        inode=99,
        interface=4,
        congestion=b"bbr",
        cgroup=unit.stat().st_ino,
    )
    attributor.observe(table(listening("0.0.0.0:443"), flow), "blue")
    by = list(LABELS)
    assert labels(attributor, flow, by, "blue") == [
        {
            "direction": "in",
            "local_address": "10.0.0.1",
            "local_port": "443",
            "remote_address": "10.1.2.0/24",
            "remote_network": "lab",
            "remote_port": "50000",
            "service_port": "443",
            "unit": f"crio-{'ab' * 32}.scope",
            "cgroup": f"/{unit.relative_to(tmp_path / 'cg')}",
            "container": "abababababab",
            "pod": "5d2a0b6f7c8e9d0a1b2c3d4e5f607182",
            "pid": "7",
            "command": "nginx",
            "user": "web",
            "interface": "eth0.blue",
            "family": "ipv4",
            "congestion": "bbr",
            "namespace": "blue",
        }
    ]


def test_a_row_that_tells_nothing_has_no_labels_but_what_it_is(tmp_path: Path) -> None:
    attributor = Attributor(networks=NETWORKS, root=tmp_path)
    (tmp_path / "proc").mkdir()
    closed = row("[2001:db8::1]:40000", "[2001:db8::2]:443", TcpState.CLOSE)
    assert labels(attributor, closed, list(LABELS)) == [
        {
            "direction": "out",
            "local_address": "2001:db8::1",
            "local_port": "40000",
            "remote_address": "2001:db8::2",
            "remote_port": "443",
            "service_port": "443",
            "family": "ipv6",
        }
    ]


def test_labels_are_sorted_and_a_key_of_the_remainder_reads_other() -> None:
    attributor = Attributor()
    by = ["unit", "direction", "remote_address", "service_port"]
    key = attributor.attribute(row("10.0.0.1:40000", "10.1.2.3:443")).keys(by)[0]
    assert attributor.labels(key, by) == (("direction", "out"), ("remote_address", "10.1.2.3"), ("service_port", "443"))
    parts = {part.label: part for part in attributor.layout(by)}
    assert [(part.first, part.width) for part in parts.values()] == [(0, 1), (1, 1), (2, 3), (5, 1)]
    for part in parts.values():
        if part.label != "direction":
            key[part.first : part.first + part.width] = OTHER_WORD
    assert attributor.labels(key, by) == (
        ("direction", "out"),
        ("remote_address", "other"),
        ("service_port", "other"),
        ("unit", "other"),
    )


def test_a_key_keeps_its_labels_when_its_address_is_cut_to_a_prefix() -> None:
    attributor = Attributor()
    key = attributor.attribute(row("10.0.0.1:40000", "10.1.2.3:443")).keys(["remote_address"])[0]
    key &= np.array([OTHER_WORD, OTHER_WORD - 255, OTHER_WORD], np.uint64)
    key[2] = 120
    assert attributor.labels(key, ["remote_address"]) == (("remote_address", "10.1.2.0/24"),)


def test_no_labels_at_all_make_one_group() -> None:
    attributor = Attributor()
    keys = attributor.attribute(table(row("10.0.0.1:1", "10.0.0.2:2"), row("10.0.0.1:3", "10.0.0.2:4"))).keys([])
    assert keys.shape == (2, 0)
    assert attributor.labels(keys[0], []) == ()


def test_no_rows_have_columns_of_no_rows() -> None:
    attributor = Attributor(networks=NETWORKS, prefix=Prefix(24, 64))
    attributor.observe(table())
    nothing = attributor.attribute(table())
    for part in attributor.layout(list(LABELS)):
        assert nothing.column(part.label).shape == (0, part.width)
        assert nothing.column(part.label).dtype == np.uint64


def test_a_part_of_a_batch_has_the_columns_of_its_rows() -> None:
    attributor = Attributor()
    rows = table(
        *(row(f"10.0.0.1:{port}", "10.0.0.2:443", congestion=name) for port, name in enumerate([b"a", b"b"], 1))
    )
    batch = attributor.attribute(rows)
    batch.column("local_port")
    part = batch.take(np.array([1]))
    assert part.column("local_port").tolist() == [[2]]
    assert part.texts("congestion", part.column("congestion")) == ["b"]


def test_congestion_controls_are_told_apart_over_all_their_letters() -> None:
    names = [b"cubic", b"cubic2", b"", b"sixteen_letters_", b"sixteen_letterz_", b"bbr"]
    attributor = Attributor()
    batch = attributor.attribute(table(*(row("10.0.0.1:1", "10.0.0.2:2", congestion=name) for name in names)))
    assert batch.texts("congestion", batch.column("congestion")) == [name.decode() for name in names]
