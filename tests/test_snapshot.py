"""A tick as families of samples: what is exported, under which labels, and folded how."""

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.accounts import Totals
from ss_pusher.group import group
from ss_pusher.metrics import ss_exporter
from ss_pusher.metrics.declare import counter, gauge
from ss_pusher.model import (
    AddressFamily,
    Block,
    Bools,
    Choice,
    FlowGauge,
    Fold,
    Groups,
    Labels,
    Movement,
    Preset,
    Sockets,
    TcpState,
)
from ss_pusher.snapshot import flow_blocks, host_blocks
from tests.flows import Flow, sockets

BYTES: Final = counter("sent_bytes", "bytes_sent", Preset.ALL, "Payload.", host=True)
SECONDS: Final = counter("busy_seconds", "busy_time", Preset.ALL, "Busy.", per=1_000_000)
GAUGES: Final = tuple(gauge(f"{how.value}_rtt", "min_rtt", Preset.ALL, how, "Least.", per=1000) for how in Fold)
EVERYTHING: Final = frozenset(
    {"ss_flow_sent_bytes_total", "ss_tcp_sent_bytes_total", "ss_flow_busy_seconds_total", "ss_flow_sockets"}
    | {"ss_tcp_sockets", *(each.family.name for each in GAUGES)}
)
START_MS: Final = 5000


def groups_of(values: list[list[int | None]], gauges: tuple[FlowGauge, ...] = GAUGES) -> Groups:
    """Groups of open flows: each flow is its least rtt, or None where it has none."""
    flows = [(place, value) for place, members in enumerate(values) for value in members]
    opened = sockets(
        Flow(cookie, {} if value is None else {"min_rtt": value}) for cookie, (_, value) in enumerate(flows, 1)
    )
    count = len(flows)
    movement = Movement(
        fields=("bytes_sent", "busy_time"),
        keys=np.array([[place] for place, _ in flows], np.uint64).reshape(-1, 1),
        kept=np.ones(count, np.bool_),
        increments=np.zeros((2, count), np.int64),
        closed_bytes=np.empty(0),
    )
    return group(movement, opened, (BYTES, SECONDS), gauges, np.array([1], np.uint64))


def chosen(groups: Groups, keys: int, owners: dict[int, int]) -> Choice:
    """So many exported keys; a group is known by its key's first word."""
    owner = [owners[int(key)] for key in groups.keys[:, 0]]
    return Choice(np.arange(keys, dtype=np.uint64).reshape(-1, 1), np.array(owner, np.intp))


def totals(keys: int) -> Totals:
    """10, 11, … bytes and 3 seconds for each key, 99 bytes and 7 seconds for the host."""
    counters = np.array([[10 + key for key in range(keys)], [3_000_000] * keys], np.int64).reshape(2, keys)
    labels = tuple((("key", str(key)),) for key in range(keys))
    return Totals(labels, counters, np.full(keys, START_MS), np.array([99, 7_000_000]), host_start_ms=1000)


def values(blocks: tuple[Block, ...]) -> dict[tuple[str, Labels], float]:
    return {
        (family.name, labels): value
        for block in blocks
        for family, row in zip(block.families, block.values.tolist(), strict=True)
        for labels, value in zip(block.labels, row, strict=True)
    }


# ---- groups of flows ------------------------------------------------------------------------------------------------

members = st.lists(st.none() | st.integers(0, 9), max_size=4)


@given(st.lists(st.tuples(members, st.integers(0, 2)), max_size=8))
def test_gauges_of_a_key_are_folded_as_if_its_groups_were_one(population: list[tuple[list[int | None], int]]) -> None:
    groups = groups_of([flows for flows, _ in population])
    owners = {place: owner for place, (_, owner) in enumerate(population)}
    said = values(flow_blocks(groups, chosen(groups, 3, owners), totals(3), EVERYTHING))
    for key in range(3):
        flows = [value for of_group, owner in population if owner == key for value in of_group]
        rtts = [value for value in flows if value is not None]
        labels = (("key", str(key)),)
        assert said["ss_flow_sockets", labels] == len(flows)
        for each in GAUGES:
            expected = float(np.nan)
            if rtts:
                ways = {Fold.SUM: sum(rtts), Fold.MAX: max(rtts), Fold.MIN: min(rtts)}
                expected = ways.get(each.fold, sum(rtts) / len(rtts)) / 1000
            assert said[each.family.name, labels] == pytest.approx(expected, nan_ok=True)


def test_counters_are_the_totals_in_the_unit_of_their_family() -> None:
    groups = groups_of([[5], [6]])
    (block,) = flow_blocks(groups, chosen(groups, 2, {0: 0, 1: 1}), totals(2), EVERYTHING)
    said = values((block,))
    assert said["ss_flow_sent_bytes_total", (("key", "1"),)] == 11
    assert said["ss_flow_busy_seconds_total", (("key", "0"),)] == 3
    assert block.start_ms.tolist() == [START_MS, START_MS]


def test_a_key_that_is_held_has_counters_and_no_gauge() -> None:
    groups = groups_of([])
    said = values(flow_blocks(groups, chosen(groups, 1, {}), totals(1), EVERYTHING))
    labels = (("key", "0"),)
    assert said["ss_flow_sent_bytes_total", labels] == 10
    assert said["ss_flow_sockets", labels] == 0
    assert all(np.isnan(said[each.family.name, labels]) for each in GAUGES)


def test_only_what_is_asked_for_is_exported() -> None:
    groups = groups_of([[5]])
    choice = chosen(groups, 1, {0: 0})
    (block,) = flow_blocks(groups, choice, totals(1), frozenset({"ss_flow_sockets"}))
    assert [family.name for family in block.families] == ["ss_flow_sockets"]
    assert flow_blocks(groups, choice, totals(1), frozenset()) == ()
    assert flow_blocks(groups_of([]), chosen(groups_of([]), 0, {}), totals(0), EVERYTHING) == ()


# ---- the host -------------------------------------------------------------------------------------------------------


def dump(*states: TcpState, family: AddressFamily = AddressFamily.IPV4, dropped: int = 0) -> tuple[Sockets, Bools]:
    """Sockets in these states, of which the filters drop the last ones."""
    read = sockets(Flow(cookie, state=state) for cookie, state in enumerate(states, 1))
    read = replace(read, family=np.full(len(states), family, np.uint8))
    return read, np.arange(len(states)) < len(states) - dropped


def test_totals_of_the_host_are_its_own_and_not_those_of_the_groups() -> None:
    blocks = host_blocks([dump()], groups_of([[5]]), totals(1), frozenset({"ss_tcp_sent_bytes_total"}))
    assert values(blocks) == {("ss_tcp_sent_bytes_total", ()): 99}
    assert [block.start_ms.tolist() for block in blocks] == [[1000]]
    assert blocks[0].families == (BYTES.host,)


def test_every_state_of_both_families_is_counted_as_filtered_even_if_it_is_0() -> None:
    first = dump(TcpState.LISTEN, TcpState.ESTABLISHED, TcpState.ESTABLISHED, dropped=1)
    second = dump(TcpState.ESTABLISHED, TcpState.TIME_WAIT, family=AddressFamily.IPV6)
    third = dump(TcpState.ESTABLISHED)
    said = values(host_blocks([first, second, third], groups_of([]), totals(0), frozenset({"ss_tcp_sockets"})))
    assert len(said) == len(AddressFamily) * len(TcpState)
    assert {tuple(value for _, value in labels): count for (_, labels), count in said.items() if count} == {
        ("ipv4", "listen"): 1,
        ("ipv4", "established"): 2,
        ("ipv6", "established"): 1,
        ("ipv6", "time_wait"): 1,
    }


def test_the_number_of_flows_is_that_of_all_groups() -> None:
    name = ss_exporter.FLOWS.name
    assert values(host_blocks([dump()], groups_of([[1, 2], [3]]), totals(0), frozenset({name}))) == {(name, ()): 3}


def test_nothing_is_said_of_the_host_that_is_not_asked_for() -> None:
    assert host_blocks([dump()], groups_of([[5]]), totals(1), frozenset()) == ()
