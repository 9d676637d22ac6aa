"""Programs that the kernel runs on each socket of a dump: conditions in, bytes out.

Linux net/ipv4/inet_diag.c, inet_diag_bc_audit() and inet_diag_bc_run(). An operation is a condition with two jumps,
always forward: `yes` leads past its own operands, for the audit walks that way, and `no` may lead to any operation
behind. A program that runs to its end lets the socket through; one that jumps 4 bytes further does not.
"""

import itertools
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final, NamedTuple, TypeAlias

# include/uapi/linux/inet_diag.h
INET_DIAG_BC_JMP: Final = 1
INET_DIAG_BC_S_GE: Final = 2
INET_DIAG_BC_S_LE: Final = 3
INET_DIAG_BC_D_GE: Final = 4
INET_DIAG_BC_D_LE: Final = 5
INET_DIAG_BC_S_COND: Final = 7
INET_DIAG_BC_D_COND: Final = 8
INET_DIAG_BC_DEV_COND: Final = 9
INET_DIAG_BC_MARK_COND: Final = 10
INET_DIAG_BC_CGROUP_COND: Final = 13

_OP: Final = struct.Struct("=BBH")  # struct inet_diag_bc_op
_HOSTCOND: Final = struct.Struct("=BBxxi")  # struct inet_diag_hostcond, without the address
_MARKCOND: Final = struct.Struct("=II")  # struct inet_diag_markcond
_U32: Final = struct.Struct("=I")
_U64: Final = struct.Struct("=Q")
_ANY_PORT: Final = -1
_AF_INET: Final = 2
_AF_INET6: Final = 10
_MAX_PORT: Final = 65_535
_WHOLE_MARK: Final = 0xFFFF_FFFF
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Test:
    """One operation of the kernel's."""

    code: int
    operands: bytes


@dataclass(frozen=True, slots=True)
class Not:
    """True where `of` is not."""

    of: "Expression"


@dataclass(frozen=True, slots=True)
class All:
    """True where each of `parts` is."""

    parts: tuple["Expression", ...]


Expression: TypeAlias = bool | Test | Not | All


def negated(expression: Expression) -> Expression:
    """Its opposite."""
    if isinstance(expression, bool):
        return not expression
    return expression.of if isinstance(expression, Not) else Not(expression)


def all_of(parts: Iterable[Expression]) -> Expression:
    """True where each of `parts` is, and of no parts."""
    rest = tuple(part for part in parts if part is not True)
    if any(part is False for part in rest):
        return False
    return All(rest) if len(rest) > 1 else rest[0] if rest else True


def any_of(parts: Iterable[Expression]) -> Expression:
    """True where one of `parts` is; false of no parts."""
    return negated(all_of(map(negated, parts)))


# ---- tests ----------------------------------------------------------------------------------------------------------


class Side(NamedTuple):
    """The operations on one end of a connection."""

    at_least: int
    at_most: int
    address: int


LOCAL: Final = Side(INET_DIAG_BC_S_GE, INET_DIAG_BC_S_LE, INET_DIAG_BC_S_COND)
REMOTE: Final = Side(INET_DIAG_BC_D_GE, INET_DIAG_BC_D_LE, INET_DIAG_BC_D_COND)


def port_between(side: Side, first: int, last: int) -> Expression:
    """The port is `first` to `last`, both included. The kernel finds the number in the next operation's `no`."""
    return all_of(
        Test(code, _OP.pack(0, 0, port))
        for code, port, bound in ((side.at_least, first, 0), (side.at_most, last, _MAX_PORT))
        if port != bound
    )


def is_ipv4(side: Side) -> Expression:
    """The address is IPv4, in a socket of either family."""
    return Test(side.address, _HOSTCOND.pack(_AF_INET, 0, _ANY_PORT) + bytes(4))


def address_in(side: Side, network: IPv4Network | IPv6Network) -> Expression:
    """The address lies in `network`. To the kernel ::/0 holds IPv4 in its mapped form too; to users it does not."""
    family = _AF_INET if isinstance(network, IPv4Network) else _AF_INET6
    cond = _HOSTCOND.pack(family, network.prefixlen, _ANY_PORT)
    inside = Test(side.address, cond + network.network_address.packed)
    if isinstance(network, IPv6Network) and network.supernet_of(_MAPPED):
        return all_of([inside, negated(is_ipv4(side))])
    return inside


def interface_is(index: int) -> Expression:
    """The socket is bound to this interface; 0: to none."""
    return Test(INET_DIAG_BC_DEV_COND, _U32.pack(index))


def cgroup_is(number: int) -> Expression:
    """The socket was made in this cgroup; 0: the kernel does not know, as of TIME_WAIT. Linux 5.9."""
    return Test(INET_DIAG_BC_CGROUP_COND, _U64.pack(number))


def mark_is(mark: int) -> Expression:
    """The socket's mark. Without CAP_NET_ADMIN the kernel refuses the whole program."""
    return Test(INET_DIAG_BC_MARK_COND, _MARKCOND.pack(mark, _WHOLE_MARK))


# ---- assembly -------------------------------------------------------------------------------------------------------


class _Branch(NamedTuple):
    """An operation that leads to `target` unless its test holds; without a test, always."""

    test: Test | None
    target: int


_ACCEPT: Final = 0
_REJECT: Final = 1
_Code: TypeAlias = list[_Branch | int]
"""Operations, and the numbers of the labels that stand before them."""


def size(expression: Expression) -> int:
    """How many bytes of a program this takes at most, and so how much work it is for the kernel."""
    if isinstance(expression, Test):
        return 2 * _OP.size + len(expression.operands)
    if isinstance(expression, All):
        return _OP.size + sum(map(size, expression.parts))
    return size(expression.of) if isinstance(expression, Not) else _OP.size


def assemble(steps: Iterable[tuple[Expression, bool]]) -> bytes:
    """The program in which the first true expression decides whether the socket passes; where none is, it passes."""
    code: _Code = []
    labels = itertools.count(_REJECT + 1)
    for expression, passes in steps:
        following = next(labels)
        _emit(expression, _ACCEPT if passes else _REJECT, following, code, labels)
        code.append(following)
    return _link([item for at, item in enumerate(code) if not _leads_on(code, at)])


def _emit(expression: Expression, true: int, false: int, code: _Code, labels: Iterator[int]) -> None:
    """Append what leads to the label `true` or `false`."""
    if isinstance(expression, Not):
        _emit(expression.of, false, true, code, labels)
        return
    if isinstance(expression, All):
        for part in expression.parts:
            following = next(labels)
            _emit(part, following, false, code, labels)
            code.append(following)
    if isinstance(expression, Test):
        code.append(_Branch(expression, false))
    code.append(_Branch(None, false if expression is False else true))


def _leads_on(code: _Code, at: int) -> bool:
    """Whether this is a jump to what comes next anyway."""
    branch = code[at]
    if isinstance(branch, int) or branch.test is not None:
        return False
    following = itertools.takewhile(lambda item: isinstance(item, int), itertools.islice(code, at + 1, None))
    return branch.target in following


def _link(code: _Code) -> bytes:
    places: dict[int, int] = {}
    position = 0
    for item in code:
        if isinstance(item, int):
            places[item] = position
        else:
            position += _length(item)
    places |= {_ACCEPT: position, _REJECT: position + _OP.size}
    program = b""
    for item in code:
        if isinstance(item, _Branch):
            distance = places[item.target] - len(program)
            kind, operands = (item.test.code, item.test.operands) if item.test else (INET_DIAG_BC_JMP, b"")
            program += _OP.pack(kind, _length(item), distance) + operands
    return program


def _length(branch: _Branch) -> int:
    return _OP.size + (len(branch.test.operands) if branch.test else 0)
