"""The agent in a cgroup with a limit of memory, while nobody takes what it has: it drops the oldest, and lives."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests import needs
from tests.end_to_end.connections import service
from tests.end_to_end.test_service import Manager, managed
from tests.servers import Labels, free_port, labels
from tests.waiting import wait_for

LIMIT: Final = 100 << 20
CONNECTIONS: Final = 200
AWAY: Final = {"endpoint": "away", "job": "test"}
DROPPED: Final = "ss_pusher_samples_dropped_total"
CONFIG: Final = """
interval: 50ms
external_labels: {{job: test}}
collect: {{loopback: true}}
group: {{by: [direction, local_port, remote_port]}}
limit: {{top: [{{by: flows, count: {groups}}}], max_series: 30000, max_new_series_per_hour: 1000000}}
metrics: {{preset: all}}
shutdown_deadline: 100ms
expose: {{listen_address: "{address}"}}
remote_write: [{{url: "http://127.0.0.1:1/", name: away}}]
"""


class Limited:
    """A cgroup of the kernel's version 1 or 2."""

    def __init__(self, directory: Path, *, unified: bool) -> None:
        self.directory = directory
        self._limit, self._peak = (
            ("memory.max", "memory.peak") if unified else ("memory.limit_in_bytes", "memory.max_usage_in_bytes")
        )
        (directory / self._limit).write_text(str(LIMIT))

    def prefix(self) -> list[str]:
        """The start of an argument list that runs the rest in here."""
        return ["sh", "-c", f'echo $$ > {self.directory}/cgroup.procs && exec "$@"', "sh"]

    def peak(self) -> int:
        """The most bytes that were in use at once."""
        return int((self.directory / self._peak).read_text())


@contextmanager
def limited() -> Iterator[Limited]:
    needs.root()
    v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    unified = not v1.is_dir()
    if unified and "memory" not in _text(v2 / "cgroup.subtree_control"):
        needs.unavailable("no memory controller among the cgroups")
    directory = (v2 if unified else v1) / f"ss-pusher-memory-{os.getpid()}"
    try:
        directory.mkdir()
    except OSError as error:
        needs.unavailable(f"no cgroup can be made: {error}")
    try:
        yield Limited(directory, unified=unified)
    finally:
        directory.rmdir()


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def scraped(address: str) -> dict[Labels, float]:
    """What the agent says of itself. Asking makes it write every series, so it is asked rarely."""
    text = requests.get(f"http://{address}/metrics", timeout=30).text
    return {
        labels(sample.name, **sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("ss_pusher_")
    }


def waiting(manager: Manager) -> list[int]:
    """How many samples waited after each tick so far."""
    return [int(count) for state in manager.states("STATUS=") for count in re.findall("([0-9]+) samples wait", state)]


def drops(manager: Manager) -> bool:
    """Whether some are dropped: until then every tick adds as many samples as the one before."""
    return any(after <= before for before, after in pairwise(waiting(manager)[5:]))


def test_what_cannot_be_sent_never_costs_the_process_its_life(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    text = CONFIG.format(address=address, groups=3 * CONNECTIONS)
    with limited() as cgroup, service() as peer:
        for _ in range(CONNECTIONS):
            peer.connect().ask(100)
        with managed(tmp_path, text, prefix=cgroup.prefix()) as (agent, manager):
            wait_for(lambda: agent.process.poll() or drops(manager), "that some are dropped, or the end", 120)
            ticks = len(waiting(manager))
            agent.wait_for(lambda: len(waiting(manager)) > ticks + 30, "ticks after that")
            said = scraped(address)
            assert said[labels(DROPPED, reason="memory_limit", **AWAY)] > 0
            assert LIMIT / 5 < said[labels("ss_pusher_queue_bytes", **AWAY)] <= LIMIT / 4
            taken = said[labels("ss_pusher_samples_total", **AWAY)]
            dropped = sum(value for key, value in said.items() if ("__name__", DROPPED) in key)
            assert taken == dropped + said[labels("ss_pusher_samples_pending", **AWAY)]
            assert agent.stop() == 0
            assert f"memory is limited to {LIMIT >> 20} MiB here: of it {LIMIT >> 22} MiB are for" in agent.logged()
            assert cgroup.peak() < LIMIT
