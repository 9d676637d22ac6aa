"""What takes minutes: a job of a minute, and a fleet on one Pushgateway."""

import resource
import subprocess
import threading
import time
from pathlib import Path

import pytest

from ss_pusher.model import Protocol, Request
from ss_pusher.send.dispatch import Limits
from ss_pusher.send.http import Client
from ss_pusher.send.pushgateway import FormatChoice, Pushgateway, group_url
from ss_pusher.send.session import HttpSettings
from ss_pusher.send.worker import Worker
from ss_pusher.telemetry import Telemetry
from tests import command, servers
from tests.batch.jobs import peer, python, sent, settings
from tests.send.endpoints import memory_queue
from tests.servers import labels

MINUTE = 60.0

STEADY = """
import socket, sys, time
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        connection.sendall(bytes(1000))
        time.sleep(0.5)
"""


@pytest.mark.slow
def test_a_job_of_a_minute_is_watched_in_a_hundredth_of_a_core(
    pushgateway: servers.Pushgateway, tmp_path: Path
) -> None:
    config = settings(tmp_path, pushgateway.url)

    def cpu(*job: str) -> float:
        """What it takes, the job left out."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert (
            subprocess.run(
                [command.EXECUTABLE, "run", "--config", config, "--job", "j", "--", *job], check=False
            ).returncode
            == 0
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        told = pushgateway.metrics()[labels("ss_pusher_job_cpu_seconds", job="j", instance="here")]
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - told

    to_start_and_end = cpu("true")
    with peer() as ours:
        watched = cpu(*python(STEADY, ours.port))
        bytes_sent = sent(pushgateway, "j", ours.port)
        assert bytes_sent
        assert bytes_sent % 1000 == 0
    assert watched < to_start_and_end * 1.5 + 0.1 + 0.01 * MINUTE


SERIES = 100
AGENTS = 100


class Agent:
    """One of a fleet: a group of its own, a thread that sends, and a number that grows with each push."""

    def __init__(self, gateway: str, number: int) -> None:
        self.telemetry = Telemetry()
        self.instance = f"host-{number}"
        url = group_url(gateway, "fleet", {"instance": self.instance})
        self._sink = Pushgateway(
            Client(HttpSettings()), url, FormatChoice(Protocol.TEXT), as_text=self._request, now=time.time
        )
        self._worker = Worker(self.instance, memory_queue(), self._sink, Limits(timeout=30.0), self.telemetry)
        self._worker.start()
        self.pushes = 0

    def push(self) -> None:
        self.pushes += 1
        self._worker.put(self._request())

    def _request(self) -> Request:
        body = "# TYPE ss_fleet gauge\n" + "".join(f'ss_fleet{{n="{n}"}} {self.pushes}\n' for n in range(SERIES))
        return Request(Protocol.TEXT, body.encode(), SERIES, 1, 1)

    def finish(self) -> bool:
        accepted = self._worker.stop(time.monotonic() + MINUTE)
        self._sink.close()
        return accepted

    def run(self, end: float, interval: float) -> None:
        """Push at an interval, all agents at the same moment."""
        due = time.monotonic()
        while due < end:
            self.push()
            due += interval
            time.sleep(max(due - time.monotonic(), 0))


@pytest.mark.parametrize(("seconds", "interval"), [(4, 2), pytest.param(MINUTE, 5, marks=pytest.mark.slow)])
def test_a_hundred_agents_push_at_once(pushgateway: servers.Pushgateway, seconds: float, interval: float) -> None:
    """For a minute; by default twice."""
    agents = [Agent(pushgateway.url, number) for number in range(AGENTS)]
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=agent.run, args=(end, interval)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(agent.finish() for agent in agents)
    told = pushgateway.metrics()
    for agent in agents:
        assert agent.telemetry.value("ss_pusher_requests_total", endpoint=agent.instance, outcome="rejected") == 0
        for n in range(SERIES):
            assert told[labels("ss_fleet", job="fleet", instance=agent.instance, n=str(n))] == agent.pushes
