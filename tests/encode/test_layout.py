"""What is laid out again when the set of series changes."""

from collections.abc import Iterable

import numpy as np

from ss_pusher.encode.layout import Layout
from ss_pusher.encode.remote_write_v1 import LabelWriter
from ss_pusher.encode.series import Column, Table
from ss_pusher.model import Family, Labels, MetricType
from ss_pusher.proto import remote_write_v1_pb2 as v1

COLUMN = Column(Family("ss_flow_sockets", MetricType.GAUGE, "Sockets."), "ss_flow_sockets", "")


class Recorder(LabelWriter):
    """Tells which groups it had to encode, and how often a new one was made."""

    made = 0
    groups: list[str]

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        type(self).groups = []

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> bytes:
        pairs = list(pairs)
        type(self).groups += [value for name, value in pairs if name == "group"]
        return super().pairs(pairs)


def table(*groups: str) -> Table:
    labels: tuple[Labels, ...] = tuple((("group", group),) for group in groups)
    shape = (len(groups), 1)
    return Table(
        (COLUMN,), labels, np.zeros(shape, np.uint64), np.ones(shape, np.uint8), np.zeros(len(groups), np.int64)
    )


def test_only_rows_that_are_new_are_encoded() -> None:
    layout = Layout(Recorder, {})
    layout.template([table("a", "b", "c")], 0)
    assert Recorder.groups == ["a", "b", "c"]
    layout.template([table("c", "x", "a")], 0)
    assert Recorder.groups == ["a", "b", "c", "x"]


def test_a_row_with_other_series_than_before_is_encoded_again() -> None:
    layout = Layout(Recorder, {})
    with_zero = table("a")
    with_zero.samples[0, 0] = 2
    layout.template([with_zero], 0)
    layout.template([table("a")], 0)
    assert Recorder.groups == ["a", "a"]


def test_a_row_that_left_is_forgotten() -> None:
    layout = Layout(Recorder, {})
    for groups in (["a", "b"], ["a"], ["a", "b"]):
        layout.template([table(*groups)], 0)
    assert Recorder.groups == ["a", "b", "b"]


def test_a_writer_that_remembers_mostly_what_ended_is_replaced() -> None:
    Recorder.made = 0
    layout = Layout(Recorder, {})
    for tick in range(100):
        layout.template([table(*(f"{tick} {row}" for row in range(100)))], 0)
    assert 30 <= Recorder.made <= 50  # each can hold the rows of two ticks and some of a third


def test_a_zero_stands_at_the_time_of_its_own_tick() -> None:
    layout = Layout(LabelWriter, {})
    with_zero = table("a")
    with_zero.samples[0, 0] = 2
    for zero_ms in (1000, 3000):
        body = layout.template([with_zero], zero_ms).fill(np.array([7], np.uint64), zero_ms + 500)
        (series,) = v1.WriteRequest.FromString(bytes(body)).timeseries
        assert [sample.timestamp for sample in series.samples] == [zero_ms, zero_ms + 500]
