"""Snapshots as tables of plain series."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.encode.series import bound, families, tables
from ss_pusher.model import Block, Family, HistogramBlock, MetricType, Snapshot

RTT = Family("ss_tcp_rtt_seconds", MetricType.HISTOGRAM, "Rtt.", "seconds")
SOCKETS = Family("ss_flow_sockets", MetricType.GAUGE, "Sockets.")


# What Go 1.19 prints for strconv.FormatFloat(x, 'g', -1, 64).
@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (0.005, "0.005"),
        (1.0, "1"),
        (2.5, "2.5"),
        (10.0, "10"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (0.1 + 0.2, "0.30000000000000004"),
        (100_000.0, "100000"),
        (123_456.75, "123456.75"),
        (1_000_000.0, "1e+06"),
        (1_234_567.0, "1.234567e+06"),
        (1e21, "1e+21"),
        (1.5e-300, "1.5e-300"),
        (0.0, "0"),
        (-2.5, "-2.5"),
        (math.inf, "+Inf"),
    ],
)
def test_a_bound_is_written_as_prometheus_writes_it(limit: float, text: str) -> None:
    assert bound(limit) == text
    assert bound(np.float64(limit)) == text


@given(st.floats(allow_nan=False))
def test_a_bound_loses_nothing(limit: float) -> None:
    assert float(bound(limit)) == limit


def test_a_histogram_becomes_cumulative_buckets_its_sum_and_its_count() -> None:
    block = HistogramBlock(RTT, ((),), (0.005, 1.0), np.array([[1, 0, 2]], np.uint64), np.array([9.5]), np.array([7]))
    (table,) = tables(Snapshot(1000, 0, (), (block,)))
    names = [(column.name.removeprefix(RTT.name), column.le) for column in table.columns]
    assert names == [("_bucket", "0.005"), ("_bucket", "1"), ("_bucket", "+Inf"), ("_sum", ""), ("_count", "")]
    assert table.bits.view(np.float64).tolist() == [[1.0, 1.0, 3.0, 9.5, 3.0]]
    assert table.samples.tolist() == [[1, 1, 1, 1, 1]]


def test_a_nan_is_no_sample() -> None:
    block = Block((SOCKETS,), ((), (("a", "b"),)), np.array([[math.nan, math.inf]]), np.zeros(2, np.int64))
    (table,) = tables(Snapshot(1000, 0, (block,)))
    assert table.samples.tolist() == [[0], [1]]


def test_a_family_of_several_blocks_counts_once() -> None:
    block = Block((SOCKETS,), (), np.empty((1, 0)), np.empty(0, np.int64))
    histogram = HistogramBlock(RTT, (), (), np.empty((0, 1), np.uint64), np.empty(0), np.empty(0, np.int64))
    assert families(Snapshot(1000, 0, (block, block), (histogram,))) == (SOCKETS, RTT)
