"""IP addresses and prefixes as 64-bit words. Imports nothing of ours but the model, so that any room may use it.

An address is two words, high and low. IPv4 stands in its mapped form, ::ffff:a.b.c.d, so a prefix length is always that
of 128 bits: an IPv4 /24 is 120.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from ss_pusher.model import U64

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

WORD: Final = 0xFFFF_FFFF_FFFF_FFFF
MAPPED_LOW: Final = 0x0000_FFFF_0000_0000
"""The low word of ::ffff:0.0.0.0; the high word is 0."""
MAPPED_BITS: Final = 96


def number(address: Address) -> int:
    """The address as one 128-bit number, IPv4 in its mapped form."""
    return int(address) | MAPPED_LOW if isinstance(address, IPv4Address) else int(address)


def length_128(network: Network) -> int:
    """The prefix length in terms of 128 bits."""
    return network.prefixlen + (MAPPED_BITS if isinstance(network, IPv4Network) else 0)


def masks(length: int) -> tuple[int, int]:
    """The high and the low word of the mask of a prefix length of 0 to 128."""
    mask = (1 << 128) - (1 << (128 - length))
    return mask >> 64, mask & WORD


def text(high: int, low: int, length: int = 128) -> str:
    """`10.1.2.3`, `10.1.2.0/24` or `2001:db8::/32`: canonical, IPv6 as RFC 5952 has it."""
    if high == 0 and low >> 32 == MAPPED_LOW >> 32:
        host: Address = IPv4Address(low & 0xFFFF_FFFF)
        bits = length - MAPPED_BITS
    else:
        host = IPv6Address(high << 64 | low)
        bits = length
    return str(host) if length == 128 else f"{host}/{bits}"  # noqa: PLR2004 - an address has 128 bits


def _packed(addresses: U64) -> npt.NDArray[np.bytes_]:
    """S16[n]: big-endian bytes, which compare as the 128-bit numbers do."""
    return np.ascontiguousarray(addresses.astype(">u8")).view("S16").ravel()


@dataclass(frozen=True, slots=True)
class PrefixTable:
    """A table of prefixes as the disjoint ranges that longest-prefix-first cuts the address space into."""

    starts: npt.NDArray[np.bytes_]  # S16[ranges], ascending; the first is ::
    values: U64  # [ranges]

    def lookup(self, addresses: U64) -> U64:
        """U64[n]: the value of the longest prefix that holds each of `addresses` [n, 2]; 0 where none does."""
        found: U64 = self.values[np.searchsorted(self.starts, _packed(addresses), side="right") - 1]
        return found


def prefix_table(entries: Iterable[tuple[Network, int]]) -> PrefixTable:
    """The table of `entries`: a prefix and its value, which fits 64 bits and is not 0.

    Of two equal prefixes the later one counts. An IPv6 prefix never holds an IPv4 address, not even ::/0.
    """
    prefixes = {(0, 0): 0, (MAPPED_LOW, MAPPED_BITS): 0}
    prefixes |= {(number(network.network_address), length_128(network)): value for network, value in entries}
    value_from: dict[int, int] = {}
    enclosing: list[tuple[int, int]] = []  # the end and the value of each prefix that holds the current one
    for (start, length), value in sorted(prefixes.items()):
        _leave(enclosing, start, value_from)
        value_from[start] = value
        enclosing.append((start + (1 << (128 - length)), value))
    _leave(enclosing, (1 << 128) - 1, value_from)
    words = [(start >> 64, start & WORD) for start in value_from]
    return PrefixTable(_packed(np.array(words, np.uint64)), np.array(list(value_from.values()), np.uint64))


def _leave(enclosing: list[tuple[int, int]], position: int, value_from: dict[int, int]) -> None:
    """Close the prefixes that end at or before `position`: behind each, the one around it holds again."""
    while enclosing and enclosing[-1][0] <= position:
        end, _ = enclosing.pop()
        value_from[end] = enclosing[-1][1]
