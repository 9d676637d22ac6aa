"""Programs for the kernel, byte by byte. What they do there is tested with the rules that they are made of."""

import struct
from ipaddress import ip_network

from ss_pusher.netlink.bytecode import (
    LOCAL,
    REMOTE,
    address_in,
    all_of,
    any_of,
    assemble,
    interface_is,
    negated,
    port_between,
    size,
)

# include/uapi/linux/inet_diag.h
JMP, S_GE, S_LE, D_GE, D_LE, S_COND, D_COND, DEV_COND = 1, 2, 3, 4, 5, 7, 8, 9


def operation(code: int, yes: int, no: int) -> bytes:
    return struct.pack("=BBH", code, yes, no)


def port(number: int) -> bytes:
    return operation(0, 0, number)


def test_a_port_is_two_comparisons_and_a_refusal_jumps_4_bytes_behind_the_end() -> None:
    assert assemble([(port_between(REMOTE, 443, 444), False)]) == b"".join(
        [
            operation(D_GE, 8, 20),
            port(443),
            operation(D_LE, 8, 12),
            port(444),
            operation(JMP, 4, 8),
        ]
    )


def test_a_bound_that_every_port_keeps_is_not_asked() -> None:
    assert assemble([(port_between(LOCAL, 0, 1023), True), (True, False)]) == b"".join(
        [operation(S_LE, 8, 12), port(1023), operation(JMP, 4, 8), operation(JMP, 4, 8)]
    )
    assert port_between(LOCAL, 0, 65535) is True


def test_an_address_is_compared_as_its_first_bits() -> None:
    host_condition = struct.pack("=BBxxi4s", 2, 8, -1, bytes([10, 0, 0, 0]))
    assert assemble([(negated(address_in(LOCAL, ip_network("10.0.0.0/8"))), False)]) == b"".join(
        [operation(S_COND, 16, 20), host_condition]
    )


def test_constants_vanish() -> None:
    test = interface_is(3)
    assert all_of([True, test]) == any_of([False, test]) == negated(negated(test)) == test
    assert all_of([test, False]) is any_of([]) is False
    assert any_of([test, True]) is all_of([]) is True
    assert assemble([(False, False)]) == b""


def test_the_size_is_never_less_than_the_program() -> None:
    expression = any_of(
        all_of([port_between(REMOTE, first, first + 1), negated(interface_is(first))]) for first in range(1, 9)
    )
    assert len(assemble([(expression, False)])) <= size(expression) + 4
