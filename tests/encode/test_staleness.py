"""Markers for what ended, zeros for counters that are new."""

import numpy as np

from ss_pusher.encode.series import tables
from ss_pusher.encode.staleness import STALE, changes
from ss_pusher.model import Block, Family, Labels, MetricType, Snapshot

TIME_MS = 1_750_000_000_000
SENT = Family("ss_flow_sent_bytes_total", MetricType.COUNTER, "Payload.", "bytes")
RTO = Family("ss_flow_rto_total", MetricType.COUNTER, "Timeouts.")
SOCKETS = Family("ss_flow_sockets", MetricType.GAUGE, "Sockets.")

A: Labels = (("group", "a"),)
B: Labels = (("group", "b"),)


def block(families: tuple[Family, ...], *labels: Labels, start_ms: int = TIME_MS) -> Block:
    values = np.ones((len(families), len(labels)))
    return Block(families, labels, values, np.full(len(labels), start_ms))


def samples(
    before: list[Block], now: list[Block], *, previous_ms: int = TIME_MS, time_ms: int = TIME_MS + 1000
) -> list[tuple[str, Labels, str]]:
    """Each sample that `changes` asks for: name, labels, and which kind."""
    changed = changes(
        tables(Snapshot(TIME_MS, 0, tuple(before))), tables(Snapshot(time_ms, 0, tuple(now))), time_ms, previous_ms
    )
    kinds = {0: [], 1: ["value"], 2: ["zero", "value"]}
    return [
        (column.name, labels, "stale" if table.bits[row, index] == STALE else kind)
        for table in changed
        for row, labels in enumerate(table.labels)
        for index, column in enumerate(table.columns)
        for kind in kinds[int(table.samples[row, index])]
    ]


def test_series_that_stay_send_their_value() -> None:
    assert samples([block((SENT,), A)], [block((SENT,), A)]) == [(SENT.name, A, "value")]


def test_a_series_that_left_gets_a_marker_after_the_values() -> None:
    expected = [(SOCKETS.name, B, "value"), (SOCKETS.name, A, "stale")]
    assert samples([block((SOCKETS,), A, B)], [block((SOCKETS,), B)]) == expected


def test_a_block_that_left_gets_markers_for_all_its_series() -> None:
    assert samples([block((SENT, RTO), A)], []) == [(SENT.name, A, "stale"), (RTO.name, A, "stale")]


def test_a_value_that_became_none_is_a_series_that_left() -> None:
    none = Block((SOCKETS,), (A,), np.array([[np.nan]]), np.array([TIME_MS]))
    assert samples([block((SOCKETS,), A)], [none]) == [(SOCKETS.name, A, "stale")]


def test_a_new_counter_sends_a_zero_first_and_a_new_gauge_does_not() -> None:
    expected = [(SENT.name, A, "zero"), (SENT.name, A, "value"), (SOCKETS.name, A, "value")]
    assert samples([], [block((SENT, SOCKETS), A)]) == expected


def test_a_counter_that_was_there_sends_no_zero_although_its_start_is_new() -> None:
    assert samples([block((SENT,), A)], [block((SENT,), A, B)]) == [
        (SENT.name, A, "value"),
        (SENT.name, B, "zero"),
        (SENT.name, B, "value"),
    ]


def test_no_zero_is_sent_for_a_counter_that_began_earlier() -> None:
    assert samples([], [block((SENT,), A, start_ms=TIME_MS - 1)]) == [(SENT.name, A, "value")]


def test_no_zero_is_sent_without_a_tick_before_or_without_a_millisecond_between() -> None:
    assert samples([], [block((SENT,), A)], previous_ms=0) == [(SENT.name, A, "value")]
    assert samples([], [block((SENT,), A)], time_ms=TIME_MS + 1) == [(SENT.name, A, "value")]


def test_a_series_that_moves_to_a_block_with_other_families_neither_ends_nor_begins() -> None:
    before, now = [block((SENT, RTO), A)], [block((SENT,), A), block((RTO, SOCKETS), A)]
    assert samples(before, now) == [(SENT.name, A, "value"), (RTO.name, A, "value"), (SOCKETS.name, A, "value")]


def test_a_series_that_moves_between_blocks_of_one_family_neither_ends_nor_begins() -> None:
    before = [block((SENT,), A), block((SENT, RTO), B)]
    now = [block((SENT,), B), block((SENT, RTO), A)]
    assert samples(before, now) == [
        (SENT.name, B, "value"),
        (SENT.name, A, "value"),
        (RTO.name, A, "zero"),
        (RTO.name, A, "value"),
        (RTO.name, B, "stale"),
    ]


def test_blocks_of_the_same_families_are_told_apart_by_their_series() -> None:
    before = [block((SENT,), A), block((SENT,), B)]
    assert samples(before, [block((SENT,), B), block((SENT,), A)]) == [
        (SENT.name, B, "value"),
        (SENT.name, A, "value"),
    ]
