"""The filter of destroy events, run by the kernel on a pair of local sockets."""

import array
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ss_pusher.netlink.event_filter import SOCK_FILTER, event_filter
from tests.netlink.messages import EVENTS, split

_SO_ATTACH_FILTER: Final = 26

ADDRESSES: Final = st.one_of(
    st.ip_addresses(),
    st.ip_addresses(network="127.0.0.0/8"),
    st.sampled_from([0, 1, 126 << 24 | 0xFFFFFF, 127 << 24, 128 << 24]).map(IPv4Address),
    st.sampled_from([0, 1, 2, 1 << 32, 1 << 64, 1 << 96, 127 << 24]).map(IPv6Address),
    st.ip_addresses(v=4).map(lambda address: IPv6Address(f"::ffff:{address}")),
    st.ip_addresses(network="127.0.0.0/8").map(lambda address: IPv6Address(f"::ffff:{address}")),
)
PORTS: Final = st.one_of(st.just(0), st.integers(0, 0xFFFF))


@contextmanager
def filtered(*, loopback: bool) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A sender, and a receiver with the filter."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sender, receiver:
        program = event_filter(loopback=loopback)
        instructions = array.array("B", program)
        fprog = struct.pack("@HP", len(program) // SOCK_FILTER.size, instructions.buffer_info()[0])
        receiver.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
        receiver.settimeout(0)
        yield sender, receiver


def passes(ends: tuple[socket.socket, socket.socket], data: bytes) -> bool:
    sender, receiver = ends
    sender.send(data)
    try:
        assert receiver.recv(4096) == data
    except BlockingIOError:
        return False
    return True


def event(remote: IPv4Address | IPv6Address, port: int) -> bytes:
    """A captured event, to another place."""
    changed = bytearray(split(EVENTS)[0])
    changed[16] = 2 if remote.version == 4 else 10
    changed[22:24] = port.to_bytes(2)
    changed[40:56] = remote.packed.ljust(16, b"\0")
    return bytes(changed)


def is_loopback(address: IPv4Address | IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


@pytest.mark.parametrize("loopback", [False, True])
@given(remote=ADDRESSES, port=PORTS)
@example(remote=IPv4Address(0), port=0)
@example(remote=IPv6Address(0), port=0)
@example(remote=IPv6Address(0), port=1)
@example(remote=IPv6Address(1), port=0)
@settings(deadline=None, max_examples=200)
def test_only_flows_pass_and_loopback_only_if_wanted(
    *, loopback: bool, remote: IPv4Address | IPv6Address, port: int
) -> None:
    has_peer = int(remote) != 0 or port != 0
    with filtered(loopback=loopback) as ends:
        assert passes(ends, event(remote, port)) == (has_peer and (loopback or not is_loopback(remote)))


def test_a_message_too_short_to_tell_is_dropped() -> None:
    with filtered(loopback=True) as ends:
        assert not passes(ends, bytes(10))
