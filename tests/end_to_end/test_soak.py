"""The agent for a long time, with faults of every kind: nothing grows, and every sample is accounted for.

`make test-soak` runs it for an hour, or for as many seconds as SOAK_SECONDS says, and prints what it measured.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from ss_pusher.receiver import Receiver
from tests.command import Running, running, written
from tests.end_to_end.connections import service
from tests.end_to_end.faulty import FAULTS, Faulty, faulty

SECONDS: Final = float(os.environ.get("SOAK_SECONDS", "3600"))
WARM_UP: Final = 0.2
"""The share of the time after which what is in use is taken for what it needs."""
MORE_MEMORY: Final = 1.05
"""By how much the most memory of the second half may exceed that of the first, after the warm-up."""
MORE_DESCRIPTORS: Final = 2
"""The same for descriptors: a connection or a file of the spool may be open at the moment of a look."""
OPEN_AT_ONCE: Final = 60
CONFIG: Final = """
interval: 1s
external_labels: {{job: soak}}
collect: {{loopback: true}}
group: {{by: [direction, service_port]}}
limit: {{top: [{{by: throughput, count: {count}}}], hold: {hold}, max_new_series_per_hour: 1000000}}
spool: {{directory: {spool}}}
shutdown_deadline: 2s
remote_write:
  - {{url: "{good}/api/v1/write", name: good}}
  - url: "http://127.0.0.1:{port}/api/v1/write"
    name: faulty
    remote_timeout: 1s
    queue_config: {{min_backoff: 100ms, max_backoff: 2s}}
{more}"""
MORE: Final = '  - {{url: "{more}/api/v1/write", name: more}}\n'


class Usage(NamedTuple):
    """What the process has: bytes in memory, descriptors, threads."""

    memory: int
    descriptors: int
    threads: int


def usage(pid: int) -> Usage:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    memory = int(status["VmRSS"].split()[0]) << 10
    return Usage(memory, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()), int(status["Threads"]))


@dataclass
class Soak:
    """Everything that a run has."""

    directory: Path
    agent: Running
    good: Receiver
    more: Receiver
    faulty: Faulty

    def value(self, name: str, **labels: str) -> float:
        """What the agent last told the good receiver of itself."""
        samples = self.good.series.get(tuple(sorted({"__name__": name, "job": "soak", **labels}.items())))
        return 0 if not samples or samples[-1].stale else samples[-1].value

    def accounted(self, endpoint: str) -> tuple[float, float]:
        """Samples that were given to an endpoint, and those that were sent or dropped or wait."""
        names = ("ss_pusher_samples_sent_total", "ss_pusher_samples_pending")
        dropped = sum(
            samples[-1].value
            for labels, samples in self.good.series.items()
            if {("__name__", "ss_pusher_samples_dropped_total"), ("endpoint", endpoint)} <= set(labels)
        )
        given = self.value("ss_pusher_samples_total", endpoint=endpoint)
        return given, sum(self.value(name, endpoint=endpoint) for name in names) + dropped

    def reload(self, dice: random.Random) -> None:
        """Give the agent another configuration, in half of the cases with an endpoint more."""
        more = self.more if dice.random() < 0.5 else None
        write(self.directory, dice, self.good, self.faulty, more)
        self.agent.process.send_signal(signal.SIGHUP)


def write(directory: Path, dice: random.Random, good: Receiver, bad: Faulty, more: Receiver | None = None) -> str:
    text = CONFIG.format(
        count=dice.randint(5, 30),
        hold=dice.randint(0, 8),
        spool=directory / "spool",
        good=good.url,
        port=bad.port,
        more=MORE.format(more=more.url) if more else "",
    )
    return written(directory, text)


@contextmanager
def churning(dice: random.Random) -> Iterator[None]:
    """Connections that come, move something and go, all the time, on a few ports."""
    over = threading.Event()

    def churn() -> None:
        with service() as one, service() as other:
            connections = []
            while not over.wait(0.05):
                connections.append(dice.choice((one, other)).connect())
                dice.choice(connections).ask(dice.randrange(1, 50_000))
                while len(connections) > OPEN_AT_ONCE:
                    connections.pop(dice.randrange(len(connections))).close()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def every(seconds: float, soak: Soak, act: Callable[[], None]) -> Iterator[None]:
    """Each time it is asked: act, if it is time again."""
    due = time.monotonic() + seconds
    while True:
        if time.monotonic() >= due:
            act()
            due = time.monotonic() + seconds
        assert soak.agent.process.poll() is None, soak.agent.logged()
        yield


@pytest.mark.soak
def test_nothing_grows_and_every_sample_is_accounted_for(tmp_path: Path) -> None:
    seed = int(time.time())
    dice = random.Random(seed)  # noqa: S311 - dice, not keys
    with (
        Receiver() as good,
        Receiver() as more,
        Receiver() as behind,
        faulty(behind.url, seed) as bad,
        churning(random.Random(seed)),  # noqa: S311 - the same
    ):
        command = ("agent", "--config", write(tmp_path, dice, good, bad), "--log-level", "error")
        with running(tmp_path, *command) as agent:
            soak = Soak(tmp_path, agent, good, more, bad)
            agent.wait_for(lambda: soak.value("ss_pusher_ticks_total", outcome="ok") > 1, "two ticks")
            measured = list(measure(soak, dice))
            bad.well.set()
            agent.wait_for(lambda: soak.value("ss_pusher_samples_pending", endpoint="faulty") == 0, "the last backlog")
            agent.wait_for(lambda: soak.accounted("faulty")[0] == soak.accounted("faulty")[1] > 0, "an account")
            tell(f"seed {seed}, {SECONDS:g} s, accounted {soak.accounted('faulty')}, {dict(bad.happened)}")
            tell(*compared(measured), f"{soak.value('ss_pusher_ticks_missed_total'):g} ticks were missed")
            assert soak.value("ss_pusher_ticks_total", outcome="failed") == 0
            assert good.violations == more.violations == behind.violations == []
            assert agent.stop() == 0
        before, after = compared(measured)
        assert after.memory <= before.memory * MORE_MEMORY
        assert after.descriptors <= before.descriptors + MORE_DESCRIPTORS
        assert after.threads <= before.threads
        assert SECONDS < 300 or set(FAULTS) < set(bad.happened)


def tell(*words: object) -> None:
    print(*words)  # noqa: T201 - that is what a soak is for


def measure(soak: Soak, dice: random.Random) -> Iterator[Usage]:
    """Let faults happen, and look at the process twice a second."""
    end = time.monotonic() + SECONDS
    restarts = every(20, soak, lambda: soak.faulty.restart(dice.uniform(0, 5)))
    reloads = every(30, soak, lambda: soak.reload(dice))
    while time.monotonic() < end:
        next(restarts)
        next(reloads)
        yield usage(soak.agent.process.pid)
        time.sleep(0.5)


def compared(measured: list[Usage]) -> tuple[Usage, Usage]:
    """The most of everything in the first half after the warm-up, and in the second half."""
    steady = measured[int(len(measured) * WARM_UP) :]
    halves = steady[: len(steady) // 2], steady[len(steady) // 2 :]
    first, second = (Usage(*map(max, zip(*half, strict=True))) for half in halves)
    return first, second
