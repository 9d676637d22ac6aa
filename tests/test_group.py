"""Flows become groups: compared with the plain way of doing it, for any flows."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.group import fold, group, identify
from ss_pusher.metrics.declare import counter, gauge
from ss_pusher.model import FlowCounter, FlowGauge, Fold, Groups, Movement, Preset
from tests.flows import Flow, sockets

ODD = np.array([0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93], np.uint64)
FIELDS = ("bytes_sent", "bytes_retrans")
COUNTERS = (
    counter("sent_bytes", "bytes_sent", Preset.ALL, "Payload.", minus="bytes_retrans"),
    counter("retransmitted_bytes", "bytes_retrans", Preset.ALL, "Payload sent again."),
)
GAUGES = tuple(
    gauge(f"{how.value}_{field}", field, Preset.ALL, how, "", per=1000, unless=unless)
    for how in Fold
    for field, unless in (("min_rtt", ""), ("segs_out", "min_rtt"))
)


@dataclass(frozen=True)
class Row:
    """One flow: an open one has what gauges look at, a closed one has not."""

    key: tuple[int, int]
    kept: bool = True
    sent: int = 0
    again: int = 0
    min_rtt: int | None = None
    segs_out: int = 0


rows = st.builds(
    Row,
    key=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    kept=st.booleans(),
    sent=st.integers(0, 1 << 55),
    again=st.integers(0, 1 << 55),
    min_rtt=st.none() | st.integers(0, 3),
    segs_out=st.integers(0, 1 << 20),
)
populations = st.tuples(st.lists(rows, max_size=12), st.lists(rows, max_size=6))


def grouped(opened: Sequence[Row], ended: Sequence[Row], gauges: Sequence[FlowGauge] = GAUGES) -> Groups:
    everyone = [*opened, *ended]
    movement = Movement(
        fields=FIELDS,
        keys=np.array([row.key for row in everyone], np.uint64).reshape(-1, 2),
        kept=np.array([row.kept for row in everyone], np.bool_),
        increments=np.array([[row.sent for row in everyone], [row.again for row in everyone]], np.int64),
        closed_bytes=np.empty(0),
    )
    return group(movement, sockets(map(as_flow, enumerate(opened, 1))), COUNTERS, gauges, ODD)


def as_flow(numbered: tuple[int, Row]) -> Flow:
    cookie, row = numbered
    told = {} if row.min_rtt is None else {"min_rtt": row.min_rtt}
    return Flow(cookie, {"segs_out": row.segs_out, **told})


def seen(groups: Groups) -> dict[tuple[int, ...], object]:
    """All that is said of each group, whatever the order."""
    columns = (groups.sockets, groups.counters.T, np.nan_to_num(groups.gauges.T, nan=-1), groups.weights.T)
    said = zip(*(column.tolist() for column in columns), strict=True)
    return {tuple(key): each for key, each in zip(groups.keys.tolist(), said, strict=True)}


def value_of(row: Row, each: FlowGauge) -> float | None:
    """What one open flow has to say to a gauge."""
    if each.field == "min_rtt":
        return row.min_rtt
    return row.segs_out if row.min_rtt == 0 else None  # counts unless there is a min_rtt, which must be known


def folded(how: Fold, values: Sequence[float]) -> float:
    total = sum(values)
    return {Fold.SUM: total, Fold.MAX: max(values), Fold.MIN: min(values), Fold.MEAN: total / len(values)}[how]


@given(populations)
def test_groups_are_what_adding_up_flow_by_flow_gives(population: tuple[list[Row], list[Row]]) -> None:
    opened, ended = population
    members: defaultdict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in (*opened, *ended):
        if row.kept:
            members[row.key].append(row)
    groups = grouped(opened, ended)
    assert len(groups) == len(members)
    places = {tuple(key): place for place, key in enumerate(groups.keys.tolist())}
    for key, flows in members.items():
        place = places[key]
        still_open = [row for row in opened if row.key == key and row.kept]
        assert groups.sockets[place] == len(still_open)
        assert groups.counters[0, place] == sum(max(row.sent - row.again, 0) for row in flows)
        assert groups.counters[1, place] == sum(row.again for row in flows)
        for number, each in enumerate(GAUGES):
            values = [value for row in still_open if (value := value_of(row, each)) is not None]
            assert groups.weights[number, place] == len(values)
            expected = folded(each.fold, values) / each.per if values else np.nan
            assert groups.gauges[number, place] == pytest.approx(expected, nan_ok=True)


@given(populations, st.randoms(use_true_random=False))
def test_the_order_of_the_flows_changes_nothing(population: tuple[list[Row], list[Row]], random: Random) -> None:
    opened, ended = population
    before = seen(grouped(opened, ended))
    for flows in (opened, ended):
        random.shuffle(flows)
    assert seen(grouped(opened, ended)) == before


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_keys_are_told_apart_even_if_their_hashes_are_equal(keys: list[tuple[int, int]]) -> None:
    """With these factors the hash of small words is their exclusive or: (1, 2) and (2, 1) collide."""
    distinct, of = identify(np.array(keys, np.uint64).reshape(-1, 2), np.array([1, 1], np.uint64))
    assert [tuple(distinct[place]) for place in of] == keys
    assert len({tuple(key) for key in distinct.tolist()}) == len(distinct)


def test_a_group_of_closed_flows_has_no_gauge() -> None:
    groups = grouped([], [Row((1, 1), sent=5)])
    assert groups.sockets.tolist() == [0]
    assert np.isnan(groups.gauges).all()
    assert groups.counters[0].tolist() == [5]


def test_sums_of_large_counters_are_exact() -> None:
    most = (1 << 61) - 1
    groups = grouped([Row((1, 1), sent=most), Row((1, 1), sent=most)], [])
    assert groups.counters[0].tolist() == [2 * most]


def test_no_flows_make_no_groups() -> None:
    groups = grouped([], [])
    assert len(groups) == 0
    assert groups.counters.shape == (len(COUNTERS), 0)
    assert groups.gauges.shape == groups.weights.shape == (len(GAUGES), 0)


def test_no_gauges_are_no_trouble() -> None:
    assert grouped([Row((1, 1))], [], gauges=()).gauges.shape == (0, 1)


@pytest.mark.parametrize(("how", "expected"), [(Fold.SUM, 7), (Fold.MEAN, 3.5), (Fold.MAX, 5), (Fold.MIN, 2)])
def test_a_fold_leaves_groups_without_values_undefined(how: Fold, expected: float) -> None:
    values, weights = fold(how, np.array([5.0, 2.0]), np.array([1, 1]), 3)
    assert weights.tolist() == [0, 2, 0]
    assert values[1] == expected
    assert np.isnan(values[[0, 2]]).all()


def test_what_is_counted_is_said_with_the_groups() -> None:
    groups = grouped([Row((1, 1))], [])
    expected: tuple[FlowCounter, ...] = COUNTERS
    assert groups.flow_counters == expected
    assert groups.flow_gauges == GAUGES
