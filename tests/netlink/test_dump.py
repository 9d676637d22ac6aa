"""Dumps: from a scripted kernel for each way to fail, and from this one."""

import errno
import itertools
import os
import socket
import struct
from typing import Any, Final

import pytest

from ss_pusher.errors import CollectError, UnsupportedHostError
from ss_pusher.model import AddressFamily, Sockets, TcpState
from ss_pusher.netlink import dump as dump_module
from ss_pusher.netlink import wire
from ss_pusher.netlink.dump import Dumper, open_diag_socket
from ss_pusher.netlink.tcp_info import FIELDS
from tests.hosts import Host
from tests.netlink import capture, oracle
from tests.netlink.kernel import PORT, ROWS, Kernel, Script, control, done, row
from tests.netlink.privileges import without_capabilities
from tests.netlink.traffic import STATES, every_kind

ALL: Final = tuple(FIELDS.values())


def dump(dumper: Dumper) -> Sockets:
    return dumper.dump(list(AddressFamily), list(TcpState), ALL, congestion=True)


def whole(sequence: int) -> list[bytes]:
    """A sound dump of three datagrams, the end being one."""
    return [row(0, sequence) + row(1, sequence), row(2, sequence), done(sequence)]


def test_a_dump_is_all_its_datagrams() -> None:
    with Kernel([whole]).dumper() as dumper:
        sockets = dump(dumper)
    assert oracle.rows_of(sockets) == oracle.decode(b"".join(ROWS[:3]))[0]


def test_the_end_may_stand_behind_the_last_socket() -> None:
    with Kernel([lambda n: [row(0, n) + done(n)]]).dumper() as dumper:
        assert len(dump(dumper)) == 1


def test_no_sockets_are_a_dump_too() -> None:
    with Kernel([lambda n: [done(n)]]).dumper() as dumper:
        assert len(dump(dumper)) == 0


def test_more_sockets_than_there_is_memory_for_are_no_dump_but_as_many_are() -> None:
    kernel = Kernel([whole, whole])
    with Dumper(kernel.open, most=2) as dumper, pytest.raises(CollectError, match="more than 2 sockets"):
        dump(dumper)
    with Dumper(kernel.open, most=3) as dumper:
        assert len(dump(dumper)) == 3


def test_dumps_share_one_socket() -> None:
    kernel = Kernel([whole, whole])
    with kernel.dumper() as dumper:
        assert len(dump(dumper)) == len(dump(dumper)) == 3
    assert [connection.closed for connection in kernel.connections] == [True]


@pytest.mark.parametrize(
    "foreign",
    [
        lambda n: row(5, n - 1),
        lambda n: row(5, n, port=PORT + 1),
        lambda n: done(n - 1),
        lambda _: row(5, 0, port=0),
    ],
    ids=["of an earlier request", "of another port", "the end of an earlier request", "an event"],
)
def test_what_answers_no_request_of_ours_is_ignored(foreign: Any) -> None:
    kernel = Kernel([lambda n: [foreign(n), row(0, n), foreign(n), row(1, n), done(n)]])
    with kernel.dumper() as dumper:
        assert oracle.rows_of(dump(dumper)) == oracle.decode(b"".join(ROWS[:2]))[0]


FAILURES: dict[str, tuple[Script, str]] = {
    "refused": (lambda n: [control(2, n, errno.EINVAL)], "refused.*Invalid argument.*EINVAL"),
    "refused in the middle": (lambda n: [row(0, n), control(2, n, errno.ENOMEM)], "ENOMEM"),
    "failed at the end": (lambda n: [row(0, n), done(n, errno.EINTR)], "EINTR"),
    "overrun": (lambda n: [row(0, n), control(4, n), done(n)], "NLMSG_OVERRUN"),
    "buffer full": (lambda n: [row(0, n), OSError(errno.ENOBUFS, "")], "No buffer space available.*ENOBUFS"),
    "cut in a message": (lambda n: [row(0, n), row(1, n)[:200], done(n)], "cannot be read"),
    "cut in the header": (lambda n: [row(0, n), row(1, n)[:9], done(n)], "sent 9 bytes"),
    "too long": (lambda n: [bytes(70_000), done(n)], "sent 70000 bytes"),
    "broken attribute": (lambda n: [row(0, n)[:88] + b"\3\0\2\0" + row(0, n)[92:], done(n)], "1 malformed"),
    "unknown message": (lambda n: [control(55, n), done(n)], "1 malformed"),
    "no end": (lambda n: [row(0, n), row(1, n)], "did not end within 10 s"),
    "no answer": (lambda _: [], "did not end within 10 s"),
    "only foreign messages": (lambda n: itertools.repeat(row(0, n - 1)), "did not end within 10 s"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_dump_that_is_not_whole_is_an_error_and_the_next_starts_anew(failure: str) -> None:
    script, text = FAILURES[failure]
    kernel = Kernel([script, whole])
    with kernel.dumper() as dumper:
        with pytest.raises(CollectError, match=text):
            dump(dumper)
        assert oracle.rows_of(dump(dumper)) == oracle.decode(b"".join(ROWS[:3]))[0]
    assert [connection.closed for connection in kernel.connections] == [True, True]


def interrupted(sequence: int) -> list[bytes]:
    return [row(5, sequence, flags=0x12), row(6, sequence), done(sequence)]


def test_a_dump_during_which_the_table_changed_is_made_again() -> None:
    with Kernel([interrupted, whole]).dumper() as dumper:
        assert oracle.rows_of(dump(dumper)) == oracle.decode(b"".join(ROWS[:3]))[0]


def test_a_table_that_changes_all_the_time_is_an_error() -> None:
    with Kernel([interrupted] * 3).dumper() as dumper, pytest.raises(CollectError, match="changed during each of 3"):
        dump(dumper)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP])
def test_a_kernel_without_sock_diag_for_tcp_is_no_host_for_us(number: int) -> None:
    with (
        Kernel([lambda n: [control(2, n, number)]]).dumper() as dumper,
        pytest.raises(UnsupportedHostError, match="CONFIG_INET_DIAG"),
    ):
        dump(dumper)


def _failing(number: int) -> Any:
    def create(*_: object) -> socket.socket:
        raise OSError(number, os.strerror(number))

    return create


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EAFNOSUPPORT, UnsupportedHostError),
        (errno.EPROTONOSUPPORT, UnsupportedHostError),
        (errno.EMFILE, CollectError),
    ],
)
def test_a_socket_that_cannot_be_opened_says_why(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    monkeypatch.setattr(socket, "socket", _failing(number))
    with pytest.raises(kind, match=os.strerror(number)):
        open_diag_socket()


def test_a_host_without_netlink_is_no_host_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK")
    with pytest.raises(UnsupportedHostError, match="Linux only"):
        open_diag_socket()


# ---- this kernel ----------------------------------------------------------------------------------------------------

MOVING: Final = {"last_data_sent", "last_data_recv", "last_ack_recv", "timer_expires"}
STILL: Final = tuple(field for field in ALL if field.name not in MOVING)


def cookies(sockets: Sockets) -> set[int]:
    return set(sockets.cookie.tolist())


def test_this_kernel_is_read_as_by_the_slow_decoder(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    # Decoded in many pieces, as large tables are.
    monkeypatch.setattr(dump_module, "_CHUNK", 1000)

    def read() -> tuple[Sockets, bytes]:
        with every_kind(), Dumper() as dumper:
            return dumper.dump(list(AddressFamily), list(TcpState), STILL, congestion=True), capture.dump()

    sockets, data = host.call(read)
    names = {field.name for field in STILL}
    expected = [oracle.with_only(one, names) for one in oracle.decode(data)[0]]
    asking = {one.cookie for one in expected if one.state in (TcpState.SYN_SENT, TcpState.SYN_RECV)}
    assert set(sockets.state.tolist()) == STATES
    ours, theirs = ({one.cookie: one for one in rows} for rows in (oracle.rows_of(sockets), expected))
    assert set(ours) == set(theirs)
    for cookie in set(ours) - asking:  # those retransmit meanwhile
        assert ours[cookie] == theirs[cookie]


def test_one_walk_finds_what_two_requests_by_family_find(host: Host) -> None:
    def by_family(family: AddressFamily) -> set[int]:
        body = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, 0xFFF)
        request = struct.pack("=IHHII", 72, wire.SOCK_DIAG_BY_FAMILY, 0x301, 1, 0) + body
        return {one.cookie for one in oracle.decode(capture.answer(request))[0]}

    def read() -> tuple[set[int], set[int]]:
        with every_kind(), Dumper() as dumper:
            ours = cookies(dumper.dump(list(AddressFamily), list(TcpState), []))
            return ours, set.union(*map(by_family, AddressFamily))

    ours, theirs = host.call(read)
    assert ours == theirs


def test_families_are_those_that_the_flow_has_not_the_socket(host: Host) -> None:
    def read() -> list[Sockets]:
        with every_kind(), Dumper() as dumper:
            connected = [state for state in TcpState if state is not TcpState.LISTEN]
            return [dumper.dump([family], connected, []) for family in AddressFamily]

    for family, sockets in zip(AddressFamily, host.call(read), strict=True):
        assert set(sockets.family.tolist()) == {family}
        mapped = (sockets.remote[:, 0] == 0) & (sockets.remote[:, 1] >> 32 == 0xFFFF)
        assert mapped.all() == mapped.any() == (family == AddressFamily.IPV4)


def test_listeners_of_both_families_are_given_where_only_ipv4_is_wanted(host: Host) -> None:
    """They tell which IPv4 connections are inbound; one that serves IPv6 alone is not given."""

    def read() -> tuple[list[int], int, int]:
        with (
            socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both,
            socket.create_server(("::1", 0), family=socket.AF_INET6) as other,
            Dumper() as dumper,
        ):
            found = dumper.dump([AddressFamily.IPV4], [TcpState.LISTEN], [])
            return found.local_port.tolist(), both.getsockname()[1], other.getsockname()[1]

    ports, both, other = host.call(read)
    assert both in ports
    assert other not in ports


def test_the_kernel_gives_only_the_states_that_are_asked_for(host: Host) -> None:
    def read() -> Sockets:
        with every_kind(), Dumper() as dumper:
            return dumper.dump(list(AddressFamily), [TcpState.LISTEN, TcpState.TIME_WAIT], [])

    assert set(host.call(read).state.tolist()) == {TcpState.LISTEN, TcpState.TIME_WAIT}


def test_the_kernel_gives_only_what_its_filter_lets_through(host: Host) -> None:
    def read() -> tuple[Sockets, int]:
        with every_kind(), Dumper() as dumper:
            listener = dumper.dump(list(AddressFamily), [TcpState.LISTEN], [])
            port = int(listener.local_port[0])
            program = struct.pack("=BBHBBH", 11, 8, 12, 0, 0, port)  # INET_DIAG_BC_S_EQ
            return dumper.dump(list(AddressFamily), list(TcpState), [], bytecode=program), port

    sockets, port = host.call(read)
    assert len(sockets) >= 1
    assert set(sockets.local_port.tolist()) == {port}


def test_a_filter_that_the_kernel_does_not_take_is_an_error_with_its_word(host: Host) -> None:
    def read() -> None:
        with Dumper() as dumper:
            dumper.dump(list(AddressFamily), list(TcpState), [], bytecode=b"\xff\xff\xff\xff")

    with pytest.raises(CollectError, match="EINVAL"):
        host.call(read)


def test_congestion_control_is_told_only_when_asked_for(host: Host) -> None:
    def read() -> list[set[bytes]]:
        with every_kind(), Dumper() as dumper:
            dumps = [
                dumper.dump(list(AddressFamily), [TcpState.ESTABLISHED], ALL, congestion=wanted)
                for wanted in (False, True)
            ]
        return [set(sockets.congestion.tolist()) for sockets in dumps]

    assert host.call(read) == [{b""}, {b"cubic", b"bbr", b"reno"}]


def test_without_any_capability_every_socket_and_field_is_read(host: Host) -> None:
    def read() -> tuple[Sockets, Sockets]:
        def once() -> Sockets:
            with Dumper() as dumper:
                return dumper.dump(list(AddressFamily), [TcpState.ESTABLISHED, TcpState.LISTEN], STILL, congestion=True)

        with every_kind():
            return once(), without_capabilities(once)

    privileged, plain = host.call(read)
    assert oracle.rows_of(privileged) == oracle.rows_of(plain)
    assert privileged.cgroup.any()
