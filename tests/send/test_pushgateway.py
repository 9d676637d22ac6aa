"""Pushes to a real Pushgateway, and to scripted ones that are old or broken."""

import gzip
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.model import Protocol, Request
from ss_pusher.send.http import Client
from ss_pusher.send.pushgateway import SLOW_AFTER, FormatChoice, Pushgateway, group_url
from ss_pusher.send.session import HttpSettings
from ss_pusher.send.verdict import Accepted, Held, Rejected, Retry, Verdict
from tests import servers
from tests.send.endpoints import Clock
from tests.send.scripted import Scripted, reply, scripted
from tests.servers import labels

LONG = 20.0


def text(body: str) -> Request:
    return Request(Protocol.TEXT, body.encode(), body.count("\n"), 1000, 1000)


def never() -> Request:
    raise AssertionError("nobody asked for text")


@contextmanager
def a_group(
    base: str, grouping_key: Mapping[str, str] | None = None, job: str = "j", **options: Any
) -> Iterator[Pushgateway]:
    url = group_url(base, job, grouping_key or {})
    arguments: dict[str, Any] = {"choice": FormatChoice(Protocol.TEXT), "as_text": never, "now": time.time, **options}
    sink = Pushgateway(Client(HttpSettings()), url, **arguments)
    try:
        yield sink
    finally:
        sink.close()


def delimited() -> Request:
    """io.prometheus.client.Histogram: count 3, sum 1.5, schema 3, one span of one bucket, which holds all 3."""
    histogram = b"\x08\x03" + b"\x11" + struct.pack("<d", 1.5) + b"\x28\x06" + b"\x62\x04\x08\x00\x10\x01" + b"\x68\x06"
    metric = bytes([0x3A, len(histogram)]) + histogram
    family = b"\x0a\x04ss_h" + b"\x18\x04" + bytes([0x22, len(metric)]) + metric
    return Request(Protocol.DELIMITED, bytes([len(family)]) + family, 1, 1000, 1000)


def soon() -> float:
    return time.monotonic() + LONG


def put(base: str, body: str, grouping_key: Mapping[str, str] | None = None, job: str = "j") -> Verdict:
    with a_group(base, grouping_key, job) as sink:
        return sink.push(text(body), soon())


def own(metrics: Mapping[servers.Labels, float]) -> dict[servers.Labels, float]:
    """Only our metrics, not the gateway's."""
    return {key: value for key, value in metrics.items() if dict(key)["__name__"].startswith("ss_")}


# ---- the real one ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "",
        "/",
        "a/b",
        "//",
        " ",
        "ünïcode €",
        "a+b",
        "%2F",
        "a?b#c",
        ".",
        "..",
        "...",
        "=",
        "@base64",
        "a\nb",
        "x" * 500,
    ],
)
def test_any_value_can_stand_in_the_grouping_key(pushgateway: servers.Pushgateway, value: str) -> None:
    key = {"instance": value, "zone": "z"}

    assert put(pushgateway.url, "ss_m 1\n", key) == Accepted()
    assert [group["labels"] for group in pushgateway.groups()] == [{"job": "j", **key}]
    assert own(pushgateway.metrics()) == {labels("ss_m", job="j", **key): 1.0}


@pytest.mark.parametrize("job", ["a/b", "ü", "..", "a b"])
def test_any_job_can_be_named_but_the_empty_one(pushgateway: servers.Pushgateway, job: str) -> None:
    assert put(pushgateway.url, "ss_m 1\n", job=job) == Accepted()
    assert [group["labels"] for group in pushgateway.groups()] == [{"job": job}]


def test_a_prefix_before_the_path_is_kept() -> None:
    assert group_url("http://gw/prefix/", "j", {"b": "2", "a": "1"}) == "http://gw/prefix/metrics/job/j/a/1/b/2"


@given(st.dictionaries(st.from_regex(r"\A[a-z_]+\Z"), st.text(st.characters(codec="utf-8"))), st.text(min_size=1))
def test_a_grouping_key_never_breaks_out_of_its_path(key: dict[str, str], job: str) -> None:
    path = group_url("http://gw", job.encode(errors="ignore").decode() or "j", key).removeprefix("http://gw/metrics/")
    segments = path.split("/")

    assert len(segments) == 2 * (1 + len(key))
    assert all(segment.isascii() and segment not in ("", ".", "..") for segment in segments)
    assert not set(path) & set("%?#+ ")


def test_put_replaces_the_group_and_post_only_its_families(pushgateway: servers.Pushgateway) -> None:
    with a_group(pushgateway.url) as whole, a_group(pushgateway.url, method=lambda: "POST") as part:
        whole.push(text("ss_a 1\nss_b 1\n"), soon())
        whole.push(text("ss_b 2\nss_c 2\n"), soon())
        part.push(text("ss_c 3\n"), soon())

    assert own(pushgateway.metrics()) == {
        labels("ss_b", job="j", instance=""): 2.0,
        labels("ss_c", job="j", instance=""): 3.0,
    }


def test_other_groups_are_left_alone(pushgateway: servers.Pushgateway) -> None:
    put(pushgateway.url, "ss_a 1\n", {"instance": "one"})
    put(pushgateway.url, "ss_a 2\n", {"instance": "two"})

    assert own(pushgateway.metrics()) == {
        labels("ss_a", job="j", instance="one"): 1.0,
        labels("ss_a", job="j", instance="two"): 2.0,
    }


def test_delimited_protobuf_carries_a_native_histogram(pushgateway: servers.Pushgateway) -> None:
    with a_group(pushgateway.url, choice=FormatChoice(Protocol.DELIMITED)) as sink:
        assert sink.push(delimited(), soon()) == Accepted()

    (group,) = pushgateway.groups()
    assert group["ss_h"]["type"] == "HISTOGRAM"
    assert group["ss_h"]["metrics"][0]["count"] == "3"


def test_the_reason_of_a_refusal_is_told(pushgateway: servers.Pushgateway) -> None:
    verdict = put(pushgateway.url, "ss_m 1 1000\n")

    assert isinstance(verdict, Rejected)
    assert verdict.words == (
        "400 Bad Request: pushed metrics are invalid or inconsistent with existing metrics: "
        "pushed metrics must not have timestamps"
    )


def test_the_group_is_deleted_at_the_end_where_that_is_wanted(pushgateway: servers.Pushgateway) -> None:
    put(pushgateway.url, "ss_m 1\n", {"instance": "another"})
    with a_group(pushgateway.url, {"instance": "a/b"}, on_exit="delete") as sink:
        sink.push(text("ss_m 1\n"), soon())
        assert len(pushgateway.groups()) == 2
        assert sink.finish(soon()) == Accepted()

    assert [group["labels"]["instance"] for group in pushgateway.groups()] == ["another"]


def test_the_group_is_kept_otherwise(pushgateway: servers.Pushgateway) -> None:
    with a_group(pushgateway.url) as sink:
        sink.push(text("ss_m 1\n"), soon())
        assert sink.finish(soon()) == Accepted()

    assert len(pushgateway.groups()) == 1


def test_it_survives_a_restart_of_the_gateway(pushgateway: servers.Pushgateway) -> None:
    # What restarts is the connection: the gateway closes it, and the next push opens another.
    with a_group(pushgateway.url) as sink:
        sink.push(text("ss_m 1\n"), soon())
        sink.close()
        assert sink.push(text("ss_m 2\n"), soon()) == Accepted()

    assert own(pushgateway.metrics()) == {labels("ss_m", job="j", instance=""): 2.0}


# ---- scripted ones --------------------------------------------------------------------------------------------------


def bodies(server: Scripted) -> list[tuple[str, bytes]]:
    """The encoding and the content of each push."""
    return [
        (e := r.headers.get("content-encoding", ""), gzip.decompress(r.body) if e else r.body) for r in server.requests
    ]


def test_a_push_is_compressed_and_says_what_it_is() -> None:
    with scripted(reply()) as server, a_group(server.url) as sink:
        sink.push(text("ss_m 1\n"), soon())

    (received,) = server.requests
    assert (received.method, received.path) == ("PUT", "/push/metrics/job/j")
    assert received.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert bodies(server) == [("gzip", b"ss_m 1\n")]


@pytest.mark.parametrize("status", [400, 415])
def test_a_gateway_too_old_for_gzip_gets_it_plain_from_then_on(status: int) -> None:
    refusal = reply(status, b'text format parsing error in line 1: invalid metric name "\x1f"')
    with scripted(refusal, reply()) as server, a_group(server.url) as sink:
        assert sink.push(text("ss_m 1\n"), soon()) == Accepted()
        assert sink.push(text("ss_m 2\n"), soon()) == Accepted()

    assert bodies(server) == [("gzip", b"ss_m 1\n"), ("", b"ss_m 1\n"), ("", b"ss_m 2\n")]


def test_a_refusal_that_is_not_about_gzip_changes_nothing() -> None:
    with (
        scripted(reply(400, b"inconsistent"), reply(400, b"inconsistent"), reply()) as server,
        a_group(server.url) as sink,
    ):
        assert isinstance(sink.push(text("ss_m 1\n"), soon()), Rejected)
        sink.push(text("ss_m 2\n"), soon())

    assert [encoding for encoding, _ in bodies(server)] == ["gzip", "", "gzip"]


def test_a_gateway_that_took_gzip_once_is_not_asked_twice() -> None:
    with scripted(reply(), reply(400, b"inconsistent")) as server, a_group(server.url) as sink:
        sink.push(text("ss_m 1\n"), soon())
        assert isinstance(sink.push(text("ss_m 2\n"), soon()), Rejected)

    assert len(server.requests) == 2


TEXT = "text/plain; version=0.0.4; charset=utf-8"
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


def formats(server: Scripted) -> list[tuple[str, str]]:
    """The content type and the encoding of each push."""
    return [(r.headers["content-type"], r.headers.get("content-encoding", "")) for r in server.requests]


@pytest.mark.parametrize("status", [400, 415])
def test_a_gateway_that_knows_no_protobuf_gets_text_from_then_on(status: int, caplog: pytest.LogCaptureFixture) -> None:
    refusal = reply(status, b"text format parsing error in line 1")
    choice = FormatChoice(Protocol.DELIMITED)
    texts = iter([text("ss_m 1\n"), text("ss_m 2\n")])
    with (
        scripted(refusal, refusal, reply()) as server,
        a_group(server.url, choice=choice, as_text=lambda: next(texts)) as sink,
    ):
        assert choice.current() is Protocol.DELIMITED
        assert sink.push(delimited(), soon()) == Accepted()
        assert choice.current() is Protocol.TEXT
        assert sink.push(delimited(), soon()) == Accepted()  # one that was encoded before it was known
        assert sink.push(text("ss_m 3\n"), soon()) == Accepted()

    assert formats(server) == [(PROTOBUF, "gzip"), (PROTOBUF, ""), (TEXT, "gzip"), (TEXT, "gzip"), (TEXT, "gzip")]
    assert [body for _, body in bodies(server)[2:]] == [b"ss_m 1\n", b"ss_m 2\n", b"ss_m 3\n"]
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{server.url}/metrics/job/j takes only text, without native histograms: text format parsing error in line 1"
    )


def test_a_gateway_that_knows_neither_protobuf_nor_gzip_is_found_out_at_once() -> None:
    refusal = reply(400, b"text format parsing error in line 1")
    choice = FormatChoice(Protocol.DELIMITED)
    with (
        scripted(refusal, refusal, refusal, reply()) as server,
        a_group(server.url, choice=choice, as_text=lambda: text("ss_m 1\n")) as sink,
    ):
        assert sink.push(delimited(), soon()) == Accepted()
        assert sink.push(delimited(), soon()) == Accepted()

    assert formats(server) == [(PROTOBUF, "gzip"), (PROTOBUF, ""), (TEXT, "gzip"), (TEXT, ""), (TEXT, "")]


def test_a_refusal_that_text_meets_too_is_not_about_protobuf() -> None:
    refusal = reply(400, b"inconsistent")
    choice = FormatChoice(Protocol.DELIMITED)
    with (
        scripted(*[refusal] * 4, reply()) as server,
        a_group(server.url, choice=choice, as_text=lambda: text("ss_m 1\n")) as sink,
    ):
        assert isinstance(sink.push(delimited(), soon()), Rejected)
        assert choice.current() is Protocol.DELIMITED
        assert sink.push(delimited(), soon()) == Accepted()

    assert formats(server)[4:] == [(PROTOBUF, "gzip")]


def test_a_gateway_that_took_protobuf_once_is_not_asked_for_text() -> None:
    with (
        scripted(reply(), reply(400, b"inconsistent")) as server,
        a_group(server.url, choice=FormatChoice(Protocol.DELIMITED)) as sink,
    ):
        sink.push(delimited(), soon())
        assert isinstance(sink.push(delimited(), soon()), Rejected)

    assert len(server.requests) == 2


def test_after_refusals_in_a_row_it_slows_down_until_one_is_taken() -> None:
    refusal = reply(405, b"why")
    scripts = [refusal] * (SLOW_AFTER + 1) + [reply(), refusal]
    with scripted(*scripts) as server, a_group(server.url) as sink:
        verdicts = [type(sink.push(text("ss_m 1\n"), soon())) for _ in scripts]

    assert verdicts == [Rejected, Rejected, Held, Held, Accepted, Rejected]


def test_a_gateway_that_is_down_is_a_retry() -> None:
    assert isinstance(put("http://127.0.0.1:1", "ss_m 1\n"), Retry)


@pytest.mark.parametrize(("left", "lingered"), [(60, 30.0), (11, 10.0), (0.5, 0.0)])
def test_the_last_values_are_left_for_a_while_but_never_beyond_the_deadline(left: float, lingered: float) -> None:
    waits: list[float] = []
    clock = Clock()
    with (
        scripted(reply(202)) as server,
        a_group(server.url, on_exit="delete", linger=30.0, wait=waits.append, clock=clock) as sink,
    ):
        clock.now = time.monotonic()
        assert sink.finish(clock.now + left) == Accepted()

    assert waits == [pytest.approx(lingered)]
    assert server.requests[0].method == "DELETE"
