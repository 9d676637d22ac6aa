"""Rules applied after the read. That they agree with the kernel is tested in tests/netlink/test_filter.py."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import numpy as np
import pytest

from ss_pusher import filter as socket_filter
from ss_pusher.attribute.attributor import Attributor
from ss_pusher.filter import CONDITIONS, keep
from ss_pusher.model import AddressFamily, Direction, Rule, Sockets, TcpState
from tests.attribute.rows import listening, row, table

CONTAINER = "0123456789ab" + "cd" * 26
POD = "2b5d3c1e-9f0a-4b7c-8d6e-0123456789ab"
HOSTS = {"db.example": [ip_address("192.0.2.7"), ip_address("2001:db8::7")]}


@pytest.fixture
def attributor(tmp_path: Path) -> Attributor:
    """One that knows three cgroups with the numbers that `flows` uses, two processes, two users, two interfaces."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text("1 1 0:1 / /cg rw - cgroup2 cgroup2 rw\n", encoding="ascii")
    for path in (*CGROUPS, "proc/7/fd", "proc/8/fd", "etc"):
        (tmp_path / path).mkdir(parents=True)
    for pid, command, inode in ((7, "nginx", 70), (8, "postgres", 80)):
        (tmp_path / f"proc/{pid}/comm").write_text(f"{command}\n", encoding="ascii")
        (tmp_path / f"proc/{pid}/fd/3").symlink_to(f"socket:[{inode}]")
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/:\nweb:x:33:33::/:\n", encoding="ascii")
    return Attributor(root=tmp_path, interfaces=lambda _: [(1, "lo"), (2, "eth0")])


CGROUPS = (
    "cg/system.slice/nginx.service",
    f"cg/system.slice/docker-{CONTAINER}.scope",
    f"cg/kubepods/pod{POD}",
)


@pytest.fixture
def flows(tmp_path: Path, attributor: Attributor) -> Sockets:
    nginx, docker, pod = ((tmp_path / path).stat().st_ino for path in CGROUPS)
    established, waiting = TcpState.ESTABLISHED, TcpState.TIME_WAIT
    rows = table(
        row("10.0.0.1:443", "10.9.9.9:50000", established, cgroup=nginx, uid=33, inode=70, congestion=b"bbr"),
        row("10.0.0.1:50001", "192.0.2.7:5432", established, cgroup=docker, inode=80, congestion=b"cubic"),
        row("[2001:db8::1]:50002", "[2001:db8::7]:443", established, cgroup=pod, uid=1000, inode=90, interface=2),
        row("127.0.0.1:50003", "127.0.0.1:443", waiting),
        row("10.0.0.1:443", "10.9.9.9:50004", waiting),
        listening("0.0.0.0:443", cgroup=nginx),
    )
    attributor.observe(rows, "blue")
    return replace(rows, info={"mark": np.array([0, 7, 8, 0, 0, 0], np.uint32)}, absent={"mark": np.arange(6) > 2})


def matched(attributor: Attributor, flows: Sockets, **conditions: Sequence[object]) -> list[int]:
    """The rows, but for the listening one, that a rule of these conditions matches."""
    rule = Rule(keeps=False, **{name: tuple(values) for name, values in conditions.items()})  # type: ignore[arg-type] # each test gives what its condition takes
    result = keep(flows, attributor.attribute(flows, "blue"), [rule], HOSTS)
    assert result.decided.tolist() == [np.count_nonzero(~result.kept)]
    return [int(at) for at in np.flatnonzero(~result.kept) if at != 5]


CASES: list[tuple[dict[str, Sequence[object]], list[int]]] = [
    ({}, [0, 1, 2, 3, 4]),
    ({"directions": [Direction.IN]}, [0, 4]),
    ({"directions": [Direction.OUT]}, [1, 2, 3]),
    ({"directions": list(Direction)}, [0, 1, 2, 3, 4]),
    ({"remote_networks": [ip_network("10.0.0.0/8")]}, [0, 4]),
    ({"remote_networks": [ip_network("::/0")]}, [2]),
    ({"remote_networks": [ip_network("0.0.0.0/0")]}, [0, 1, 3, 4]),
    ({"remote_networks": [ip_network("192.0.2.7/32"), ip_network("2001:db8::/64")]}, [1, 2]),
    ({"local_networks": [ip_network("10.0.0.0/31"), ip_network("::/8")]}, [0, 1, 4]),
    ({"hosts": ["db.example"]}, [1, 2]),
    ({"hosts": ["unknown.example"]}, []),
    ({"service_ports": [(443, 443)]}, [0, 2, 3, 4]),
    ({"service_ports": [(5000, 6000), (1, 2)]}, [1]),
    ({"local_ports": [(50002, 65535)]}, [2, 3]),
    ({"remote_ports": [(0, 443)]}, [2, 3]),
    ({"units": ["nginx.service"]}, [0, 4]),
    ({"units": ["nginx.*", "docker-*"]}, [0, 1, 4]),
    ({"units": ["*"]}, [0, 1, 4]),
    ({"cgroups": ["/kubepods/*"]}, [2]),
    ({"containers": ["0123456789ab"]}, [1]),
    ({"containers": [CONTAINER]}, [1]),
    ({"containers": ["0123*"]}, [1]),
    ({"containers": ["cd" * 32]}, []),
    ({"pods": [POD]}, [2]),
    ({"pids": [7, 9]}, [0]),
    ({"commands": ["postgres", "apache2"]}, [1]),
    ({"users": ["root"]}, [1]),
    ({"users": ["web", "1000"]}, [0, 2]),
    ({"uids": [0]}, [1]),
    ({"uids": [33, 1000]}, [0, 2]),
    ({"interfaces": ["eth?"]}, [2]),
    ({"interfaces": ["*"]}, [2]),
    ({"families": [AddressFamily.IPV6]}, [2]),
    ({"congestions": ["bbr"]}, [0]),
    ({"states": [TcpState.TIME_WAIT]}, [3, 4]),
    ({"namespaces": ["blue"]}, [0, 1, 2, 3, 4]),
    ({"namespaces": ["green"]}, []),
    ({"marks": [7, 0]}, [0, 1]),
    ({"directions": [Direction.OUT], "service_ports": [(443, 443)], "states": [TcpState.ESTABLISHED]}, [2]),
]


@pytest.mark.parametrize(("conditions", "rows"), CASES)
def test_a_rule_matches_the_rows_that_meet_all_its_conditions(
    attributor: Attributor, flows: Sockets, conditions: dict[str, Sequence[object]], rows: list[int]
) -> None:
    assert matched(attributor, flows, **conditions) == rows


def test_every_condition_of_a_rule_is_evaluated() -> None:
    assert {name for conditions, _ in CASES for name in conditions} == set(CONDITIONS)
    assert set(Rule.__dataclass_fields__) == {"keeps", *CONDITIONS}


def test_the_first_rule_that_matches_decides_and_is_counted(attributor: Attributor, flows: Sockets) -> None:
    rules = [
        Rule(keeps=True, units=("nginx.service",)),
        Rule(keeps=False, states=(TcpState.TIME_WAIT,)),
        Rule(keeps=True, service_ports=((443, 443),)),
        Rule(keeps=False),
        Rule(keeps=True),
    ]
    result = keep(flows, attributor.attribute(flows, "blue"), rules, HOSTS)
    assert result.kept.tolist() == [True, False, True, False, True, True]
    assert result.decided.tolist() == [3, 1, 1, 1, 0]


def test_what_no_rule_matches_is_kept(attributor: Attributor, flows: Sockets) -> None:
    labels = attributor.attribute(flows, "blue")
    assert keep(flows, labels, [Rule(keeps=True, pids=(7,))]).kept.all()
    assert keep(flows, labels, []).kept.all()
    assert keep(flows, labels, []).decided.tolist() == []


def test_a_mark_that_the_kernel_did_not_tell_matches_nothing(attributor: Attributor, flows: Sockets) -> None:
    assert matched(attributor, replace(flows, info={}, absent={}), marks=[0]) == []


def test_nothing_costly_is_looked_up_for_rows_that_are_out_already(attributor: Attributor, flows: Sockets) -> None:
    labels = attributor.attribute(flows, "blue")
    keep(flows, labels, [Rule(keeps=False, states=(TcpState.SYN_SENT,), commands=("nginx",))])
    assert "pid" not in labels._columns
    keep(flows, labels, [Rule(keeps=False, states=(TcpState.ESTABLISHED,), commands=("nginx",))])
    assert "pid" in labels._columns


def test_no_rows_are_no_error(attributor: Attributor) -> None:
    nothing = table()
    result = keep(nothing, attributor.attribute(nothing), [Rule(keeps=False, units=("*",)), Rule(keeps=False)])
    assert len(result.kept) == 0
    assert result.decided.tolist() == [0, 0]


def test_the_table_of_a_list_of_networks_is_made_once_and_not_in_every_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(keeps=False, remote_networks=(ip_network("198.51.100.0/26"),))]
    sockets = table(row("10.0.0.1:4000", "198.51.100.9:80"), row("10.0.0.1:4001", "198.51.100.99:80"))
    first = keep(sockets, Attributor().attribute(sockets), rules).kept.tolist()
    monkeypatch.setattr(socket_filter, "prefix_table", None)
    assert keep(sockets, Attributor().attribute(sockets), rules).kept.tolist() == first == [False, True]
