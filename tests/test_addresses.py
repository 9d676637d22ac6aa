"""Addresses and prefixes as words."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.addresses import WORD, Address, Network, length_128, masks, number, prefix_table, text
from ss_pusher.model import U64

MAPPED = IPv6Network("::ffff:0:0/96")

# Few bits differ, so that networks nest and addresses hit them.
low_bits = st.sampled_from([0, 1, 2, 3, 4, 7, 8, 255, 256])
ipv4_numbers = st.builds(lambda high, low: (high << 24) + low, st.sampled_from([0, 10, 11, 255]), low_bits)
ipv6_numbers = st.builds(
    lambda high, middle, low: (high << 112) + (middle << 62) + low,
    st.sampled_from([0, 0x2001, 0xFFFF]),
    low_bits,
    low_bits,
).filter(lambda one: IPv6Address(one) not in MAPPED)
some_addresses = st.one_of(ipv4_numbers.map(IPv4Address), ipv6_numbers.map(IPv6Address))
some_networks = st.one_of(
    st.builds(
        lambda n, bits: IPv4Network((n, bits), strict=False), ipv4_numbers, st.sampled_from([0, 8, 24, 30, 31, 32])
    ),
    st.builds(
        lambda n, bits: IPv6Network((n, bits), strict=False),
        ipv6_numbers,
        st.sampled_from([0, 1, 16, 64, 126, 127, 128]),
    ),
)


def words(*addresses: Address) -> U64:
    return np.array([(number(one) >> 64, number(one) & WORD) for one in addresses], np.uint64).reshape(-1, 2)


def longest_prefix(address: Address, networks: list[Network]) -> int:
    holding = [
        (network.prefixlen, at)
        for at, network in enumerate(networks, start=1)
        if network.version == address.version and address in network
    ]
    return max(holding, default=(0, 0))[1]


@given(st.lists(some_networks, max_size=12), st.lists(some_addresses, max_size=12))
def test_a_table_gives_what_the_longest_prefix_that_holds_an_address_has(
    networks: list[Network], addresses: list[Address]
) -> None:
    edges = [edge for network in networks for edge in (network.network_address, network.broadcast_address)]
    asked = [*addresses, *(edge for edge in edges if edge.version == 4 or edge not in MAPPED)]
    table = prefix_table((network, at) for at, network in enumerate(networks, start=1))
    assert table.lookup(words(*asked)).tolist() == [longest_prefix(address, networks) for address in asked]


@given(some_networks)
def test_a_prefix_is_the_network_in_128_bits(network: Network) -> None:
    high, low = masks(length_128(network))
    for address in (network.network_address, network.broadcast_address):
        assert number(address) & (high << 64 | low) == number(network.network_address)
    assert int.bit_count(high << 64 | low) == length_128(network)


@pytest.mark.parametrize(
    "written",
    ["10.1.2.3", "255.0.0.0", "10.1.2.0/24", "0.0.0.0/0", "::", "::1", "2001:db8::/32", "2001:db8:0:1:1:1:1:1", "::/0"],
)
def test_a_text_is_canonical(written: str) -> None:
    if "/" in written:
        network = ip_network(written)
        start = number(network.network_address)
        assert text(start >> 64, start & WORD, length_128(network)) == written
    else:
        start = number(ip_address(written))
        assert text(start >> 64, start & WORD) == written
