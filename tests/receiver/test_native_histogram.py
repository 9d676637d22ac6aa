"""A native histogram that contradicts itself is refused, however it came."""

import math
from typing import Any

import pytest

from ss_pusher.proto import metrics_pb2
from ss_pusher.proto import remote_write_v1_pb2 as v1
from ss_pusher.proto import remote_write_v2_pb2 as v2
from ss_pusher.receiver.native_histogram import Histogram, of_metric, of_remote_write
from ss_pusher.receiver.refused import RefusedError

GOOD: dict[str, Any] = {
    "count_int": 9,
    "sum": 2.5,
    "schema": 3,
    "zero_threshold": 2.0**-128,
    "zero_count_int": 1,
    "positive_spans": [(-5, 2), (3, 1)],
    "positive_deltas": [2, 1, -1],  # 2 in bucket -5, 3 in -4, 2 in 0
    "negative_spans": [(7, 2)],
    "negative_deltas": [1, -1],
}


def of_1(**told: Any) -> v1.Histogram:
    spans = {name: [v1.BucketSpan(offset=o, length=n) for o, n in told[name]] for name in told if "spans" in name}
    arguments: dict[str, Any] = {**told, **spans}
    return v1.Histogram(**arguments)


def of_2(**told: Any) -> v2.Histogram:
    return v2.Histogram.FromString(of_1(**told).SerializeToString())


def pushed(**told: Any) -> metrics_pb2.Histogram:
    """The same in the Pushgateway's message, whose names are others."""
    names = {"count_int": "sample_count", "count_float": "sample_count_float", "sum": "sample_sum"}
    message = metrics_pb2.Histogram()
    for name, value in told.items():
        field = names.get(name, name.removesuffix("_int").removesuffix("s"))
        if "spans" in name:
            getattr(message, field).extend(metrics_pb2.BucketSpan(offset=o, length=n) for o, n in value)
        elif isinstance(value, list):
            getattr(message, field).extend(value)
        else:
            setattr(message, field, value)
    return message


def read(kind: str, **told: Any) -> Histogram | None:
    if kind == "pushed":
        return of_metric(pushed(**told), "here")
    return of_remote_write(of_1(**told) if kind == "1.0" else of_2(**told), "here")


EVERYWHERE = pytest.mark.parametrize("kind", ["1.0", "2.0", "pushed"])


@EVERYWHERE
def test_buckets_are_told_by_their_indexes(kind: str) -> None:
    expected = Histogram(0, 9, 2.5, 3, 0, 2.0**-128, 1, positive={-5: 2, -4: 3, 0: 2}, negative={7: 1, 8: 0})
    assert read(kind, **GOOD) == expected


@EVERYWHERE
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"count_int": 11}, "the buckets of a histogram hold 9, but its count is 11"),
        ({"count_int": 2**60, "zero_count_int": 2**60 - 7}, f"hold {2**60 + 1}, but its count is {2**60}"),
        ({"schema": -53}, "the schema -53"),
        ({"schema": 9}, "the schema 9"),
        ({"schema": -5}, "the schema -5"),
        ({"zero_threshold": -1.0}, "the threshold -1.0"),
        ({"zero_threshold": math.nan}, "the threshold nan"),
        ({"positive_deltas": [2, 1]}, "have 3 buckets, but 2 are told"),
        ({"positive_spans": [(-5, 2), (3, 4_000_000_000)]}, "have 4000000002 buckets, but 3 are told"),
        ({"positive_spans": [(-5, 2), (-1, 1)]}, "the span 1 of a histogram goes back by 1"),
        ({"positive_deltas": [2, -3, 8]}, "holds less than nothing"),
        ({"positive_counts": [1.0]}, "in whole numbers and in floats"),
    ],
)
def test_what_contradicts_itself_is_refused(kind: str, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusedError, match=words) as refused:
        read(kind, **GOOD | wrong)
    assert str(refused.value).startswith("here: ")


@EVERYWHERE
def test_an_observation_that_is_no_number_is_in_no_bucket(kind: str) -> None:
    histogram = read(kind, **GOOD | {"count_int": 12, "sum": math.nan})
    assert histogram is not None
    assert histogram.count == 12
    with pytest.raises(RefusedError, match="its count is 8"):
        read(kind, **GOOD | {"count_int": 8, "sum": math.nan})


@EVERYWHERE
def test_counts_may_be_floats(kind: str) -> None:
    floats = {
        "count_float": 1.0,
        "zero_count_float": 0.1,
        "positive_spans": [(1, 2)],
        "positive_counts": [0.7, 0.2],
    }
    histogram = read(kind, **floats)
    assert histogram is not None
    assert histogram.positive == {1: 0.7, 2: 0.2}


@pytest.mark.parametrize("kind", ["1.0", "2.0"])
def test_remote_write_counts_in_one_way_and_knows_no_custom_bounds(kind: str) -> None:
    with pytest.raises(RefusedError, match="in whole numbers and in floats"):
        read(kind, count_int=1, zero_count_float=1.0)
    with pytest.raises(RefusedError, match="custom bounds"):
        read(kind, custom_values=[1.0])


def test_a_classic_histogram_has_no_native_form() -> None:
    assert of_metric(metrics_pb2.Histogram(sample_count=7, sample_sum=1.5), "here") is None
