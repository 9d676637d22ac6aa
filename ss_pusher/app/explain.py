"""Which rule of the filter is applied where, and to how many sockets: the kernel is asked with rules and without."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from msgspec.structs import fields

from ss_pusher.app.build import make_attributor, make_filtering, rule_fields
from ss_pusher.app.filtering import Filtering
from ss_pusher.attribute.attributor import Attributor
from ss_pusher.config import Conditions, Config, Rule
from ss_pusher.config.describe import flow, plain
from ss_pusher.model import AddressFamily, Rows, Sockets, TcpState
from ss_pusher.netlink.dump import Dumper

LOOPBACK: Final = "drop what stays on this host (collect.loopback: false)"
NO_RULE: Final = "kept: no rule matches"
_ALL: Final = frozenset(TcpState)


class Explained(NamedTuple):
    """One rule, and how many sockets it was the first to match; `unread` of them the kernel did not even hand out."""

    rule: str
    place: str
    sockets: int
    unread: int


def explain(config: Config) -> list[Explained]:
    """Each rule in its order, then what none matched. Sockets that listen are always read, and not counted.

    Raises:
        CollectError: the kernel could not be read.
        UnsupportedHostError: it cannot tell of its sockets at all.
    """
    attributor = make_attributor(config)
    filtering = make_filtering(config, attributor)
    try:
        with Dumper() as dumper:
            return list(_explained(config, attributor, filtering, dumper))
    finally:
        filtering.close()


def _explained(config: Config, attributor: Attributor, filtering: Filtering, dumper: Dumper) -> Iterator[Explained]:
    families = [AddressFamily[name.upper()] for name in config.collect.families]
    asked = rule_fields(config)
    everything = dumper.dump(families, _ALL, asked, congestion=True)
    attributor.observe(everything)
    filtering.compile()
    # Names that rules need are learned, so that what is compiled now is what an agent has after its first tick.
    filtering.decided(everything, attributor.attribute(everything))
    program = filtering.compile()
    read = dumper.dump(families, program.states, asked, bytecode=program.bytecode)
    rest = dumper.dump(families, _ALL, asked)
    stayed = np.isin(everything.cookie, rest.cookie) & (everything.state != TcpState.LISTEN)
    there = _decided(attributor, filtering, everything, np.flatnonzero(stayed))
    unread = _decided(
        attributor, filtering, everything, np.flatnonzero(stayed & ~np.isin(everything.cookie, read.cookie))
    )
    names = [*([] if config.collect.loopback else [LOOPBACK]), *map(_written, config.filter)]
    for row in zip(names, program.places, there, unread, strict=True):
        yield Explained(*row)
    yield Explained(NO_RULE, "", int(np.count_nonzero(stayed)) - sum(there), 0)


def _written(rule: Rule) -> str:
    """The rule as a line of the configuration."""
    given = {
        info.name: plain(info.type, value)
        for info in fields(Conditions)
        if (value := getattr(rule.conditions, info.name))
    }
    return f"{'keep' if rule.keeps else 'drop'}: {flow(given)}"


def _decided(attributor: Attributor, filtering: Filtering, sockets: Sockets, rows: Rows) -> list[int]:
    part = sockets.take(rows)
    counts: list[int] = filtering.decided(part, attributor.attribute(part)).tolist()
    return counts
