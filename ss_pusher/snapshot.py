"""One tick's groups and totals as families of samples."""

from collections.abc import Sequence

import numpy as np

from ss_pusher.accounts import Totals
from ss_pusher.group import fold
from ss_pusher.metrics import host, ss_exporter
from ss_pusher.model import (
    F64,
    I64,
    AddressFamily,
    Block,
    Bools,
    Choice,
    FlowGauge,
    Fold,
    Groups,
    Sockets,
    TcpState,
)


def flow_blocks(groups: Groups, choice: Choice, totals: Totals, exported: frozenset[str]) -> tuple[Block, ...]:
    """The ss_flow_ families whose names are in `exported`, for every exported key."""
    keys = len(choice.keys)
    counters = [
        (counter.family, total / counter.per)
        for counter, total in zip(groups.flow_counters, totals.counters, strict=True)
    ]
    gauges = [
        (gauge.family, _refold(gauge, values, weights, choice, keys))
        for gauge, values, weights in zip(groups.flow_gauges, groups.gauges, groups.weights, strict=True)
    ]
    sockets = (host.FLOW_SOCKETS, np.bincount(choice.owner, groups.sockets, minlength=keys))
    chosen = [(family, values) for family, values in (sockets, *gauges, *counters) if family.name in exported]
    if not chosen or not keys:
        return ()
    families, values = zip(*chosen, strict=True)
    return (Block(families, totals.labels, np.array(values, dtype=np.float64), totals.start_ms),)


def host_blocks(
    dumps: Sequence[tuple[Sockets, Bools]], groups: Groups, totals: Totals, exported: frozenset[str]
) -> tuple[Block, ...]:
    """The families of the whole host whose names are in `exported`, histograms apart.

    `dumps` are the sockets of each network namespace, and the filters' verdict on them [sockets].
    """
    start_ms = np.array([totals.host_start_ms], dtype=np.int64)
    sums = [
        (counter.host, total / counter.per)
        for counter, total in zip(groups.flow_counters, totals.host.tolist(), strict=True)
        if counter.host is not None and counter.host.name in exported
    ]
    blocks = [Block((family,), ((),), np.array([[total]], dtype=np.float64), start_ms) for family, total in sums]
    if host.SOCKETS.name in exported:
        blocks.append(_sockets_by_state(dumps))
    if ss_exporter.FLOWS.name in exported:
        blocks.append(Block((ss_exporter.FLOWS,), ((),), np.array([[groups.sockets.sum()]], np.float64), start_ms))
    return tuple(blocks)


def _sockets_by_state(dumps: Sequence[tuple[Sockets, Bools]]) -> Block:
    """Every state of both families, so that no series goes with its last socket and comes with the next."""
    labels = tuple(
        (("family", family.name.lower()), ("state", state.name.lower()))
        for family in AddressFamily
        for state in TcpState
    )
    counts = [
        sum(
            np.bincount(sockets.state[kept & (sockets.family == family)], minlength=len(TcpState) + 1)[list(TcpState)]
            for sockets, kept in dumps
        )
        for family in AddressFamily
    ]
    values = np.concatenate(counts).astype(np.float64)[np.newaxis]
    return Block((host.SOCKETS,), labels, values, np.zeros(len(labels), dtype=np.int64))


def _refold(gauge: FlowGauge, values: F64, weights: I64, choice: Choice, keys: int) -> F64:
    """Fold groups to the keys that own them, as their sockets were folded to groups."""
    counts = weights > 0
    owner = choice.owner[counts]
    if gauge.fold is Fold.MEAN:
        total, _ = fold(Fold.SUM, values[counts] * weights[counts], owner, keys)
        weight, _ = fold(Fold.SUM, weights[counts].astype(np.float64), owner, keys)
        return total / weight
    return fold(gauge.fold, values[counts], owner, keys)[0]
