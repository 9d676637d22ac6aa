"""Endpoints as a configuration makes them: names, labels, and what a change of protocol may not lose."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from ss_pusher.app import late
from ss_pusher.app.endpoints import Endpoint, GroupEncoder
from ss_pusher.app.sinks import make_endpoints
from ss_pusher.clock import Clock
from ss_pusher.config import parse
from ss_pusher.model import Block, Family, MetricType, Protocol, Snapshot
from ss_pusher.receiver import Receiver
from ss_pusher.send.pushgateway import FormatChoice
from ss_pusher.telemetry import Telemetry

PATIENCE = 20.0
OPEN = Family("ss_flow_sockets", MetricType.GAUGE, "Open connections.")
NOW = int(time.time() * 1000) - 3_600_000  # what is from the future would wait


def endpoints(text: str) -> list[Endpoint]:
    config = parse(text.encode(), "config.yml", directory=Path()).config
    return make_endpoints(config, Clock(), Telemetry(), stale_on_exit=True)


@contextmanager
def started(text: str) -> Iterator[Endpoint]:
    """The only endpoint of a configuration."""
    (endpoint,) = endpoints(text)
    endpoint.start()
    try:
        yield endpoint
    finally:
        endpoint.finish(NOW + 60_000, time.monotonic() + PATIENCE)


def snapshot(number: int, **open_at: float) -> Snapshot:
    """The nth tick, in which these peers have so many open connections."""
    peers = tuple((("remote_address", peer),) for peer in open_at)
    values = np.array([list(open_at.values())], dtype=np.float64)
    block = Block((OPEN,), peers, values, np.zeros(len(peers), dtype=np.int64))
    return Snapshot(NOW + 1000 * number, NOW + 1000 * (number - 1), (block,))


def flush(endpoint: Endpoint) -> None:
    assert endpoint.flush(time.monotonic() + PATIENCE)


def stale(receiver: Receiver) -> dict[str, bool]:
    """Whether each peer's series has ended."""
    return {dict(labels)["remote_address"]: samples[-1].stale for labels, samples in receiver.series.items()}


# ---- a receiver that takes only remote write 1.0 --------------------------------------------------------------------


def test_a_series_that_ends_while_the_protocol_changes_gets_its_marker() -> None:
    with (
        Receiver(remote_write_2=False) as receiver,
        started(f"external_labels: {{job: edge}}\nremote_write: [{{url: '{receiver.url}/api/v1/write'}}]") as endpoint,
    ):
        endpoint.push(snapshot(1, a=1, b=1, c=1))
        flush(endpoint)
        endpoint.push(snapshot(2, a=1, b=1))  # the first that knows of the change
        flush(endpoint)
        assert stale(receiver) == {"a": False, "b": False, "c": True}
        endpoint.push(snapshot(3, a=1))
        flush(endpoint)
        assert stale(receiver) == {"a": False, "b": True, "c": True}
        assert [arrival.protocol for arrival in receiver.requests if arrival.samples] == [Protocol.REMOTE_WRITE_1] * 3
        assert receiver.families[OPEN.name].help == OPEN.help
        assert receiver.violations == []


def test_what_ends_right_after_the_protocol_changed_gets_its_markers() -> None:
    with Receiver(remote_write_2=False) as receiver:
        with started(
            f"external_labels: {{job: edge}}\nremote_write: [{{url: '{receiver.url}/api/v1/write'}}]"
        ) as endpoint:
            endpoint.push(snapshot(1, a=1, b=1))
            flush(endpoint)
        assert stale(receiver) == {"a": True, "b": True}
        assert receiver.violations == []


# ---- names ----------------------------------------------------------------------------------------------------------


def test_every_endpoint_has_a_name_of_its_own() -> None:
    made = endpoints(
        """
remote_write:
  - {url: "http://user:secret@mimir:8080/a"}
  - {url: "http://mimir:8080/b"}
  - {url: "https://thanos/receive", name: mimir:8080#3}
  - {url: "http://mimir:8080/c"}
pushgateway:
  - {url: "http://[2001:db8::1]:9091"}
  - {url: "http://mimir:8080"}
"""
    )
    assert [endpoint.name for endpoint in made] == [
        "mimir:8080",
        "mimir:8080#2",
        "mimir:8080#3",
        "mimir:8080#4",
        "[2001:db8::1]:9091",
        "mimir:8080#5",
    ]


# ---- a Pushgateway's group ------------------------------------------------------------------------------------------


def test_the_groups_key_says_who_this_is_and_the_other_labels_stay() -> None:
    with (
        Receiver() as receiver,
        started(
            f"""
external_labels: {{job: edge, instance: from-the-labels, team: x}}
pushgateway: [{{url: '{receiver.url}', job: batch, grouping_key: {{instance: from-the-key}}}}]
"""
        ) as endpoint,
    ):
        endpoint.push(snapshot(1, a=1))
        flush(endpoint)
        (group,) = receiver.groups.values()
        assert list(group[OPEN.name].samples) == [
            (
                ("__name__", OPEN.name),
                ("instance", "from-the-key"),
                ("job", "batch"),
                ("remote_address", "a"),
                ("team", "x"),
            )
        ]


def test_a_group_is_encoded_as_the_gateway_is_known_to_take_it() -> None:
    choice = FormatChoice(Protocol.DELIMITED)
    encoder = GroupEncoder(choice, {"job": "edge"})
    assert encoder.encode(snapshot(1, a=1)).protocol is Protocol.DELIMITED
    assert b'ss_flow_sockets{job="edge",remote_address="a"} 1.0\n' in encoder.as_text().body
    choice.fall_back()
    assert encoder.encode(snapshot(2, b=2)).protocol is Protocol.TEXT
    assert b'ss_flow_sockets{job="edge",remote_address="b"} 2.0\n' in encoder.as_text().body


@pytest.mark.parametrize("protocol", [Protocol.TEXT, Protocol.DELIMITED])
def test_of_a_group_that_is_refused_the_rest_is_what_we_made(
    protocol: Literal[Protocol.TEXT, Protocol.DELIMITED],
) -> None:
    encoder = GroupEncoder(FormatChoice(protocol), {"job": "edge"})
    ours = snapshot(1, a=1)
    encoder.encode(ours)
    assert encoder.rest() is None
    own = Block((Family("rows", MetricType.GAUGE, ""),), ((),), np.ones((1, 1)), np.zeros(1, np.int64), foreign=True)
    encoder.encode(replace(ours, blocks=(*ours.blocks, own)))
    assert encoder.rest() == late.text_request(ours, {"job": "edge"})


def test_a_group_is_deleted_at_the_end_where_that_is_wanted() -> None:
    with Receiver() as receiver:
        with started(
            f"external_labels: {{job: edge}}\npushgateway: [{{url: '{receiver.url}', on_exit: delete}}]"
        ) as endpoint:
            endpoint.push(snapshot(1, a=1))
            flush(endpoint)
            assert receiver.groups
        assert receiver.groups == {}
