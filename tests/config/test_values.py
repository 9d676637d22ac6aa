"""How single values are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.config import values
from ss_pusher.config.invalid import InvalidError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1m", 60),
        ("0", 0),
        ("0s", 0),
        ("1y2w3d4h5m6s7ms", 31536000 + 1209600 + 259200 + 14400 + 300 + 6.007),
    ],
)
def test_durations_are_spelled_as_in_prometheus(text: str, seconds: float) -> None:
    assert values.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "1.5h", "-1s", "1s1m", "1h 30m", "15sec", "1s1s", " 1s", "1s\n", "\u0661s"])
def test_what_prometheus_takes_for_no_duration_is_none(text: str) -> None:
    with pytest.raises(InvalidError, match="is no duration; write one like 30s or 1h30m"):
        values.parse_duration(text)


def test_a_duration_without_a_unit_is_told_the_likely_one() -> None:
    with pytest.raises(InvalidError, match="has no unit; 15s would be right"):
        values.parse_duration("15")


@pytest.mark.parametrize("text", ["101y", "999999999999y"])
def test_durations_that_no_clock_can_wait_for_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="longer than 100 years"):
        values.parse_duration(text)


@given(st.integers(0, 10**12))
def test_a_duration_survives_being_written_and_read(milliseconds: int) -> None:
    assert values.parse_duration(values.format_duration(milliseconds / 1000)) == milliseconds / 1000


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MiB", 64 << 20),
        ("1MB", 10**6),
        ("512", 512),
        ("3KiB", 3072),
        ("2 GB", 2 * 10**9),
        ("1GiB", 1 << 30),
        ("0B", 0),
    ],
)
def test_sizes_tell_thousands_from_1024s(text: str, size: int) -> None:
    assert values.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1.5MB", "-1", "64mib", "1TB", "1 M"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is no size; write one like 64MiB or 1MB"):
        values.parse_size(text)


@given(st.integers(0, 10**11))
def test_a_size_survives_being_written_and_read(size: int) -> None:
    assert values.parse_size(values.format_size(size)) == size


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("50", 50), ("-3", -3), ("010", 10)])
def test_whole_numbers_are_decimal(text: str, number: int) -> None:
    assert values.parse_integer(text) == number


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "0x10", "1_000", "+1", "\u0663", "1\n"])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is no whole number"):
        values.parse_integer(text)


def test_marks_are_decimal_or_hexadecimal() -> None:
    assert [values.parse_mark(text) for text in ("31", "0x1f", "0XFFFFFFFF", "010")] == [31, 31, 2**32 - 1, 10]


@pytest.mark.parametrize("text", ["", "-1", "4294967296", "0x100000000", "0x", "1f"])
def test_what_fits_no_mark_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is no mark"):
        values.parse_mark(text)


def test_booleans_are_those_of_yaml() -> None:
    assert [values.parse_switch(text) for text in ("true", "Yes", "ON", "false", "no", "Off")] == [True] * 3 + [
        False
    ] * 3
    with pytest.raises(InvalidError, match="neither true nor false"):
        values.parse_switch("1")


@pytest.mark.parametrize("text", ["job", "_x", "Data_1"])
def test_classic_label_names_pass(text: str) -> None:
    assert values.parse_label_name(text) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("data-center", "data_center would be right"),
        ("größe", "gr__e would be right"),
        ("1st", "no digit first"),
        ("", "is no label name"),
        ("job\n", "job_ would be right"),
        ("__name__", "is a reserved label name"),
        ("le", "is a reserved label name"),
    ],
)
def test_other_label_names_are_refused_with_what_would_be_right(text: str, complaint: str) -> None:
    with pytest.raises(InvalidError, match=complaint):
        values.parse_label_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "Host",
        "content-type",
        "Content-Encoding",
        "User-Agent",
        "Connection",
        "Keep-Alive",
        "Proxy-Authorization",
        "Proxy-Authenticate",
        "Accept-Encoding",
        "X-Prometheus-Remote-Write-Version",
        "X-Amz-Date",
        "Transfer-Encoding",
    ],
)
def test_headers_of_the_sender_cannot_be_set(text: str) -> None:
    with pytest.raises(InvalidError, match="the sender sets itself"):
        values.parse_header_name(text)


def test_the_authorization_header_has_keys_of_its_own() -> None:
    with pytest.raises(InvalidError, match="is set by authorization or basic_auth"):
        values.parse_header_name("authorization")


@pytest.mark.parametrize("text", ["", "X Y", "X:", "X\r\nEvil", "Ä"])
def test_header_names_are_tokens(text: str) -> None:
    with pytest.raises(InvalidError, match="is no header name"):
        values.parse_header_name(text)


@pytest.mark.parametrize("text", ["a\r\nEvil: 1", "ä", "\0"])
def test_header_values_stay_in_their_line(text: str) -> None:
    with pytest.raises(InvalidError, match="printable ASCII in one line"):
        values.parse_header_value(text)


def test_rankings_are_the_named_ones_or_metrics_of_flows() -> None:
    assert values.parse_ranking("rtt_inflation") == "rtt_inflation"
    assert values.parse_ranking("ss_flow_lost_segments") == "ss_flow_lost_segments"
    with pytest.raises(InvalidError, match="did you mean retransmits"):
        values.parse_ranking("retransmit")
    with pytest.raises(InvalidError, match="no ss_flow_ metric"):
        values.parse_ranking("ss_flow_a b")


def test_a_choice_names_its_options() -> None:
    with pytest.raises(InvalidError, match="is none of keep, delete; did you mean delete"):
        values.choice(("keep", "delete")).parse("deleted")


@given(st.text(max_size=40), st.sampled_from([kind for kind in vars(values).values() if isinstance(kind, values.Kind)]))
def test_every_kind_answers_any_text_with_a_value_or_an_invalid_error(text: str, kind: values.Kind) -> None:
    try:
        kind.parse(text)
    except InvalidError as error:
        assert str(error)  # noqa: PT017  a value is as welcome as this error
