"""A million connections, of one peer or of as many: the limits hold, and those that are gone are forgotten."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from bench.flood import agent_of, crowd
from ss_pusher.encode.remote_write_v2 import RemoteWriteV2Encoder
from ss_pusher.model import Snapshot

MILLION = 1_000_000
MAX_SERIES, PER_HOUR, ADDRESSES = 1500, 3000, 25
CONFIG = f"""
interval: 15s
group: {{by: [direction, remote_address, service_port]}}
limit:
  max_series: {MAX_SERIES}
  max_new_series_per_hour: {PER_HOUR}
  max_values: {{remote_address: {ADDRESSES}}}
"""
OTHERS = 1 << 30
"""So many peers that no two connections ever have the same."""
FLOODED = (1, 2, 3)
A_CONNECTION = 2000
"""Bytes that the ticks with so many may take for each."""
REMEMBERED = 12 << 20
"""Bytes: of flows that vanished without a word some ten thousands are waited for, but not a million."""


def values(snapshot: Snapshot, name: str) -> dict[str, float]:
    """The values of a family by remote address; of the host's own, by nothing."""
    return {
        dict(labels).get("remote_address", ""): float(value)
        for block in snapshot.blocks
        for family, row in zip(block.families, block.values, strict=True)
        if family.name == name
        for labels, value in zip(block.labels, row, strict=True)
        if not np.isnan(value)
    }


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def flood(peers: int) -> Iterator[Snapshot]:
    """A tick without any connection, some with a million, and some when they are gone.

    Of many peers each tick brings others, as whoever forges addresses does.
    """
    with agent_of(CONFIG) as (agent, made):
        encoder = RemoteWriteV2Encoder({}, 5000)
        before = 0
        for number in range(FLOODED[-1] + 8):
            first = 0 if peers == 1 else number * MILLION
            flooded = number in FLOODED
            made.opened = (
                crowd(made.nothing, MILLION, peers, first=first, moved=1000 * number) if flooded else made.nothing
            )
            snapshot = agent.pipeline.tick(1_000_000 + 15_000 * number)
            encoder.encode(snapshot)
            yield snapshot
            before = before or tracemalloc.get_traced_memory()[0]
        now, peak = tracemalloc.get_traced_memory()
        assert now - before < REMEMBERED
        assert peak - before < MILLION * A_CONNECTION


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("peers", [1, OTHERS])
def test_the_limits_hold_and_nothing_of_a_flood_is_remembered(peers: int) -> None:
    flows: dict[str, float] = {}
    total = 0.0
    for number, snapshot in enumerate(flood(peers)):
        assert snapshot.series() <= MAX_SERIES
        sockets = values(snapshot, "ss_flow_sockets")
        assert len(sockets) <= ADDRESSES
        assert sum(sockets.values()) == (MILLION if number in FLOODED else 0)
        if peers == 1 and number:
            assert list(sockets) == ["11.0.0.0"]
        assert values(snapshot, "ss_pusher_new_series_total").get("", 0) <= PER_HOUR
        # Every byte that the host sent since the last tick is a group's or the remainder's.
        flows_before, flows = flows, values(snapshot, "ss_flow_sent_bytes_total")
        total_before, total = total, values(snapshot, "ss_tcp_sent_bytes_total").get("", 0)
        assert sum(value - flows_before.get(peer, 0) for peer, value in flows.items()) == total - total_before
    assert total > MILLION
