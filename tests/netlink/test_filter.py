"""Rules that the kernel applies: compared with the same rules applied after the read, on real sockets."""

import re
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ss_pusher import filter as after
from ss_pusher.attribute.attributor import Attributor
from ss_pusher.attribute.cgroup import mount_point
from ss_pusher.model import AddressFamily, Direction, Rule, Sockets, TcpState
from ss_pusher.netlink import filter as netlink_filter
from ss_pusher.netlink.filter import MAX_BYTES, Known, compile_rules
from ss_pusher.patterns import matches
from tests import hosts, needs
from tests.hosts import Host
from tests.netlink.population import FULL_PORT, IPV4, IPV6, PORTS, SLICE, UNITS, dump, population

DROP_REST = Rule(keeps=False)


class Scene(NamedTuple):
    """A host, all its sockets, and who names them."""

    host: Host
    sockets: Sockets
    attributor: Attributor

    def known(self, *, closed_flows: bool = False) -> Known:
        """What names stand for there."""
        return Known(
            closed_flows=closed_flows,
            net_admin=True,
            namespace="blue",
            hosts=HOSTS,
            cgroups=self.attributor.cgroups(),
            interfaces=self.attributor.interfaces("blue"),
        )

    def kept(self, sockets: Sockets, rules: list[Rule]) -> set[int]:
        """The cookies of what the rules keep after the read."""
        labels = self.attributor.attribute(sockets, "blue")
        return cookies(sockets.take(after.keep(sockets, labels, rules, HOSTS).kept))

    def passed(self, rules: list[Rule], *, closed_flows: bool = False) -> Sockets:
        """What the kernel lets through."""
        program = compile_rules(rules, self.known(closed_flows=closed_flows))
        return dump(self.host, program.states, program.bytecode)


HOSTS = {"db.example": [ip_address("10.1.2.3"), ip_address("2001:db8::1")], "none.example": []}


def cookies(sockets: Sockets) -> set[int]:
    return set(sockets.cookie.tolist())


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Anew for each test, but one for all its examples: a socket in TIME_WAIT is there for 60 seconds only."""
    with hosts.single() as host, population(host) as sockets:
        attributor = Attributor(interfaces=lambda _: [(1, "lo"), (7, "eth0")])
        attributor.observe(sockets, "blue")
        batch = attributor.attribute(sockets, "blue")
        units = set(batch.texts("unit", batch.column("unit")))
        assert units == {"", *UNITS}
        yield Scene(host, sockets, attributor)


def some(elements: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(elements, max_size=3).map(tuple)


def network(address: str, bits: int) -> IPv4Network | IPv6Network:
    ip = ip_address(address)
    return ip_network((int(ip), min(bits, ip.max_prefixlen)) if ip.version == 4 else (int(ip), bits), strict=False)


networks = st.one_of(
    st.builds(
        network, st.sampled_from([*IPV4, *IPV6, "10.0.0.0", "2001:db8::"]), st.sampled_from([8, 16, 24, 48, 64, 128])
    ),
    st.sampled_from([ip_network("0.0.0.0/0"), ip_network("::/0"), ip_network("::/64"), ip_network("::/96")]),
)
ports = st.one_of(
    st.sampled_from([*PORTS, 9000, FULL_PORT]).map(lambda port: (port, port)),
    st.sampled_from([(0, 65535), (0, 443), (1024, 65535), (81, 8080)]),
)
conditions = {
    "directions": st.sampled_from(list(Direction)),
    "remote_networks": networks,
    "local_networks": networks,
    "hosts": st.sampled_from([*HOSTS, "unknown.example"]),
    "service_ports": ports,
    "local_ports": ports,
    "remote_ports": ports,
    "units": st.sampled_from([*UNITS, "*.service", "none"]),
    "cgroups": st.sampled_from(["/web*", "/db.service", "/"]),
    "containers": st.just("*"),
    "pods": st.just("*"),
    "uids": st.sampled_from([0, 33]),
    "interfaces": st.sampled_from(["lo", "eth*"]),
    "families": st.sampled_from(list(AddressFamily)),
    "congestions": st.sampled_from(["cubic", "reno", "*"]),
    "states": st.sampled_from(list(TcpState)),
    "namespaces": st.sampled_from(["blue", "green"]),
}
EXACT = (
    "remote_networks",
    "local_networks",
    "hosts",
    "local_ports",
    "remote_ports",
    "interfaces",
    "families",
    "namespaces",
)


def rules_of(conditions: Mapping[str, st.SearchStrategy[object]]) -> st.SearchStrategy[Rule]:
    """Rules of up to three conditions: one of more hardly matches anything."""
    one = st.sampled_from(sorted(conditions)).flatmap(lambda name: st.tuples(st.just(name), some(conditions[name])))
    chosen = st.lists(one, max_size=3).map(dict)
    return st.builds(lambda keeps, given: Rule(keeps=keeps, **given), st.booleans(), chosen)


def with_end(rules: st.SearchStrategy[Rule]) -> st.SearchStrategy[list[Rule]]:
    """Several of them, which end with keeping the rest or with dropping it."""
    return st.builds(lambda some, end: some + end, st.lists(rules, max_size=4), st.sampled_from([[], [DROP_REST]]))


rules = with_end(rules_of(conditions))

thorough = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@thorough
@given(rules, st.sampled_from([True, False]))
def test_after_the_kernel_the_same_sockets_are_left_as_without_it(
    scene: Scene,
    rules: list[Rule],
    closed_flows: bool,  # noqa: FBT001 - hypothesis hands it in
) -> None:
    passed = scene.passed(rules, closed_flows=closed_flows)
    assert cookies(passed) <= cookies(scene.sockets)
    assert scene.kept(passed, rules) == scene.kept(scene.sockets, rules)


@thorough
@given(rules)
def test_listening_sockets_always_pass(scene: Scene, rules: list[Rule]) -> None:
    listening = scene.sockets.take(scene.sockets.state == TcpState.LISTEN)
    assert cookies(listening) <= cookies(scene.passed([*rules, DROP_REST]))


@thorough
@given(with_end(rules_of({name: conditions[name] for name in EXACT})))
def test_what_the_kernel_can_decide_it_decides_alone(scene: Scene, rules: list[Rule]) -> None:
    passed = scene.passed(rules)
    connections = passed.take(passed.state != TcpState.LISTEN)
    kept = scene.sockets.take(scene.sockets.state != TcpState.LISTEN)
    assert cookies(connections) == scene.kept(kept, rules)


def test_a_socket_that_is_bound_to_no_interface_is_known_to_be_on_none_by_name(scene: Scene) -> None:
    passed = scene.passed([Rule(keeps=True, interfaces=("lo",)), DROP_REST])
    assert set(passed.interface[passed.state != TcpState.LISTEN].tolist()) == {1}


@thorough
@given(rules)
def test_the_event_of_a_flow_that_the_kernel_left_out_is_dropped_too(scene: Scene, rules: list[Rule]) -> None:
    """Or it would be taken for one that came and went between two dumps, and counted."""
    passed = scene.passed(rules, closed_flows=True)
    left_out = ~np.isin(scene.sockets.cookie, passed.cookie) & (scene.sockets.state != TcpState.TIME_WAIT)
    assert scene.kept(as_events(scene.sockets.take(left_out)), rules) == set()


def as_events(sockets: Sockets) -> Sockets:
    """The same sockets as their destroy events show them."""
    return replace(
        sockets,
        state=np.full_like(sockets.state, TcpState.CLOSE),
        uid=np.zeros_like(sockets.uid),
        inode=np.zeros_like(sockets.inode),
        cgroup=np.zeros_like(sockets.cgroup),
        congestion=np.zeros_like(sockets.congestion),
    )


@pytest.mark.parametrize(
    ("drop", "expression"),
    [
        (Rule(keeps=False, remote_ports=((443, 443),)), "dport = :443"),
        (Rule(keeps=False, local_ports=((81, 9000),)), "sport >= :81 and sport <= :9000"),
        (Rule(keeps=False, remote_networks=(ip_network("10.0.0.0/8"),)), "dst 10.0.0.0/8"),
        (Rule(keeps=False, local_networks=(ip_network("2001:db8::/32"),)), "src 2001:db8::/32"),
        (Rule(keeps=False, marks=(7,)), "fwmark = 7"),
        (Rule(keeps=False, units=("web.service",)), f"cgroup {{cgroup2}}/{SLICE}/web.service"),
        (
            Rule(keeps=False, remote_ports=((80, 80), (443, 443)), remote_networks=(ip_network("10.0.0.0/8"),)),
            "( dport = :80 or dport = :443 ) and dst 10.0.0.0/8",
        ),
    ],
)
def test_the_kernel_leaves_out_what_ss_shows_for_the_same_condition(scene: Scene, drop: Rule, expression: str) -> None:
    argv = [
        needs.command("ss"),
        "-tanHOe",
        "state",
        "connected",
        *expression.format(cgroup2=mount_point(Path("/"))).split(),
    ]
    # Not through ip-netns(8), which hides the cgroup2 file system.
    shown = scene.host.call(lambda: subprocess.run(argv, check=True, capture_output=True, text=True)).stdout
    by_ss = {int(found, 16) for found in re.findall(r" sk:([0-9a-f]+)", shown)}
    assert by_ss
    assert cookies(scene.sockets) - cookies(scene.passed([drop])) == by_ss


NETWORKS = tuple(ip_network(f"10.{second}.{third}.0/24") for second in range(8) for third in range(0, 256, 2))


@pytest.mark.parametrize("keeps", [True, False])
def test_a_rule_too_long_for_the_kernel_is_decided_after_the_read(scene: Scene, *, keeps: bool) -> None:
    long = Rule(keeps=keeps, remote_networks=NETWORKS)
    rules = [Rule(keeps=False, remote_ports=((443, 443),)), long, Rule(keeps=False, local_ports=((80, 80),))]
    program = compile_rules(rules, scene.known())
    assert len(program.bytecode) <= MAX_BYTES
    assert program.places == ("kernel", "after the read", "after the read" if keeps else "kernel")
    passed = scene.passed(rules)
    assert 443 not in passed.remote_port
    assert scene.kept(passed, rules) == scene.kept(scene.sockets, rules)


def test_many_short_rules_fill_the_program_and_the_rest_is_decided_after_the_read(scene: Scene) -> None:
    rules = [Rule(keeps=False, remote_ports=((port, port),)) for port in range(9500, 1000, -1)]
    program = compile_rules(rules, scene.known())
    assert MAX_BYTES / 2 < len(program.bytecode) <= MAX_BYTES
    assert {"kernel", "after the read"} == set(program.places)
    assert scene.kept(scene.passed(rules), rules) == scene.kept(scene.sockets, rules)


def test_each_name_is_compared_once_with_the_patterns_of_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be many of both, in every tick."""
    compared = []

    def counted(name: str, patterns: Collection[str]) -> bool:
        compared.append(name)
        return matches(name, patterns)

    monkeypatch.setattr(netlink_filter, "matches", counted)
    rules = [Rule(keeps=False, interfaces=("eth*",), states=(state,)) for state in TcpState]
    compile_rules(rules, Known(closed_flows=False, interfaces={7: "eth0", 8: "wlan0"}))
    assert len(compared) == len(rules) * len(["", "eth0", "wlan0"])


def test_a_list_of_networks_is_merged_once_and_not_in_every_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [Rule(keeps=False, remote_networks=(ip_network("198.51.100.0/25"), ip_network("198.51.100.128/25")))]
    first = compile_rules(rules, ANYWHERE)
    monkeypatch.setattr(netlink_filter, "collapse_addresses", None)
    assert compile_rules(rules, ANYWHERE) == first


ANYWHERE = Known()
"""Closed flows are collected, nothing else is known."""


def test_without_rules_the_kernel_is_asked_for_everything() -> None:
    assert compile_rules([], ANYWHERE) == (b"", frozenset(TcpState), ())


def test_rules_of_which_the_kernel_would_refuse_nothing_need_no_program() -> None:
    keep, drop = (Rule(keeps=keeps, remote_ports=((443, 443),)) for keeps in (True, False))
    assert compile_rules([keep], ANYWHERE).bytecode == b""
    assert compile_rules([Rule(keeps=True), drop], ANYWHERE).bytecode == b""


def test_states_are_left_out_as_far_as_no_event_comes_of_them() -> None:
    rules = [
        Rule(keeps=True, states=(TcpState.FIN_WAIT1,)),
        Rule(keeps=True, states=(TcpState.FIN_WAIT2,), remote_ports=((443, 443),)),
        Rule(
            keeps=False,
            states=(
                TcpState.TIME_WAIT,
                TcpState.SYN_SENT,
                TcpState.LISTEN,
                TcpState.FIN_WAIT1,
                TcpState.FIN_WAIT2,
            ),
        ),
        Rule(keeps=False, states=(TcpState.CLOSING,), remote_ports=((443, 443),)),
    ]
    with_events = compile_rules(rules, Known(closed_flows=True)).states
    without = compile_rules(rules, Known(closed_flows=False)).states
    assert set(TcpState) - with_events == {TcpState.TIME_WAIT}
    assert set(TcpState) - without == {TcpState.TIME_WAIT, TcpState.SYN_SENT}


def test_each_rule_is_said_to_be_decided_where_it_is() -> None:
    rules = [
        Rule(keeps=False, states=(TcpState.TIME_WAIT,)),
        Rule(keeps=False, remote_networks=(ip_network("169.254.0.0/16"),)),
        Rule(keeps=False, units=("web.service",), remote_ports=((443, 443),)),
        Rule(keeps=True, units=("web.service",), service_ports=((443, 443),)),
        Rule(keeps=False),
        Rule(keeps=True, local_ports=((80, 80),)),
    ]
    assert compile_rules(rules, ANYWHERE).places == (
        "kernel",
        "kernel",
        "after the read",
        "kernel as far as service_ports can tell, then after the read: service_ports, units",
        "kernel",
        "after the read",
    )


def test_marks_are_given_to_the_kernel_only_with_the_privilege_that_it_asks_for() -> None:
    rules = [Rule(keeps=False, marks=(7,))]
    assert compile_rules(rules, Known(closed_flows=False, net_admin=False)).bytecode == b""
    assert compile_rules(rules, Known(closed_flows=False, net_admin=True)).bytecode != b""
    assert compile_rules(rules, Known(closed_flows=True, net_admin=True)).bytecode == b""
