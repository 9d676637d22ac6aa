"""Measures what `ss-pusher run` costs a job, and how short a connection may be to be told; writes both into docs."""

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from bench import report
from bench.collector import DOCUMENT, INSIDE, in_a_namespace_of_its_own
from ss_pusher.receiver.server import Receiver

BEGIN: Final = "<!-- the cost of a batch job, by make bench, from here -->"
END: Final = "<!-- to here: batch jobs -->"
LIFETIMES: Final = "0,5,10,20,50,100,200"  # milliseconds
_COMMAND: Final = str(Path(sys.executable).with_name("ss-pusher"))
_GOAL_SECONDS: Final = 0.3
_GOAL_SHARE: Final = 0.01
_LONG: Final = 30.0
_MOST_TIMES: Final = 3
"""Seconds of watched jobs for one share, for which shorter ones run several times; and how often at most."""
_BYTES: Final = 1000
_EACH: Final = 1.0
_LEAST_PERIOD: Final = 0.001
_QUIET: Final = ("--log-level", "error")
_WITHOUT_CGROUPS: Final = 'umount --lazy /sys/fs/cgroup/unified /sys/fs/cgroup 2>/dev/null; exec "$@"'
_WAYS: Final = {
    "own cgroup": [],
    "process tree": ["unshare", "--mount", "--propagation", "private", "sh", "-c", _WITHOUT_CGROUPS, "sh"],
}
_TALK: Final = """
import socket, sys, time
port, count, lifetime, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
for _ in range(count):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(bytes(1000))
        time.sleep(lifetime)
    time.sleep(pause)
"""


class Ran(NamedTuple):
    """One run, in seconds: before the job began and after it ended, and the CPU time of the wrapper alone."""

    before: float
    after: float
    cpu: float


class Bench:
    """A gateway, a listener to talk to, and the configuration for both."""

    def __init__(self, directory: Path, gateway: Receiver, port: int) -> None:
        self._gateway = gateway
        self.port = port
        self._config = directory / "config.yml"
        self._config.write_text(f"{{collect: {{loopback: true}}, pushgateway: [{{url: '{gateway.url}'}}]}}")
        self._config.chmod(0o600)

    def run(self, way: str, *job: str) -> Ran:
        """Run a job, watched this way, to its end."""
        before, began = _children_cpu(), time.time()
        wrapped = [*_WAYS[way], _COMMAND, "run", "--config", str(self._config), "--job", "j", *_QUIET, "--", *job]
        subprocess.run(wrapped, check=True)
        ended = time.time()
        start, end = self._told("ss_pusher_job_start_time_seconds"), self._told("ss_pusher_job_end_time_seconds")
        cpu = _children_cpu() - before - self._told("ss_pusher_job_cpu_seconds")
        return Ran(start - began, ended - end, cpu)

    def share(self, way: str, count: int, lifetime: float, pause: float) -> float:
        """Of so many connections in a row, the share that is told."""
        self.run(way, *self.talk(count, lifetime, pause))
        return self._told("ss_flow_sent_bytes_total", service_port=str(self.port), direction="out") / count / _BYTES

    def talk(self, count: int, lifetime: float, pause: float) -> list[str]:
        """A job that opens so many connections, each for `lifetime` seconds, with a pause after each."""
        return [sys.executable, "-c", _TALK, *map(str, (self.port, count, lifetime, pause))]

    def _told(self, name: str, **labels: str) -> float:
        (group,) = self._gateway.groups.values()
        family = group.get(name)
        found = family.samples.items() if family else ()
        return sum(value for key, value in found if labels.items() <= dict(key).items())


def main(argv: Sequence[str]) -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(prog="bench.batch", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="jobs that end at once (%(default)s)")
    parser.add_argument("--seconds", default="10,60", help="how long the watched jobs last, as a list (%(default)s)")
    parser.add_argument("--connections", type=int, default=20, help="of each lifetime (%(default)s)")
    parser.add_argument("--lifetimes", default=LIFETIMES, help="in milliseconds, as a list (%(default)s)")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="the document to write into (%(default)s)")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if not options.inside:
        return in_a_namespace_of_its_own("bench.batch", argv)
    with tempfile.TemporaryDirectory() as directory, Receiver(("127.0.0.1", 0)) as gateway, _listener() as port:
        bench = Bench(Path(directory), gateway, port)
        lines = [
            *report.introduction(f"{options.rounds} jobs that end at once, {options.connections} connections each."),
            *_costs(bench, options.rounds, [float(number) for number in options.seconds.split(",")]),
            "",
            *_shares(bench, options.connections, [float(number) / 1000 for number in options.lifetimes.split(",")]),
            "",
        ]
    results = "\n".join(lines)
    print(results)
    report.write(options.output, results, BEGIN, END)
    return 0


def _costs(bench: Bench, rounds: int, seconds: Sequence[float]) -> Iterator[str]:
    yield report.row("", *_WAYS, "goal: at most")
    yield report.row("---", *["---:"] * (len(_WAYS) + 1))
    runs = {way: [bench.run(way, "true") for _ in range(rounds)] for way in _WAYS}
    for what in ("before", "after"):
        times = {way: [getattr(ran, what) for ran in runs[way]] for way in _WAYS}
        cells = [f"{statistics.median(each):.2f} s ({max(each):.2f} s)" for each in times.values()]
        yield report.row(f"{what} the job, median (worst)", *cells, f"{_GOAL_SECONDS} s")
    for length in seconds:
        for what, job in (
            ("that does nothing", ["sleep", str(length)]),
            ("with 10 connections a second", bench.talk(round(length * 10), 0.05, 0.05)),
        ):
            cells = [f"{_share(bench, way, length, job):.2%}" for way in _WAYS]
            yield report.row(f"of a core, in a job of {length:g} s {what}", *cells, f"{_GOAL_SHARE:.0%}")


def _share(bench: Bench, way: str, length: float, job: Sequence[str]) -> float:
    """What watching takes of a core, beyond what starting and ending take right after it: of a few runs the median."""
    times = min(max(1, round(_LONG / length)), _MOST_TIMES)
    return statistics.median(bench.run(way, *job).cpu - bench.run(way, "true").cpu for _ in range(times)) / length


def _shares(bench: Bench, count: int, lifetimes: Sequence[float]) -> Iterator[str]:
    kinds = {"one a second": _EACH, "one after the other": 0.0}
    yield report.row("told of the connections that live for", *(f"{kind}, {way}" for kind in kinds for way in _WAYS))
    yield report.row("---:", *["---:"] * (len(kinds) * len(_WAYS)))
    for lifetime in lifetimes:
        shares = []
        for each in kinds.values():
            period = max(each, lifetime, _LEAST_PERIOD)
            number = max(1, round(count * _EACH / period))
            shares += [bench.share(way, number, lifetime, max(each - lifetime, 0)) for way in _WAYS]
        yield report.row(f"{lifetime * 1000:g} ms", *(f"{share:.0%}" for share in shares))


@contextmanager
def _listener() -> Iterator[int]:
    """The port of somebody who reads whatever connections bring, and closes when they do."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def _accept(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_read, args=(connection,), daemon=True).start()


def _read(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while connection.recv(1 << 16):
            pass


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("Without root: the process tree is all that can be looked at.", file=sys.stderr)
    sys.exit(main(sys.argv[1:]))
