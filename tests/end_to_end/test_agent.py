"""The service as a process: a host behind a NAT that nobody can scrape, and a real Prometheus beyond it."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests import hosts, servers
from tests.command import Running, running, written
from tests.end_to_end.connections import Service, announced, service
from tests.end_to_end.relay import relay
from tests.servers import labels

ONLY_THE_FIRST_AND_THE_LAST_TICK = "1h"
SHUTDOWN_DEADLINE = 5.0
SENT = "ss_flow_sent_bytes_total"
EXTERNAL = {"job": "ss_pusher", "instance": "edge-7"}
OK = {**EXTERNAL, "outcome": "ok"}


@dataclass(frozen=True)
class Edge:
    """The agent on a host behind a NAT, a service on the host beyond, and where the agent's samples arrive."""

    client: hosts.Host
    agent: Running
    service: Service
    prometheus: servers.Prometheus
    pushgateway: servers.Pushgateway

    def outgoing(self) -> dict[str, str]:
        """The labels of the flows from the agent's host to the service."""
        address, port = self.service.listener.getsockname()
        return {**EXTERNAL, "direction": "out", "remote_address": address, "service_port": str(port)}

    def flow(self, name: str) -> float | None:
        """The value of a family for those flows; None where there is none."""
        return self.one(name, self.outgoing())

    def is_told(self, name: str, *values: float) -> None:
        """In the end those flows had one of the values, both in Prometheus and in the Pushgateway."""
        (points,) = self.prometheus.samples(selector(name, self.outgoing())).values()
        assert points[0][1] == 0  # what began between two ticks began at 0
        assert points[-1][1] in values
        wanted = set(labels(name, **self.outgoing()))
        (pushed,) = (value for key, value in self.pushgateway.metrics().items() if wanted <= set(key))
        assert pushed == points[-1][1]

    def one(self, name: str, group: dict[str, str]) -> float | None:
        """The value of the only series of this name and group, whatever unit the tests run in; None without one."""
        found = self.prometheus.query(selector(name, group))
        assert len(found) < 2
        return next(iter(found.values()), None)


def selector(name: str, group: dict[str, str]) -> str:
    """PromQL for the series of this name that have these labels, and maybe others."""
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in group.items()) + "}"


@contextmanager
def edge(interval: str, directory: Path) -> Iterator[Edge]:
    """All of it, with the first tick in Prometheus."""
    with ExitStack() as stack:
        nat = stack.enter_context(hosts.nat())
        prometheus = stack.enter_context(servers.prometheus(directory))
        pushgateway = stack.enter_context(servers.pushgateway(directory))
        config = f"""
            interval: {interval}
            external_labels: {{job: ss_pusher, instance: "${{HOSTNAME}}"}}
            remote_write: [{{url: "{stack.enter_context(relay(nat.server, prometheus.write_url))}"}}]
            pushgateway:
              - url: "{stack.enter_context(relay(nat.server, pushgateway.url))}"
                grouping_key: {{instance: "${{HOSTNAME}}"}}
            """
        beyond = stack.enter_context(service(nat.server.ipv4, at=nat.server, clients=nat.client))
        command = ("agent", "--config", written(directory, config))
        agent = stack.enter_context(running(directory, *command, prefix=nat.client.command()))
        here = Edge(nat.client, agent, beyond, prometheus, pushgateway)
        agent.wait_for(lambda: prometheus.query("ss_tcp_sockets"), "the first tick")
        yield here


def test_the_flows_of_a_host_that_nobody_can_scrape_are_seen_by_promql(tmp_path: Path) -> None:
    with edge("1s", tmp_path) as here:
        connections = [here.service.connect() for _ in range(3)]
        for connection in connections:
            connection.ask(1000)
            connection.answer(50_000)

        def arrived() -> bool:
            return (here.flow(SENT), here.flow("ss_flow_received_bytes_total")) == (3e3, 150e3)

        here.agent.wait_for(arrived, "all that was moved")
        assert here.flow("ss_flow_sockets") == 3
        rtt = here.flow("ss_flow_rtt_seconds")
        assert rtt is not None
        assert 0 < rtt < 1
        (rate,) = here.prometheus.query(f"increase({selector(SENT, here.outgoing())}[1m])").values()
        assert rate > 0
        # What the host's totals say beyond these flows is the agent's own pushes.
        assert (here.one("ss_tcp_sent_bytes_total", EXTERNAL) or 0) >= 3000
        assert (here.one("ss_tcp_received_bytes_total", EXTERNAL) or 0) >= 150_000
        assert here.one("ss_tcp_sockets", {**EXTERNAL, "state": "established", "family": "ipv4"}) == 5
        assert (here.one("ss_tcp_rtt_seconds_count", EXTERNAL) or 0) >= 3

        here.agent.wait_for(lambda: (here.one("ss_pusher_ticks_total", OK) or 0) >= 3, "three ticks")
        (points,) = here.prometheus.samples("ss_tcp_flows_lost_total").values()
        assert all(0.5 < later - earlier < 5 for (earlier, _), (later, _) in pairwise(points))
        assert here.pushgateway.metrics()[labels("ss_pusher_ticks_total", **OK)] >= 2
        assert here.agent.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_last_tick_is_pushed_when_the_service_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    with edge(ONLY_THE_FIRST_AND_THE_LAST_TICK, tmp_path) as here:
        here.service.connect().ask(4321)
        short = here.service.connect()
        short.answer(99)
        with announced(here.client, here.service.port):
            short.close()
        began = time.monotonic()
        assert here.agent.stop(number) == 0
        assert time.monotonic() - began < SHUTDOWN_DEADLINE
        here.is_told(SENT, 4321)
        here.is_told("ss_flow_received_bytes_total", 99, 100)  # and 1 where the FIN came before the end
        assert "did not accept everything" not in here.agent.logged()


def test_no_series_is_left_behind_when_the_service_is_stopped(tmp_path: Path) -> None:
    with edge(ONLY_THE_FIRST_AND_THE_LAST_TICK, tmp_path) as here:
        here.service.connect().ask(1)
        assert here.prometheus.query('{__name__=~"ss_.*"}')
        assert here.agent.stop() == 0
        assert here.prometheus.query('{__name__=~"ss_.*"}') == {}
