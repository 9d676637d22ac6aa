"""In which order samples may come, and how much of them is kept."""

import struct
from math import nan

import pytest

from ss_pusher.model import Labels, Protocol
from ss_pusher.receiver.native_histogram import Histogram
from ss_pusher.receiver.remote_write import Metadata, Point, Sample, Series, Write
from ss_pusher.receiver.store import Store

A: Labels = (("__name__", "a"),)
B: Labels = (("__name__", "b"),)
V1, V2 = Protocol.REMOTE_WRITE_1, Protocol.REMOTE_WRITE_2
NOW_MS = 1_000_000


def write(protocol: Protocol, *series: tuple[Labels, list[Sample]]) -> Write:
    return Write(protocol, [Series(labels, samples, []) for labels, samples in series], {}, 0)


def kept(store: Store) -> dict[Labels, list[Point]]:
    return {labels: list(points) for labels, points in store.points.items()}


@pytest.mark.parametrize("protocol", [V1, V2])
def test_samples_in_order_are_kept_across_requests(protocol: Protocol) -> None:
    store = Store(10, 10)
    assert store.write(write(protocol, (A, [Sample(1, 1.0), Sample(2, 2.0)])), NOW_MS) == (2, 0, [])
    assert store.write(write(protocol, (A, [Sample(3, 3.0)]), (B, [Sample(1, 9.0)])), NOW_MS) == (2, 0, [])
    assert kept(store) == {A: [Sample(1, 1.0), Sample(2, 2.0), Sample(3, 3.0)], B: [Sample(1, 9.0)]}


BAD = [
    ([Sample(5, 5.0), Sample(4, 4.0)], "out of order: the sample at 4 ms comes after one at 5 ms"),
    ([Sample(5, 5.0), Sample(5, 5.0)], "a second sample for the time 5 ms"),
    ([Sample(2, 2.0), Sample(5, 5.0)], "out of order: the sample at 2 ms comes after one at 3 ms"),
    ([Sample(3, 4.0), Sample(5, 5.0)], "a second sample for the time 3 ms"),
    ([Sample(5, 5.0), Sample(NOW_MS + 600_001, 4.0)], "more than 10 minutes in the future"),
]


@pytest.mark.parametrize(("samples", "problem"), BAD)
def test_1_0_refuses_the_whole_request_for_one_bad_sample(samples: list[Sample], problem: str) -> None:
    store = Store(10, 10)
    store.write(write(V1, (A, [Sample(3, 3.0)])), NOW_MS)
    outcome = store.write(write(V1, (B, [Sample(9, 9.0)]), (A, samples)), NOW_MS)
    assert (outcome.samples, outcome.histograms) == (0, 0)
    assert problem in outcome.problems[0]
    assert kept(store) == {A: [Sample(3, 3.0)]}


@pytest.mark.parametrize(("samples", "problem"), BAD)
def test_2_0_keeps_all_but_the_bad_sample(samples: list[Sample], problem: str) -> None:
    store = Store(10, 10)
    store.write(write(V2, (A, [Sample(3, 3.0)])), NOW_MS)
    outcome = store.write(write(V2, (B, [Sample(9, 9.0)]), (A, samples)), NOW_MS)
    assert (outcome.samples, outcome.histograms) == (2, 0)
    assert len(outcome.problems) == 1
    assert problem in outcome.problems[0]
    assert kept(store) == {A: [Sample(3, 3.0), Sample(5, 5.0)], B: [Sample(9, 9.0)]}


@pytest.mark.parametrize("protocol", [V1, V2])
def test_the_newest_sample_may_come_again_as_after_a_lost_answer(protocol: Protocol) -> None:
    store = Store(10, 10)
    for _ in range(2):
        assert store.write(write(protocol, (A, [Sample(3, nan)])), NOW_MS) == (1, 0, [])
    assert len(store.points[A]) == 1


def test_a_series_may_stand_in_a_request_once() -> None:
    outcome = Store(10, 10).write(write(V2, (A, [Sample(1, 1.0)]), (A, [Sample(2, 2.0)])), NOW_MS)
    assert outcome.samples == 1
    assert "twice" in outcome.problems[0]


def test_ten_minutes_in_the_future_is_not_too_far() -> None:
    assert Store(10, 10).write(write(V1, (A, [Sample(NOW_MS + 600_000, 1.0)])), NOW_MS).problems == []


def test_a_marker_of_a_native_histogram_that_comes_again_is_taken_again() -> None:
    stale = struct.unpack("<d", bytes.fromhex("020000000000f07f"))[0]
    store = Store(10, 10)
    for _ in range(2):
        marker = Histogram(5, 0, stale, 3)
        assert store.write(Write(V1, [Series(A, [], [marker])], {}, 0), NOW_MS) == (0, 1, [])
    assert len(kept(store)[A]) == 1


def test_histograms_are_counted_by_themselves() -> None:
    histogram = Histogram(5, 7, 2.5, 3)
    store = Store(10, 10)
    assert store.write(Write(V2, [Series(A, [], [histogram])], {}, 0), NOW_MS) == (0, 1, [])
    assert kept(store) == {A: [histogram]}


def test_only_the_last_samples_series_and_families_are_kept() -> None:
    store = Store(samples_per_series=2, max_series=2)
    for time_ms in (1, 2, 3):
        store.write(write(V1, (A, [Sample(time_ms, 1.0)])), NOW_MS)
    assert kept(store) == {A: [Sample(2, 1.0), Sample(3, 1.0)]}
    names = [(("__name__", name),) for name in "bcd"]
    store.write(write(V1, (names[0], [Sample(1, 1.0)])), NOW_MS)
    store.write(write(V1, (A, [Sample(4, 1.0)])), NOW_MS)
    store.write(write(V1, (names[1], [Sample(1, 1.0)])), NOW_MS)
    assert set(store.points) == {A, names[1]}
    store.write(Write(V1, [], {name: Metadata("gauge", "Help.", "") for name in "efg"}, 0), NOW_MS)
    assert set(store.families) == {"f", "g"}


def test_families_are_known_from_either_protocol() -> None:
    store = Store(10, 10)
    gauge, histogram = Metadata("gauge", "Up?", ""), Metadata("histogram", "Rtt.", "seconds")
    store.write(Write(V1, [], {"up": gauge}, 0), NOW_MS)
    buckets = (("__name__", "rtt_seconds_bucket"), ("le", "1"))
    store.write(Write(V2, [Series(buckets, [Sample(1, 1.0)], [], histogram)], {}, 0), NOW_MS)
    assert store.families == {"up": gauge, "rtt_seconds": histogram}
