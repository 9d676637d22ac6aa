"""One tick, pushed: the exit code says whether every sink took it, and stderr why one did not."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ss_pusher.model import Protocol
from ss_pusher.receiver import Receiver
from tests import servers
from tests.command import PATIENCE, run, written
from tests.send.scripted import Peer, Script, reply, scripted
from tests.servers import free_port

EXTERNAL = "external_labels: {job: ss_pusher, instance: edge-7}\n"
SHORT = EXTERNAL + "shutdown_deadline: 700ms\n"
LONGER = EXTERNAL + "shutdown_deadline: 1500ms\n"  # so that a busy machine has time for an answer
NEVER = "1h"  # so that no deadline but that of the command ends a push


def once(directory: Path, config: str) -> subprocess.CompletedProcess[str]:
    return run("once", "--config", written(directory, config))


def remote_write(url: str) -> str:
    return f"remote_write: [{{url: '{url}', remote_timeout: {NEVER}}}]\n"


def pushgateway(url: str) -> str:
    return f"pushgateway: [{{url: '{url}', timeout: {NEVER}}}]\n"


def silence(peer: Peer) -> None:
    peer.wait_until_closed()


def drip(peer: Peer) -> None:
    peer.drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 60_000)


def close_in_the_middle(peer: Peer) -> None:
    peer.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-")


def test_it_exits_with_0_when_every_sink_took_it(tmp_path: Path) -> None:
    with Receiver() as receiver:
        done = once(tmp_path, EXTERNAL + remote_write(f"{receiver.url}/api/v1/write") + pushgateway(receiver.url))
        assert (done.returncode, done.stdout) == (0, "")
        assert [arrival.protocol for arrival in receiver.requests if arrival.protocol] == [Protocol.REMOTE_WRITE_2]
        assert len(receiver.groups) == 1
        assert receiver.violations == []
        names = {dict(labels)["__name__"] for labels in receiver.series}
        assert {"ss_tcp_sockets", "ss_tcp_sent_bytes_total", "ss_tcp_rtt_seconds_bucket"} <= names


def test_what_was_pushed_once_stays_in_prometheus_unless_it_is_to_end(
    prometheus: servers.Prometheus, tmp_path: Path
) -> None:
    config = EXTERNAL + f"remote_write: [{{url: '{prometheus.write_url}', stale_on_exit: false}}]"
    assert once(tmp_path, config).returncode == 0
    assert prometheus.query("ss_tcp_sockets")
    assert once(tmp_path, config.replace("false", "true")).returncode == 0
    assert prometheus.query("ss_tcp_sockets") == {}
    assert {len(points) for points in prometheus.samples("ss_tcp_sockets").values()} == {2}


@pytest.mark.parametrize("sink", [remote_write, pushgateway])
def test_a_sink_that_is_down_is_named(tmp_path: Path, sink: Callable[[str], str]) -> None:
    port = free_port()
    done = once(tmp_path, LONGER + sink(f"http://127.0.0.1:{port}/x"))
    assert done.returncode == 1
    assert f"127.0.0.1:{port} takes nothing for now" in done.stderr
    assert "Connection refused" in done.stderr


@pytest.mark.parametrize("sink", [remote_write, pushgateway])
@pytest.mark.parametrize(
    ("status", "words"),
    [(400, "label value too long"), (401, "no such token"), (404, "no such tenant"), (503, "come back later")],
)
def test_what_a_sink_says_when_it_refuses_is_told(
    tmp_path: Path, sink: Callable[[str], str], status: int, words: str
) -> None:
    with scripted(reply(status, words.encode())) as server:
        done = once(tmp_path, LONGER + sink(server.url))
    assert done.returncode == 1
    assert done.stderr.count(words) == 1
    assert str(status) in done.stderr


@pytest.mark.parametrize("sink", [remote_write, pushgateway])
@pytest.mark.parametrize("script", [silence, drip, close_in_the_middle])
def test_a_sink_that_does_not_answer_does_not_keep_it(
    tmp_path: Path, sink: Callable[[str], str], script: Script
) -> None:
    began = time.monotonic()
    with scripted(script) as server:
        done = once(tmp_path, SHORT + sink(server.url))
    assert done.returncode == 1
    assert f"127.0.0.1:{server.port} did not accept everything that was pushed" in done.stderr
    assert time.monotonic() - began < PATIENCE / 2


def test_the_others_get_it_when_one_sink_is_down(tmp_path: Path) -> None:
    with Receiver() as receiver, scripted(silence) as hanging:
        down = f"http://127.0.0.1:{free_port()}/"
        to = [down, hanging.url, f"{receiver.url}/api/v1/write"]
        sinks = "".join(f"  - {{url: '{url}', remote_timeout: {NEVER}}}\n" for url in to)
        gateways = f"pushgateway: [{{url: '{down}'}}, {{url: '{receiver.url}'}}]\n"
        done = once(tmp_path, f"{SHORT}remote_write:\n{sinks}{gateways}")
        assert done.returncode == 1
        assert done.stderr.count("did not accept everything") == 3
        assert receiver.series
        assert receiver.groups
        assert receiver.violations == []
