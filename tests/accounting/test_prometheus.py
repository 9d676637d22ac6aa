"""The agent as a process that pushes to a real Prometheus, which is asked what the flows moved."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.accounting.traffic import GENTLE, Books, End, Task, working
from tests.command import Running, running, written
from tests.end_to_end.relay import relay
from tests.hosts import Host
from tests.servers import Prometheus

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


def exchange(here: Site, flows: int, *seeds: int) -> Books:
    """So many flows of a process each, to their end."""
    addresses = (here.servers.ipv4, here.servers.ipv6)
    tasks = [Task(flows, seed, addresses, endings=GENTLE, server=here.servers.name) for seed in seeds]
    with working(here.clients, *tasks) as workers:
        books = workers.books()
        workers.release()
    return books


def clients_end(books: Books) -> End:
    return sum((end for key, end in books.ends.items() if key.endswith("/out")), End())


def rise(points: list[tuple[float, float]]) -> float:
    """What increase() sees without extrapolation: from the first sample on, and from 0 after each reset."""
    values = [value for _, value in points]
    return sum(after - before if after >= before else after for before, after in pairwise(values))


def test_promql_gives_every_byte(host_pair: tuple[Host, Host], prometheus: Prometheus, tmp_path: Path) -> None:
    with site(host_pair, prometheus, tmp_path) as here:
        books = exchange(here, 5000, 1, 2)
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
        books = exchange(here, 5000, 1, 2)
        here.settle(books)
        groups = here.prometheus.samples("ss_flow_sent_bytes_total")
        assert here.value("ss_pusher_groups_evicted_total") > 0
        assert here.agent.stop() == 0
    assert sum(map(rise, groups.values())) == clients_end(books).sent


def test_an_agent_that_was_suspended_misses_ticks_and_nothing_else(
    host_pair: tuple[Host, Host], prometheus: Prometheus, tmp_path: Path
) -> None:
    with site(host_pair, prometheus, tmp_path) as here:
        books = exchange(here, 500, 1)
        here.agent.process.send_signal(signal.SIGSTOP)
        suspended_at = time.monotonic()
        seed = 2
        while time.monotonic() < suspended_at + 5 * INTERVAL:
            books += exchange(here, 300, seed)
            seed += 1
        here.agent.process.send_signal(signal.SIGCONT)
        books += exchange(here, 500, seed)
        last = here.settle(books)
        here.agent.wait_for(
            lambda: here.value("ss_pusher_ticks_missed_total") >= 4, "it is said that ticks were missed"
        )
        sent = here.value("sum(increase(ss_flow_sent_bytes_total[1h]))", last)
        counters = here.prometheus.samples('{__name__=~"ss_.+_total"}')
        assert here.agent.stop() == 0
    assert sent == clients_end(books).sent
    assert len(counters) > 50
    for key, points in counters.items():
        for (time_before, before), (time_after, after) in pairwise(points):
            assert time_before < time_after, key
            assert before <= after, key
