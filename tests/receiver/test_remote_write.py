"""Each rule of the two specifications, and that breaking it is refused with words that say so."""

import contextlib
from collections.abc import Callable, Sequence
from http import HTTPStatus

import pytest
import snappy
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.model import Protocol
from ss_pusher.proto import remote_write_v1_pb2 as v1
from ss_pusher.proto import remote_write_v2_pb2 as v2
from ss_pusher.receiver.native_histogram import Histogram
from ss_pusher.receiver.refused import RefusedError
from ss_pusher.receiver.remote_write import Metadata, Sample, Series, decode, protocol_of

HEADERS_1 = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "ss_pusher/1",
}
HEADERS_2 = HEADERS_1 | {
    "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "X-Prometheus-Remote-Write-Version": "2.0.0",
}


def compressed(encoded: bytes) -> bytes:
    body: bytes = snappy.compress(encoded)  # type: ignore[attr-defined,no-untyped-call] # python-snappy has no types
    return body


def body_of(message: Message) -> bytes:
    return compressed(message.SerializeToString())


def request_1(*labels: tuple[str, str]) -> v1.WriteRequest:
    """One series with one sample; without `labels` it is a good one."""
    pairs = labels or (("__name__", "up"), ("job", "j"))
    series = v1.TimeSeries(
        labels=[v1.Label(name=name, value=value) for name, value in pairs],
        samples=[v1.Sample(value=1.5, timestamp=1000)],
    )
    return v1.WriteRequest(timeseries=[series])


def request_2(
    symbols: Sequence[str] = ("", "__name__", "up", "job", "j", "Help."), refs: Sequence[int] = (1, 2, 3, 4)
) -> v2.Request:
    """One series with one sample; as it is by default a good one."""
    series = v2.TimeSeries(
        labels_refs=refs,
        samples=[v2.Sample(value=1.5, timestamp=1000, start_timestamp=900)],
        metadata=v2.Metadata(type="METRIC_TYPE_COUNTER", help_ref=5),
    )
    return v2.Request(symbols=symbols, timeseries=[series])


def assert_refused(protocol: Protocol, body: bytes, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as refused:
        decode(protocol, body)
    assert refused.value.status is HTTPStatus.BAD_REQUEST


# ---- headers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "protocol"),
    [
        (HEADERS_1, Protocol.REMOTE_WRITE_1),
        (HEADERS_1 | {"Content-Type": "application/x-protobuf;proto=prometheus.WriteRequest"}, Protocol.REMOTE_WRITE_1),
        (HEADERS_2, Protocol.REMOTE_WRITE_2),
        (
            HEADERS_2 | {"Content-Type": "application/x-protobuf; proto=io.prometheus.write.v2.Request"},
            Protocol.REMOTE_WRITE_2,
        ),
    ],
)
def test_the_headers_say_which_version_it_is(headers: dict[str, str], protocol: Protocol) -> None:
    assert protocol_of(headers) is protocol


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Content-Type": ""}, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        ({"Content-Type": "application/json"}, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        ({"Content-Type": "application/x-protobuf;proto=some.Other"}, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        ({"Content-Encoding": ""}, HTTPStatus.BAD_REQUEST),
        ({"Content-Encoding": "gzip"}, HTTPStatus.BAD_REQUEST),
        ({"X-Prometheus-Remote-Write-Version": ""}, HTTPStatus.BAD_REQUEST),
        ({"X-Prometheus-Remote-Write-Version": "1.0.0"}, HTTPStatus.BAD_REQUEST),
        ({"User-Agent": ""}, HTTPStatus.BAD_REQUEST),
    ],
)
@pytest.mark.parametrize("headers", [HEADERS_1, HEADERS_2])
def test_a_wrong_header_is_refused(headers: dict[str, str], changed: dict[str, str], status: HTTPStatus) -> None:
    (name,) = changed
    with pytest.raises(RefusedError, match=name) as refused:
        protocol_of(headers | changed)
    assert refused.value.status is status


@pytest.mark.parametrize("name", HEADERS_1)
def test_a_missing_header_is_refused(name: str) -> None:
    with pytest.raises(RefusedError, match=name):
        protocol_of({key: value for key, value in HEADERS_1.items() if key != name})


def test_versions_must_agree() -> None:
    with pytest.raises(RefusedError, match=r"'0\.1\.0', must be '2\.0\.0'"):
        protocol_of(HEADERS_2 | {"X-Prometheus-Remote-Write-Version": "0.1.0"})


# ---- what is taken --------------------------------------------------------------------------------------------------


def test_a_good_request_of_1_0_is_read() -> None:
    message = request_1()
    message.metadata.add(type="GAUGE", metric_family_name="up", help="Is it?", unit="bool")
    write = decode(Protocol.REMOTE_WRITE_1, body_of(message))
    assert write.series == [Series((("__name__", "up"), ("job", "j")), [Sample(1000, 1.5)], [])]
    assert write.metadata == {"up": Metadata("gauge", "Is it?", "bool")}
    assert write.decoded_bytes == message.ByteSize()


def test_a_good_request_of_2_0_is_read() -> None:
    write = decode(Protocol.REMOTE_WRITE_2, body_of(request_2()))
    assert write.series == [
        Series((("__name__", "up"), ("job", "j")), [Sample(1000, 1.5, 900)], [], Metadata("counter", "Help.", ""))
    ]


@pytest.mark.parametrize(
    ("protocol", "message"), [(Protocol.REMOTE_WRITE_1, request_1()), (Protocol.REMOTE_WRITE_2, request_2())]
)
def test_a_native_histogram_is_read(protocol: Protocol, message: v1.WriteRequest | v2.Request) -> None:
    (series,) = message.timeseries
    del series.samples[:]
    series.histograms.add(count_int=7, zero_count_int=7, sum=2.5, schema=3, timestamp=1000)
    series.histograms.add(count_float=7.5, zero_count_float=7.5, sum=3.5, schema=3, timestamp=2000)
    assert decode(protocol, body_of(message)).series[0].histograms == [
        Histogram(1000, 7, 2.5, 3, zero_count=7),
        Histogram(2000, 7.5, 3.5, 3, zero_count=7.5),
    ]


def test_2_0_allows_any_utf_8_in_names() -> None:
    message = request_2(symbols=("", "__name__", "große Zahl", "j.o.b", "j", "Help."))
    assert decode(Protocol.REMOTE_WRITE_2, body_of(message)).series[0].labels[0] == ("__name__", "große Zahl")


def test_a_stale_marker_keeps_its_bits() -> None:
    body = request_1().SerializeToString().replace(bytes.fromhex("000000000000f83f"), bytes.fromhex("020000000000f07f"))
    (series,) = decode(Protocol.REMOTE_WRITE_1, compressed(body)).series
    assert series.samples[0].stale
    assert series.samples[0].bits == 0x7FF0000000000002
    assert not Sample(1000, float("nan")).stale


# ---- bodies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [Protocol.REMOTE_WRITE_1, Protocol.REMOTE_WRITE_2])
def test_a_body_that_is_not_snappy_in_block_format_is_refused(protocol: Protocol) -> None:
    framed: bytes = snappy.StreamCompressor().add_chunk(b"x" * 100)  # type: ignore[attr-defined,no-untyped-call] # the same
    assert_refused(protocol, framed, "framed format")
    assert_refused(protocol, b"", "block format")
    assert_refused(protocol, b"plain text", "block format")
    assert_refused(protocol, body_of(request_1())[:-1], "block format")


@pytest.mark.parametrize("protocol", [Protocol.REMOTE_WRITE_1, Protocol.REMOTE_WRITE_2])
def test_a_body_that_claims_too_much_is_refused_before_it_is_decoded(protocol: Protocol) -> None:
    length_of_32_mib_and_one = b"\x81\x80\x80\x10"
    assert_refused(protocol, length_of_32_mib_and_one, "33554433 bytes; at most 33554432")
    assert_refused(protocol, b"\x80\x80\x80\x10", "block format")


@pytest.mark.parametrize("protocol", [Protocol.REMOTE_WRITE_1, Protocol.REMOTE_WRITE_2])
def test_a_body_that_is_no_such_message_is_refused(protocol: Protocol) -> None:
    assert_refused(protocol, compressed(b"\x0a\xff"), "the body is no ")
    assert_refused(protocol, compressed(b"\x7a\x01x"), "does not know")


def test_unknown_fields_deep_inside_are_refused() -> None:
    message = request_1()
    message.timeseries[0].samples[0].MergeFromString(b"\x20\x01")
    assert_refused(Protocol.REMOTE_WRITE_1, body_of(message), "does not know")


def test_one_version_is_not_mistaken_for_the_other() -> None:
    assert_refused(Protocol.REMOTE_WRITE_2, body_of(request_1()), "does not know")
    assert_refused(Protocol.REMOTE_WRITE_1, body_of(request_2()), "does not know")


def test_more_than_ten_thousand_series_are_refused() -> None:
    message = request_1()
    message.timeseries.extend([message.timeseries[0]] * 9_999)
    assert len(decode(Protocol.REMOTE_WRITE_1, body_of(message)).series) == 10_000
    message.timeseries.append(message.timeseries[0])
    assert_refused(Protocol.REMOTE_WRITE_1, body_of(message), "10001 series")


# ---- series ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([("job", "j")], "'__name__' is missing"),
        ([("__name__", "")], "'__name__' has an empty value"),
        ([("__name__", "up"), ("job", "")], "'job' has an empty value"),
        ([("", "x"), ("__name__", "up")], "'' is no valid name"),
        ([("job", "j"), ("__name__", "up")], "'job' stands before '__name__'"),
        ([("__name__", "up"), ("job", "a"), ("job", "b")], "'job' is repeated"),
    ],
)
def test_labels_against_the_rules_are_refused_by_both(labels: list[tuple[str, str]], words: str) -> None:
    assert_refused(Protocol.REMOTE_WRITE_1, body_of(request_1(*labels)), words)
    table = ["", *dict.fromkeys(word for pair in labels for word in pair if word), "Help."]
    message = request_2(table, [table.index(word) for pair in labels for word in pair])
    message.timeseries[0].metadata.help_ref = len(table) - 1
    assert_refused(Protocol.REMOTE_WRITE_2, body_of(message), words)


@pytest.mark.parametrize(
    "labels",
    [
        [("__name__", "1up")],
        [("__name__", "up.down")],
        [("__name__", "up"), ("j.o.b", "j")],
        [("__name__", "up"), ("job:", "j")],
        [("__name__", "ü")],
    ],
)
def test_1_0_refuses_names_that_are_not_classic(labels: list[tuple[str, str]]) -> None:
    assert_refused(Protocol.REMOTE_WRITE_1, body_of(request_1(*labels)), "no valid name")


def test_1_0_takes_colons_in_a_metric_name() -> None:
    decode(Protocol.REMOTE_WRITE_1, body_of(request_1(("__name__", "job:up:sum"))))


@pytest.mark.parametrize("message", [request_1(), request_2()])
def test_samples_and_histograms_do_not_mix_and_one_must_be_there(message: v1.WriteRequest | v2.Request) -> None:
    protocol = Protocol.REMOTE_WRITE_1 if isinstance(message, v1.WriteRequest) else Protocol.REMOTE_WRITE_2
    (series,) = message.timeseries
    series.histograms.add(timestamp=1000)
    assert_refused(protocol, body_of(message), "either samples or histograms")
    del series.samples[:]
    del series.histograms[:]
    assert_refused(protocol, body_of(message), "either samples or histograms")


def test_metadata_of_1_0_needs_a_name() -> None:
    message = v1.WriteRequest(metadata=[v1.MetricMetadata(type="GAUGE")])
    assert_refused(Protocol.REMOTE_WRITE_1, body_of(message), "'' is no name of a metric family")


# ---- only 2.0 -------------------------------------------------------------------------------------------------------


def _clear_type(series: v2.TimeSeries) -> None:
    series.metadata.type = v2.Metadata.METRIC_TYPE_UNSPECIFIED


def _clear_help(series: v2.TimeSeries) -> None:
    series.metadata.help_ref = 0


def _refer_to_no_unit(series: v2.TimeSeries) -> None:
    series.metadata.unit_ref = 6


def _start_later(series: v2.TimeSeries) -> None:
    series.samples[0].start_timestamp = 1001


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_clear_type, "lacks a type"),
        (_clear_help, "lacks a help text"),
        (_refer_to_no_unit, "beyond the 6 symbols"),
        (_start_later, "starts later"),
    ],
)
def test_2_0_wants_metadata_and_starts_that_make_sense(change: Callable[[v2.TimeSeries], None], words: str) -> None:
    message = request_2()
    change(message.timeseries[0])
    assert_refused(Protocol.REMOTE_WRITE_2, body_of(message), words)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (request_2(symbols=["x", "__name__", "up", "job", "j", "Help."]), "first symbol"),
        (request_2(symbols=[]), "first symbol"),
        (request_2(symbols=["", "__name__", "up", "job", "up", "Help."]), "symbol is repeated"),
        (request_2(refs=[1, 2, 3]), "must be pairs"),
        (request_2(refs=[1, 2, 3, 6]), "beyond the 6 symbols"),
    ],
)
def test_the_table_of_symbols_has_its_rules(message: v2.Request, words: str) -> None:
    assert_refused(Protocol.REMOTE_WRITE_2, body_of(message), words)


@given(st.binary(max_size=60))
def test_no_bytes_make_it_fail(encoded: bytes) -> None:
    for protocol in (Protocol.REMOTE_WRITE_1, Protocol.REMOTE_WRITE_2):
        for body in (encoded, compressed(encoded)):
            with contextlib.suppress(RefusedError):
                decode(protocol, body)
