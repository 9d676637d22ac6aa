"""A program that starts agents in little, and kills each of them at a moment that nobody has chosen.

Arguments: the directory of the spool, the URL, how many lives, a seed. Every request that was put is a line of its
output, written after the put. The last life is not killed: it sends what is left, and its exit status is the program's.
"""

import logging
import os
import random
import signal
import sys
import time
from pathlib import Path

from ss_pusher.model import Protocol, Request
from ss_pusher.queue.spool import Spool
from ss_pusher.send import dispatch
from ss_pusher.send.dispatch import Limits
from ss_pusher.send.http import Client
from ss_pusher.send.remote_write import ProtocolChoice, RemoteWrite
from ss_pusher.send.session import HttpSettings
from ss_pusher.send.worker import Worker
from ss_pusher.telemetry import Telemetry

REQUESTS_A_LIFE = 12
LAST_DEADLINE = 240.0


def start(directory: Path, url: str) -> Worker:
    """An endpoint of remote write with a spool."""

    def unexpected(*_: object) -> None:
        raise AssertionError("something was dropped")

    spool = Spool(directory, max_bytes=1_000_000, max_age=1e12, dropped=unexpected, damaged=unexpected, now=lambda: 0.0)
    choice = ProtocolChoice(Protocol.REMOTE_WRITE_1, now=time.time)
    sink = RemoteWrite(Client(HttpSettings()), url, choice, downgrade=lambda request: request, now=time.time)
    worker = Worker("victim", spool, sink, Limits(min_backoff=0.001, max_backoff=0.005), Telemetry())
    worker.start()
    return worker


def live(directory: Path, url: str, first: int, report: int) -> None:
    """Put requests until somebody kills us."""
    worker = start(directory, url)
    for number in range(first, first + REQUESTS_A_LIFE):
        worker.put(Request(Protocol.REMOTE_WRITE_1, b"%d" % number, 1, number, number))
        os.write(report, b"%d\n" % number)
    signal.pause()


def one_life(directory: Path, url: str, first: int, puts: int) -> int:
    """Fork an agent, kill it after so many puts; the first number for the next one."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        live(directory, url, first, writing)
    os.close(writing)
    with os.fdopen(reading) as reports:
        lines = [reports.readline() for _ in range(puts)]
        os.kill(child, signal.SIGKILL)
        lines += reports.readlines()
    os.waitpid(child, 0)
    whole = [int(line) for line in lines if line.endswith("\n")]
    sys.stdout.writelines(f"{number}\n" for number in whole)
    sys.stdout.flush()
    return whole[-1] + 1 if whole else first


def main() -> int:
    directory, url, lives, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    logging.disable()
    dispatch.REQUESTS_A_SECOND = 1e6  # type: ignore[misc]  # a backlog, and no time
    chance = random.Random(seed)  # noqa: S311 - no secret
    first = 0
    for _ in range(lives):
        first = one_life(directory, url, first, chance.randint(0, REQUESTS_A_LIFE))
    return 0 if start(directory, url).stop(time.monotonic() + LAST_DEADLINE) else 1


if __name__ == "__main__":
    sys.exit(main())
