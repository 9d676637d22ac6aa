"""What a tick says is what a server gives back: every series, every value, every label, at its time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ss_pusher.config import Config
from ss_pusher.model import MetricType, Snapshot
from tests import servers
from tests.end_to_end.connections import service
from tests.end_to_end.pipeline import families, parsed, plain, said, ticking

EXTERNAL = {"job": "edge", "instance": 'a "b" \\ ü', "team": "x"}
CONFIG = """
external_labels: {{job: edge, instance: 'a "b" \\ ü', team: x}}
collect: {{loopback: true}}
filter: [{{keep: {{service_ports: [{port}]}}}}, {{drop: {{}}}}]
group: {{by: [direction, remote_address, remote_port, service_port, unit, command, user, family, congestion]}}
limit: {{hold: 0}}
metrics: {{preset: all}}
"""


def some_ticks(text: str) -> list[Snapshot]:
    """Ticks in which connections come, talk, are silent, go and come too late to be seen."""
    with service() as some, ticking(text.format(port=some.port)) as tick:
        first, second = some.connect(), some.connect()
        snapshots = [tick()]
        first.ask(10_000)
        second.answer(300_000)
        snapshots.append(tick())
        second.close()
        some.connect().ask(1)
        short = some.connect()
        short.answer(77)
        short.close()
        snapshots.append(tick())
        first.answer(5)
        snapshots.append(tick())
    return snapshots


def moved(series: dict[servers.Labels, float], name: str, **group: str) -> float:
    """The sum of a family's series with these labels."""
    return sum(value for key, value in series.items() if {("__name__", name), *group.items()} <= set(key))


@pytest.mark.parametrize("message", ["auto", "prometheus.WriteRequest"])
def test_prometheus_gives_back_every_sample_of_every_tick(prometheus: servers.Prometheus, message: str) -> None:
    sink = f"remote_write: [{{url: '{prometheus.write_url}', protobuf_message: {message}}}]\n"
    snapshots = some_ticks(CONFIG + sink.replace("{", "{{").replace("}", "}}"))
    for snapshot in snapshots:
        stored = prometheus.query('{__name__!=""}', at=snapshot.time_ms / 1000)
        assert plain(stored) == plain(dict(said(snapshot, EXTERNAL)))
    last = said(snapshots[-1], EXTERNAL)
    assert moved(last, "ss_tcp_sent_bytes_total") == moved(last, "ss_tcp_received_bytes_total") - 2
