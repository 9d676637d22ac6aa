"""The network namespaces that other tests rely on behave like hosts with cables between them."""

import socket
import subprocess
from pathlib import Path

import pytest

from tests import hosts


def listener(host: hosts.Host, address: str) -> socket.socket:
    """A listening socket in the host."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return host.call(lambda: socket.create_server((address, 0), family=family))


def connect(host: hosts.Host, server: socket.socket) -> socket.socket:
    """A connection from the host to the listening socket."""
    return host.call(lambda: socket.create_connection(server.getsockname()[:2], timeout=10))


def network_namespace() -> int:
    """Which one the calling thread is in."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_two_hosts_speak_over_their_cable(host_pair: tuple[hosts.Host, hosts.Host], family: str) -> None:
    left, right = host_pair
    with listener(right, getattr(right, family)) as server, connect(left, server) as client:
        accepted, peer = server.accept()
        with accepted:
            client.sendall(b"hello")
            assert accepted.recv(5) == b"hello"
            assert peer[0] == getattr(left, family)


def test_processes_and_threads_land_in_the_same_host(host: hosts.Host) -> None:
    before = network_namespace()
    with listener(host, "127.0.0.1") as server:
        listening = host.run("ss", "-tlnH")
        assert f"127.0.0.1:{server.getsockname()[1]}" in listening
    assert host.call(network_namespace) != before
    assert network_namespace() == before


def test_a_failing_function_fails_the_caller(host: hosts.Host) -> None:
    with pytest.raises(ZeroDivisionError):
        host.call(lambda: 1 / 0)


def test_hosts_are_deleted_also_after_a_failure() -> None:
    names = []

    def fail_in_a_host() -> None:
        with hosts.single() as host:
            names.append(host.name)
            raise LookupError

    with pytest.raises(LookupError):
        fail_in_a_host()
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    assert names[0] not in listed


def test_loss_drops_datagrams_only_while_it_lasts(host_pair: tuple[hosts.Host, hosts.Host]) -> None:
    left, right = host_pair
    receiver = right.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sender = left.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with receiver, sender:
        receiver.bind((right.ipv4, 0))
        receiver.settimeout(10)
        with hosts.loss(right, 0.5):
            for _ in range(200):
                sender.sendto(b"maybe lost", receiver.getsockname())
        sender.sendto(b"last", receiver.getsockname())
        received = list(iter(lambda: receiver.recv(10), b"last"))
    assert 50 < len(received) < 150


def test_a_nat_hides_the_client_and_lets_nothing_in(nat: hosts.Nat) -> None:
    with listener(nat.server, nat.server.ipv4) as server, connect(nat.client, server):
        accepted, peer = server.accept()
        accepted.close()
        assert peer[0] == nat.router.ipv4
    with listener(nat.client, nat.client.ipv4) as hidden, pytest.raises(OSError, match="unreachable"):
        connect(nat.server, hidden)
