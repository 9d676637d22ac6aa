"""What each call is answered, and what is remembered of it."""

import threading
from http import HTTPMethod, HTTPStatus

import pytest

from ss_pusher.model import Protocol
from ss_pusher.proto import metrics_pb2
from ss_pusher.receiver.inbox import Answer, Inbox
from ss_pusher.receiver.native_histogram import Histogram
from ss_pusher.receiver.remote_write import Metadata, Sample
from tests.receiver.test_remote_write import HEADERS_1, HEADERS_2, body_of, compressed, request_1, request_2

POST, PUT, GET, DELETE = HTTPMethod.POST, HTTPMethod.PUT, HTTPMethod.GET, HTTPMethod.DELETE
WRITE = "/api/v1/write"
UP = (("__name__", "up"), ("job", "j"))


def inbox(*, remote_write_2: bool = True, lines: list[str] | None = None) -> Inbox:
    return Inbox(
        lambda: 100.0,
        lines.append if lines is not None else lambda _line: None,
        remote_write_2=remote_write_2,
        samples_per_series=10,
        max_series=10,
    )


def test_remote_write_1_0_is_taken_and_remembered() -> None:
    box = inbox()
    body = body_of(request_1())
    assert box.answer(POST, WRITE, HEADERS_1, body) == Answer(HTTPStatus.NO_CONTENT)
    assert box.series == {UP: [Sample(1000, 1.5)]}
    (arrival,) = box.requests
    assert (arrival.unix_time, arrival.method, arrival.path, arrival.status) == (100.0, POST, WRITE, 204)
    assert (arrival.protocol, arrival.body_bytes) == (Protocol.REMOTE_WRITE_1, len(body))
    assert (arrival.decoded_bytes, arrival.series, arrival.samples) == (request_1().ByteSize(), 1, 1)
    assert box.violations == []


def test_remote_write_2_0_is_told_how_much_was_written() -> None:
    box = inbox()
    answer = box.answer(POST, "/api/v1/push", HEADERS_2, body_of(request_2()))
    assert answer == Answer(
        HTTPStatus.NO_CONTENT,
        "",
        {
            "X-Prometheus-Remote-Write-Samples-Written": "1",
            "X-Prometheus-Remote-Write-Histograms-Written": "0",
            "X-Prometheus-Remote-Write-Exemplars-Written": "0",
        },
    )
    assert box.series == {UP: [Sample(1000, 1.5, 900)]}
    assert box.families == {"up": Metadata("counter", "Help.", "")}


def test_a_partly_bad_2_0_request_is_a_400_that_tells_what_was_written() -> None:
    box = inbox()
    message = request_2()
    message.timeseries[0].samples.add(value=1.5, timestamp=1000)
    answer = box.answer(POST, WRITE, HEADERS_2, body_of(message))
    assert answer.status is HTTPStatus.BAD_REQUEST
    assert "a second sample for the time 1000 ms" in answer.text
    assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "1"
    assert box.requests[0].samples == 1
    assert box.violations == [answer.text.rstrip()]


def test_native_histograms_are_kept_apart() -> None:
    box = inbox()
    message = request_2()
    del message.timeseries[0].samples[:]
    message.timeseries[0].histograms.add(count_int=7, zero_count_int=7, sum=2.5, schema=3, timestamp=1000)
    answer = box.answer(POST, WRITE, HEADERS_2, body_of(message))
    assert answer.headers["X-Prometheus-Remote-Write-Histograms-Written"] == "1"
    assert box.histograms == {UP: [Histogram(1000, 7, 2.5, 3, zero_count=7)]}
    assert box.series == {}
    assert 'up{job="j"} count=7 sum=2.5 buckets=0 1970-01-01T00:00:01.000+00:00\n' in box.answer(GET, "/", {}, b"").text


def test_the_page_shows_a_pushed_native_histogram_beside_the_classic_one() -> None:
    box = inbox()
    histogram = metrics_pb2.Histogram(
        sample_count=3,
        sample_sum=1.5,
        positive_span=[metrics_pb2.BucketSpan(offset=0, length=2)],
        positive_delta=[1, 1],
    )
    family = metrics_pb2.MetricFamily(
        name="rtt", type="HISTOGRAM", metric=[metrics_pb2.Metric(histogram=histogram)]
    ).SerializeToString()
    kind = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
    body = bytes([len(family)]) + family
    assert box.answer(PUT, "/metrics/job/j", {"Content-Type": kind}, body).status is HTTPStatus.OK
    assert box.answer(GET, "/", {}, b"").text.splitlines()[1:] == [
        '# Pushgateway: {job="j"}, 2 series',
        'rtt_count{job="j"} 3',
        'rtt_sum{job="j"} 1.5',
        'rtt{job="j"} count=3 sum=1.5 buckets=2',
    ]


def test_a_receiver_of_1_0_answers_2_0_with_415_which_is_no_violation() -> None:
    box = inbox(remote_write_2=False)
    assert box.answer(POST, WRITE, HEADERS_2, body_of(request_2())).status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert box.answer(POST, WRITE, HEADERS_1, body_of(request_1())).status is HTTPStatus.NO_CONTENT
    assert box.violations == []
    assert [arrival.status for arrival in box.requests] == [415, 204]


def test_a_violation_is_answered_with_its_reason_and_remembered() -> None:
    box = inbox()
    answer = box.answer(POST, WRITE, HEADERS_1, b"nothing good")
    assert answer == Answer(HTTPStatus.BAD_REQUEST, "the body is not in snappy's block format\n")
    assert box.violations == ["the body is not in snappy's block format"]
    assert box.requests[0].text == "the body is not in snappy's block format"
    assert box.series == {}


def test_the_pushgateways_calls_change_the_groups() -> None:
    box = inbox()
    assert box.answer(PUT, "/metrics/job/j", {}, b"up 1\n") == Answer(HTTPStatus.OK)
    assert box.answer(POST, "/metrics/job@base64/ag==", {}, b"down 1\n") == Answer(HTTPStatus.OK)
    assert {key: set(group) for key, group in box.groups.items()} == {(("job", "j"),): {"up", "down"}}
    assert box.answer(PUT, "/metrics/job/j", {}, b"up").status is HTTPStatus.BAD_REQUEST
    assert box.answer(DELETE, "/metrics/job/j", {}, b"") == Answer(HTTPStatus.ACCEPTED)
    assert box.groups == {}
    assert [(arrival.method, arrival.samples, arrival.protocol) for arrival in box.requests] == [
        (PUT, 1, None),
        (POST, 1, None),
        (PUT, 0, None),
        (DELETE, 0, None),
    ]


@pytest.mark.parametrize(
    ("method", "path"),
    [(PUT, WRITE), (DELETE, WRITE), (POST, "/"), (POST, "/metrics/job"), (PUT, "/metrics/x"), (GET, "/nowhere")],
)
def test_what_nothing_takes_is_not_found(method: HTTPMethod, path: str) -> None:
    assert inbox().answer(method, path, HEADERS_1, body_of(request_1())).status is HTTPStatus.NOT_FOUND


def test_the_page_shows_the_newest_of_everything() -> None:
    box = inbox()
    box.answer(POST, WRITE, HEADERS_2, body_of(request_2()))
    stale = request_1(("__name__", "gone"), ("x", 'a "b"\n')).SerializeToString()
    body = stale.replace(bytes.fromhex("000000000000f83f"), bytes.fromhex("020000000000f07f"))
    box.answer(POST, WRITE, HEADERS_1, compressed(body))
    box.answer(PUT, "/metrics/job/j", {}, b'sockets{state="closed"} 4\n')
    assert box.answer(GET, "/", {}, b"").text == (
        "# remote write: 2 series, 1 families with metadata\n"
        'gone{x="a \\"b\\"\\n"} stale 1970-01-01T00:00:01.000+00:00\n'
        'up{job="j"} 1.5 1970-01-01T00:00:01.000+00:00\n'
        '# Pushgateway: {job="j"}, 1 series\n'
        'sockets{job="j",state="closed"} 4\n'
    )
    assert box.answer(GET, "/-/ready", {}, b"").status is HTTPStatus.OK
    assert len(box.requests) == 3  # looking is not recorded


def test_each_request_is_reported_in_a_line() -> None:
    lines: list[str] = []
    box = inbox(lines=lines)
    body = body_of(request_1())
    box.answer(POST, WRITE, HEADERS_1, body)
    box.answer(PUT, "/metrics/job/j", {}, b"up")
    box.answer(POST, WRITE, HEADERS_1, b"x")
    assert lines == [
        f"POST /api/v1/write: remote write 1.0, {len(body)} bytes ({request_1().ByteSize()} decoded), 1 samples: 204",
        "PUT /metrics/job/j: pushgateway, 2 bytes, 0 samples: 400, text format parsing error: the last line has no end",
        "POST /api/v1/write: remote write, 1 bytes, 0 samples: 400, the body is not in snappy's block format",
    ]


def test_waiting_ends_when_the_condition_holds_and_not_before() -> None:
    box = inbox()
    assert not box.wait(lambda: bool(box.series), 0.0)
    sender = threading.Thread(target=box.answer, args=(POST, WRITE, HEADERS_1, body_of(request_1())))
    sender.start()
    assert box.wait(lambda: bool(box.series), 10.0)
    sender.join()
