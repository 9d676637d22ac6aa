"""A tick with a million connections, of one peer or of a million: everything after the decoder, on made-up sockets."""

import argparse
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np

from bench import report
from bench.collector import DOCUMENT
from bench.serving import serving
from ss_pusher.app.agent import Agent
from ss_pusher.app.build import build_agent
from ss_pusher.app.plan import fields
from ss_pusher.clock import Clock
from ss_pusher.config import parse
from ss_pusher.encode.remote_write_v2 import RemoteWriteV2Encoder
from ss_pusher.model import AddressFamily, Sockets, TcpState

BEGIN: Final = "<!-- a flood of connections, by make bench, from here -->"
END: Final = "<!-- to here: flood -->"
PORT: Final = 443
"""Where the host listens, so that every connection of the flood is an inbound one."""
_SEED: Final = 20260101
_TICKS: Final = 3
_HOST: Final = 0xFFFF_0A00_0001  # 10.0.0.1, mapped
_PEERS: Final = 0xFFFF_0B00_0000  # 11.0.0.0 and on, mapped
_MEBIBYTE: Final = 1 << 20


@dataclass
class Made:
    """In the place of the kernel: what is open now, and what ended since it was last asked."""

    nothing: Sockets
    opened: Sockets
    ended: Sockets

    def dump(self) -> list[tuple[str, Sockets]]:
        """All that is open."""
        return [("", self.opened)]

    def closed(self) -> tuple[list[tuple[str, Sockets]], bool]:
        """What ended since the last call."""
        ended, self.ended = self.ended, self.nothing
        return [("", ended)], True


@contextmanager
def agent_of(text: str) -> Iterator[tuple[Agent, Made]]:
    """The agent of a configuration, which reads what the test or benchmark makes; nothing is open at first."""
    agent = build_agent(parse(text.encode(), "flood", directory=Path()).config, lambda _: [], Clock())
    nothing = Sockets.none({each.name: each.dtype for each in fields(agent.pipeline.plan)})
    made = Made(nothing, nothing, nothing)
    agent.pipeline.collect = made
    try:
        yield agent, made
    finally:
        agent.close()


def crowd(nothing: Sockets, count: int, peers: int, *, first: int = 0, moved: int = 0) -> Sockets:
    """A listening socket, and `count` connections to it of `peers` addresses, from number `first` on.

    Their counters are random, and `moved` further than at first. `nothing` says which fields there are.
    """
    random = np.random.default_rng(_SEED)
    rows = count + 1
    number = np.arange(first, first + rows, dtype=np.uint64)
    address = np.zeros((rows, 2), np.uint64)
    address[:, 1] = _PEERS + number % np.uint64(peers)
    address[0] = 0  # of the one that listens
    info = {
        name: (random.integers(0, 1000, rows) + moved).astype(column.dtype) for name, column in nothing.info.items()
    }
    return replace(
        nothing,
        cookie=number + np.uint64(1),
        family=np.full(rows, AddressFamily.IPV4, np.uint8),
        state=np.array([TcpState.LISTEN, *[TcpState.ESTABLISHED] * count], np.uint8),
        local=np.where(number[:, None] == first, 0, np.array([[0, _HOST]], np.uint64)),
        remote=address,
        local_port=np.full(rows, PORT, np.uint16),
        remote_port=np.where(number == first, 0, number % 60000 + 1024).astype(np.uint16),
        interface=np.zeros(rows, np.uint32),
        uid=np.zeros(rows, np.uint32),
        inode=np.zeros(rows, np.uint32),
        cgroup=np.zeros(rows, np.uint64),
        congestion=np.zeros(rows, "S16"),
        info=info,
    )


def main(argv: Sequence[str]) -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.flood", description=__doc__)
    parser.add_argument("--sockets", default="100000,1000000", help="how many, as a list (%(default)s)")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="the document to write into (%(default)s)")
    options = parser.parse_args(argv)
    results = "\n".join(_table([int(number) for number in options.sockets.split(",")]))
    print(results)
    report.write(options.output, results, BEGIN, END)
    return 0


def _table(numbers: Sequence[int]) -> Iterator[str]:
    yield from report.introduction(
        f"the CPU time of a tick, its mean over {_TICKS} ticks, each in a process of its own."
    )
    yield report.row("connections", "CPU a tick", "CPU a connection", "peak memory", "series in the push")
    yield report.row("---", *["---:"] * 4)
    for number in numbers:
        for peers, whose in ((1, "of one peer"), (number, "of as many peers")):
            with serving(_measure, number, peers) as measured:
                spent, memory, series = measured.recv()
            yield report.row(
                f"{number:,} {whose}",
                f"{spent:.2f} s",
                f"{spent / number * 1e6:.2f} µs",
                f"{memory / _MEBIBYTE:.0f} MiB",
                f"{series:,}",
            )
    yield ""


def _measure(count: int, peers: int, orders: Connection) -> None:
    """Send seconds of processor a tick, peak memory in bytes, and the series of the last snapshot."""
    with agent_of("{}") as (agent, made):
        encoder = RemoteWriteV2Encoder({}, 5000)
        spent = 0.0
        for tick in range(_TICKS + 1):  # the first one only sets where counters begin
            made.opened = crowd(made.nothing, count, peers, moved=1000 * tick)
            began = time.process_time()
            snapshot = agent.pipeline.tick(1_000_000 + 15_000 * tick)
            encoder.encode(snapshot)
            spent += time.process_time() - began if tick else 0
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        orders.send((spent / _TICKS, memory, snapshot.series()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
