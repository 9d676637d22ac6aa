"""Destroy events of this kernel, in hosts of their own."""

import errno
import socket
import struct
import threading
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from ss_pusher.errors import CollectError
from ss_pusher.model import AddressFamily, TcpState
from ss_pusher.netlink.batch import Batch, BatchReceiver
from ss_pusher.netlink.closed import _SK_MEMINFO_RMEM_ALLOC, ClosedFlows, _memory
from ss_pusher.netlink.dump import Dumper, open_diag_socket
from ss_pusher.netlink.tcp_info import FIELDS
from tests import needs
from tests.hosts import Host
from tests.netlink import oracle
from tests.netlink.oracle import Row
from tests.netlink.privileges import without_capabilities
from tests.waiting import wait_for

NAMES: Final = ("bytes_sent", "bytes_retrans", "bytes_received", "bytes_acked", "segs_out", "segs_in", "rtt")
WANTED: Final = tuple(FIELDS[name] for name in NAMES)
EVENT: Final = 380
SMALL: Final = 1 << 20
"""A receive buffer from which events are taken at once."""


def listening(
    *, loopback: bool = True, families: Collection[AddressFamily] = tuple(AddressFamily), **more: Any
) -> ClosedFlows:
    return ClosedFlows(families, WANTED, loopback=loopback, **more)


@dataclass
class Taken:
    """What was taken so far."""

    closed: ClosedFlows
    rows: list[Row] = field(default_factory=list)
    lost: int = 0

    def wait(self, count: int) -> None:
        """Take until so many events came or were lost."""

        def enough() -> bool:
            sockets, lost = self.closed.take()
            self.rows += oracle.rows_of(sockets)
            self.lost += lost
            return len(self.rows) + self.lost >= count

        wait_for(enough, f"{count} flows closed")


def pair(address: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
    """The two ends of a flow over loopback; its listener is closed already."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        client = socket.create_connection(listener.getsockname()[:2])
        return client, listener.accept()[0]


def pairs(count: int) -> list[socket.socket]:
    """Both ends of many flows, one behind the other."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        ends = [(socket.create_connection(listener.getsockname()), listener.accept()[0]) for _ in range(count)]
    return [end for both in ends for end in both]


def close(*ends: socket.socket) -> None:
    for end in ends:
        end.close()


def abort(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def refused(*, blocking: bool) -> None:
    """Try to connect to a port where nobody listens, and give up."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with socket.socket() as client:
            client.settimeout(None if blocking else 0)
            client.connect_ex(("127.0.0.1", port))


# ---- what comes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_event_bears_the_cookie_of_the_dump_and_the_last_counters(host: Host, address: str) -> None:
    def run() -> tuple[list[Row], list[Row]]:
        with listening() as closed, Dumper() as dumper:
            client, server = pair(address)
            seen = oracle.rows_of(dumper.dump(list(AddressFamily), [TcpState.ESTABLISHED], WANTED))
            client.sendall(bytes(1234))
            server.recv(2000)
            server.sendall(bytes(70))
            client.recv(100)
            close(client, server)
            taken = Taken(closed)
            taken.wait(2)
            assert taken.lost == 0
            return seen, taken.rows

    seen, events = host.call(run)
    before, after = ({row.cookie: row for row in rows} for rows in (seen, events))
    assert set(before) == set(after)
    for cookie, row in after.items():
        assert (row.local, row.local_port) == (before[cookie].local, before[cookie].local_port)
        assert (row.remote, row.remote_port) == (before[cookie].remote, before[cookie].remote_port)
        assert (row.state, row.uid, row.inode, row.cgroup, row.congestion) == (TcpState.CLOSE, 0, 0, 0, b"")
    assert sorted(row.info["bytes_sent"] or 0 for row in events) == [70, 1234]
    assert {(row.info["bytes_received"] or 0) // 10 for row in events} == {7, 123}  # and 1 where a FIN came


def test_a_flow_over_a_dual_stack_socket_closes_as_ipv4(host: Host) -> None:
    def run() -> list[Row]:
        with listening(families=[AddressFamily.IPV4]) as closed:
            with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
                client = socket.create_connection(("127.0.0.1", listener.getsockname()[1]))
                close(client, listener.accept()[0], *pair("::1"))
            taken = Taken(closed)
            taken.wait(2)
            return taken.rows

    assert [(row.family, str(row.remote)) for row in host.call(run)] == [(AddressFamily.IPV4, "127.0.0.1")] * 2


def test_only_the_wanted_families_are_given(host: Host) -> None:
    def run() -> list[Row]:
        with listening(families=[AddressFamily.IPV6]) as closed:
            close(*pair("127.0.0.1"), *pair("::1"))
            taken = Taken(closed)
            taken.wait(2)
            return taken.rows

    assert [row.family for row in host.call(run)] == [AddressFamily.IPV6] * 2


def test_listeners_and_sockets_that_were_never_used_do_not_come(host: Host) -> None:
    def run() -> list[Row]:
        with listening() as closed:
            for address, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6), ("::", socket.AF_INET6)):
                socket.create_server((address, 0), family=family).close()
                socket.socket(family).close()
                with socket.socket(family) as bound:
                    bound.bind((address, 0))
            close(*pair())
            taken = Taken(closed)
            taken.wait(2)
            return taken.rows

    assert [row.remote_port > 0 for row in host.call(run)] == [True, True]


def test_an_aborted_flow_comes_though_the_kernel_has_wiped_it(host: Host) -> None:
    def run() -> tuple[list[Row], int]:
        with listening() as closed:
            client, server = pair()
            client.sendall(bytes(1000))
            server.recv(1000)
            port = client.getsockname()[1]
            abort(client)
            server.close()
            taken = Taken(closed)
            taken.wait(2)
            return taken.rows, port

    rows, port = host.call(run)
    wiped = next(row for row in rows if row.local_port == port)
    assert wiped.local.is_unspecified
    assert (str(wiped.remote), wiped.remote_port) == ("127.0.0.1", 0)
    assert not any(wiped.info[name] for name in ("bytes_sent", "bytes_received", "segs_out", "segs_in"))


@pytest.mark.parametrize("blocking", [True, False])
def test_a_flow_that_was_never_established_comes(host: Host, *, blocking: bool) -> None:
    def run() -> list[Row]:
        with listening() as closed:
            refused(blocking=blocking)
            taken = Taken(closed)
            taken.wait(1)
            return taken.rows

    (row,) = host.call(run)
    assert str(row.remote) == "127.0.0.1"
    assert (row.remote_port == 0) == blocking
    assert row.info["bytes_acked"] == row.info["bytes_received"] == 0
    assert bool(row.info["segs_out"]) != blocking


@pytest.mark.parametrize("loopback", [False, True])
def test_flows_over_loopback_come_only_if_wanted(host_pair: tuple[Host, Host], *, loopback: bool) -> None:
    client, server = host_pair
    listener = server.call(partial(socket.create_server, (server.ipv4, 7000)))

    def run() -> list[Row]:
        with listening(loopback=loopback) as closed:
            close(*pair(), *pair("::1"))
            refused(blocking=True)
            over_cable = socket.create_connection((server.ipv4, 7000))
            close(listener.accept()[0], over_cable)
            taken = Taken(closed)
            taken.wait(6 if loopback else 1)
            return taken.rows

    with listener:
        rows = client.call(run)
    others = [row for row in rows if not row.remote.is_loopback]
    assert [str(row.remote) for row in others] == [server.ipv4]
    assert len(rows) - len(others) == (5 if loopback else 0)


def test_events_come_without_any_capability(host: Host) -> None:
    def run() -> list[Row]:
        with listening() as closed:
            close(*pair())
            taken = Taken(closed)
            taken.wait(2)
            return taken.rows

    assert len(host.call(lambda: without_capabilities(run))) == 2


# ---- what is lost --------------------------------------------------------------------------------------------------


def test_nothing_is_lost_of_many_closes_in_a_burst(host: Host) -> None:
    def run() -> Taken:
        with listening() as closed:
            ends = pairs(5000)
            close(*ends)
            taken = Taken(closed)
            taken.wait(len(ends))
            return taken

    taken = host.call(run)
    assert (len(taken.rows), taken.lost) == (10_000, 0)
    assert len({row.cookie for row in taken.rows}) == 10_000


def drops(inode: int) -> int:
    """The Drops column of the socket."""
    lines = [line.split() for line in Path("/proc/thread-self/net/netlink").read_text(encoding="ascii").splitlines()]
    header = lines[0]
    (line,) = [line for line in lines[1:] if int(line[header.index("Inode")]) == inode]
    return int(line[header.index("Drops")])


def test_what_the_kernel_dropped_is_counted_once(host: Host) -> None:
    def run() -> tuple[int, int, int, int]:
        diag = open_diag_socket()
        inode = Path(f"/proc/self/fd/{diag.fileno()}").stat().st_ino
        with listening(receive_buffer=20_000, open_socket=lambda: diag) as closed:
            ends = pairs(200)
            with closed._lock:  # nobody receives
                close(*ends)
                wait_for(lambda: drops(inode) > 300, "the kernel has dropped most of them")
            taken = Taken(closed)
            taken.wait(len(ends))
            again = closed.take()
            close(*pair())
            taken.wait(len(ends) + 2)
            return len(taken.rows), taken.lost, drops(inode), len(again.sockets) + again.lost

    rows, lost, dropped, again = host.call(run)
    assert rows + lost == 402
    assert lost == dropped > 300
    assert again == 0


def test_what_does_not_fit_our_buffer_is_counted(host: Host) -> None:
    def run() -> tuple[Taken, Taken]:
        with listening(max_bytes=10 * EVENT, receive_buffer=SMALL) as closed:
            ends = pairs(20)
            close(*ends)
            wait_for(lambda: closed._kept + closed._refused == len(ends), "all arrived")
            first = Taken(closed)
            first.wait(len(ends))
            second = Taken(closed)
            close(*pair())
            second.wait(2)
            return first, second

    first, second = host.call(run)
    assert (len(first.rows), first.lost) == (10, 30)
    assert (len(second.rows), second.lost) == (2, 0)


def test_few_events_stay_in_a_large_buffer_until_they_are_taken(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    receive = BatchReceiver.receive
    receivers = set()

    def noted(receiver: BatchReceiver) -> Batch:
        batch = receive(receiver)
        if batch.received:
            receivers.add(threading.current_thread().name)
        return batch

    def run() -> Taken:
        monkeypatch.setattr(BatchReceiver, "receive", noted)
        with listening() as closed:
            close(*pairs(20))
            waiting = partial(_memory, closed._socket, _SK_MEMINFO_RMEM_ALLOC)
            wait_for(lambda: waiting() > 39 * 1024, "all arrived")
            taken = Taken(closed)
            taken.wait(40)
            return taken

    needs.root()  # else the buffer is a small one
    assert host.call(run).lost == 0
    assert "closed-flows" not in receivers


def test_an_event_that_cannot_be_read_is_counted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    receive = BatchReceiver.receive

    def changed(receiver: BatchReceiver) -> Batch:
        batch = receive(receiver)
        for block in batch.blocks:
            block[0, 16] = 99  # no such family
        return batch

    def run() -> Taken:
        monkeypatch.setattr(BatchReceiver, "receive", changed)
        with listening() as closed:
            close(*pair())
            taken = Taken(closed)
            taken.wait(2)
            return taken

    taken = host.call(run)
    assert taken.lost >= 1
    assert len(taken.rows) + taken.lost == 2


# ---- beginning and end ---------------------------------------------------------------------------------------------


def test_closing_ends_the_thread_and_gives_everything_back(host: Host) -> None:
    def run() -> None:
        before = set(Path("/proc/self/fd").iterdir())
        with listening() as closed:
            thread = closed._thread
            assert thread.is_alive()
            close(*pair())
        assert not thread.is_alive()
        assert len(set(Path("/proc/self/fd").iterdir())) == len(before)

    host.call(run)


def test_a_socket_that_announces_nothing_is_an_error_and_is_closed() -> None:
    local, other = socket.socketpair()
    with other, pytest.raises(CollectError, match="does not announce closed sockets: Operation not supported"):
        listening(open_socket=lambda: local)
    assert local.fileno() == -1


def test_a_failure_to_receive_is_told_by_every_take_until_it_passes(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Counter[str]()

    def fail(_: BatchReceiver) -> Batch:
        failed[threading.current_thread().name] += 1
        raise OSError(errno.EIO, "")

    def run() -> None:
        with listening(receive_buffer=SMALL) as closed:
            monkeypatch.setattr(BatchReceiver, "receive", fail)
            close(*pair())
            wait_for(lambda: failed["closed-flows"], "the thread has met it")
            for _ in range(2):
                with pytest.raises(CollectError, match=r"cannot be received: .*EIO"):
                    closed.take()
            monkeypatch.undo()
            taken = Taken(closed)
            taken.wait(2)
            assert taken.lost == 0

    host.call(run)
