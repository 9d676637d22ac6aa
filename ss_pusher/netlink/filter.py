"""Rules as a program for the kernel, so that a socket that is dropped anyway is never copied.

The program only refuses what the rules drop for certain; everything else passes and is decided after the read. So of a
rule that keeps, the kernel gets what may match, and of one that drops, what matches without doubt. Listening sockets
always pass, because they tell which connections are inbound.

An event of a closed flow carries no cgroup and no mark, and CLOSE for a state. A flow that the kernel had left out for
one of these would look like one that nobody ever saw, and be counted. So where closed flows are collected, the kernel
gets no such condition; but TIME_WAIT it may leave out, for those are objects of their own, of which no event comes.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Final, NamedTuple, Protocol

from ss_pusher.addresses import Address, Network
from ss_pusher.model import AddressFamily, Direction, Rule, TcpState
from ss_pusher.netlink.bytecode import (
    LOCAL,
    REMOTE,
    Expression,
    Side,
    address_in,
    all_of,
    any_of,
    assemble,
    cgroup_is,
    interface_is,
    is_ipv4,
    mark_is,
    negated,
    port_between,
    size,
)
from ss_pusher.patterns import matches

MAX_BYTES: Final = 2048
"""The kernel takes 64 KiB; but 2 KiB that refuse nothing make a dump a fifth dearer already, 4 KiB two thirds."""
MAX_NUMBERS: Final = 32
"""How many cgroups or interfaces stand for a name in the program; leaving some out only lets more pass."""

_NETWORK_LISTS: Final = 64
"""How many lists of networks are remembered as expressions."""

_LISTENS: Final = port_between(REMOTE, 0, 0)
"""No connection has port 0 at its other end."""


class CgroupNames(Protocol):
    """What is known of a cgroup; empty: there is no such name."""

    @property
    def path(self) -> str: ...  # noqa: D102 - the label of this name
    @property
    def unit(self) -> str: ...  # noqa: D102 - the label of this name
    @property
    def container(self) -> str: ...  # noqa: D102 - the label of this name
    @property
    def pod(self) -> str: ...  # noqa: D102 - the label of this name


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the words of the rules mean to the kernel now. What is missing here is decided after the read."""

    closed_flows: bool = True  # whether events of closed flows are collected
    net_admin: bool = False  # whether this process has CAP_NET_ADMIN
    namespace: str = ""  # the network namespace that is dumped
    hosts: Mapping[str, Collection[Address]] = field(default_factory=dict)  # as the rules will see them after the read
    cgroups: Mapping[int, CgroupNames] = field(default_factory=dict)
    interfaces: Mapping[int, str] = field(default_factory=dict)


class Program(NamedTuple):
    """What to ask the kernel for."""

    bytecode: bytes  # empty: no program
    states: frozenset[TcpState]
    places: tuple[str, ...]  # of each rule, where it is decided, in words


class Bounds(NamedTuple):
    """A condition as the kernel can see it: nowhere `certain` that it does not hold, everywhere `possible` it does."""

    certain: Expression
    possible: Expression


UNDECIDED: Final = Bounds(certain=False, possible=True)


def compile_rules(rules: Sequence[Rule], known: Known) -> Program:
    """The most of the rules that the kernel can apply in `MAX_BYTES`. Its answer still has to pass the rules."""
    bounds = [{name: _bounds(name, rule, known) for name in _conditions(rule)} for rule in rules]
    states = _states(rules, bounds, known)
    steps = _steps([_decisive(rule, of.values()) for rule, of in zip(rules, bounds, strict=True)], rules)
    program = assemble([(_LISTENS, True), *steps.values()]) if steps else b""
    places = (_place(rule, bounds[at], states, in_program=at in steps) for at, rule in enumerate(rules))
    return Program(program, states, tuple(places))


def _steps(decisive: Sequence[Expression], rules: Sequence[Rule]) -> dict[int, tuple[Expression, bool]]:
    """The steps of the program by the number of their rule; none, if the kernel would refuse nothing."""
    steps: dict[int, tuple[Expression, bool]] = {}
    room = MAX_BYTES - size(_LISTENS)
    for at, (expression, rule) in enumerate(zip(decisive, rules, strict=True)):
        if expression is False:
            continue
        if size(expression) <= room:
            steps[at] = (expression, rule.keeps)
            room -= size(expression)
        elif rule.keeps:
            break
        if expression is True:
            break
    last = max((at for at, (_, passes) in steps.items() if not passes), default=-1)
    return {at: step for at, step in steps.items() if at <= last}


def _decisive(rule: Rule, bounds: Iterable[Bounds]) -> Expression:
    """What the kernel gets of a rule: where it may keep, or where it drops for certain."""
    return all_of(of.possible if rule.keeps else of.certain for of in bounds)


def _states(rules: Sequence[Rule], bounds: Sequence[Mapping[str, Bounds]], known: Known) -> frozenset[TcpState]:
    """The states to ask for: all but those that the rules drop whatever else the socket is."""
    spared = {TcpState.TIME_WAIT} if known.closed_flows else set(TcpState) - {TcpState.LISTEN}
    others = [[bound for name, bound in of.items() if name != "states"] for of in bounds]
    decisive = [_decisive(rule, of) for rule, of in zip(rules, others, strict=True)]
    return frozenset(state for state in TcpState if state not in spared or not _drops(state, rules, decisive))


def _drops(state: TcpState, rules: Sequence[Rule], without_state: Sequence[Expression]) -> bool:
    for rule, decisive in zip(rules, without_state, strict=True):
        if rule.states and state not in rule.states:
            continue
        if rule.keeps and decisive is not False:
            return False
        if not rule.keeps and decisive is True:
            return True
    return False


def _place(rule: Rule, bounds: Mapping[str, Bounds], states: frozenset[TcpState], *, in_program: bool) -> str:
    by_states = not rule.keeps and set(bounds) == {"states"} and states.isdisjoint(rule.states)
    later = [name for name, of in bounds.items() if of.certain != of.possible]
    if by_states or (in_program and not later):
        return "kernel"
    if not in_program:
        return "after the read"
    part = ", ".join(name for name, of in bounds.items() if of != UNDECIDED)
    return f"kernel as far as {part} can tell, then after the read: {', '.join(later)}"


# ---- conditions -----------------------------------------------------------------------------------------------------


def _conditions(rule: Rule) -> list[str]:
    return [each.name for each in fields(rule) if each.name != "keeps" and getattr(rule, each.name)]


def _bounds(name: str, rule: Rule, known: Known) -> Bounds:
    return CONDITIONS[name](rule, known) if name in CONDITIONS else UNDECIDED


def _exactly(expression: Expression) -> Bounds:
    return Bounds(expression, expression)


def _ports(side: Side, ranges: Iterable[tuple[int, int]]) -> Expression:
    return any_of(port_between(side, *ports) for ports in ranges)


def _service_ports(rule: Rule, _known: Known) -> Bounds:
    """The local port of an inbound connection, the remote one of another; the kernel does not know which it is."""
    sides = {Direction.IN: LOCAL, Direction.OUT: REMOTE}
    ends = [_ports(sides[direction], rule.service_ports) for direction in rule.directions or Direction]
    return Bounds(all_of(ends), any_of(ends))


@lru_cache(maxsize=_NETWORK_LISTS)
def _networks(side: Side, networks: tuple[Network, ...]) -> Expression:
    """Remembered, for a list of ten thousand takes longer than the whole rest of a tick."""
    ipv4, ipv6 = set[IPv4Network](), set[IPv6Network]()
    for network in networks:
        if isinstance(network, IPv4Network):
            ipv4.add(network)
        else:
            ipv6.add(network)
    merged: list[Network] = [*collapse_addresses(ipv4), *collapse_addresses(ipv6)]
    return any_of(address_in(side, network) for network in merged)


def _hosts(rule: Rule, known: Known) -> Bounds:
    addresses = [address for name in rule.hosts for address in known.hosts.get(name, ())]
    return _exactly(_networks(REMOTE, tuple(map(ip_network, addresses))))


def _families(rule: Rule, _known: Known) -> Bounds:
    tests = {AddressFamily.IPV4: is_ipv4(REMOTE), AddressFamily.IPV6: negated(is_ipv4(REMOTE))}
    return _exactly(any_of(tests[family] for family in rule.families))


def _numbered(names: Mapping[int, str], patterns: Collection[str], test: Callable[[int], Expression]) -> Bounds:
    """Where a name stands for numbers that come and go: a number that is not known may stand for it or not."""
    same: list[int] = []
    others: list[int] = []
    for number, name in names.items():
        (same if matches(name, patterns) else others).append(number)
    return Bounds(any_of(map(test, same[:MAX_NUMBERS])), negated(any_of(map(test, others[:MAX_NUMBERS]))))


def _interfaces(rule: Rule, known: Known) -> Bounds:
    return _numbered({0: "", **known.interfaces}, rule.interfaces, interface_is)


def _of_cgroup(condition: str, name: Callable[[CgroupNames], str]) -> Callable[[Rule, Known], Bounds]:
    def bounds(rule: Rule, known: Known) -> Bounds:
        if known.closed_flows:
            return UNDECIDED
        names = {number: name(cgroup) for number, cgroup in known.cgroups.items()}
        return _numbered(names, getattr(rule, condition), cgroup_is)

    return bounds


def _marks(rule: Rule, known: Known) -> Bounds:
    if known.closed_flows or not known.net_admin:
        return UNDECIDED
    return _exactly(any_of(map(mark_is, rule.marks)))


CONDITIONS: Final[Mapping[str, Callable[[Rule, Known], Bounds]]] = {
    "local_ports": lambda rule, _: _exactly(_ports(LOCAL, rule.local_ports)),
    "remote_ports": lambda rule, _: _exactly(_ports(REMOTE, rule.remote_ports)),
    "service_ports": _service_ports,
    "local_networks": lambda rule, _: _exactly(_networks(LOCAL, rule.local_networks)),
    "remote_networks": lambda rule, _: _exactly(_networks(REMOTE, rule.remote_networks)),
    "hosts": _hosts,
    "families": _families,
    "interfaces": _interfaces,
    "namespaces": lambda rule, known: _exactly(matches(known.namespace, rule.namespaces)),
    "units": _of_cgroup("units", lambda cgroup: cgroup.unit),
    "cgroups": _of_cgroup("cgroups", lambda cgroup: cgroup.path),
    "containers": _of_cgroup("containers", lambda cgroup: cgroup.container),
    "pods": _of_cgroup("pods", lambda cgroup: cgroup.pod),
    "marks": _marks,
}
"""The conditions that the kernel can decide, or half decide."""
