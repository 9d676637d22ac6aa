"""Addresses as labels: folded to a prefix, or named after the network they lie in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np

from ss_pusher.addresses import MAPPED_BITS, Network, PrefixTable, masks, prefix_table
from ss_pusher.model import U8, U64, AddressFamily

WIDTH: Final = 3
"""Words of an address in a group's key: high, low, and the prefix length in terms of 128 bits."""


class Prefix(NamedTuple):
    """To which prefix length an address is folded."""

    ipv4: int = 32
    ipv6: int = 128


def folded(addresses: U64, family: U8, prefix: Prefix) -> U64:
    """U64[n, 3] of `addresses` [n, 2]: high and low with the bits behind the prefix cleared, and its length."""
    key = np.empty((WIDTH, len(addresses)), np.uint64).T
    key[:, :2] = addresses
    key[:, 2] = 128
    if prefix != Prefix():
        ipv4, ipv6 = prefix.ipv4 + MAPPED_BITS, prefix.ipv6
        words = np.array([(*masks(ipv6), ipv6), (*masks(ipv4), ipv4)], np.uint64)[
            (family == AddressFamily.IPV4).astype(np.intp)
        ]
        key[:, :2] &= words[:, :2]
        key[:, 2] = words[:, 2]
    return key


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks by name: the table gives 1 + the place in `names`."""

    names: tuple[str, ...]
    table: PrefixTable

    @classmethod
    def of(cls, ranges: Mapping[str, Sequence[Network]]) -> Self:
        """From the ranges that each name stands for; where ranges overlap, the longest prefix counts."""
        entries = [(network, at) for at, name in enumerate(ranges, start=1) for network in ranges[name]]
        return cls(tuple(ranges), prefix_table(entries))
