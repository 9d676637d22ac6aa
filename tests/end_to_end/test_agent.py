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
from tests.end_to_end.connections import Service, service
from tests.end_to_end.relay import relay
from tests.servers import labels

ONLY_THE_FIRST_AND_THE_LAST_TICK = "1h"
EXTERNAL = {"job": "ss_pusher", "instance": "edge-7"}


@dataclass(frozen=True)
class Edge:
    """The agent on a host behind a NAT, a service on the host beyond, and where the agent's samples arrive."""

    agent: Running
    service: Service
    prometheus: servers.Prometheus
    pushgateway: servers.Pushgateway

    def outgoing(self) -> dict[str, str]:
        """The labels of the flows from the agent's host to the service."""
        address, port = self.service.listener.getsockname()
        return {**EXTERNAL, "direction": "out", "remote_address": address, "service_port": str(port)}

    def flow(self, name: str, at: float | None = None) -> float | None:
        """The value of a family for those flows; None where there is none."""
        return self.one(name, self.outgoing(), at)

    def one(self, name: str, group: dict[str, str], at: float | None = None) -> float | None:
        """The value of the only series of this name and group; the unit is whatever the tests run in."""
        found = self.prometheus.query(name + "{" + ",".join(f'{k}="{v}"' for k, v in group.items()) + "}", at)
        assert len(found) < 2
        return next(iter(found.values()), None)


@contextmanager
def edge(interval: str, directory: Path) -> Iterator[Edge]:
    """All of it, with the first tick in Prometheus."""
    with ExitStack() as stack:
        nat = stack.enter_context(hosts.nat())
        prometheus = stack.enter_context(servers.prometheus(directory))
        pushgateway = stack.enter_context(servers.pushgateway(directory))
        config = f"""
            interval: {interval}
            remote_write: [{{url: "{stack.enter_context(relay(nat.server, prometheus.write_url))}"}}]
            pushgateway: [{{url: "{stack.enter_context(relay(nat.server, pushgateway.url))}"}}]
            """
        beyond = stack.enter_context(service(nat.server.ipv4, at=nat.server, clients=nat.client))
        command = ("agent", "--config", written(directory, config))
        agent = stack.enter_context(running(directory, *command, prefix=nat.client.command()))
        here = Edge(agent, beyond, prometheus, pushgateway)
        agent.wait_for(lambda: prometheus.query("ss_tcp_sockets"), "the first tick")
        yield here


def test_the_flows_of_a_host_that_nobody_can_scrape_are_seen_by_promql(tmp_path: Path) -> None:
    with edge("1s", tmp_path) as here:
        connections = [here.service.connect() for _ in range(3)]
        for connection in connections:
            connection.ask(1000)
            connection.answer(50_000)

        def arrived() -> bool:
            return (here.flow("ss_flow_sent_bytes_total"), here.flow("ss_flow_received_bytes_total")) == (3e3, 150e3)

        here.agent.wait_for(arrived, "all that was moved")
        assert here.flow("ss_flow_sockets") == 3
        rtt = here.flow("ss_flow_rtt_seconds")
        assert rtt is not None
        assert 0 < rtt < 1
        assert (here.flow("increase(ss_flow_sent_bytes_total[1m])") or 0) > 0
        # What the host's totals say beyond these flows is the agent's own pushes.
        assert (here.one("ss_tcp_sent_bytes_total", EXTERNAL) or 0) >= 3000
        assert (here.one("ss_tcp_received_bytes_total", EXTERNAL) or 0) >= 150_000
        assert here.one("ss_tcp_sockets", {**EXTERNAL, "state": "established", "family": "ipv4"}) == 5
        assert (here.one("ss_tcp_rtt_seconds_count", EXTERNAL) or 0) >= 3

        ok = labels("ss_pusher_ticks_total", outcome="ok", **EXTERNAL)
        here.agent.wait_for(lambda: here.prometheus.query("ss_pusher_ticks_total").get(ok, 0) >= 3, "three ticks")
        ticks = [
            time_
            for time_, _ in here.prometheus.samples("ss_tcp_flows_lost_total")[
                labels("ss_tcp_flows_lost_total", **EXTERNAL)
            ]
        ]
        assert all(0.5 < later - earlier < 5 for earlier, later in pairwise(ticks))
        assert here.pushgateway.metrics()[ok] >= 2
        assert here.agent.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_last_tick_is_pushed_when_the_service_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    with edge(ONLY_THE_FIRST_AND_THE_LAST_TICK, tmp_path) as here:
        here.service.connect().ask(4321)
        short = here.service.connect()
        short.answer(99)
        short.close()
        began = time.monotonic()
        assert here.agent.stop(number) == 0
        assert time.monotonic() - began < 5  # shutdown_deadline
        assert here.flow("last_over_time(ss_flow_sent_bytes_total[1h])") is None  # labels differ by the unit only
        assert here.agent.logged().count("\n") == here.agent.logged().count(" INFO ")
        assert here.prometheus.query('{__name__=~"ss_.*"}') == {}
        pushed = here.pushgateway.metrics()
        sent = [
            value
            for key, value in pushed.items()
            if set(labels("ss_flow_sent_bytes_total", **here.outgoing())) <= set(key)
        ]
        assert sent == [4321]
