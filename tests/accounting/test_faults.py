"""What goes wrong around the accounts: reads fail, clocks are set, ticks take too long, announcements are lost."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, Final

import pytest

from ss_pusher.app import build
from ss_pusher.app.agent import Agent
from ss_pusher.app.pipeline import Collect
from ss_pusher.errors import CollectError
from ss_pusher.loop import Clock
from ss_pusher.model import Sockets
from ss_pusher.netlink import closed as module
from ss_pusher.netlink.closed import ClosedFlows
from tests.accounting.agent import EVERYTHING, Watch, by_hand, increases, of_groups, of_host, watching
from tests.accounting.traffic import GENTLE, Books, Task, working
from tests.end_to_end.connections import service
from tests.hosts import Host
from tests.waiting import wait_for

FAST: Final = EVERYTHING.replace("250ms", "50ms")


class Faulty:
    """Reads the kernel, but something happens before each dump, or to what was read."""

    def __init__(
        self,
        collect: Collect,
        before_dump: Callable[[], None] = lambda: None,
        read: Callable[[Sockets], Sockets] = lambda sockets: sockets,
    ) -> None:
        self._collect = collect
        self._before_dump = before_dump
        self._read = read

    def dump(self) -> Sequence[tuple[str, Sockets]]:
        self._before_dump()
        return [(namespace, self._read(sockets)) for namespace, sockets in self._collect.dump()]

    def closed(self) -> tuple[list[tuple[str, Sockets]], bool]:
        parts, complete = self._collect.closed()
        return [(namespace, self._read(sockets)) for namespace, sockets in parts], complete


def with_fault(**fault: Callable[..., Any]) -> Callable[[Agent], None]:
    def prepare(agent: Agent) -> None:
        agent.pipeline.collect = Faulty(agent.pipeline.collect, **fault)

    return prepare


def exchange(host: Host, flows: int, seed: int = 1) -> Books:
    """Work in a host; every amount in the books is exact."""
    with working(host, Task(flows, seed, endings=GENTLE)) as workers:
        books = workers.books()
        workers.release()
    return books


def check(watch: Watch, *books: Books) -> None:
    """No counter fell, no time went back (see `increases`), and every byte is there, in the groups as in the host."""
    rises = increases(watch.snapshots)
    sent = sum(each.all().sent for each in books)
    assert of_host(rises, "ss_tcp_sent_bytes_total") == sent
    assert of_groups(rises, "ss_flow_sent_bytes_total") == sent
    assert of_host(rises, "ss_tcp_flows_lost_total") == 0


def test_a_failed_read_exports_nothing_and_the_next_one_makes_up_for_it(host: Host) -> None:
    numbers = count()

    def fail_twice_of_three() -> None:
        if next(numbers) % 3:
            raise CollectError("broken on purpose")

    with watching(host, FAST, prepare=with_fault(before_dump=fail_twice_of_three)) as watch:
        books = exchange(host, 3000)
        watch.settle(books.all().flows)
    check(watch, books)
    telemetry = watch.agent.telemetry
    assert telemetry.value("ss_pusher_ticks_total", outcome="ok") == len(watch.snapshots)
    assert telemetry.value("ss_pusher_ticks_total", outcome="failed") >= 2 * len(watch.snapshots) - 2


def test_a_tick_that_takes_longer_than_the_interval_loses_nothing_but_ticks(host: Host) -> None:
    with watching(host, FAST, prepare=with_fault(before_dump=lambda: time.sleep(0.12))) as watch:
        books = exchange(host, 3000)
        watch.settle(books.all().flows)
    check(watch, books)
    ticks = len(watch.snapshots) - 1  # after the last nothing is due
    assert watch.agent.telemetry.value("ss_pusher_ticks_missed_total") >= 2 * ticks - 1


def test_a_socket_that_is_read_twice_is_counted_once(host: Host) -> None:
    """The kernel walks a table that changes meanwhile."""
    twice = with_fault(read=lambda sockets: Sockets.concatenate([sockets, sockets]))
    with watching(host, FAST, prepare=twice) as watch:
        books = exchange(host, 1000)
        watch.settle(books.all().flows)
    check(watch, books)
    assert of_host(increases(watch.snapshots), "ss_tcp_flows_closed_total") == books.all().flows


class Wall:
    """A clock that somebody sets."""

    offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


def test_a_clock_that_is_set_back_and_forth_takes_no_byte_and_no_time_back(host: Host) -> None:
    wall = Wall()
    with watching(host, FAST, Clock(wall=wall)) as watch:

        def behind() -> float:
            return watch.agent.telemetry.value("ss_pusher_ticks_total", outcome="clock_behind")

        books = []
        for seed, offset in enumerate((0, -60, 3600, 3500, 3700)):
            wall.offset = offset
            seen = behind()
            books.append(exchange(host, 500, seed))
            # What was moved while the clock was behind must have been read then, in groups that are new.
            if offset in (-60, 3500):
                wait_for(partial(lambda seen: behind() >= seen + 3, seen), "ticks behind the clock")
        watch.settle(sum(each.all().flows for each in books))
        assert behind() >= 6
    check(watch, *books)


def test_when_announcements_are_lost_it_is_said_and_nothing_is_guessed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    listeners: list[ClosedFlows] = []

    def with_little_room(*arguments: Any, **settings: Any) -> ClosedFlows:
        listeners.append(ClosedFlows(*arguments, **settings, receive_buffer=1))
        return listeners[-1]

    monkeypatch.setattr(build, "ClosedFlows", with_little_room)
    with service(at=host, clients=host) as server, by_hand(host) as hand:
        (listening,) = listeners
        known = [server.connect() for _ in range(100)]
        for connection in known:
            connection.ask(1000)
        hand.tick()
        for connection in known:
            connection.ask(10)
        with listening._lock:  # nobody receives
            unknown = [server.connect() for _ in range(20)]
            for connection in (*known, *unknown):
                connection.ask(1)
                connection.close()
            wait_for(lambda: dropped(listening) > 200, "the kernel has dropped announcements")
        lost = wait_for(lambda: of_host(hand.rises(), "ss_tcp_flows_lost_total"), "flows count as lost")
        rises = hand.rises()
    ends = 2 * len(known) + 2 * len(unknown)
    closed, opened = of_host(rises, "ss_tcp_flows_closed_total"), of_host(rises, "ss_tcp_flows_opened_total")
    assert of_host(rises, "ss_pusher_closed_flow_events_lost_total") == ends - closed > 200
    assert of_host(rises, "ss_pusher_closed_flow_events_total") == closed
    # Those that a tick knew and nobody announced. Of those that no tick knew nothing is said.
    assert of_host(rises, "ss_tcp_flows_lost_total") == lost == opened - closed
    announced = of_groups(rises, "ss_flow_flows_closed_total", direction="out")
    assert of_host(rises, "ss_tcp_sent_bytes_total") <= 1000 * len(known) + 11 * announced
    assert of_host(rises, "ss_tcp_sent_bytes_total") >= 1000 * len(known) + announced


def dropped(listening: ClosedFlows) -> int:
    return module._memory(listening._socket, module._SK_MEMINFO_DROPS)
