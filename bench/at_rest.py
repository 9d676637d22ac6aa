"""The agent as it runs beside everything else: 500 sockets, the default interval, pushing to a receiver of our own."""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench import report
from bench.collector import DOCUMENT, INSIDE, in_a_namespace_of_its_own
from bench.flows import Flows
from bench.readers import peak_memory
from ss_pusher.receiver import Receiver
from ss_pusher.receiver.inbox import Arrival

BEGIN: Final = "<!-- the agent at rest, by make bench, from here -->"
END: Final = "<!-- to here: at rest -->"
SOCKETS: Final = 500
_COMMAND: Final = str(Path(sys.executable).parent / "ss-pusher")
_STOP_DEADLINE: Final = 10.0
_WARM_UP: Final = 2  # ticks, of which the second comes half an interval to one and a half after the first
_MEBIBYTE: Final = 1 << 20


def main(argv: Sequence[str]) -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.at_rest", description=__doc__)
    parser.add_argument("--interval", type=int, default=15, help="seconds between ticks (%(default)s)")
    parser.add_argument("--ticks", type=int, default=8, help="how many are measured (%(default)s)")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="the document to write into (%(default)s)")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if not options.inside:
        return in_a_namespace_of_its_own("bench.at_rest", argv)
    results = "\n".join(_table(options.interval, options.ticks))
    print(results)
    report.write(options.output, results, BEGIN, END)
    return 0


def _table(interval: int, ticks: int) -> Iterator[str]:
    with Flows() as flows, Receiver() as receiver:
        flows.grow_to(SOCKETS)
        with _agent(receiver.url, interval) as agent:
            _wait_for_ticks(receiver, agent, _WARM_UP)
            cpu, began = _cpu(agent.pid), time.monotonic()
            _wait_for_ticks(receiver, agent, _WARM_UP + ticks)
            spent, took = _cpu(agent.pid) - cpu, time.monotonic() - began
            memory, last = peak_memory(agent.pid), _pushes(receiver)[-1]
    yield from report.introduction(f"the mean of {ticks} ticks with {SOCKETS} open sockets, {interval} s apart.")
    yield report.row("", "measured", "goal: at most")
    yield report.row("---", "---:", "---:")
    yield report.row("CPU time of the whole process, a tick", f"{spent / ticks * 1000:.1f} ms", "30 ms")
    yield report.row("of one core", f"{spent / took:.2%}", "0.2%")
    yield report.row("peak memory", f"{memory / _MEBIBYTE:.0f} MiB", "64 MiB")
    yield report.row("samples in a push, bytes", f"{last.samples:,}, {last.body_bytes:,}", "")
    yield ""


@contextmanager
def _agent(receiver: str, interval: int) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "config.yml"
        config.write_text(
            f"interval: {interval}s\n"
            "collect: {loopback: true}  # the only flows that the benchmark has\n"
            f"remote_write: [{{url: '{receiver}/api/v1/write'}}]\n",
            encoding="utf-8",
        )
        # As the unit starts it: otherwise numpy has a thread for each processor, and memory for each.
        command = ["env", "OPENBLAS_NUM_THREADS=1", _COMMAND, "agent", "--config", str(config), "--log-level", "error"]
        process = subprocess.Popen(command)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(_STOP_DEADLINE)


def _wait_for_ticks(receiver: Receiver, agent: subprocess.Popen[bytes], count: int) -> None:
    while len(_pushes(receiver)) < count:
        if agent.poll() is not None:
            raise RuntimeError(f"the agent ended with {agent.returncode}")
        time.sleep(0.1)


def _pushes(receiver: Receiver) -> list[Arrival]:
    return [arrival for arrival in receiver.requests if arrival.samples]


def _cpu(pid: int) -> float:
    """Seconds of processor of all threads, to the nanosecond: Documentation/scheduler/sched-stats.rst of the kernel."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text(encoding="ascii").split()[0]) for file in files) / 1e9


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
