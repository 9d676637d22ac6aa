"""What goes wrong around the accounts: reads fail, clocks are set, ticks take too long, announcements are lost."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from ss_pusher.app import build
from ss_pusher.app.agent import Agent
from ss_pusher.app.build import build_agent
from ss_pusher.app.pipeline import Collect
from ss_pusher.attribute.attributes import Attributes
from ss_pusher.clock import Clock, Moment, Timeline
from ss_pusher.config import parse
from ss_pusher.errors import CollectError
from ss_pusher.model import Bools, Sockets
from ss_pusher.netlink import closed as module
from ss_pusher.netlink.closed import ClosedFlows
from tests.accounting.agent import EVERYTHING, Recorder, Watch, by_hand, increases, of_groups, of_host, watching
from tests.accounting.traffic import GENTLE, Books, Task, working
from tests.end_to_end.connections import service
from tests.hosts import Host
from tests.servers import Labels
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


@contextmanager
def with_clock(host: Host, wall: Wall, believed: Callable[[], bool]) -> Iterator[tuple[Callable[[], Moment], Recorder]]:
    """An agent in a host, its recorder, and what lets it tick at the time that a timeline gives."""
    config = parse(EVERYTHING.encode(), "config.yml", directory=Path()).config
    recorder, clock = Recorder(), Clock(wall=wall)
    agent = host.call(lambda: build_agent(config, lambda _: [recorder], clock))
    line = Timeline(clock, believed)

    def tick() -> Moment:
        moment = line.next()
        if moment.moved_ms:
            agent.move(moment.moved_ms)
        host.call(lambda: agent.tick(moment.time_ms, moment.held is None))
        return moment

    try:
        yield tick, recorder
    finally:
        agent.close()


@pytest.mark.parametrize("offset", [-1e9, 1e7])
def test_what_moved_before_the_clock_was_set_is_counted_and_begins_when_it_did(host: Host, offset: float) -> None:
    wall, believed, began = Wall(), [False, False, True], time.time()
    wall.offset = offset
    with with_clock(host, wall, lambda: believed.pop(0)) as (tick, recorder), service(at=host, clients=host) as server:
        assert tick().held == "clock_not_set"
        server.connect().ask(1000)
        assert tick().held == "clock_not_set"
        assert recorder.snapshots == []
        wall.offset = 0
        server.connect().ask(20)
        assert tick().held is None
        (snapshot,) = recorder.snapshots
        assert began - 1 <= snapshot.previous_ms / 1000 <= snapshot.time_ms / 1000 <= time.time()
        rises = increases(recorder.snapshots)
        assert of_host(rises, "ss_tcp_sent_bytes_total") == of_groups(rises, "ss_flow_sent_bytes_total") == 1020


def test_after_a_clock_was_set_far_back_nothing_began_in_the_future(host: Host) -> None:
    wall = Wall()
    wall.offset = 1e6
    with with_clock(host, wall, lambda: True) as (tick, recorder), service(at=host, clients=host) as server:
        for number in range(4):
            server.connect().ask(number)
            wall.offset = 1e6 if number < 2 else 0
            tick()
        for snapshot in recorder.snapshots:
            starts = [*(each.start_ms for each in snapshot.blocks), *(each.start_ms for each in snapshot.histograms)]
            assert np.concatenate(starts).max() <= snapshot.time_ms
            assert snapshot.previous_ms < snapshot.time_ms


class Buggy:
    """A filter that fails when it is told to."""

    broken = False

    def __init__(self, agent: Agent) -> None:
        self._keep = agent.pipeline.keep
        agent.pipeline.keep = self

    def __call__(self, sockets: Sockets, attributes: Attributes) -> Bools:
        if self.broken:
            raise ZeroDivisionError
        return self._keep(sockets, attributes)


def test_events_that_a_bug_swallowed_are_said_to_be_lost(host: Host) -> None:
    with service(at=host, clients=host) as server, by_hand(host) as hand:
        buggy, connection = Buggy(hand.agent), server.connect()
        connection.ask(1000)
        hand.tick()
        connection.close()
        buggy.broken = True

        def taken() -> bool:
            with pytest.raises(ZeroDivisionError):
                hand.tick()
            return hand.agent.telemetry.value("ss_pusher_closed_flow_events_total") == 2

        wait_for(taken, "both ends were announced as closed")
        buggy.broken = False
        lost = wait_for(lambda: of_host(hand.rises(), "ss_tcp_flows_lost_total"), "flows count as lost")
        assert lost == 2


def test_when_announcements_are_lost_it_is_said_and_nothing_is_guessed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    listeners: list[ClosedFlows] = []

    def with_little_room(*arguments: Any, **settings: Any) -> ClosedFlows:
        listeners.append(ClosedFlows(*arguments, **settings, receive_buffer=1))
        return listeners[-1]

    monkeypatch.setattr(build, "ClosedFlows", with_little_room)
    ends = 2 * (100 + 20)
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
        wait_for(lambda: heard_of(hand.rises()) == ends, "each end is announced or lost")
        lost = of_host(hand.rises(), "ss_tcp_flows_lost_total")
        rises = hand.rises()
    closed, opened = of_host(rises, "ss_tcp_flows_closed_total"), of_host(rises, "ss_tcp_flows_opened_total")
    assert of_host(rises, "ss_pusher_closed_flow_events_lost_total") == ends - closed > 200
    assert of_host(rises, "ss_pusher_closed_flow_events_total") == closed
    # Those that a tick knew and nobody announced. Of those that no tick knew nothing is said.
    assert of_host(rises, "ss_tcp_flows_lost_total") == lost == opened - closed > 0
    announced = of_groups(rises, "ss_flow_flows_closed_total", direction="out")
    assert of_host(rises, "ss_tcp_sent_bytes_total") <= 1000 * len(known) + 11 * announced
    assert of_host(rises, "ss_tcp_sent_bytes_total") >= 1000 * len(known) + announced


def heard_of(rises: Mapping[Labels, float]) -> float:
    """The events that came, and those that are known not to have come."""
    names = ("ss_pusher_closed_flow_events_total", "ss_pusher_closed_flow_events_lost_total")
    return sum(of_host(rises, name) for name in names)


def dropped(listening: ClosedFlows) -> int:
    return module._memory(listening._socket, module._SK_MEMINFO_DROPS)
