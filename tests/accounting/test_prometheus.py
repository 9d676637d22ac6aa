"""The agent as a process that pushes to a real Prometheus, which is asked what the flows moved."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.accounting.traffic import GENTLE, Books, End, Task, working
from tests.command import PATIENCE, Running, running, written
from tests.end_to_end.relay import relay
from tests.hosts import Host
from tests.servers import Labels, Prometheus
from tests.waiting import wait_for

INTERVAL: Final = 0.2
CONFIG: Final = """
interval: 200ms
filter: [{{drop: {{service_ports: [{port}]}}}}]  # the agent's own pushes
group: {{by: [direction, remote_address, service_port]}}
limit: {{top: [{{by: throughput, count: {groups}}}], hold: 1, max_series: 100000, max_new_series_per_hour: 1000000}}
metrics: {{preset: all}}
remote_write: [{{url: "{url}"}}]
"""
ALL_GROUPS: Final = 1000


@dataclass(frozen=True)
class Site:
    """An agent on a host, a host with services for its clients, and the Prometheus that the agent pushes to."""

    agent: Running
    clients: Host
    servers: Host
    prometheus: Prometheus

    def value(self, expression: str, at: float | None = None) -> float:
        """The one value of a PromQL expression; NaN if it has none."""
        return next(iter(self.prometheus.query(expression, at).values()), float("nan"))

    def task(self, flows: int, seed: int) -> Task:
        addresses = (self.servers.ipv4, self.servers.ipv6)
        return Task(flows, seed, addresses, endings=GENTLE, server=self.servers.name)

    def settle(self, books: Books) -> float:
        """Wait until the end of every flow has arrived; the Unix time of the last sample that says so."""
        expected = books.all().flows / 2  # the clients' ends
        self.agent.wait_for(lambda: self.value("ss_tcp_flows_closed_total") == expected, f"{expected} flows are closed")
        ((_, points),) = self.prometheus.samples("ss_tcp_flows_closed_total").items()
        return points[-1][0]


@contextmanager
def site(pair: tuple[Host, Host], prometheus: Prometheus, directory: Path, groups: int = ALL_GROUPS) -> Iterator[Site]:
    clients, servers = pair
    with relay(servers, prometheus.write_url) as url:
        config = written(directory, CONFIG.format(url=url, port=urlsplit(url).port, groups=groups))
        with running(directory, "agent", "--config", config, prefix=clients.command()) as agent:
            here = Site(agent, clients, servers, prometheus)
            agent.wait_for(lambda: here.value("ss_tcp_sent_bytes_total") == 0, "the first push has arrived")
            yield here


def clients_end(books: Books) -> End:
    return sum((end for key, end in books.ends.items() if key.endswith("/out")), End())


def rise(points: list[tuple[float, float]]) -> float:
    """What increase() sees without extrapolation: from the first sample on, and from 0 after each reset."""
    values = [value for _, value in points]
    return sum(after - before if after >= before else after for before, after in pairwise(values))


def stored(here: Site, name: str) -> dict[Labels, list[tuple[float, float]]]:
    return here.prometheus.samples(name)


def test_promql_gives_every_byte(host_pair: tuple[Host, Host], prometheus: Prometheus, tmp_path: Path) -> None:
    with site(host_pair, prometheus, tmp_path) as here:
        with working(here.clients, here.task(2000, 1), here.task(2000, 2)) as workers:
            books = workers.books()
            workers.release()
        last = here.settle(books)
        end = clients_end(books)
        # Asked at the time of a sample, about counters that begin at 0, increase() has nothing to extrapolate.
        increase = {
            name: here.value(f"sum(increase({name}[1h]))", last)
            for what in ("sent_bytes", "received_bytes", "flows_opened", "connect_failures")
            for name in (f"ss_tcp_{what}_total", f"ss_flow_{what}_total")
        }
        assert here.agent.stop() == 0
    assert increase["ss_tcp_sent_bytes_total"] == increase["ss_flow_sent_bytes_total"] == end.sent
    assert end.received <= increase["ss_tcp_received_bytes_total"] <= end.received + end.fins + end.open
    assert increase["ss_flow_received_bytes_total"] == increase["ss_tcp_received_bytes_total"]
    assert increase["ss_tcp_flows_opened_total"] == increase["ss_flow_flows_opened_total"] == end.flows
    assert increase["ss_tcp_connect_failures_total"] == increase["ss_flow_connect_failures_total"] == 0


def test_what_is_stored_adds_up_while_groups_enter_and_leave(
    host_pair: tuple[Host, Host], prometheus: Prometheus, tmp_path: Path
) -> None:
    with site(host_pair, prometheus, tmp_path, groups=2) as here:
        with working(here.clients, here.task(2000, 1), here.task(2000, 2)) as workers:
            books = workers.books()
            workers.release()
        here.settle(books)
        groups = stored(here, "ss_flow_sent_bytes_total")
        assert here.value("ss_pusher_groups_evicted_total") > 0
        assert here.agent.stop() == 0
    assert sum(map(rise, groups.values())) == clients_end(books).sent


def test_an_agent_that_was_suspended_misses_ticks_and_nothing_else(
    host_pair: tuple[Host, Host], prometheus: Prometheus, tmp_path: Path
) -> None:
    with site(host_pair, prometheus, tmp_path) as here:
        with working(here.clients, here.task(500, 1)) as workers:
            books = workers.books()
            workers.release()
        here.agent.process.send_signal(signal.SIGSTOP)
        pushed = stored(here, "ss_tcp_sent_bytes_total")
        while suspended_for < 5 * INTERVAL:
            pass
        here.agent.process.send_signal(signal.SIGCONT)
