"""A machine behind a router that masquerades: nothing reaches it, and all that it pushes arrives, each sample once."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import hosts
from tests.servers import labels
from tests.system.machine import AGENT
from tests.system.site import Site, at_a_site, sending

pytestmark = pytest.mark.system

MINUTE = 60.0  # seconds


@pytest.fixture
def site(nat: hosts.Nat, tmp_path: Path, installed: Path) -> Iterator[Site]:
    """A machine with the package behind the router, and servers on the other side of it."""
    with at_a_site(nat.client, nat.server, tmp_path, installed) as site:
        yield site


@contextmanager
def nothing_is_lost(site: Site, interval: str = "200ms") -> Iterator[None]:
    """The agent runs meanwhile; in the end every one of its ticks arrived, each once, and every byte is told."""
    site.start(site.config(interval=interval))
    site.tick_on()
    with sending(site, 1_000_000) as port:
        yield
        site.catch_up()
        site.machine.run("systemctl", "stop", AGENT)
    counted = [int(count) for _, count in site.ticks()]
    assert counted == list(range(len(counted)))
    # What was sent again after its answer was lost is refused where the server has it.
    dropped = site.prometheus.samples('ss_pusher_samples_dropped_total{endpoint="prometheus",reason!="repeated"}')
    assert dropped == {}
    assert "refuses what is sent" not in site.machine.journal()
    (bytes_sent,) = site.prometheus.samples(f'ss_flow_sent_bytes_total{{service_port="{port}"}}').values()
    assert bytes_sent[-1][1] == 1_000_000
    times = [moment for moment, _ in site.ticks()]
    for name in ("ss_tcp_sent_bytes_total", "ss_pusher_sockets_read", 'ss_tcp_rtt_seconds_bucket{le="+Inf"}'):
        (values,) = site.prometheus.samples(name).values()
        moments = [moment for moment, _ in values]
        # From its second sample on: before the first increment of a counter stands a 0, just after the tick before.
        assert moments[1:] == times[len(times) - len(moments) + 1 :]


def test_pushes_go_out_where_nothing_comes_in(site: Site, nat: hosts.Nat) -> None:
    with nothing_is_lost(site):
        site.tick_on(5)
        with nat.client.call(lambda: socket.create_server((nat.client.ipv4, 0))) as hidden:
            for address in (nat.client.ipv4, nat.router.ipv4):
                there = (address, hidden.getsockname()[1])
                with pytest.raises(OSError, match=r"unreachable|refused"):
                    nat.server.call(partial(socket.create_connection, there, timeout=5))
        key = labels("push_time_seconds", job="ss_pusher", instance="edge-7")
        assert key in site.pushgateway.metrics()


def test_the_address_of_the_host_may_change(site: Site, nat: hosts.Nat) -> None:
    with nothing_is_lost(site):
        hosts.renumber(nat, "192.168.7.77")
        site.catch_up()
        port = urlsplit(site.write_url).port
        connected = nat.client.run("ss", "-tnH", "state", "established", "dport", "=", f":{port}")
        assert {line.split()[2].rpartition(":")[0] for line in connected.splitlines()} == {"192.168.7.77"}


def test_a_nat_may_forget_what_was_idle(site: Site, nat: hosts.Nat) -> None:
    hosts.forget_when_idle(nat, 1)
    with nothing_is_lost(site, interval="3s"):
        site.tick_on(3)
        (rule,) = (line for line in nat.router.run("nft", "list", "ruleset").splitlines() if "invalid" in line)
        assert " packets 0 " not in rule


def test_a_third_of_the_packets_may_be_lost_for_a_minute(site: Site, nat: hosts.Nat) -> None:
    with nothing_is_lost(site):
        began = time.monotonic()
        with hosts.loss(nat.client, 0.3), hosts.loss(nat.server, 0.3):
            site.wait_for(lambda: time.monotonic() - began > MINUTE, "the end of it", 2 * MINUTE)
