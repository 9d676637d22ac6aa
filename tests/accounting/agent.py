"""The agent inside the test, ticking by itself in a host of its own, and what a receiver makes of its snapshots."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from ss_pusher.app.agent import Agent
from ss_pusher.app.build import build_agent
from ss_pusher.clock import Clock
from ss_pusher.config import parse
from ss_pusher.encode.series import tables
from ss_pusher.model import Snapshot
from tests.hosts import Host
from tests.servers import Labels, labels
from tests.waiting import wait_for

PATIENCE: Final = 60.0
_ANY_TIME_MS: Final = 1_700_000_000_000

EVERYTHING: Final = """
interval: 250ms
collect: {loopback: true}
group: {by: [direction, service_port, family]}
limit:
  top: [{by: throughput, count: 1000}, {by: ss_flow_flows_opened_total, count: 1000}]
  max_series: 100000
  max_new_series_per_hour: 1000000
metrics: {preset: all}
"""
"""A configuration with a group for every service, and all of them exported."""


class Recorder:
    """An endpoint that keeps every snapshot."""

    name: Final = "recorder"
    bears_time = True

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []

    def start(self) -> None:
        pass

    def push(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def flush(self, deadline: float) -> bool:
        del deadline
        return True

    def finish(self, time_ms: int, deadline: float) -> bool:
        del time_ms, deadline
        return True


class Watch:
    """A running agent, and what it has exported so far."""

    def __init__(self, agent: Agent, recorder: Recorder) -> None:
        self.agent = agent
        self.snapshots = recorder.snapshots

    def last(self, name: str) -> float:
        """The last value of a family of the whole host."""
        return dict(_counters(self.snapshots[-1]))[labels(name)][0]

    def ticks(self, count: int) -> None:
        """Wait until so many more ticks have begun and ended."""
        wanted = len(self.snapshots) + count + 1
        wait_for(lambda: len(self.snapshots) >= wanted, f"{count} ticks", PATIENCE)

    def settle(self, closed: int) -> None:
        """Wait until so many flows were announced as closed, and the flows that are open were read after that."""
        name = "ss_tcp_flows_closed_total"
        try:
            wait_for(lambda: self.last(name) >= closed, f"{closed} flows are closed", PATIENCE)
        except TimeoutError as error:
            error.add_note(f"{self.last(name):g} are")
            raise
        self.ticks(1)


@contextmanager
def watching(
    host: Host, text: str = EVERYTHING, clock: Clock | None = None, prepare: Callable[[Agent], None] = lambda _: None
) -> Iterator[Watch]:
    """Run an agent in a host from its first tick on; `prepare` may change it before that. It ends with a last tick."""
    stop, recorder = threading.Event(), Recorder()
    watches: list[Watch] = []

    def run() -> None:
        config = parse(text.encode(), "config.yml", directory=Path()).config
        agent = build_agent(config, lambda _: [recorder], clock or Clock())
        prepare(agent)
        watches.append(Watch(agent, recorder))
        agent.run(stop)

    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(host.call, run)
        try:
            wait_for(lambda: recorder.snapshots or running.done(), "the first tick", PATIENCE)
            yield watches[0]
        finally:
            stop.set()
            running.result()


class Hand:
    """An agent that ticks when it is told to."""

    def __init__(self, host: Host, agent: Agent) -> None:
        self.agent = agent
        self.snapshots: list[Snapshot] = []
        self._host = host

    def tick(self) -> Snapshot:
        """One tick, a second after the one before; CollectError if it fails."""
        time_ms = max(self.agent.pipeline.previous_ms, _ANY_TIME_MS) + 1000
        self.snapshots.append(self._host.call(lambda: self.agent.pipeline.tick(time_ms)))
        return self.snapshots[-1]

    def rises(self) -> dict[Labels, float]:
        """What a receiver adds up, after one more tick."""
        self.tick()
        return increases(self.snapshots)

    def until(self, closed: int) -> dict[Labels, float]:
        """Tick until so many flows were announced as closed, and no more; then what a receiver adds up."""

        def reached() -> dict[Labels, float]:
            rises = self.rises()
            return rises if of_host(rises, "ss_tcp_flows_closed_total") >= closed else {}

        rises = wait_for(reached, f"{closed} flows are closed", PATIENCE)
        assert of_host(rises, "ss_tcp_flows_closed_total") == closed
        return rises


@contextmanager
def by_hand(host: Host, text: str = EVERYTHING) -> Iterator[Hand]:
    """An agent in a host, after its first tick."""

    def build() -> Agent:
        config = parse(text.encode(), "config.yml", directory=Path()).config
        return build_agent(config, lambda _: [], Clock())

    hand = Hand(host, host.call(build))
    try:
        hand.tick()
        yield hand
    finally:
        hand.agent.close()


def increases(snapshots: Sequence[Snapshot]) -> dict[Labels, float]:
    """What a receiver adds up: the rise of each counter from one snapshot to the next.

    A counter that appears rises from the 0 that stands before its first value, where one does; else it only begins.

    AssertionError: a counter fell, or time did.
    """
    assert all(before.time_ms < after.time_ms for before, after in pairwise(snapshots))
    rises: dict[Labels, float] = {}
    before: dict[Labels, float] = {}
    for snapshot in snapshots:
        counters = dict(_counters(snapshot))
        for key, (value, start_ms) in counters.items():
            from_zero = 0 if 0 < snapshot.previous_ms <= start_ms else value
            rise = value - before.get(key, from_zero)
            assert rise >= 0, f"{key} fell by {-rise}"
            rises[key] = rises.get(key, 0) + rise
        before = {key: value for key, (value, _) in counters.items()}
    return rises


def _counters(snapshot: Snapshot) -> Iterator[tuple[Labels, tuple[float, int]]]:
    """Every series of a counter or histogram, its value, and when it began to count."""
    for table in tables(snapshot):
        values = table.bits.view(np.float64)
        for row, (pairs, start_ms) in enumerate(zip(table.labels, table.start_ms.tolist(), strict=True)):
            for number, column in enumerate(table.columns):
                if column.cumulative and table.samples[row, number]:
                    bucket = {"le": column.le} if column.le else {}
                    yield labels(column.name, **dict(pairs), **bucket), (float(values[row, number]), start_ms)


def of_host(rises: Mapping[Labels, float], name: str) -> float:
    """The rise of a counter of the whole host."""
    return rises.get(labels(name), 0)


def of_groups(rises: Mapping[Labels, float], name: str, **having: str) -> float:
    """The rises of all series of a family that have these labels, added up."""
    wanted = set(labels(name, **having))
    return sum(rise for key, rise in rises.items() if wanted <= set(key))
