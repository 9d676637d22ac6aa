"""The sample configuration, the receiver and one tick work together as the sample says they do."""

import signal
from pathlib import Path

import pytest

from tests import servers
from tests.command import run, running, written
from tests.servers import free_port

PORT = "127.0.0.1:9090"


def sample() -> str:
    done = run("sample-config")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_sample_passes_the_check(tmp_path: Path) -> None:
    done = run("check-config", written(tmp_path, sample()))
    assert (done.returncode, done.stderr) == (0, "")
    assert "can be used" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_the_sample_sends_is_shown_by_the_receiver_that_it_names(tmp_path: Path, number: signal.Signals) -> None:
    address = f"127.0.0.1:{free_port()}"
    assert f"ss-pusher receive --listen {PORT}" in sample()
    with running(tmp_path, "receive", "--listen", address) as receiver:
        receiver.wait_for(lambda: "listening" in receiver.said(), "that it listens")
        done = run("once", "--config", written(tmp_path, sample().replace(PORT, address)))
        assert done.returncode == 0
        receiver.wait_for(lambda: "POST /api/v1/write" in receiver.said(), "a line for the request")
        assert receiver.stop(number) == 0
        (line,) = [line for line in receiver.said().splitlines() if line.startswith("POST ")]
        assert "remote write 2" in line
        assert "204" in line
        assert receiver.logged() == ""


def test_the_sample_works_with_prometheus_too(prometheus: servers.Prometheus, tmp_path: Path) -> None:
    address = prometheus.url.removeprefix("http://")
    assert run("once", "--config", written(tmp_path, sample().replace(PORT, address))).returncode == 0
    assert {dict(key)["instance"] for key in prometheus.query("ss_tcp_sockets")} == {"edge-7"}


def test_a_taken_address_is_said(tmp_path: Path) -> None:
    with running(tmp_path, "receive", "--listen", "127.0.0.1:0") as receiver:
        receiver.wait_for(lambda: "listening" in receiver.said(), "that it listens")
        address = receiver.said().partition("at http://")[2].partition("/")[0]
        done = run("receive", "--listen", address)
        assert done.returncode == 1
        assert done.stderr == f"ss-pusher: cannot listen on {address}: Address already in use\n"


@pytest.mark.parametrize("address", ["9090", "127.0.0.1", "host:port", "127.0.0.1:99999"])
def test_what_is_no_address_is_said(address: str) -> None:
    done = run("receive", "--listen", address)
    assert done.returncode == 2
    assert done.stderr == (
        f"ss-pusher: --listen: {address!r} is no address to listen on; "
        "write HOST:PORT, like 127.0.0.1:8090 or [::1]:8090\n"
    )
