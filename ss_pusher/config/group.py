"""Which flows are one group."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from ss_pusher.config.network import Network
from ss_pusher.config.section import Check, Problems, Section
from ss_pusher.config.values import Cidr, Name

GroupLabel: TypeAlias = Literal[
    "direction",
    "local_address",
    "local_port",
    "remote_address",
    "remote_network",
    "remote_port",
    "service_port",
    "unit",
    "cgroup",
    "container",
    "pod",
    "pid",
    "command",
    "user",
    "interface",
    "family",
    "congestion",
    "namespace",
]


class Prefix(Section, frozen=True, kw_only=True):
    """How many bits of an address are kept."""

    ipv4: Annotated[int, Meta(description="Bits of an IPv4 address that are kept.", ge=0, le=32)] = 32
    ipv6: Annotated[int, Meta(description="Bits of an IPv6 address that are kept.", ge=0, le=128)] = 128


def _no_repeats(labels: tuple[str, ...]) -> Problems:
    for label, count in Counter(labels).items():
        if count > 1:
            yield ("by",), f"names {label} {count} times"


def _networks_differ(networks: Mapping[str, tuple[Network, ...]]) -> Problems:
    owner: dict[Network, str] = {}
    for name, members in networks.items():
        if name == "other":
            yield ("networks", name), "is the name of the remainder; choose another"
        for network in members:
            if network in owner:
                yield ("networks", name), f"holds {network}, which {owner[network]} holds already"
            owner[network] = name


class Group(Section, frozen=True, kw_only=True):
    """Which flows are one group, and so one set of series."""

    by: Annotated[
        tuple[GroupLabel, ...],
        Meta(
            description="The labels that tell groups apart. Ports of clients and pids make many groups.", min_length=1
        ),
    ] = ("direction", "remote_address", "service_port", "unit")
    networks: Annotated[
        Mapping[Name, Annotated[tuple[Cidr, ...], Meta(min_length=1)]],
        Meta(
            description="Networks by name, for the label remote_network. The longest prefix decides.",
            examples=[{"office": ["10.0.0.0/8", "fd00::/8"]}],
        ),
    ] = {}
    prefix: Annotated[
        Prefix, Meta(description="Fold addresses to prefixes: 24 makes one group of 192.0.2.1 and 192.0.2.9.")
    ] = Prefix()

    checks = (Check(("by",), _no_repeats), Check(("networks",), _networks_differ))
