"""What is said of each rule is what happens: where it is decided, and to how many sockets of a real host."""

import json
import socket
from pathlib import Path

import pytest

from ss_pusher.app.explain import LOOPBACK, NO_RULE, Explained, explain
from ss_pusher.errors import ConfigError
from tests.attribute.test_process import as_nobody
from tests.command import run, written
from tests.config.parsing import config
from tests.end_to_end.connections import service
from tests.hosts import Host, single


def explained(host: Host, text: str, connections: int) -> list[Explained]:
    """The rules of a configuration on a host with so many connections to itself, their service's port in {port}."""
    with service(at=host, clients=host) as some:
        for _ in range(connections):
            some.connect()
        return host.call(lambda: explain(config(text.replace("{port}", str(some.port)))))


def test_what_the_kernel_leaves_out_and_what_is_decided_after_the_read_is_counted_by_rule(host: Host) -> None:
    text = """
collect: {loopback: true}
filter:
  - drop: {local_ports: [{port}]}
  - keep: {directions: [in]}
  - drop: {users: [root], remote_ports: [{port}]}
"""
    found = explained(host, text, 3)
    assert [(row.sockets, row.unread) for row in found] == [(3, 3), (0, 0), (3, 0), (0, 0)]
    assert [row.place for row in found] == ["kernel", "after the read", "after the read", ""]
    assert found[1].rule == "keep: {directions: [in]}"
    assert found[-1].rule == NO_RULE


def test_a_socket_counts_for_the_first_rule_that_it_matches(host: Host) -> None:
    text = "collect: {loopback: true}\nfilter: [{keep: {local_ports: [{port}]}}, {drop: {}}, {drop: {}}]\n"
    assert [(row.sockets, row.unread) for row in explained(host, text, 2)] == [(2, 0), (2, 2), (0, 0), (0, 0)]


def test_that_what_stays_on_the_host_is_left_out_is_a_rule_too(host: Host) -> None:
    assert explained(host, "{}", 2) == [Explained(LOOPBACK, "kernel", 4, 4), Explained(NO_RULE, "", 0, 0)]


def test_without_rules_everything_is_kept(host: Host) -> None:
    assert explained(host, "collect: {loopback: true}", 2) == [Explained(NO_RULE, "", 4, 0)]


@pytest.mark.parametrize(("closed_flows", "unread"), [("true", 0), ("false", 1)])
def test_marks_are_read_where_the_kernel_may_not_decide_on_them(host: Host, closed_flows: str, unread: int) -> None:
    text = f"collect: {{loopback: true, closed_flows: {closed_flows}}}\nfilter: [{{drop: {{marks: [0x1f]}}}}]\n"
    with service(at=host, clients=host) as some:
        some.connect().client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x1F)
        found = host.call(lambda: explain(config(text)))
    assert [(row.sockets, row.unread) for row in found] == [(1, unread), (1, 0)]


def test_the_command_shows_every_rule_with_its_numbers(tmp_path: Path, host: Host) -> None:
    with service(at=host, clients=host) as some:
        some.connect()
        port = some.port
        path = written(tmp_path, f"collect: {{loopback: true}}\nfilter: [{{drop: {{remote_ports: [{port}]}}}}]\n")
        table = run("preview", "--config", path, "--explain", prefix=host.command())
        as_json = run("preview", "--config", path, "--explain", "--format", "json", prefix=host.command())
    rows = [line.split() for line in table.stdout.splitlines()]
    assert ["drop:", "{remote_ports:", f"['{port}']}}", "1", "1", "kernel"] in rows
    assert [row["sockets"] for row in json.loads(as_json.stdout)] == [1, 1]


def test_the_sockets_of_every_namespace_are_counted(tmp_path: Path) -> None:
    text = """
collect: {loopback: true, namespaces: [named]}
filter: [{drop: {namespaces: [{one}], remote_ports: [{port}]}}, {keep: {namespaces: [{one}, {two}]}}, {drop: {}}]
"""
    with single() as one, single() as two, service(at=one, clients=one) as near, service(at=two, clients=two) as far:
        near.connect()
        far.connect()
        text = text.replace("{one}", one.name).replace("{two}", two.name).replace("{port}", str(near.port))
        rows = json.loads(run("preview", "--config", written(tmp_path, text), "--explain", "--format", "json").stdout)
    assert [(row["sockets"], row["unread"]) for row in rows[:2]] == [(1, 1), (3, 0)]
    assert rows[0]["place"] == "after the read or kernel"


def test_without_the_privilege_for_other_namespaces_it_is_refused() -> None:
    wanted = config("collect: {namespaces: [named]}")
    with pytest.raises(ConfigError, match="CAP_SYS_ADMIN"):
        as_nobody(lambda: explain(wanted))


def test_what_the_rules_ask_for_in_vain_is_said(caplog: pytest.LogCaptureFixture) -> None:
    wanted = config("filter: [{drop: {marks: [1]}}]")
    as_nobody(lambda: explain(wanted))
    assert "CAP_NET_ADMIN" in caplog.text
