"""What a tick says is what a server gives back: every series, every value, every label, at its time."""

import math
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ss_pusher.model import MetricType, Snapshot
from tests import servers
from tests.end_to_end.connections import service
from tests.end_to_end.pipeline import PATIENCE, families, plain, said, ticking
from tests.servers import Labels, labels
from tests.waiting import wait_for

EXTERNAL = {"job": "edge", "instance": 'a "b" \\ ü', "team": "x"}
CONFIG = """
external_labels: {job: edge, instance: 'a "b" \\ ü', team: x}
collect: {loopback: true}
limit: {hold: 0}
metrics: {preset: all}
"""
SENT = "ss_flow_sent_bytes_total"
EVERY_KIND = "direction, remote_address, remote_port, service_port, unit, command, user, family, congestion"
PAYLOAD = 10_000 + 300_000 + 1 + 77 + 5


def some_ticks(sink: str, by: str = EVERY_KIND) -> list[Snapshot]:
    """Ticks in which connections come, talk, are silent, go, and come too late for any dump to show them."""
    with service() as some:
        only_ours = f"filter: [{{keep: {{service_ports: [{some.port}]}}}}, {{drop: {{}}}}]\n"
        with ticking(f"{CONFIG}group: {{by: [{by}]}}\n{only_ours}{sink}") as tick:
            first, second, third = some.connect(), some.connect(), some.connect()
            snapshots = [tick()]
            third.close()
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
            deadline = time.monotonic() + PATIENCE
            while payload(snapshots[-1]) < PAYLOAD and time.monotonic() < deadline:
                snapshots.append(tick())  # the kernel announces the end of a connection a little later
    return snapshots


def payload(snapshot: Snapshot) -> float:
    """What the host sent, by the snapshot."""
    return said(snapshot, {})[labels("ss_tcp_sent_bytes_total")]


@pytest.mark.parametrize("message", ["auto", "prometheus.WriteRequest"])
def test_prometheus_gives_back_every_sample_of_every_tick(prometheus: servers.Prometheus, message: str) -> None:
    snapshots = some_ticks(f"remote_write: [{{url: '{prometheus.write_url}', protobuf_message: {message}}}]")
    for snapshot in snapshots:
        stored = prometheus.query('{__name__!=""}', at=snapshot.time_ms / 1000)
        assert plain(stored) == plain(said(snapshot, EXTERNAL))
    assert payload(snapshots[-1]) == PAYLOAD


def test_what_ended_with_the_agent_is_not_there_any_more(prometheus: servers.Prometheus) -> None:
    (*_, last) = some_ticks(f"remote_write: [{{url: '{prometheus.write_url}'}}]")
    assert prometheus.query('{__name__!=""}', at=last.time_ms / 1000)
    assert prometheus.query('{__name__!=""}', at=(last.time_ms + 1) / 1000) == {}


def test_a_counter_that_begins_between_ticks_is_seen_to_increase_from_0(prometheus: servers.Prometheus) -> None:
    snapshots = some_ticks(f"remote_write: [{{url: '{prometheus.write_url}'}}]", by="direction, remote_port")
    stored = prometheus.samples(SENT, at=snapshots[-1].time_ms / 1000)
    began = 0.0
    for earlier, later in pairwise(snapshots):
        before, after = said(earlier, EXTERNAL), said(later, EXTERNAL)
        for key in {key for key in after if dict(key)["__name__"] == SENT} - set(before):
            assert stored[key][0] == ((earlier.time_ms + 1) / 1000, 0)
            assert stored[key][1] == (later.time_ms / 1000, after[key])
            began += after[key]
    assert began == 77  # what else was sent belongs to groups that were there before


def test_victoria_metrics_gives_back_every_sample_of_every_tick(victoria_metrics: servers.VictoriaMetrics) -> None:
    snapshots = some_ticks(f"remote_write: [{{url: '{victoria_metrics.write_url}', stale_on_exit: false}}]")
    stored = victoria_metrics.samples('{__name__!=""}')
    for snapshot in snapshots:
        at = snapshot.time_ms / 1000
        then = {key: value for key, points in stored.items() for moment, value in points if moment == at}
        then = {key: value for key, value in then.items() if not math.isnan(value)}  # it shows stale markers
        # It keeps decimal numbers, of which the last of 17 digits may be another.
        assert plain(then) == pytest.approx(plain(said(snapshot, EXTERNAL)), rel=1e-14)


# ---- a Pushgateway --------------------------------------------------------------------------------------------------

KEY = {"job": "batch/job", "instance": "https://[::1]/ü", "empty": ""}
TO_GATEWAY = "pushgateway: [{{url: '{}', job: batch/job, grouping_key: {{instance: 'https://[::1]/ü', empty: ''}}}}]"
GROUP = {name: value for name, value in KEY.items() if value}


def ours(metrics: dict[Labels, float]) -> dict[Labels, float]:
    """Without what the gateway says of itself and of its groups. A label that is empty is none."""
    return {
        tuple(pair for pair in key if pair[1]): value
        for key, value in metrics.items()
        if dict(key)["__name__"].startswith("ss_")
    }


def expected(snapshot: Snapshot) -> dict[Labels, float]:
    """The series as they stand in the group."""
    return plain(said(snapshot, {**EXTERNAL, **GROUP}))


def test_the_pushgateway_gives_back_every_sample(pushgateway: servers.Pushgateway) -> None:
    snapshots = some_ticks(TO_GATEWAY.format(pushgateway.url))
    assert plain(ours(pushgateway.metrics())) == expected(snapshots[-1])


def test_the_pushgateway_knows_every_familys_type_and_help(pushgateway: servers.Pushgateway) -> None:
    (*_, last) = some_ticks(TO_GATEWAY.format(pushgateway.url))
    (group,) = pushgateway.groups()
    assert group["labels"] == KEY
    assert group["last_push_successful"] is True
    told = {name: facts(family) for name, family in group.items() if name.startswith("ss_")}
    assert told == {name: (family.type.value, family.help) for name, family in families(last).items()}


def facts(family: dict[str, Any]) -> tuple[str, str]:
    """Type and help, as the gateway's interface writes them."""
    return family["type"].lower(), family["help"]


def test_prometheus_scrapes_what_was_pushed_with_its_types(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    (*_, last) = some_ticks(TO_GATEWAY.format(pushgateway.url))
    target = pushgateway.url.removeprefix("http://")
    with servers.prometheus(tmp_path, scrape=[target]) as prometheus:
        stored = wait_for(lambda: prometheus.query('{__name__=~"ss_.*"}'), "a scrape")
        known = prometheus.metadata()
    assert plain(stored) == expected(last)
    for name, family in families(last).items():
        assert [(entry["type"], entry["help"]) for entry in known[name]] == [(family.type.value, family.help)]
    assert {family.type for family in families(last).values()} == set(MetricType)
