"""Fixtures for all tests: real servers and hosts of their own, each started for one test and stopped after it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import hosts, servers

# How long an example takes on a busy machine says nothing of the law that it tries.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def _signals_end_processes() -> Iterator[None]:
    """What the tests start shall not inherit that these are ignored, as below nohup(1) and behind the & of a script."""
    ignored = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ignored}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest's own
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[servers.Prometheus]:
    """A real Prometheus that takes remote write and scrapes nothing."""
    with servers.prometheus(tmp_path) as server:
        yield server


@pytest.fixture
def pushgateway(tmp_path: Path) -> Iterator[servers.Pushgateway]:
    """A real Pushgateway."""
    with servers.pushgateway(tmp_path) as server:
        yield server


@pytest.fixture
def victoria_metrics(tmp_path: Path) -> Iterator[servers.VictoriaMetrics]:
    """A real VictoriaMetrics."""
    with servers.victoria_metrics(tmp_path) as server:
        yield server


@pytest.fixture
def host() -> Iterator[hosts.Host]:
    """A host of its own, with loopback only."""
    with hosts.single() as host:
        yield host


@pytest.fixture
def host_pair() -> Iterator[tuple[hosts.Host, hosts.Host]]:
    """Two hosts joined by a cable, with IPv4 and IPv6."""
    with hosts.pair() as pair:
        yield pair


@pytest.fixture
def nat() -> Iterator[hosts.Nat]:
    """A client, a masquerading router and a server that cannot reach the client."""
    with hosts.nat() as nat:
        yield nat
