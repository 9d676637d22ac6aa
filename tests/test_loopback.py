"""Which sockets talk to this host itself."""

from dataclasses import replace
from ipaddress import IPv6Address

import numpy as np
import pytest

from ss_pusher.loopback import stays_on_host
from ss_pusher.model import U64
from tests.flows import Flow, sockets


def words(address: str) -> U64:
    number = int(IPv6Address(f"::ffff:{address}" if "." in address else address))
    return np.array([[number >> 64, number & (1 << 64) - 1]], np.uint64)


@pytest.mark.parametrize(
    ("local", "remote", "stays"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.255.255.254", True),
        ("10.0.0.1", "127.0.0.53", True),
        ("127.0.0.53", "10.0.0.1", True),
        ("::1", "::1", True),
        ("2001:db8::1", "::1", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("2001:db8::1", "2001:db8::1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "126.255.255.255", False),
        ("10.0.0.1", "128.0.0.1", False),
        ("2001:db8::1", "2001:db8::2", False),
        ("2001:db8::1", "2001:db8:1::1", False),
        ("2001:db8::1", "2001:db8::ffff:7f00:1", False),
        ("2001:db8::2", "1::1", False),
        ("::", "::2", False),
    ],
)
def test_a_flow_stays_on_the_host_if_an_end_is_of_loopback_or_both_are_one_address(
    local: str, remote: str, *, stays: bool
) -> None:
    flow = replace(sockets([Flow(1)]), local=words(local), remote=words(remote))
    assert stays_on_host(flow).tolist() == [stays]


def test_each_row_is_judged_by_itself() -> None:
    rows = sockets([Flow(1), Flow(2)])
    remote = np.concatenate([words("127.0.0.1"), words("10.0.0.9")])
    assert stays_on_host(replace(rows, remote=remote)).tolist() == [True, False]
    assert stays_on_host(sockets([])).tolist() == []
