"""A simulation of 10,000 agents: requests a second at the receiver at start, in rest, in an outage and after it.

    python -m bench.splay

Every agent is the program's own dispatcher and queue with the default settings, ticking where the program's own splay
puts it; only time, the network and the receiver are simulated. While the receiver is away it refuses at once.
"""

import argparse
import heapq
import logging
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ss_pusher.app.splay import splay
from ss_pusher.model import Protocol, Request
from ss_pusher.queue.memory import MemoryQueue
from ss_pusher.send.dispatch import Dispatcher, Limits, Reshape
from ss_pusher.send.verdict import Accepted, Retry, Verdict
from ss_pusher.telemetry import Telemetry

INTERVAL: Final = 15.0
ANSWER: Final = 0.05
"""Seconds until the receiver has answered."""
AGENTS: Final = 10_000
SERIES: Final = (100, 500, 2000)
OUTAGE: Final = (120.0, 720.0)
END: Final = 1800.0
SETTLED: Final = 60.0
"""Seconds after the start from which on it is rest."""
REST_PEAK, RECOVERY_PEAK = 1.3, 2.0


class Receiver:
    """Counts requests by second, those that it refuses too."""

    def __init__(self, outage: tuple[float, float]) -> None:
        self.now = 0.0
        self.requests = Counter[int]()
        self.samples = 0
        self._outage = outage

    def push(self, request: Request, deadline: float) -> Verdict:
        """Answer as of now."""
        del deadline
        self.requests[int(self.now)] += 1
        if self._outage[0] <= self.now < self._outage[1]:
            return Retry("connection refused")
        self.samples += request.samples
        return Accepted()


class Agent:
    """One host: its ticks fill the queue, its dispatcher empties it."""

    def __init__(self, place: float, series: int, receiver: Receiver, chance: random.Random) -> None:
        self.place = place
        self.series = series
        self._receiver = receiver
        self.queue = MemoryQueue(max_bytes=1 << 28, max_age=21600, dropped=self._dropped, now=self._now)
        self._dispatcher = Dispatcher(
            "receiver",
            self.queue,
            receiver,
            Limits(),
            Telemetry(),
            reshape=Reshape(split=lambda request: [request], merge=_merged),
            uniform=chance.random,
            clock=self._now,
            now=self._now,
        )
        self.idle = True

    def tick(self) -> None:
        """Queue a snapshot."""
        now_ms = int(self._receiver.now * 1000)
        self.queue.put(Request(Protocol.REMOTE_WRITE_2, b"", self.series, now_ms, now_ms))

    def send(self) -> float | None:
        """One step; how long until the next, or None if nothing waits."""
        delay = self._dispatcher.step(0, float("inf"))
        self.idle = not self.queue.pending().requests
        return None if self.idle else max(delay, ANSWER)

    def _now(self) -> float:
        return self._receiver.now

    def _dropped(self, reason: str, samples: int) -> None:
        raise RuntimeError(f"{samples} samples dropped: {reason}")


def _merged(requests: Sequence[Request]) -> Request:
    first, last = requests[0], requests[-1]
    return Request(first.protocol, b"", sum(r.samples for r in requests), first.oldest_ms, last.newest_ms)


def simulate(agents: int, series: int, outage: tuple[float, float], end: float, seed: int) -> list[int]:
    """Requests in each second, from the moment in which all agents start at once."""
    chance = random.Random(seed)  # noqa: S311 - a simulation, the same each time
    receiver = Receiver(outage)
    fleet = [Agent(splay(f"{chance.getrandbits(128):032x}", {}), series, receiver, chance) for _ in range(agents)]
    events = [(0.0, number, True) for number in range(agents)]
    for number, agent in enumerate(fleet):
        first = agent.place * INTERVAL
        heapq.heappush(events, (first if first >= INTERVAL / 2 else first + INTERVAL, number, True))
    while events and events[0][0] < end:
        receiver.now, number, ticks = heapq.heappop(events)
        agent = fleet[number]
        if ticks:
            agent.tick()
            if receiver.now:
                heapq.heappush(events, (receiver.now + INTERVAL, number, True))
        if agent.idle or not ticks:
            delay = agent.send()
            if delay is not None:
                heapq.heappush(events, (receiver.now + delay, number, False))
    return [receiver.requests[second] for second in range(int(end))]


class Phase(NamedTuple):
    """Requests a second in a part of a simulation."""

    name: str
    requests: Sequence[int]

    def peak(self) -> int:
        """Of any second."""
        return max(self.requests)


def phases(requests: Sequence[int], outage: tuple[float, float]) -> Iterator[Phase]:
    """The four parts."""
    settled, begins, ends = int(SETTLED), int(outage[0]), int(outage[1])
    yield Phase("start, all in the same second", requests[:settled])
    yield Phase("rest", requests[settled:begins])
    yield Phase("outage of 10 minutes", requests[begins:ends])
    yield Phase("after it", requests[ends:])


def _report(agents: int, series: int, requests: Sequence[int], outage: tuple[float, float]) -> Iterator[str]:
    parts = list(phases(requests, outage))
    mean = sum(parts[1].requests) / len(parts[1].requests)
    goals = {"rest": f"at most {REST_PEAK:g}", "after it": f"at most {RECOVERY_PEAK:g}"}
    yield f"### {agents:,} agents with {series:,} series each"
    yield ""
    yield "|  | mean | peak | peak ÷ mean in rest | goal |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for part in parts:
        average = sum(part.requests) / len(part.requests)
        yield (
            f"| {part.name} | {average:,.0f}/s | {part.peak():,}/s | {part.peak() / mean:.2f} "
            f"| {goals.get(part.name, '')} |"
        )
    yield ""


def main() -> None:
    """Simulate, and print the results as a part of docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--series", type=int, nargs="+", default=SERIES)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable()  # each of them would say that the receiver is away
    for series in options.series:
        requests = simulate(options.agents, series, OUTAGE, END, options.seed)
        print("\n".join(_report(options.agents, series, requests, OUTAGE)), flush=True)


if __name__ == "__main__":
    main()
