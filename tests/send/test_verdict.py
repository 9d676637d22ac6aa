"""What each answer means for the data that was sent."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.model import Protocol
from ss_pusher.send.exchange import Answer, Failure
from ss_pusher.send.verdict import (
    MAX_RETRY_AFTER,
    Accepted,
    Downgrade,
    Held,
    Rejected,
    Retry,
    Split,
    Verdict,
    judge,
    retry_after,
)

NOW = 1_800_000_000.0
V1 = Protocol.REMOTE_WRITE_1
V2 = Protocol.REMOTE_WRITE_2
WRITTEN = {
    "x-prometheus-remote-write-samples-written": "7",
    "x-prometheus-remote-write-histograms-written": "2",
    "x-prometheus-remote-write-exemplars-written": "1",
}


def verdict(protocol: Protocol, status: int, text: str = "why", **headers: str) -> Verdict:
    return judge(protocol, Answer(status, {k.replace("_", "-"): v for k, v in headers.items()}, text), NOW)


@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (408, "Request Timeout"),
        (429, "Too Many Requests"),
        (500, "Internal Server Error"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (599, "status not registered"),
        (101, "Switching Protocols"),
        (999, "status not registered"),
    ],
)
def test_what_may_pass_is_tried_again(protocol: Protocol, status: int, phrase: str) -> None:
    assert verdict(protocol, status) == Retry(f"{status} {phrase}: why")
    assert verdict(protocol, status, "", retry_after="17") == Retry(f"{status} {phrase}", 17)


def test_no_answer_is_tried_again() -> None:
    assert judge(V1, Failure("Connection refused"), NOW) == Retry("Connection refused")


@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("status", [401, 403, 404, 407])
def test_what_a_setting_mends_is_held(protocol: Protocol, status: int) -> None:
    assert isinstance(verdict(protocol, status), Held)


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_redirect_is_held_and_says_where_to(protocol: Protocol) -> None:
    assert verdict(protocol, 308, "", location="https://else/") == Held(
        "308 Permanent Redirect: the address has moved to https://else/"
    )


@pytest.mark.parametrize("status", [402, 405, 406, 410, 418, 451])
@pytest.mark.parametrize("protocol", list(Protocol))
def test_other_refusals_drop_the_batch(protocol: Protocol, status: int) -> None:
    result = verdict(protocol, status)

    assert isinstance(result, Rejected)
    assert result.reason == "refused"
    assert result.words.endswith(": why")


@pytest.mark.parametrize("status", [200, 202, 204])
def test_success_is_accepted(status: int) -> None:
    assert verdict(V1, status) == Accepted()
    assert verdict(Protocol.TEXT, status) == Accepted()
    assert judge(V2, Answer(status, WRITTEN), NOW) == Accepted(9)


def test_one_of_the_written_headers_is_enough() -> None:
    for name, value in WRITTEN.items():
        expected = 0 if "exemplars" in name else int(value)
        assert judge(V2, Answer(204, {name: value}), NOW) == Accepted(expected)


def test_success_without_written_headers_is_a_server_that_dropped_what_it_did_not_know() -> None:
    assert isinstance(verdict(V2, 204), Downgrade)


@pytest.mark.parametrize("value", ["", "many", "-3", "1e3", "٣", "9" * 30])
def test_a_count_that_is_none_counts_nothing(value: str) -> None:
    assert judge(V2, Answer(200, {"x-prometheus-remote-write-samples-written": value}), NOW) == Accepted(0)


def test_an_unsupported_media_type_means_1() -> None:
    assert verdict(V2, 415) == Downgrade("415 Unsupported Media Type: why")
    assert verdict(V1, 415) == Rejected("refused", "415 Unsupported Media Type: why")


@pytest.mark.parametrize(
    "text",
    [
        "unsupported content type",
        "proto: illegal wireType 7",
        "cannot unmarshal WriteRequest",
        "unexpected Content-Type: application/x-protobuf;proto=...",
        "illegal tag 0 (wire type 0)",
    ],
)
def test_a_bad_request_that_says_it_cannot_read_2_means_1(text: str) -> None:
    assert isinstance(verdict(V2, 400, text), Downgrade)
    assert isinstance(verdict(V1, 400, text), Split)


@pytest.mark.parametrize("status", [400, 409, 422])
@pytest.mark.parametrize("protocol", [V1, V2])
def test_one_bad_sample_may_have_spoilt_the_batch(protocol: Protocol, status: int) -> None:
    result = verdict(protocol, status, "out of order sample")

    assert isinstance(result, Split)
    assert result.reason == "refused"


def test_a_receiver_of_2_that_says_what_it_wrote_has_kept_the_good_ones() -> None:
    answer = Answer(400, WRITTEN, "unsupported content type is among the bad samples")

    assert judge(V2, answer, NOW) == Rejected("refused", f"400 Bad Request: {answer.text}", written=9)


def test_too_large_is_split() -> None:
    assert verdict(V1, 413) == verdict(V2, 413) == Split("too_large", "413 Request Entity Too Large: why")


@pytest.mark.parametrize("protocol", [Protocol.TEXT, Protocol.DELIMITED])
@pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
def test_a_pushgateway_takes_a_group_whole_or_not_at_all(protocol: Protocol, status: int) -> None:
    assert isinstance(verdict(protocol, status), Rejected)


# ---- Retry-After ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "seconds"), [("0", 0), ("17", 17), (" 17 ", 17), ("999999999999", MAX_RETRY_AFTER)])
def test_retry_after_in_seconds(value: str, seconds: float) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(17, 17), (-17, 0), (10**6, MAX_RETRY_AFTER)])
def test_retry_after_as_a_date(ahead: int, seconds: float) -> None:
    moment = datetime.fromtimestamp(NOW + ahead, UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=5)))

    assert retry_after(format_datetime(moment, usegmt=True), NOW) == seconds
    assert retry_after(format_datetime(elsewhere), NOW) == seconds
    assert retry_after(moment.strftime("%a, %d %b %Y %H:%M:%S -0000"), NOW) == seconds


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5", "٣", "1 hour", "Mon, 99 Nov 2026 99:99:99 GMT", "9" * 50])
def test_retry_after_that_says_nothing_usable(value: str) -> None:
    assert retry_after(value, NOW) is None


@given(st.text() | st.from_regex(r"\A[A-Z][a-z]{2}, [0-9]+ [A-Z][a-z]{2} [0-9]+ [0-9:]+ [+-]?[0-9A-Z]+\Z"))
def test_no_retry_after_makes_us_wait_for_ever(value: str) -> None:
    seconds = retry_after(value, NOW)

    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@given(
    st.sampled_from(Protocol),
    st.integers(-1, 10_000),
    st.dictionaries(st.sampled_from([*WRITTEN, "retry-after", "location"]), st.text()),
    st.text(),
)
def test_every_answer_has_a_verdict(protocol: Protocol, status: int, headers: dict[str, str], text: str) -> None:
    result = judge(protocol, Answer(status, headers, text), NOW)

    if not 200 <= status < 400:
        assert not isinstance(result, Accepted)
