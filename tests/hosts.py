"""Network namespaces as hosts of their own, joined by cables, with loss and a NAT where a test wants them."""

import ctypes
import itertools
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from tests import needs
from tests.waiting import wait_for

T = TypeVar("T")

_CLONE_NEWNET: Final = 0x40000000  # Linux include/uapi/linux/sched.h
_NAMESPACES: Final = Path("/run/netns")  # where ip-netns(8) keeps them
_numbers: Final = itertools.count(1)


@dataclass(frozen=True)
class Host:
    """A network namespace with loopback up; the addresses are those of its cable, and empty without one."""

    name: str
    ipv4: str = ""
    ipv6: str = ""

    def command(self, *argv: str) -> list[str]:
        """The argument list that runs `argv` in this host, for subprocess."""
        return [needs.command("ip"), "netns", "exec", self.name, *argv]

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a command in this host and return what it printed; subprocess.CalledProcessError if it fails."""
        return _run(self.command(*argv), stdin)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in a thread of this host; the sockets that it opens belong here for good."""

        def inside() -> T:
            _enter(_NAMESPACES / self.name)
            return function()

        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(inside).result()


@contextmanager
def single() -> Iterator[Host]:
    """A host without a cable."""
    needs.root()
    ip = needs.command("ip")
    name = f"ss-pusher-{os.getpid()}-{next(_numbers)}"
    try:
        _run([ip, "netns", "add", name])
    except subprocess.CalledProcessError as error:
        needs.unavailable(f"no network namespaces here: {error.stderr.strip()}")
    try:
        _run([ip, "-n", name, "link", "set", "lo", "up"])
        yield Host(name)
    finally:
        _run([ip, "netns", "delete", name])


@contextmanager
def pair() -> Iterator[tuple[Host, Host]]:
    """Two hosts joined by a cable."""
    with single() as left, single() as right:
        yield _join(left, right, "192.0.2", "2001:db8:1:")


@dataclass(frozen=True)
class Nat:
    """A client behind a router that masquerades; the server has no way to reach the client."""

    client: Host
    router: Host
    server: Host


@contextmanager
def nat() -> Iterator[Nat]:
    """Client, router and server, joined by two cables. IPv4 only, as such hosts are."""
    with single() as left, single() as router, single() as right:
        client, inner = _join(left, router, "192.168.7", "fd00:7:")
        outer, server = _join(router, right, "198.51.100", "2001:db8:2:")
        client.run("ip", "route", "add", "default", "via", inner.ipv4)
        router.call(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n", encoding="ascii"))
        rules = f"""
            table ip nat {{
                chain postrouting {{
                    type nat hook postrouting priority srcnat
                    ip saddr {client.ipv4}/24 masquerade
                }}
            }}"""
        router.run(needs.command("nft"), "-f", "-", stdin=rules)
        yield Nat(client, outer, server)


def renumber(nat: Nat, ipv4: str) -> None:
    """Give the client another address of its network, as a DHCP server may; the old one is gone."""
    (device,) = (link["ifname"] for link in json.loads(nat.client.run("ip", "-json", "link")) if link["ifname"] != "lo")
    (route,) = json.loads(nat.client.run("ip", "-json", "route", "show", "default"))
    nat.client.run("ip", "address", "delete", f"{nat.client.ipv4}/24", "dev", device)
    nat.client.run("ip", "address", "add", f"{ipv4}/24", "dev", device)
    nat.client.run("ip", "route", "add", "default", "via", route["gateway"])


def forget_when_idle(nat: Nat, seconds: int) -> None:
    """Let the router forget connections on which nothing has passed for so long, and drop what belongs to none."""
    settings = {"nf_conntrack_tcp_timeout_established": seconds, "nf_conntrack_tcp_loose": 0}

    def write() -> None:
        for name, value in settings.items():
            Path("/proc/sys/net/netfilter", name).write_text(f"{value}\n", encoding="ascii")

    nat.router.call(write)
    rules = """
        table ip strict {
            chain forward {
                type filter hook forward priority filter
                ct state invalid counter drop
            }
        }"""
    nat.router.run(needs.command("nft"), "-f", "-", stdin=rules)


@contextmanager
def loss(host: Host, fraction: float) -> Iterator[None]:
    """Drop a random fraction, to the thousandth and more than 0, of the packets that reach the host by its cables."""
    table = f"loss{next(_numbers)}"
    rules = f"""
        table inet {table} {{
            chain input {{
                type filter hook input priority filter
                iif != lo numgen random mod 1000 <= {round(fraction * 1000) - 1} drop
            }}
        }}"""
    host.run(needs.command("nft"), "-f", "-", stdin=rules)
    try:
        yield
    finally:
        host.run(needs.command("nft"), "delete", "table", "inet", table)


def _join(left: Host, right: Host, ipv4_prefix: str, ipv6_prefix: str) -> tuple[Host, Host]:
    """Lay a cable, and return the hosts with the addresses of its two ends."""
    ip = needs.command("ip")
    number = next(_numbers)
    one, other = f"cable{number}a", f"cable{number}b"
    _run([ip, "link", "add", one, "netns", left.name, "type", "veth", "peer", "name", other, "netns", right.name])
    joined = []
    for host, device, last in ((left, one, 1), (right, other, 2)):
        ipv4, ipv6 = f"{ipv4_prefix}.{last}", f"{ipv6_prefix}:{last}"
        _run([ip, "-n", host.name, "address", "add", f"{ipv4}/24", "dev", device])
        _run([ip, "-n", host.name, "address", "add", f"{ipv6}/64", "dev", device, "nodad"])
        _run([ip, "-n", host.name, "link", "set", device, "up"])
        joined.append(Host(host.name, ipv4, ipv6))
    # Asking for one device by name makes the kernel settle its state at once instead of within a second (since 6.8).
    for host, device in ((left, one), (right, other)):
        wait_for(partial(_is_up, host, device), f"{device} is up")
    return joined[0], joined[1]


def _is_up(host: Host, device: str) -> bool:
    return " state UP " in _run([needs.command("ip"), "-n", host.name, "link", "show", "dev", device])


def _enter(namespace: Path) -> None:
    """Move the calling thread into a network namespace (os.setns came with Python 3.12)."""
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(namespace))
    finally:
        os.close(descriptor)


def _run(argv: list[str], stdin: str | None = None) -> str:
    try:
        return subprocess.run(argv, check=True, capture_output=True, text=True, input=stdin).stdout
    except subprocess.CalledProcessError as error:
        error.add_note(error.stderr)
        raise
