"""Which rule of the filter is applied where, and to how many sockets: the kernel is asked with rules and without."""

import logging
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple, TypeVar

import numpy as np
from msgspec.structs import fields

from ss_pusher.app import privilege
from ss_pusher.app.build import make_attributor, make_filtering, rule_fields
from ss_pusher.app.filtering import Filtering
from ss_pusher.attribute.attributor import Attributor
from ss_pusher.config import Conditions, Config, Rule
from ss_pusher.config.describe import flow, plain
from ss_pusher.model import I64, AddressFamily, Rows, TcpState
from ss_pusher.netlink.dump import Dumper, open_diag_socket
from ss_pusher.netlink.namespaces import Namespace, find, own

logger = logging.getLogger(__name__)

LOOPBACK: Final = "drop what stays on this host (collect.loopback: false)"
NO_RULE: Final = "kept: no rule matches"
_ALL: Final = frozenset(TcpState)

_Result = TypeVar("_Result")


class Explained(NamedTuple):
    """One rule, and how many sockets it was the first to match; `unread` of them the kernel did not even hand out."""

    rule: str
    place: str
    sockets: int
    unread: int


class _Part(NamedTuple):
    """What the rules did in one network namespace."""

    places: tuple[str, ...]  # [rules]
    sockets: I64  # [rules]
    unread: I64  # [rules]
    kept: int  # where no rule matched


def explain(config: Config) -> list[Explained]:
    """Each rule in its order, then what none matched, over all namespaces of the configuration.

    Sockets that listen are always read, and not counted. Where a rule is decided may differ between namespaces.

    Raises:
        ConfigError: other network namespaces are wanted without the privilege to enter them.
        CollectError: the kernel could not be read.
        UnsupportedHostError: it cannot tell of its sockets at all.
    """
    privilege.need(config)
    for text in privilege.missing(config):
        logger.warning("%s", text)
    found = {namespace.name: namespace for namespace in find(config.collect.namespaces, own())}
    attributor = make_attributor(config, lambda name: _call(found[name], socket.if_nameindex))
    filtering = make_filtering(config, attributor)
    try:
        parts = [part for each in found.values() for part in _explained(config, attributor, filtering, each)]
    finally:
        filtering.close()
    names = [*([] if config.collect.loopback else [LOOPBACK]), *map(_written, config.filter)]
    rows = [_row(name, number, parts) for number, name in enumerate(names)]
    return [*rows, Explained(NO_RULE, "", sum(part.kept for part in parts), 0)]


def _row(name: str, number: int, parts: list[_Part]) -> Explained:
    places = sorted({part.places[number] for part in parts})
    return Explained(
        name,
        " or ".join(places),
        sum(int(part.sockets[number]) for part in parts),
        sum(int(part.unread[number]) for part in parts),
    )


def _call(namespace: Namespace, function: Callable[[], _Result]) -> _Result:
    return namespace.call(function) if namespace.name else function()


def _explained(config: Config, attributor: Attributor, filtering: Filtering, namespace: Namespace) -> Iterator[_Part]:
    """What the rules do in a namespace; nothing of one that cannot be entered."""
    name = namespace.name
    inside = partial(_call, namespace, open_diag_socket)
    try:
        first = inside()
    except OSError as error:
        logger.warning("network namespace %s cannot be entered: %s", name, error)
        return
    families = [AddressFamily[family.upper()] for family in config.collect.families]
    asked = rule_fields(config)
    with Dumper(inside, first=first) as dumper:
        everything = dumper.dump(families, _ALL, asked, congestion=True)
        attributor.observe(everything, name)
        filtering.compile(name)
        # Names that rules need are learned, so that what is compiled now is what an agent has after its first tick.
        filtering.decided(everything, attributor.attribute(everything, name))
        program = filtering.compile(name)
        read = dumper.dump(families, program.states, asked, bytecode=program.bytecode)
        rest = dumper.dump(families, _ALL, asked)
    stayed = np.isin(everything.cookie, rest.cookie) & (everything.state != TcpState.LISTEN)

    def decided(rows: Rows) -> I64:
        part = everything.take(rows)
        return filtering.decided(part, attributor.attribute(part, name))

    there = decided(np.flatnonzero(stayed))
    unread = decided(np.flatnonzero(stayed & ~np.isin(everything.cookie, read.cookie)))
    yield _Part(program.places, there, unread, int(np.count_nonzero(stayed)) - int(there.sum()))


def _written(rule: Rule) -> str:
    """The rule as a line of the configuration."""
    given = {
        info.name: plain(info.type, value)
        for info in fields(Conditions)
        if (value := getattr(rule.conditions, info.name))
    }
    return f"{'keep' if rule.keeps else 'drop'}: {flow(given)}"
