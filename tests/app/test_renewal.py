"""What goes on, and what begins anew, when a running agent is given another configuration."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ss_pusher.app.agent import Agent
from ss_pusher.app.build import build_agent
from ss_pusher.app.renewal import renewed, settle
from ss_pusher.clock import Clock
from ss_pusher.config import Config, parse
from ss_pusher.errors import ConfigError
from ss_pusher.model import Snapshot
from tests.end_to_end.connections import Service, service
from tests.end_to_end.pipeline import said
from tests.hosts import Host

BASE = "collect: {loopback: true}\ngroup: {by: [direction, service_port]}\n"
IN_THE_KERNEL = "filter: [{drop: {remote_networks: [127.0.0.0/8]}}]\n"
AFTER_THE_READ = "filter: [{drop: {service_ports: [PORT]}}]\n"
SENT = "ss_tcp_sent_bytes_total"


class Renewable:
    """An agent in a host, ticked by the test."""

    def __init__(self, host: Host, beyond: Service, text: str) -> None:
        self._host, self._beyond = host, beyond
        self.agent: Agent = host.call(lambda: build_agent(self._config(text), lambda _: [], Clock()))

    def renew(self, text: str) -> None:
        before, config = self.agent, self._config(text)
        after = self._host.call(lambda: renewed(before, config))
        settle(before, after)
        self.agent = after

    def tick(self) -> Snapshot:
        pipeline = self.agent.pipeline
        return pipeline.tick(max(int(time.time() * 1000), pipeline.previous_ms + 1))

    def of_host(self, name: str) -> float:
        """The value of a family of the whole host in one more tick."""
        return said(self.tick(), {})[(("__name__", name),)]

    def of_service(self, name: str) -> float:
        """The value of a family of the clients' flows to the service in one more tick; -1 if there is none."""
        wanted = {("__name__", name), ("direction", "out"), ("service_port", str(self._beyond.port))}
        return next((value for key, value in said(self.tick(), {}).items() if wanted <= set(key)), -1)

    def _config(self, text: str) -> Config:
        text = text.replace("PORT", str(self._beyond.port))
        return parse(text.encode(), "config.yml", directory=Path()).config


@contextmanager
def renewable(host: Host, text: str) -> Iterator[tuple[Renewable, Service]]:
    with service(at=host, clients=host) as beyond:
        here = Renewable(host, beyond, text)
        try:
            yield here, beyond
        finally:
            here.agent.close()


@pytest.mark.parametrize(
    "change", ["interval: 1m\n", "limit: {top: [{by: flows, count: 5}]}\n", "external_labels: {job: other}\n"]
)
def test_counters_go_on_exactly_when_what_they_count_stays_the_same(host: Host, change: str) -> None:
    with renewable(host, BASE) as (here, beyond):
        here.tick()
        connection = beyond.connect()
        connection.ask(1000)
        assert here.of_service("ss_flow_sent_bytes_total") == 1000
        connection.ask(200)
        here.renew(BASE + change)
        connection.ask(30)
        assert here.of_service("ss_flow_sent_bytes_total") == 1230
        assert here.of_host(SENT) == 1230


@pytest.mark.parametrize("drops", [IN_THE_KERNEL, AFTER_THE_READ])
def test_a_flow_that_a_new_filter_lets_through_is_not_taken_for_a_new_one(host: Host, drops: str) -> None:
    with renewable(host, BASE + drops) as (here, beyond):
        here.tick()
        connection = beyond.connect()
        connection.ask(100_000)
        assert here.of_host(SENT) == 0
        here.renew(BASE)
        assert here.of_host(SENT) == 0
        connection.ask(7)
        assert here.of_host(SENT) == 7
        here.renew(BASE + drops)
        connection.ask(50)
        assert here.of_host(SENT) == 7
        assert here.of_host("ss_tcp_flows_lost_total") == 0


@pytest.mark.parametrize(
    "group", ["{by: [service_port]}", "{by: [direction, service_port], prefix: {ipv4: 8}}"], ids=["by", "prefix"]
)
def test_other_groups_begin_anew_and_the_agents_own_counters_go_on(
    host: Host, caplog: pytest.LogCaptureFixture, group: str
) -> None:
    with renewable(host, BASE) as (here, beyond), caplog.at_level("INFO"):
        here.tick()
        connection = beyond.connect()
        connection.ask(1000)
        assert here.of_host(SENT) == 1000
        telemetry, start_ms, previous_ms = (
            here.agent.telemetry,
            here.agent.pipeline.start_ms,
            here.agent.pipeline.previous_ms,
        )
        here.renew(f"collect: {{loopback: true}}\ngroup: {group}\n")
        assert "begin anew" in caplog.text
        assert here.agent.telemetry is telemetry
        assert here.agent.pipeline.start_ms == start_ms
        assert here.agent.pipeline.previous_ms == previous_ms
        assert here.of_host(SENT) == 0
        connection.ask(11)
        assert here.of_host(SENT) == 11


def test_limits_that_leave_no_room_are_refused_and_the_running_agent_goes_on(host: Host) -> None:
    with renewable(host, BASE) as (here, beyond):
        here.tick()
        connection = beyond.connect()
        connection.ask(1000)
        with pytest.raises(ConfigError, match="max_series"):
            here.renew(BASE + "limit: {max_series: 5}\n")
        with pytest.raises(ConfigError, match="max_series"):
            here.renew("limit: {max_series: 5}\n")
        assert here.of_service("ss_flow_sent_bytes_total") == 1000
