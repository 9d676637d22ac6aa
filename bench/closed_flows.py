"""Measures how many sockets may close in a second before one is missed, and writes it into the documentation."""

import argparse
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

from bench import report
from bench.collector import DOCUMENT, INSIDE, in_a_namespace_of_its_own
from bench.flows import ADDRESSES, SPARE_DESCRIPTORS, listening
from bench.serving import serving
from ss_pusher.app.collector import kernel_fields
from ss_pusher.app.plan import fields, make_plan
from ss_pusher.config import parse
from ss_pusher.model import AddressFamily
from ss_pusher.netlink.closed import ClosedFlows

BEGIN: Final = "<!-- the rate of closes, by make bench, from here -->"
END: Final = "<!-- to here: the rate of closes -->"
RATES: Final = "10000,20000,30000,40000,60000,1000000"  # the last one is out of reach
CLOSERS: Final = 2
RMEM_MAX: Final = 212_992  # what Linux allows everyone to ask for, unless net.core.rmem_max was raised
_LISTEN: Final = "--listen"
_ABORT: Final = struct.pack("ii", 1, 0)  # struct linger: closing resets, which takes the least time
_BURST: Final = 20  # sockets closed without a look at the clock
_QUIET: Final = 0.5  # seconds without an announcement, after which none will come any more
_ROOM: Final = {"privileged": 32 << 20, "unprivileged": RMEM_MAX}
_NOBODY: Final = 65_534


class Heard(NamedTuple):
    """What a listener heard of the sockets that closed, and the processor time that it took, in seconds."""

    announced: int
    lost: int
    cpu: float


class Run(NamedTuple):
    """Sockets closed in a second, as reached, and what a listener heard of them."""

    rate: float
    heard: Heard


def main(argv: Sequence[str]) -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(prog="bench.closed_flows", description=__doc__)
    parser.add_argument("--sockets", default="36000", help="how many close in a run; of a list the most (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how many, of which the worst counts (%(default)s)")
    parser.add_argument("--rates", default=RATES, help="closes a second to try, as a list (%(default)s)")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="the document to write into (%(default)s)")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(_LISTEN, choices=_ROOM, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.listen:
        _listen(options.listen)
        return 0
    if not options.inside:
        return in_a_namespace_of_its_own("bench.closed_flows", argv)
    sockets = min(max(int(number) for number in options.sockets.split(",")), _most())
    results = "\n".join(_table(map(int, options.rates.split(",")), sockets, options.rounds))
    print(results)
    report.write(options.output, results, BEGIN, END)
    return 0


def _most() -> int:
    """How many sockets the closers may have open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CLOSERS * (hard - ADDRESSES - SPARE_DESCRIPTORS)


def _table(rates: Iterable[int], sockets: int, rounds: int) -> Iterator[str]:
    yield from report.introduction(f"{sockets:,} sockets closed in each run, the worst of {rounds} runs.")
    yield report.row("closes a second", "lost, as root", "lost, without privileges", "CPU an announcement")
    yield report.row("---:", "---:", "---:", "---:")
    for rate in rates:
        root = [_run(rate, sockets, privileged=True) for _ in range(rounds)] if os.geteuid() == 0 else []
        plain = [_run(rate, sockets, privileged=False) for _ in range(rounds)]
        yield report.row(_reached(root + plain), _lost(root), _lost(plain), _cost(root + plain))
    yield ""


def _reached(runs: Sequence[Run]) -> str:
    return f"{min(run.rate for run in runs):,.0f}"


def _lost(runs: Sequence[Run]) -> str:
    return f"{max(run.heard.lost for run in runs):,}" if runs else "not measured: needs root"


def _cost(runs: Sequence[Run]) -> str:
    return f"{min(run.heard.cpu / max(run.heard.announced, 1) for run in runs) * 1e6:.1f} µs"


def _run(rate: int, sockets: int, *, privileged: bool) -> Run:
    """Close sockets while a process of its own listens, with or without privileges."""
    with ExitStack() as stack:
        closers = [stack.enter_context(serving(_close, number + 1)) for number in range(CLOSERS)]
        for closer in closers:
            closer.send(sockets // 2 // CLOSERS)
        for closer in closers:
            closer.recv()
        listener = stack.enter_context(_listener(privileged=privileged))
        for closer in closers:
            closer.send(rate / CLOSERS)
        closed, seconds = zip(*(closer.recv() for closer in closers), strict=True)
        heard, _ = listener.communicate("\n")
    told = Heard(*json.loads(heard))
    if told.announced + told.lost != sum(closed):
        raise RuntimeError(f"{sum(closed)} sockets closed, {told.announced} were announced and {told.lost} lost")
    return Run(sum(closed) / max(seconds), told)


# ---- who closes -----------------------------------------------------------------------------------------------------


def _close(number: int, orders: Connection) -> None:
    """Open as many connections as are sent, then close them at the rate that is sent."""
    listeners = listening(number)
    ends = [end for _ in range(orders.recv()) for end in _connect(next(listeners))]
    orders.send(len(ends))
    rate = orders.recv()
    began = time.perf_counter()
    for closed, end in enumerate(ends):
        if closed % _BURST == 0:
            time.sleep(max(0.0, began + closed / rate - time.perf_counter()))
        end.close()
    orders.send((len(ends), time.perf_counter() - began))


def _connect(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = socket.create_connection(listener.getsockname())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    server, _ = listener.accept()
    return client, server


# ---- who listens ----------------------------------------------------------------------------------------------------


@contextmanager
def _listener(*, privileged: bool) -> Iterator[subprocess.Popen[str]]:
    """A process that listens from now on, until it gets a line; then it prints what it heard."""
    command = [sys.executable, "-m", "bench.closed_flows", _LISTEN, "privileged" if privileged else "unprivileged"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError("the listener did not start")
        yield process


def _listen(how: str) -> None:
    plan = make_plan(parse(b"{}", "benchmark", directory=Path()).config, kernel_fields())
    if how == "unprivileged" and os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)  # no capability outlives it
    with ClosedFlows(tuple(AddressFamily), fields(plan), loopback=True, receive_buffer=_ROOM[how]) as closed:
        print("ready", flush=True)
        before = time.process_time()
        sys.stdin.readline()
        announced = lost = 0
        heard_at = time.monotonic()
        while time.monotonic() < heard_at + _QUIET:
            sockets, missed = closed.take()
            announced += len(sockets)
            lost += missed
            if len(sockets) or missed:
                heard_at = time.monotonic()
            time.sleep(_QUIET / 10)
        print(json.dumps(Heard(announced, lost, time.process_time() - before)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
