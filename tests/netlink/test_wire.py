"""Replies, against a slow decoder: of captures, of any mix of them, and of bytes that no kernel would send."""

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ss_pusher.model import AddressFamily, TcpState
from ss_pusher.netlink import columns, wire
from ss_pusher.netlink.layout import padded
from ss_pusher.netlink.tcp_info import FIELDS, Field
from tests.netlink import oracle
from tests.netlink.messages import (
    EVENTS,
    PRIVILEGED,
    TCP_INFO_SIZES,
    UNPRIVILEGED,
    message,
    split,
    with_tcp_info_of,
)

ALL = tuple(FIELDS.values())
CAPTURES = {"privileged": PRIVILEGED, "unprivileged": UNPRIVILEGED, "events": EVENTS}
EVERY_LENGTH = [m for data in CAPTURES.values() for size in TCP_INFO_SIZES for m in split(with_tcp_info_of(data, size))]
ESTABLISHED = next(m for m in split(PRIVILEGED) if m[17] == TcpState.ESTABLISHED)


def assert_as_oracle(data: bytes, fields: Sequence[Field] = ALL) -> tuple[list[oracle.Row], wire.Control]:
    sockets, control = wire.decode(data, fields)
    rows, said = oracle.decode(data)
    assert control == said
    names = {field.name for field in fields}
    expected = [oracle.with_only(row, names) for row in rows]
    assert oracle.rows_of(sockets) == expected
    return rows, control


# ---- captures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 104, *TCP_INFO_SIZES, 320])
@pytest.mark.parametrize("capture", CAPTURES)
def test_captures_are_decoded_as_by_the_slow_decoder(capture: str, size: int) -> None:
    rows, control = assert_as_oracle(with_tcp_info_of(CAPTURES[capture], size))
    assert len(rows) > 10
    assert control == wire.Control(done=capture != "events")


@pytest.mark.parametrize("capture", ["privileged", "unprivileged"])
def test_captures_hold_every_kind_of_socket(capture: str) -> None:
    sockets, _ = wire.decode(CAPTURES[capture], ALL)
    states = {TcpState.LISTEN, TcpState.ESTABLISHED, TcpState.SYN_RECV, TcpState.TIME_WAIT, TcpState.CLOSE_WAIT}
    assert states < set(sockets.state.tolist())
    assert set(sockets.family.tolist()) == set(AddressFamily)
    assert set(sockets.congestion.tolist()) == {b"cubic", b"bbr", b"reno", b""}
    assert b"mptcp" in CAPTURES[capture]


def test_a_field_that_an_older_kernel_does_not_send_is_absent() -> None:
    sockets, _ = wire.decode(with_tcp_info_of(PRIVILEGED, 192), ALL)
    full = sockets.known("bytes_acked")
    assert full.any()
    for name, field in FIELDS.items():
        if field.end > 192:
            assert not sockets.known(name).any(), name
            assert not sockets.info[name].any(), name


def test_a_field_is_absent_where_its_attribute_ends_inside_it() -> None:
    cut = with_tcp_info_of(PRIVILEGED, FIELDS["bytes_retrans"].offset + 3)
    sockets, _ = wire.decode(cut, ALL)
    assert not sockets.known("bytes_retrans").any()
    assert not sockets.info["bytes_retrans"].any()
    assert sockets.info["bytes_sent"].any()


def test_time_wait_and_request_sockets_have_no_tcp_info() -> None:
    sockets, _ = wire.decode(PRIVILEGED, ALL)
    small = (sockets.state == TcpState.TIME_WAIT) | (sockets.state == TcpState.SYN_RECV)
    assert small.sum() >= 2
    for name in ("segs_out", "bytes_sent", "rto", "state"):
        assert (sockets.known(name) == ~small).all()
    assert (sockets.info["timer"][small] != 0).all()


def test_a_true_zero_of_a_counter_is_known() -> None:
    sockets, _ = wire.decode(PRIVILEGED, ALL)
    for name in ("bytes_retrans", "total_retrans", "lost", "total_rto"):
        assert (sockets.known(name) & (sockets.info[name] == 0)).any(), name


def test_no_round_trip_was_measured_before_the_first_answer() -> None:
    sockets, _ = wire.decode(PRIVILEGED, ALL)
    asking = sockets.state == TcpState.SYN_SENT
    assert asking.any()
    for name in ("rtt", "rttvar", "min_rtt", "snd_ssthresh", "delivery_rate"):
        assert not sockets.known(name)[asking].any(), name


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_can_be_asked_for_alone(name: str) -> None:
    assert_as_oracle(PRIVILEGED, [FIELDS[name]])


def test_without_fields_only_the_plain_columns_are_decoded() -> None:
    assert_as_oracle(PRIVILEGED, [])


def test_dumps_are_decoded_in_pieces_of_any_size() -> None:
    whole = columns.Columns(ALL)
    for piece in split(PRIVILEGED):
        wire.append(whole, padded(piece), len(piece))
    assert oracle.rows_of(whole.sockets()) == oracle.decode(PRIVILEGED)[0]


def test_columns_grow_while_a_dump_is_read() -> None:
    whole = columns.Columns(ALL[:5])
    for _ in range(100):
        wire.append(whole, padded(PRIVILEGED), len(PRIVILEGED))
    rows = oracle.rows_of(wire.decode(PRIVILEGED, ALL[:5])[0])
    assert oracle.rows_of(whole.sockets()) == rows * 100


@pytest.mark.parametrize(
    "data", [*CAPTURES.values(), *(with_tcp_info_of(ESTABLISHED * 3, size) for size in (280, 192))]
)
def test_a_buffer_is_not_written_to_and_can_be_used_again(data: bytes) -> None:
    buffer = padded(data)
    buffer.flags.writeable = False
    whole = columns.Columns(ALL)
    wire.append(whole, buffer, len(data))
    buffer.flags.writeable = True
    buffer[:] = 0xFF
    assert oracle.rows_of(whole.sockets()) == oracle.decode(data)[0]


@pytest.mark.parametrize("kinds", [1, 2, 30])
def test_many_sockets_are_decoded_as_by_the_slow_decoder(kinds: int) -> None:
    some = split(PRIVILEGED)[:kinds]
    rows, _ = assert_as_oracle(b"".join(some * (3000 // kinds)), ALL[:5])
    assert len(rows) == 3000


# ---- any bytes ------------------------------------------------------------------------------------------------------

ADDRESSES = st.one_of(
    st.sampled_from([bytes(16), bytes(10) + b"\xff\xff\x7f\0\0\1", bytes(10) + b"\xff\xff\0\0\0\0", bytes(15) + b"\1"]),
    st.binary(min_size=16, max_size=16),
)
HEADERS = st.builds(
    lambda family, start, source, destination, rest: bytes([family]) + start + source + destination + rest,
    st.sampled_from([2, 10, 10, 1]),
    st.binary(min_size=7, max_size=7),
    ADDRESSES,
    ADDRESSES,
    st.binary(min_size=32, max_size=32),
)
ATTRIBUTES = st.one_of(
    st.tuples(
        st.just(2),
        st.one_of(
            st.sampled_from(TCP_INFO_SIZES).flatmap(lambda n: st.binary(min_size=n, max_size=n)),
            st.binary(max_size=300),
        ),
    ),
    st.tuples(
        st.just(4), st.one_of(st.sampled_from([b"cubic\0", b"bbr\0", b"a_name_of_sixteen"]), st.binary(max_size=20))
    ),
    st.tuples(st.just(21), st.one_of(st.binary(min_size=8, max_size=8), st.binary(max_size=12))),
    st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=40)),
)
SEQUENCES = st.sampled_from([0, 7, 7, 7])
SOCKETS = st.builds(
    message,
    HEADERS,
    st.lists(ATTRIBUTES, max_size=6),
    kind=st.sampled_from([18, 20]),
    flags=st.sampled_from([0, 2, 2, 2, 0x12]),
    sequence=SEQUENCES,
)
OTHERS = st.builds(
    message,
    st.one_of(st.binary(max_size=24), st.integers(-133, 0).map(lambda number: struct.pack("=i", number))),
    st.just([]),
    kind=st.sampled_from([1, 2, 3, 4, 5, 18, 20, 99]),
    sequence=SEQUENCES,
).map(lambda data: data + bytes(-len(data) % 4))
CAPTURED = st.sampled_from(EVERY_LENGTH)
MIXES = st.lists(st.one_of(SOCKETS, CAPTURED, OTHERS), max_size=12).map(b"".join)
CAPTURED_MIXES = st.lists(CAPTURED, max_size=60).map(b"".join)


@given(MIXES)
@settings(deadline=None)
def test_any_mix_of_messages_is_decoded_as_by_the_slow_decoder(data: bytes) -> None:
    assert_as_oracle(data)


@given(CAPTURED_MIXES)
@settings(deadline=None, max_examples=30)
def test_any_mix_of_captures_is_decoded_as_by_the_slow_decoder(data: bytes) -> None:
    assert_as_oracle(data)


def test_a_cut_at_any_byte_costs_only_what_is_cut() -> None:
    kinds = {(m[16], m[17], len(m)): m for m in split(UNPRIVILEGED)}
    data = b"".join(sorted(kinds.values(), key=len)[:6])
    assert len(data) > 1000
    for end in range(len(data)):
        assert_as_oracle(data[:end], ALL[:3])


@given(MIXES, st.data())
@settings(deadline=None)
def test_changed_bytes_give_no_value_that_the_slow_decoder_does_not_give(data: bytes, draw: st.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4)) if data else 0):
        at = draw.draw(st.integers(0, len(data) - 1))
        changed[at : at + 2] = draw.draw(
            st.one_of(st.just(b"\0\0"), st.just(b"\xff\xff"), st.binary(min_size=1, max_size=2))
        )
    assert_as_oracle(bytes(changed))


@given(st.sampled_from(sorted(CAPTURES)), st.data())
@settings(deadline=None)
def test_changed_lengths_and_types_give_no_value_that_the_slow_decoder_does_not_give(
    capture: str, draw: st.DataObject
) -> None:
    changed = bytearray(CAPTURES[capture])
    heads = oracle.heads(CAPTURES[capture])
    for at in draw.draw(st.lists(st.sampled_from(heads), min_size=1, max_size=4)):
        value = draw.draw(st.one_of(st.integers(0, 0xFFFF), st.sampled_from([0, 1, 3, 4, 15, 16, 88, 284, 0xFFFF])))
        struct.pack_into("=H", changed, at, value)
    assert_as_oracle(bytes(changed))


@given(st.binary(max_size=600))
@settings(deadline=None)
def test_noise_is_no_socket(data: bytes) -> None:
    assert_as_oracle(data)


def test_a_sequence_number_inside_a_message_does_not_split_it() -> None:
    inside = message(ESTABLISHED[16:88], [(99, struct.pack("=IIII", 88, 20, 7, 9))])
    data = inside + message(ESTABLISHED[16:88], [])
    rows, _ = assert_as_oracle(data)
    assert len(rows) == 2


def test_what_is_shorter_than_its_header_is_no_message_though_another_seems_to_follow() -> None:
    _, control = assert_as_oracle(struct.pack("=6I", 8, 20, 16, 0, 16, 0))
    assert control == wire.Control(truncated=24)


def test_of_two_attributes_with_one_type_the_last_counts() -> None:
    twice = message(ESTABLISHED[16:88], [(4, b"bbr\0"), (4, b"cubic\0")])
    assert assert_as_oracle(twice)[0][0].congestion == b"cubic"


def test_an_attribute_shorter_than_its_header_makes_the_message_malformed() -> None:
    data = message(ESTABLISHED[16:88], []) + message(ESTABLISHED[16:88], [(4, b"bbr\0")])
    broken = bytearray(data)
    struct.pack_into("=H", broken, 88 + 88, 3)
    rows, control = assert_as_oracle(bytes(broken))
    assert (len(rows), control.malformed) == (1, 1)


# ---- control --------------------------------------------------------------------------------------------------------


def said(kind: int, payload: bytes = b"", flags: int = 2) -> wire.Control:
    return wire.decode(message(payload, [], kind, flags=flags), [])[1]


def test_control_messages_are_told() -> None:
    assert said(3, struct.pack("=i", 0)) == wire.Control(done=True)
    assert said(3, struct.pack("=i", -4)) == wire.Control(done=True, error=4)
    assert said(3, struct.pack("=i", 0), flags=0x12) == wire.Control(done=True, interrupted=True)
    assert said(2, struct.pack("=i", -2)) == wire.Control(error=2)
    assert said(2, struct.pack("=i", 0)) == wire.Control()
    assert said(4) == wire.Control(overrun=True)
    assert said(1) == wire.Control()
    assert said(77) == wire.Control(malformed=1)
    assert wire.decode(b"\0" * 7, [])[1] == wire.Control(truncated=7)


def test_what_a_socket_says_of_an_interrupted_dump_is_told() -> None:
    assert wire.decode(message(ESTABLISHED[16:88], [], flags=0x12), [])[1] == wire.Control(interrupted=True)


# ---- addresses ------------------------------------------------------------------------------------------------------

MAPPED = bytes(10) + b"\xff\xff\x7f\0\0\2"
UNSET = bytes(16)
IPV6 = bytes.fromhex("20010db8000000000000000000000001")


LOCAL, REMOTE = 0xFFFF_7F00_0002, 0xFFFF_0102_0304
ENDS = {
    "AF_INET": (2, b"\x7f\0\0\2" + bytes(12), b"\1\2\3\4" + bytes(12), (2, LOCAL, REMOTE)),
    "dual stack": (10, MAPPED, MAPPED, (2, LOCAL, LOCAL)),
    "dual stack, bound": (10, MAPPED, UNSET, (2, LOCAL, 0xFFFF_0000_0000)),
    "dual stack, disconnected": (10, UNSET, MAPPED, (2, 0xFFFF_0000_0000, LOCAL)),
    "any": (10, UNSET, UNSET, (10, 0, 0)),
    "AF_INET6": (10, IPV6, IPV6, (10, int.from_bytes(IPV6), int.from_bytes(IPV6))),
}


@pytest.mark.parametrize("kind", ENDS)
def test_addresses_are_numbers_and_ipv4_is_mapped(kind: str) -> None:
    family, source, destination, expected = ENDS[kind]
    header = bytes([family, 1, 0, 0]) + b"\0\x50\x1f\x90" + source + destination + bytes(32)
    sockets, _ = wire.decode(message(header, []), [])
    local, remote = (int(high) << 64 | int(low) for high, low in (*sockets.local, *sockets.remote))
    assert (int(sockets.family[0]), local, remote) == expected
    assert (sockets.local_port.tolist(), sockets.remote_port.tolist()) == ([80], [8080])
