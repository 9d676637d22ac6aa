"""Flows of several network namespaces of a real host in one agent."""

import os
import subprocess
from pathlib import Path

import pytest

from ss_pusher.app.build import build_agent
from ss_pusher.clock import Clock
from ss_pusher.errors import ConfigError
from ss_pusher.model import Snapshot
from tests import needs
from tests.attribute.test_process import as_nobody
from tests.config.parsing import config
from tests.end_to_end.connections import announced, service
from tests.end_to_end.pipeline import said, tick_until, ticking
from tests.hosts import Host, single

CONFIG = """
external_labels: {job: edge}
collect: {loopback: true, namespaces: [named]}
group: {by: [direction, namespace, interface]}
limit: {hold: 0}
metrics: {preset: all}
"""


def only(*names: str) -> str:
    """The configuration, with a filter that leaves out namespaces of other tests."""
    return CONFIG + f"filter: [{{keep: {{namespaces: [{', '.join(names)}]}}}}, {{drop: {{}}}}]\n"


def of(snapshot: Snapshot, name: str, **wanted: str) -> float:
    """The sum of a family's series with these labels."""
    pairs = {("__name__", name), *wanted.items()}
    return sum(value for key, value in said(snapshot, {}).items() if pairs <= set(key))


def closed(snapshot: Snapshot) -> float:
    """How many flows were announced as closed."""
    return of(snapshot, "ss_tcp_flows_closed_total")


def test_each_namespace_has_its_own_flows_and_the_totals_are_of_all() -> None:
    with (
        single() as one,
        single() as two,
        service(at=one, clients=one) as near,
        service(at=two, clients=two) as far,
        ticking(only(one.name, two.name)) as tick,
    ):
        tick()
        first, second, third = near.connect(), far.connect(), far.connect()
        first.ask(100)
        second.ask(20)
        third.ask(3)
        third.close()
        snapshot = tick_until(tick, lambda snapshot: closed(snapshot) == 2, "both ends of the third are closed")
    assert of(snapshot, "ss_flow_sent_bytes_total", namespace=one.name, direction="out") == 100
    assert of(snapshot, "ss_flow_received_bytes_total", namespace=two.name, direction="in") == 23 + 1  # a FIN
    assert of(snapshot, "ss_flow_sockets", namespace=two.name) == 2
    assert of(snapshot, "ss_tcp_sent_bytes_total") == 123
    assert of(snapshot, "ss_tcp_sockets", state="established") == 4
    assert of(snapshot, "ss_tcp_flows_lost_total") == 0


def test_a_rule_by_namespace_is_a_rule_for_all_of_it() -> None:
    with single() as one, single() as two, service(at=one, clients=one) as near, service(at=two, clients=two) as far:
        near.connect()
        far.connect()
        with ticking(CONFIG + f"filter: [{{drop: {{namespaces: ['{one.name}']}}}}]\n") as tick:
            snapshot = tick()
    assert of(snapshot, "ss_flow_sockets", namespace=one.name) == 0
    assert of(snapshot, "ss_flow_sockets", namespace=two.name) == 2


def test_namespaces_come_and_go_while_the_agent_ticks(host: Host) -> None:
    with (
        service(at=host, clients=host) as staying,
        ticking(only(f"ss-pusher-{os.getpid()}-*")) as tick,
    ):
        staying.connect()
        tick()
        with single() as short, service(at=short, clients=short) as brief:
            connection = brief.connect()
            connection.ask(50)
            assert of(tick(), "ss_flow_sent_bytes_total", namespace=short.name) == 50
            inode = Path("/run/netns", short.name).stat().st_ino
            connection.ask(7)
            with announced(short, brief.port, ends=2):
                connection.close()
        ended = tick()
        assert of(ended, "ss_tcp_sent_bytes_total") == 57
        assert of(ended, "ss_tcp_flows_lost_total") == 0
        tick()
        later = tick()
        assert of(later, "ss_flow_sockets", namespace=short.name) == 0
        assert of(later, "ss_flow_sockets", namespace=host.name) == 2
        assert of(later, "ss_tcp_flows_lost_total") == 0
        assert inode not in open_namespaces()


def open_namespaces() -> set[int]:
    """The namespaces that this process keeps by a descriptor."""
    return {path.stat().st_ino for path in Path("/proc/self/fd").iterdir() if path.exists()}


def test_a_name_that_is_used_again_is_another_namespace(host: Host) -> None:
    with ticking(only(host.name)) as tick:
        with service(at=host, clients=host) as old:
            old.connect().ask(10)
            tick()
        subprocess.run([needs.command("ip"), "netns", "delete", host.name], check=True)
        subprocess.run([needs.command("ip"), "netns", "add", host.name], check=True)
        subprocess.run([needs.command("ip"), "-n", host.name, "link", "set", "lo", "up"], check=True)
        with service(at=host, clients=host) as new:
            new.connect().ask(5)
            tick()
            snapshot = tick()
    assert of(snapshot, "ss_flow_sockets", namespace=host.name) == 2
    assert of(snapshot, "ss_tcp_sent_bytes_total") == 5


def test_interfaces_have_the_names_of_their_namespace(host_pair: tuple[Host, Host]) -> None:
    left, right = host_pair
    with service(right.ipv4, at=right, clients=left) as some:
        connection = some.connect()
        name = left.run("ip", "-o", "link", "show", "up", "type", "veth").split(": ")[1].split("@")[0]
        connection.client.setsockopt(1, 25, name.encode())  # SOL_SOCKET, SO_BINDTODEVICE
        with ticking(CONFIG) as tick:
            snapshot = tick()
    assert of(snapshot, "ss_flow_sockets", namespace=left.name, interface=name) == 1


@pytest.mark.parametrize("wanted", ["named", "all", "self, named"])
def test_without_the_privilege_the_agent_does_not_start_and_says_why(wanted: str) -> None:
    text = f"collect: {{namespaces: [{wanted}]}}"
    with pytest.raises(ConfigError, match="CAP_SYS_ADMIN"):
        as_nobody(lambda: build_agent(config(text), lambda _: [], Clock()))
