"""Remote write over HTTP: what is on the wire, and which protocol an endpoint gets."""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from ss_pusher import __version__
from ss_pusher.encode.remote_write_v2 import RemoteWriteV2Encoder
from ss_pusher.encode.reshape import downgrade
from ss_pusher.errors import EncodeError
from ss_pusher.model import Block, Family, MetricType, Protocol, Request, Snapshot
from ss_pusher.send.http import Client
from ss_pusher.send.remote_write import TRY_AGAIN_AFTER, ProtocolChoice, RemoteWrite
from ss_pusher.send.session import HttpSettings
from ss_pusher.send.verdict import Accepted, Downgrade, Rejected, Retry, Verdict
from tests.send.endpoints import Clock
from tests.send.scripted import Script, Scripted, reply, scripted
from tests.servers import Prometheus, VictoriaMetrics, labels

LONG = 20.0
V1 = Protocol.REMOTE_WRITE_1
V2 = Protocol.REMOTE_WRITE_2


def as_1(request: Request) -> Request:
    """A downgrade that can be told by its body."""
    return replace(request, protocol=V1, body=b"1:" + request.body)


def a_request(protocol: Protocol = V2) -> Request:
    return Request(protocol, b"body", 1, 1000, 1000)


def a_choice(
    configured: Protocol | None = None, clock: Clock | None = None, recalled: Mapping[str, object] | None = None
) -> ProtocolChoice:
    return ProtocolChoice(configured, now=clock or Clock(), recalled=recalled)


def push(server: Scripted, choice: ProtocolChoice, request: Request | None = None) -> Verdict:
    sink = RemoteWrite(Client(HttpSettings()), server.url, choice, downgrade=as_1, now=time.time)
    verdict = sink.push(request or a_request(), time.monotonic() + LONG)
    sink.close()
    return verdict


@pytest.mark.parametrize(
    ("protocol", "content_type", "version"),
    [
        (V1, "application/x-protobuf", "0.1.0"),
        (V2, "application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
    ],
)
def test_headers_are_those_of_the_specification(protocol: Protocol, content_type: str, version: str) -> None:
    with scripted(reply(200, X_Prometheus_Remote_Write_Samples_Written="1")) as server:
        push(server, a_choice(protocol), a_request(protocol))

    (received,) = server.requests
    assert (received.method, received.path, received.body) == ("POST", "/push", b"body")
    assert received.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": f"ss_pusher/{__version__}",
        "accept-encoding": "identity",
        "content-encoding": "snappy",
        "content-type": content_type,
        "x-prometheus-remote-write-version": version,
        "content-length": "4",
    }


@pytest.mark.parametrize("refusal", [reply(415), reply(400, b"cannot unmarshal"), reply(204)])
def test_an_endpoint_that_takes_only_1_gets_the_same_data_again_at_once(refusal: Script) -> None:
    choice = a_choice()
    with scripted(refusal, reply(204)) as server:
        assert choice.current() is V2
        assert push(server, choice) == Accepted()

    assert [r.body for r in server.requests] == [b"body", b"1:body"]
    assert [r.headers["x-prometheus-remote-write-version"] for r in server.requests] == ["2.0.0", "0.1.0"]
    assert choice.current() is V1


def test_once_known_it_gets_1_without_being_asked_and_waiting_requests_are_turned() -> None:
    choice = a_choice()
    choice.fall_back()
    with scripted(reply(204)) as server:
        assert push(server, choice) == Accepted()
        assert push(server, choice, a_request(V1)) == Accepted()

    assert [r.body for r in server.requests] == [b"1:body", b"body"]


def test_hours_later_2_is_tried_again() -> None:
    clock = Clock()
    choice = a_choice(clock=clock)
    choice.fall_back()
    clock.now += TRY_AGAIN_AFTER - 1
    assert choice.current() is V1
    clock.now += 2

    assert choice.current() is V2


def test_what_was_found_out_is_remembered_across_restarts() -> None:
    clock = Clock()
    kept: dict[str, object] = {}
    ProtocolChoice(None, now=clock, remember=kept.update).fall_back()

    assert a_choice(clock=clock, recalled=kept).current() is V1


@pytest.mark.parametrize("recalled", [{}, {"remote_write_1_until": "soon"}, {"remote_write_1_until": 1e18}, {"x": 1}])
def test_a_memory_that_makes_no_sense_is_none(recalled: Mapping[str, object]) -> None:
    assert a_choice(recalled=recalled).current() is V2


def test_a_configured_protocol_is_kept() -> None:
    choice = a_choice(V2)
    with scripted(reply(415)) as server:
        assert push(server, choice) == Downgrade("415 Unsupported Media Type")

    assert len(server.requests) == 1
    assert choice.current() is V2


def test_a_configured_1_turns_what_waits_from_before() -> None:
    with scripted(reply(204)) as server:
        assert push(server, a_choice(V1)) == Accepted()

    assert server.requests[0].body == b"1:body"


def test_what_cannot_be_turned_is_rejected() -> None:
    def broken(_: Request) -> Request:
        raise EncodeError("damaged")

    sink = RemoteWrite(Client(HttpSettings()), "http://127.0.0.1:1/", a_choice(V1), downgrade=broken, now=time.time)

    assert sink.push(a_request(), time.monotonic() + LONG) == Rejected(
        "undecodable", "cannot be turned into remote write 1.0: damaged"
    )


def test_a_failure_is_a_retry() -> None:
    with scripted(reply(503, b"draining", Retry_After="7")) as server:
        assert push(server, a_choice()) == Retry("503 Service Unavailable: draining", 7)


# ---- real servers ---------------------------------------------------------------------------------------------------

FAMILY = Family("ss_flow_sockets", MetricType.GAUGE, "Sockets.")


def snapshot(time_ms: int) -> Snapshot:
    block = Block((FAMILY,), ((("unit", "ü"),), (("unit", "x"),)), np.array([[1.5, -3e300]]), np.zeros(2, np.int64))
    return Snapshot(time_ms, 0, (block,))


def pushed_for_real(url: str, time_ms: int) -> tuple[Verdict, Protocol]:
    choice = ProtocolChoice(None, now=time.time)
    sink = RemoteWrite(Client(HttpSettings()), url, choice, downgrade=downgrade, now=time.time)
    (request,) = RemoteWriteV2Encoder({"job": "ss_pusher"}, 5000).encode(snapshot(time_ms))
    verdict = sink.push(request, time.monotonic() + LONG)
    sink.close()
    return verdict, choice.current()


EXPECTED = {
    labels("ss_flow_sockets", job="ss_pusher", unit="ü"): 1.5,
    labels("ss_flow_sockets", job="ss_pusher", unit="x"): -3e300,
}


def test_a_prometheus_that_takes_only_1_stores_what_was_encoded_in_2(prometheus: Prometheus) -> None:
    now_ms = int(time.time() * 1000)
    verdict, protocol = pushed_for_real(prometheus.write_url, now_ms)

    assert verdict == Accepted()
    assert protocol is V1
    assert prometheus.samples("ss_flow_sockets") == {key: [(now_ms / 1000, value)] for key, value in EXPECTED.items()}


def test_a_victoria_metrics_stores_what_was_encoded_in_2(victoria_metrics: VictoriaMetrics) -> None:
    now_ms = int(time.time() * 1000)
    verdict, protocol = pushed_for_real(victoria_metrics.write_url, now_ms)

    assert verdict == Accepted()
    assert protocol is V1
    assert victoria_metrics.samples("ss_flow_sockets") == {k: [(now_ms / 1000, v)] for k, v in EXPECTED.items()}
