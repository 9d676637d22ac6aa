"""How a configuration becomes endpoints: names, queues, who has the spool."""

import os
from pathlib import Path

import numpy as np
import pytest

from ss_pusher.app.sinks import make_endpoints
from ss_pusher.clock import Clock
from ss_pusher.config import Config, parse
from ss_pusher.errors import SpoolError
from ss_pusher.model import Block, Family, MetricType, Snapshot
from ss_pusher.queue.spool import Spool
from ss_pusher.telemetry import Telemetry
from tests import needs

NOBODY = "http://127.0.0.1:1/api/v1/write"


def config(text: str) -> Config:
    return parse(text.encode(), "test", directory=Path()).config


def spooled(directory: Path) -> Config:
    return config(f"remote_write: [{{url: '{NOBODY}', name: there}}]\nspool: {{directory: {directory}}}\n")


def names(text: str) -> list[str]:
    return [e.name for e in make_endpoints(config(text), Clock(), Telemetry(), stale_on_exit=False)]


def open_spool(directory: Path) -> Spool:
    return Spool(
        directory / "endpoint-there",
        max_bytes=1 << 20,
        max_age=3600,
        dropped=lambda _reason, _samples: None,
        damaged=lambda: None,
        now=Clock().wall,
    )


def taken(clock: Clock) -> Snapshot:
    family = Family("a_total", MetricType.COUNTER, "An a.")
    return Snapshot(int(clock.wall() * 1000), 0, (Block((family,), ((),), np.array([[1.0]]), np.array([0])),))


def pushed_and_ended(directory: Path, *, beside: bool) -> None:
    snapshot = taken(Clock())
    (endpoint,) = make_endpoints(spooled(directory), Clock(), Telemetry(), stale_on_exit=False, beside=beside)
    endpoint.start()
    endpoint.push(snapshot)
    assert not endpoint.finish(snapshot.time_ms + 1, Clock().monotonic())


def test_an_endpoint_is_called_by_its_name_or_its_host_and_never_like_another() -> None:
    text = """
    remote_write:
      - {url: "http://user:secret@mimir.example:9009/api/v1/push"}
      - {url: "http://mimir.example:9009/other"}
      - {url: "http://mimir.example:9009/third", name: gateway.example:9091}
    pushgateway: [{url: "http://gateway.example:9091"}]
    """
    assert names(text) == [
        "mimir.example:9009",
        "mimir.example:9009#2",
        "gateway.example:9091",
        "gateway.example:9091#2",
    ]


def test_what_was_not_sent_waits_in_the_spool(tmp_path: Path) -> None:
    pushed_and_ended(tmp_path, beside=False)
    spool = open_spool(tmp_path)
    assert spool.pending().requests > 0
    spool.close()


def test_two_agents_do_not_share_a_spool(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    with pytest.raises(SpoolError, match="used by another process"):
        make_endpoints(spooled(tmp_path), Clock(), Telemetry(), stale_on_exit=False)
    spool.close()


def test_a_command_beside_an_agent_leaves_to_it_what_it_could_not_send(tmp_path: Path) -> None:
    of_agent = open_spool(tmp_path)
    pushed_and_ended(tmp_path, beside=True)
    before = of_agent.pending().requests
    of_agent.close()
    of_next = open_spool(tmp_path)
    assert before == 0
    assert of_next.pending().requests > 0
    of_next.close()


def test_beside_an_agent_of_another_user_it_is_said_that_what_cannot_be_sent_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    needs.root()
    directory = tmp_path / "endpoint-there"
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, 12345)
    with caplog.at_level("WARNING", logger="ss_pusher.app.sinks"):
        pushed_and_ended(tmp_path, beside=True)
    (said,) = (record.message for record in caplog.records if record.name == "ss_pusher.app.sinks")
    assert said.endswith("must belong to user 0, and nobody else may write to it; what cannot be sent is lost")
    assert not [*directory.iterdir()]  # the agent could not read it


@pytest.mark.parametrize("on_disk", [False, True], ids=["in memory", "on disk"])
def test_what_waits_gets_no_older_by_a_leap_until_it_has_lasted_and_what_is_dropped_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, on_disk: bool
) -> None:
    monkeypatch.setattr("ss_pusher.app.sinks.synchronised", lambda: True)
    telemetry, now = Telemetry(), [1.7e9, 100.0]
    clock = Clock(wall=lambda: now[0], monotonic=lambda: now[1])
    of_disk = f"directory: {tmp_path}, " if on_disk else ""
    text = f"remote_write: [{{url: '{NOBODY}', name: there}}]\nspool: {{{of_disk}max_bytes: 1KiB, max_age: 1h}}\n"
    (endpoint,) = make_endpoints(config(text), clock, telemetry, stale_on_exit=False)

    def dropped_after(ahead: float, passed: float) -> float:
        now[:] = now[0] + ahead + passed, now[1] + passed
        endpoint.push(taken(clock))
        return telemetry.value("ss_pusher_samples_dropped_total", endpoint="there", reason="max_age")

    assert [dropped_after(0, 15), dropped_after(2 * 86_400, 15), dropped_after(0, 599)] == [0, 0, 0]
    assert dropped_after(0, 1) == 1
    assert [record.getMessage() for record in caplog.records if record.name == "ss_pusher.send.age_log"] == [
        "there: samples older than spool.max_age are dropped, 1 since the start"
    ]
    endpoint.start()
    endpoint.finish(int(now[0] * 1000) + 1, 0.0)
