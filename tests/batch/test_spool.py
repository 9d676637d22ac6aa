"""What a job could not send is sent by whoever comes next: the agent on this host, or another job."""

from pathlib import Path

import snappy

from ss_pusher.proto.remote_write_v1_pb2 import WriteRequest
from tests import command, servers
from tests.batch.jobs import run
from tests.send.scripted import Received, reply, scripted
from tests.waiting import wait_for

CONFIG = """
interval: 200ms
shutdown_deadline: 20s
spool: {{directory: '{spool}'}}
remote_write:
  - name: far
    url: '{url}'
    protobuf_message: prometheus.WriteRequest
    queue_config: {{min_backoff: 1m, max_backoff: 1m}}
"""
"""There is time for one push on the slowest host, and no second try in it."""
OUTCOME = "ss_pusher_job_exit_code"


def config(directory: Path, spool: Path, url: str) -> str:
    directory.mkdir()
    return command.written(directory, CONFIG.format(spool=spool, url=url))


def told(requests: list[Received]) -> list[tuple[str, float, int]]:
    """The samples of the outcome in the order in which they came: job, exit code, time."""
    found = []
    for request in requests:
        if request.method != "POST":
            continue
        message: bytes = snappy.decompress(request.body)  # type: ignore[attr-defined,no-untyped-call] # python-snappy has no types
        for series in WriteRequest.FromString(message).timeseries:
            labels = {label.name: label.value for label in series.labels}
            if labels["__name__"] == OUTCOME:
                found += [(labels["job"], sample.value, sample.timestamp) for sample in series.samples]
    return found


def once_each(samples: list[tuple[str, float, int]]) -> bool:
    return len(set(samples)) == len(samples)


def test_beside_an_agent_it_is_left_to_the_agent_which_sends_it_once(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with scripted(reply(204)) as far:
        agent_config = config(tmp_path / "agent", spool, far.url)
        job_config = config(tmp_path / "job", spool, f"http://127.0.0.1:{servers.free_port()}")
        with command.running(tmp_path, "agent", "--config", agent_config) as agent:
            agent.wait_for(lambda: far.requests, "the agent pushes")
            result = run(job_config, "sh", "-c", "exit 3", options=["--job", "first"])
            assert result.returncode == 3
            agent.wait_for(lambda: told(far.requests), "the agent sends it")
            now = len(far.requests)
            agent.wait_for(lambda: len(far.requests) > now + 2, "the agent ticks on")
            assert agent.stop() == 0
        samples = told(far.requests)
        assert {(job, code) for job, code, _ in samples} == {("first", 3)}
        assert once_each(samples)
        assert not list(spool.glob("*/incoming/*"))


def test_a_job_beside_an_agent_sends_what_it_can_itself(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with scripted(reply(204)) as far, scripted(reply(503)) as down:
        agent_config = config(tmp_path / "agent", spool, down.url)
        job_config = config(tmp_path / "job", spool, far.url)
        with command.running(tmp_path, "agent", "--config", agent_config) as agent:
            agent.wait_for(lambda: down.requests, "the agent tries")
            assert run(job_config, "true", options=["--job", "j"]).returncode == 0
            assert {(job, code) for job, code, _ in told(far.requests)} == {("j", 0)}
            agent.stop()
        assert told(down.requests) == []


def test_without_an_agent_the_next_run_sends_it_once(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    nobody = config(tmp_path / "nobody", spool, f"http://127.0.0.1:{servers.free_port()}")
    for number in (3, 4):
        assert run(nobody, "sh", "-c", f"exit {number}", options=["--job", f"failed{number}"]).returncode == number
    with scripted(reply(204)) as far:
        somebody = config(tmp_path / "somebody", spool, far.url)
        for name in ("third", "fourth"):
            assert run(somebody, "true", options=["--job", name]).returncode == 0
        samples = told(far.requests)
    assert [job for job, _, _ in dict.fromkeys((job, 0, 0) for job, _, _ in samples)] == [
        "failed3",
        "failed4",
        "third",
        "fourth",
    ]
    assert once_each(samples)


def test_an_agent_that_starts_later_sends_it(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    nobody = config(tmp_path / "nobody", spool, f"http://127.0.0.1:{servers.free_port()}")
    assert run(nobody, "false", options=["--job", "j"]).returncode == 1
    with scripted(reply(204)) as far:
        agent_config = config(tmp_path / "agent", spool, far.url)
        with command.running(tmp_path, "agent", "--config", agent_config) as agent:
            wait_for(lambda: told(far.requests), "the agent sends it")
            assert agent.stop() == 0
        assert once_each(told(far.requests))
