"""Which sockets count: ordered rules over columns.

The kernel may have left out some of what is dropped already (see `netlink.filter`); these rules decide on all the rest.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from ss_pusher.addresses import Address, Network, PrefixTable, prefix_table
from ss_pusher.model import I64, U16, U64, Bools, Rule, Sockets
from ss_pusher.patterns import matches

PORTS: Final = 65_536
_TABLES: Final = 64
"""How many lists of networks are remembered as tables."""
NO_HOSTS: Final[Mapping[str, Collection[Address]]] = MappingProxyType({})


class Columns(Protocol):
    """What is used of the labels of a batch of sockets."""

    def column(self, label: str) -> U64:
        """U64[n, width]: the label's value in words."""

    def texts(self, label: str, words: U64) -> list[str]:
        """The values that `words` [m, width] of this label stand for."""


class Filtered(NamedTuple):
    """What the rules decided."""

    kept: Bools  # [n]
    decided: I64  # [rules]; how many sockets each rule was the first to match


def keep(
    sockets: Sockets,
    labels: Columns,
    rules: Sequence[Rule],
    hosts: Mapping[str, Collection[Address]] = NO_HOSTS,
) -> Filtered:
    """Apply the rules in order: the first that matches a socket decides, and one that none matches is kept.

    Args:
        sockets: a dump, or closed flows. Of these the kernel tells no cgroup, user, process, congestion control and
            mark, so that conditions on them are not met, and their state is CLOSE.
        labels: their labels, rows in the same order.
        rules: the rules.
        hosts: the addresses of each name in the rules' `hosts`, as they were last resolved.
    """
    batch = _Batch(sockets, labels, hosts)
    undecided = np.ones(len(sockets), np.bool_)
    kept = np.ones(len(sockets), np.bool_)
    decided = np.zeros(len(rules), np.int64)
    for number, rule in enumerate(rules):
        matched = _match(rule, batch, undecided)
        decided[number] = np.count_nonzero(matched)
        undecided &= ~matched
        if not rule.keeps:
            kept &= ~matched
    return Filtered(kept, decided)


@dataclass(frozen=True, slots=True)
class _Batch:
    sockets: Sockets
    labels: Columns
    hosts: Mapping[str, Collection[Address]]


def _match(rule: Rule, batch: _Batch, among: Bools) -> Bools:
    """Bool[n]: the rows of `among` that meet every condition. Nothing costly is looked up for no rows."""
    matched = among.copy()
    for name, condition in CONDITIONS.items():
        wanted = getattr(rule, name)
        if wanted and matched.any():
            matched &= condition(batch, wanted)
    return matched


def _ports(ports: U16, ranges: Iterable[tuple[int, int]]) -> Bools:
    chosen = np.zeros(PORTS, np.bool_)
    for first, last in ranges:
        chosen[first : last + 1] = True
    inside: Bools = chosen[ports]
    return inside


@lru_cache(maxsize=_TABLES)
def _table(networks: tuple[Network, ...]) -> PrefixTable:
    """Remembered, for the rules stay the same from tick to tick."""
    return prefix_table((network, 1) for network in networks)


def _inside(addresses: U64, networks: tuple[Network, ...]) -> Bools:
    return _table(networks).lookup(addresses).astype(np.bool_)


def _resolved(batch: _Batch, names: Iterable[str]) -> Bools:
    addresses = [address for name in names for address in batch.hosts.get(name, ())]
    return _inside(batch.sockets.remote, tuple(map(ip_network, addresses)))


def _named(label: str) -> Callable[[_Batch, Collection[str]], Bools]:
    def condition(batch: _Batch, patterns: Collection[str]) -> Bools:
        words = batch.labels.column(label)[:, 0]
        distinct = np.unique(words)
        chosen = [matches(text, patterns) for text in batch.labels.texts(label, distinct[:, np.newaxis])]
        return np.isin(words, distinct[chosen])

    return condition


def _valued(label: str) -> Callable[[_Batch, Collection[int]], Bools]:
    return lambda batch, values: np.isin(batch.labels.column(label)[:, 0], np.array(values, np.uint64))


def _uids(batch: _Batch, uids: Collection[int]) -> Bools:
    """A socket without an inode has no owner any more, and the kernel's 0 does not mean root."""
    owned: Bools = batch.sockets.inode != 0
    return owned & np.isin(batch.sockets.uid, np.array(uids, np.uint32))


def _marks(batch: _Batch, marks: Collection[int]) -> Bools:
    """The kernel tells marks to CAP_NET_ADMIN alone."""
    known = batch.sockets.known("mark")
    if known.any():
        known &= np.isin(batch.sockets.info["mark"], np.array(marks, np.uint32))
    return known


CONDITIONS: Final[Mapping[str, Callable[[_Batch, Any], Bools]]] = {
    "states": lambda batch, states: np.isin(batch.sockets.state, np.array(states, np.uint8)),
    "families": lambda batch, families: np.isin(batch.sockets.family, np.array(families, np.uint8)),
    "local_ports": lambda batch, ranges: _ports(batch.sockets.local_port, ranges),
    "remote_ports": lambda batch, ranges: _ports(batch.sockets.remote_port, ranges),
    "service_ports": lambda batch, ranges: _ports(batch.labels.column("service_port")[:, 0].astype(np.uint16), ranges),
    "directions": _valued("direction"),
    "local_networks": lambda batch, networks: _inside(batch.sockets.local, networks),
    "remote_networks": lambda batch, networks: _inside(batch.sockets.remote, networks),
    "hosts": _resolved,
    "uids": _uids,
    "marks": _marks,
    "interfaces": _named("interface"),
    "namespaces": _named("namespace"),
    "units": _named("unit"),
    "cgroups": _named("cgroup"),
    "containers": _named("container"),
    "pods": _named("pod"),
    "congestions": _named("congestion"),
    "users": _named("user"),
    "pids": _valued("pid"),
    "commands": _named("command"),
}
"""How each condition of a rule is evaluated, the cheap ones first."""
