"""The Pushgateway's calls: each is put to the real one too, and must be answered alike."""

import contextlib
import gzip
import io
import math
from collections.abc import Iterator, Mapping
from http import HTTPMethod

import pytest
import requests
from google.protobuf import proto
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.model import Labels
from ss_pusher.proto import metrics_pb2
from ss_pusher.receiver.native_histogram import Histogram
from ss_pusher.receiver.pushgateway import Groups, PushedFamily, grouping_key
from ss_pusher.receiver.refused import RefusedError
from tests.servers import Pushgateway

PUT, POST, DELETE = HTTPMethod.PUT, HTTPMethod.POST, HTTPMethod.DELETE
JOB = "/metrics/job/j"
GZIP = {"Content-Encoding": "gzip"}
DELIMITED = {
    "Content-Type": "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
}

TEXT = b"""\
# HELP sent_bytes_total Payload.
# TYPE sent_bytes_total counter
sent_bytes_total{direction="in",job="mine"} 5
sent_bytes_total{direction="out"} 1.5e+09
# TYPE rtt_seconds histogram
rtt_seconds_bucket{le="0.5"} 1
rtt_seconds_bucket{le="+Inf"} 3
rtt_seconds_sum 4.5
rtt_seconds_count 3
# TYPE plain counter
plain 7
untyped{a="b"} 8
"""


def series(name: str, **labels: str) -> Labels:
    return tuple(sorted({"__name__": name, "job": "j", **labels}.items()))


def delimited(*families: metrics_pb2.MetricFamily) -> bytes:
    output = io.BytesIO()
    for family in families:
        proto.serialize_length_prefixed(family, output)
    return output.getvalue()


GAUGE = metrics_pb2.MetricFamily(
    name="sockets", help="Sockets.", type="GAUGE", metric=[metrics_pb2.Metric(gauge=metrics_pb2.Gauge(value=4))]
)


@pytest.mark.parametrize(("headers", "body"), [({}, TEXT), (GZIP, gzip.compress(TEXT))])
def test_a_push_leaves_its_families_under_the_labels_of_its_group(headers: Mapping[str, str], body: bytes) -> None:
    groups = Groups(10)
    assert groups.change(PUT, JOB, headers, body) == 8
    assert groups.groups == {
        (("job", "j"),): {
            "sent_bytes_total": PushedFamily(
                "counter",
                "Payload.",
                {series("sent_bytes_total", direction="in"): 5.0, series("sent_bytes_total", direction="out"): 1.5e9},
            ),
            "rtt_seconds": PushedFamily(
                "histogram",
                "",
                {
                    series("rtt_seconds_bucket", le="0.5"): 1.0,
                    series("rtt_seconds_bucket", le="+Inf"): 3.0,
                    series("rtt_seconds_sum"): 4.5,
                    series("rtt_seconds_count"): 3.0,
                },
            ),
            "plain": PushedFamily("counter", "", {series("plain"): 7.0}),
            "untyped": PushedFamily("untyped", "", {series("untyped", a="b"): 8.0}),
        }
    }


def test_delimited_protobuf_is_read() -> None:
    histogram = metrics_pb2.MetricFamily(
        name="rtt_seconds",
        help="Rtt.",
        type="HISTOGRAM",
        metric=[
            metrics_pb2.Metric(
                label=[metrics_pb2.LabelPair(name="family", value="ipv4")],
                histogram=metrics_pb2.Histogram(
                    sample_count=3,
                    sample_sum=4.5,
                    bucket=[
                        metrics_pb2.Bucket(cumulative_count=1, upper_bound=0.5),
                        metrics_pb2.Bucket(cumulative_count=3, upper_bound=math.inf),
                    ],
                    schema=1,
                    positive_span=[metrics_pb2.BucketSpan(offset=-2, length=2)],
                    positive_delta=[1, 1],
                ),
            )
        ],
    )
    groups = Groups(10)
    groups.change(PUT, JOB, DELIMITED, delimited(GAUGE, histogram))
    assert groups.groups[(("job", "j"),)] == {
        "sockets": PushedFamily("gauge", "Sockets.", {series("sockets"): 4.0}),
        "rtt_seconds": PushedFamily(
            "histogram",
            "Rtt.",
            {
                series("rtt_seconds_bucket", family="ipv4", le="0.5"): 1.0,
                series("rtt_seconds_bucket", family="ipv4", le="+Inf"): 3.0,
                series("rtt_seconds_sum", family="ipv4"): 4.5,
                series("rtt_seconds_count", family="ipv4"): 3.0,
            },
            {series("rtt_seconds", family="ipv4"): Histogram(0, 3, 4.5, 1, positive={-2: 1, -1: 2})},
        ),
    }


def test_put_replaces_the_group_and_post_only_families_of_the_same_name() -> None:
    groups = Groups(10)
    groups.change(PUT, JOB, {}, b"a 1\nb 1\n")
    groups.change(POST, JOB, {}, b'b{x="y"} 2\nc 2\n')
    (group,) = groups.groups.values()
    assert {name: list(family.samples.values()) for name, family in group.items()} == {"a": [1], "b": [2], "c": [2]}
    groups.change(PUT, JOB, {}, b"d 3\n")
    assert set(groups.groups[(("job", "j"),)]) == {"d"}
    groups.change(PUT, JOB, {}, b"")
    assert groups.groups == {(("job", "j"),): {}}


def test_a_group_may_change_the_type_of_its_own_family() -> None:
    groups = Groups(10)
    for kind in ("counter", "gauge"):
        groups.change(PUT, JOB, {}, f"# TYPE a {kind}\na 1\n".encode())
    assert groups.groups[(("job", "j"),)]["a"].type == "gauge"


def test_delete_removes_exactly_one_group() -> None:
    groups = Groups(10)
    for path in (JOB, f"{JOB}/a/b"):
        groups.change(PUT, path, {}, b"up 1\n")
    groups.change(DELETE, JOB, {}, b"")
    groups.change(DELETE, "/metrics/job/never/seen/x", {}, b"")
    assert list(groups.groups) == [(("a", "b"), ("job", "j"))]


def test_only_the_groups_pushed_to_last_are_kept() -> None:
    groups = Groups(2)
    for job in "abac":
        groups.change(PUT, f"/metrics/job/{job}", {}, b"up 1\n")
    assert list(groups.groups) == [(("job", "a"),), (("job", "c"),)]


def test_a_refused_push_changes_nothing() -> None:
    groups = Groups(2)
    groups.change(PUT, JOB, {}, b"up 1\n")
    with pytest.raises(RefusedError):
        groups.change(PUT, JOB, {}, b"up 2")
    assert groups.groups[(("job", "j"),)]["up"].samples == {series("up"): 1.0}


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/metrics/job/j", {"job": "j"}),
        ("/metrics/job/j/instance/10.0.0.1:80", {"job": "j", "instance": "10.0.0.1:80"}),
        ("/metrics/job/a%20b/x/%C3%BC", {"job": "a b", "x": "ü"}),
        ("/metrics/job/j/path@base64/L3Nydi94eQ", {"job": "j", "path": "/srv/xy"}),
        ("/metrics/job/j/path@base64/L3Nydi94eQ==", {"job": "j", "path": "/srv/xy"}),
        ("/metrics/job@base64/Pz8_Pj4-/x/y", {"job": "???>>>", "x": "y"}),
        ("/metrics/job/j/instance@base64/=", {"job": "j", "instance": ""}),
    ],
)
def test_the_path_is_the_grouping_key(path: str, key: dict[str, str]) -> None:
    assert grouping_key(path) == tuple(sorted(key.items()))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/metrics/job/j/instance", "pairs"),
        ("/metrics/job/j/instance/", "empty: that is written instance@base64/="),
        ("/metrics/job/a%2Fb", "pairs"),
        ("/metrics/job/j/1st/x", "no label name"),
        ("/metrics/job/j/x/a/x/b", "stands there twice"),
        ("/metrics/job/j/x@base64/%2B%2B", "pairs|base64"),
        ("/metrics/job/j/x@base64/_w", "base64"),
        ("/metrics/job@base64/=", "job that has a name"),
    ],
)
def test_a_path_that_is_no_grouping_key_is_refused(path: str, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        grouping_key(path)


TAKEN: list[tuple[Mapping[str, str], bytes]] = [
    ({}, b""),
    ({}, TEXT),
    (GZIP, gzip.compress(TEXT)),
    ({"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}, b"up 1\n"),
    ({"Content-Type": "application/x-www-form-urlencoded"}, b"up 1\n"),
    (DELIMITED, delimited(GAUGE)),
]
REFUSED: list[tuple[Mapping[str, str], bytes]] = [
    ({}, b"up 1"),
    ({}, b"up 1\r\n"),
    ({}, b"up 1 1750000000000\n"),
    ({}, b'# TYPE up_total counter\nup_total 1 # {trace="x"} 1\n'),
    ({}, b"up 1\nup 2\n"),
    ({}, b'up{job="a"} 1\nup{job="b"} 2\n'),
    ({}, b"# TYPE up gauge\n# TYPE up gauge\nup 1\n"),
    ({}, b"# TYPE elsewhere gauge\nelsewhere 1\n"),
    ({}, b"up one\n"),
    ({}, b"up{a=b} 1\n"),
    ({}, b'up{a="\xff"} 1\n'),
    (GZIP, b"up 1\n"),
    (DELIMITED, delimited(GAUGE)[:-1]),
]
# Version 1.5.1 takes these by mistake, and the second leaves it in a state in which it refuses every other push.
REFUSED_ONLY_HERE: list[tuple[Mapping[str, str], bytes]] = [
    (GZIP, gzip.compress(TEXT)[:-9]),
    (DELIMITED, delimited(GAUGE, GAUGE)),
]


def seeded(server: Pushgateway | None) -> Groups:
    """Both hold the counter `elsewhere` in another group."""
    groups = Groups(10)
    groups.change(PUT, "/metrics/job/other", {}, b"# TYPE elsewhere counter\nelsewhere 1\n")
    if server is not None:
        url = f"{server.url}/metrics/job/other"
        requests.put(url, data=b"# TYPE elsewhere counter\nelsewhere 1\n", timeout=10).raise_for_status()
    return groups


@pytest.mark.parametrize(("headers", "body"), REFUSED + REFUSED_ONLY_HERE)
def test_what_a_pushgateway_refuses_is_refused(headers: Mapping[str, str], body: bytes) -> None:
    with pytest.raises(RefusedError):
        seeded(None).change(PUT, JOB, headers, body)


@pytest.mark.parametrize(("headers", "body"), TAKEN)
def test_what_a_pushgateway_takes_is_taken(headers: Mapping[str, str], body: bytes) -> None:
    seeded(None).change(PUT, JOB, headers, body)


def test_the_real_pushgateway_judges_the_same(pushgateway: Pushgateway) -> None:
    seeded(pushgateway)

    def statuses(cases: list[tuple[Mapping[str, str], bytes]]) -> Iterator[tuple[bytes, int]]:
        for headers, body in cases:
            url = pushgateway.url + JOB
            yield body, requests.put(url, data=body, headers=dict(headers), timeout=10).status_code

    assert list(statuses(TAKEN)) == [(body, 200) for _, body in TAKEN]
    assert list(statuses(REFUSED)) == [(body, 400) for _, body in REFUSED]


@pytest.mark.parametrize("headers", [{"Content-Encoding": "br"}, {"Content-Type": "application/vnd.google.protobuf"}])
def test_formats_that_are_not_known_are_refused(headers: Mapping[str, str]) -> None:
    with pytest.raises(RefusedError, match="Content-"):
        Groups(10).change(PUT, JOB, headers, b"")


def test_a_gzip_bomb_is_refused_without_being_unpacked() -> None:
    with pytest.raises(RefusedError, match="more than 33554432 bytes"):
        Groups(10).change(PUT, JOB, GZIP, gzip.compress(bytes(40 * 1024 * 1024)))


@given(st.text(st.sampled_from('# TYPEHELPab_{}=",\\\n\t 0.1eE+-NaInf'), max_size=60))
def test_no_text_makes_it_fail(text: str) -> None:
    with contextlib.suppress(RefusedError):
        Groups(10).change(PUT, JOB, {}, text.encode())


@given(st.binary(max_size=60))
def test_no_bytes_make_it_fail(body: bytes) -> None:
    for headers in ({}, GZIP, DELIMITED):
        with contextlib.suppress(RefusedError):
            Groups(10).change(PUT, JOB, headers, body)
