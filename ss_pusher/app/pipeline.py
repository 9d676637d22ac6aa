"""One tick, from the kernel's sockets to a snapshot: the stages in their order, and what passes between them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from ss_pusher import snapshot
from ss_pusher.accounts import Accounts, Distribution
from ss_pusher.attribute.attributes import Attributes
from ss_pusher.attribute.attributor import Attributor
from ss_pusher.group import group
from ss_pusher.ledger import Ledger, each_once
from ss_pusher.metrics import host, ss_exporter
from ss_pusher.model import (
    U64,
    AddressFamily,
    Block,
    Bools,
    Choice,
    FlowCounter,
    FlowGauge,
    FlowHistogram,
    Flows,
    Groups,
    HistogramBlock,
    Movement,
    Snapshot,
    Sockets,
    TcpState,
)

_MAPPED: Final = 0xFFFF_0000_0000  # ::ffff:0.0.0.0, as the low word


class Collect(Protocol):
    """Reads the kernel."""

    def dump(self) -> Sequence[tuple[str, Sockets]]:
        """All sockets of each network namespace, by its name; or CollectError. At least one, if only of no sockets."""

    def closed(self) -> tuple[list[tuple[str, Sockets]], bool]:
        """What was destroyed since the last call, and whether that is all, or CollectError; call it after `dump`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a configuration makes of the metrics."""

    by: tuple[str, ...]
    counters: tuple[FlowCounter, ...]  # exported, or needed by a ranking
    gauges: tuple[FlowGauge, ...]  # the same
    exported: frozenset[str]  # names of families
    histograms: tuple[FlowHistogram, ...]  # of open flows, exported
    max_series: int
    missing: tuple[str, ...] = ()  # families that are wanted, but whose field this kernel does not have
    flow_folding: str = ""  # how the labels of a group become the one label `flow`; empty: they stay what they are

    @property
    def series_per_group(self) -> int:
        """How many series each exported key has at most."""
        families = (host.FLOW_SOCKETS, *(c.family for c in self.counters), *(g.family for g in self.gauges))
        return sum(family.name in self.exported for family in families)


@dataclass
class Pipeline:
    """Runs the stages on one thread. Between ticks only the owners of state remember anything."""

    plan: Plan
    collect: Collect
    attributor: Attributor
    keep: Callable[[Sockets, Attributes], Bools]
    ledger: Ledger
    choose: Callable[[Groups, int, float], Choice]  # of how many series, and seconds since the tick before
    interval: float
    monotonic: Callable[[], float]
    accounts: Accounts
    own_blocks: Callable[[int], tuple[Block, ...]]
    stage: Callable[[str], AbstractContextManager[None]]
    gauge: Callable[[str, float], None]
    odd: U64
    distributions: tuple[Distribution, ...]  # of `plan.histograms`
    closed_bytes: Distribution = field(
        default_factory=lambda: Distribution(host.CLOSED_FLOW_BYTES, host.CLOSED_FLOW_BOUNDS)
    )
    previous_ms: int = 0
    start_ms: int = 0
    ticked_at: float = 0.0
    told: bool = True
    """Whether the ledger was told of every event that was taken: a stage that fails before it loses them."""

    def tick(self, time_ms: int, *, export: bool = True) -> Snapshot:
        """One tick at `time_ms`, in Unix milliseconds, later than the one before.

        What begins in a tick that is not exported began, for receivers, with the last one that was, or with the first
        of all.

        Raises:
            CollectError: the kernel could not be read; nothing has changed, and the next tick goes on from the last.
        """
        with self.stage("collect"):
            dumps = [(namespace, each_once(sockets)) for namespace, sockets in self.collect.dump()]
            closed, complete = self.collect.closed()
            complete, self.told = complete and self.told, False
        with self.stage("attribute"):
            for namespace, sockets in dumps:
                self.attributor.observe(sockets, namespace)
            batches = [self.attributor.attribute(sockets, namespace) for namespace, sockets in dumps]
        with self.stage("filter"):
            kept = [self.keep(batch.sockets, batch) for batch in batches]
            opened = _joined([self._open_flows(*each) for each in zip(batches, kept, strict=True)])
            ended = _joined([self._closed_flows(each_once(sockets), namespace) for namespace, sockets in closed])
        with self.stage("deltas"):
            movement = self.ledger.advance(opened, ended, complete=complete)
            self.told = True
        with self.stage("group"):
            groups = group(movement, opened.sockets, self.plan.counters, self.plan.gauges, self.odd)
            self._observe(opened, movement)
        with self.stage("select"):
            start_ms = self.start_ms = self.start_ms or time_ms
            since_ms = self.previous_ms or time_ms
            own = self.own_blocks(since_ms)
            choice = self.choose(groups, self._room(own), self._seconds())
        with self.stage("credit"):
            totals = self.accounts.credit(groups, choice, since_ms)
        with self.stage("snapshot"):
            filtered = [(batch.sockets, of) for batch, of in zip(batches, kept, strict=True)]
            of_host = snapshot.host_blocks(filtered, groups, totals, self.plan.exported)
            of_flows = snapshot.flow_blocks(groups, choice, totals, self.plan.exported)
            blocks = (*of_host, *of_flows, *own)
            taken = Snapshot(time_ms, self.previous_ms, blocks, self._histograms(start_ms))
        self.gauge("ss_pusher_sockets_read", sum(map(len, batches)))
        self.gauge("ss_pusher_groups", len(groups))
        self.gauge("ss_pusher_series", taken.series())
        if export or not self.previous_ms:
            self.previous_ms = time_ms
        return taken

    def move(self, milliseconds: int) -> None:
        """The clock was wrong by so much in all ticks before: move what is remembered of their times."""
        self.start_ms, self.previous_ms = (each and each + milliseconds for each in (self.start_ms, self.previous_ms))
        self.accounts.move(milliseconds)

    def _flows(self, batch: Attributes, kept: Bools, rows: Bools) -> Flows:
        if not rows.all():
            batch, kept = batch.take(rows), kept[rows]
        return Flows(batch.sockets, batch.keys(self.plan.by), kept)

    def _open_flows(self, batch: Attributes, kept: Bools) -> Flows:
        return self._flows(batch, kept, _is_open(batch.sockets))

    def _closed_flows(self, closed: Sockets, namespace: str) -> Flows:
        """Sockets that were destroyed; those that never had a peer (listeners, sockets only bound) are no flows."""
        batch = self.attributor.attribute(closed, namespace)
        return self._flows(batch, self.keep(closed, batch), has_peer(closed))

    def _observe(self, opened: Flows, movement: Movement) -> None:
        for histogram, distribution in zip(self.plan.histograms, self.distributions, strict=True):
            rows = opened.kept & opened.sockets.known(histogram.field)
            distribution.observe(opened.sockets.info[histogram.field][rows])
        self.closed_bytes.observe(movement.closed_bytes)

    def _room(self, own: tuple[Block, ...]) -> int:
        """How many series are left for groups and remainder; the rest of a push is not theirs to refuse."""
        return self.plan.max_series - fixed_series(self.plan) - Snapshot(0, 0, own).series()

    def _seconds(self) -> float:
        """Since the tick before, on a clock that nobody sets; the interval at the first one."""
        before, self.ticked_at = self.ticked_at, self.monotonic()
        return self.ticked_at - before if before else self.interval

    def _histograms(self, start_ms: int) -> tuple[HistogramBlock, ...]:
        closed = (self.closed_bytes,) if self.closed_bytes.family.name in self.plan.exported else ()
        return tuple(distribution.block(start_ms) for distribution in (*self.distributions, *closed))


def fixed_series(plan: Plan) -> int:
    """How many series the host's own families have, whatever its sockets do."""
    totals = sum(counter.host is not None and counter.host.name in plan.exported for counter in plan.counters)
    states = len(AddressFamily) * len(TcpState) if host.SOCKETS.name in plan.exported else 0
    bounds = [histogram.bounds for histogram in plan.histograms]
    if host.CLOSED_FLOW_BYTES.name in plan.exported:
        bounds.append(host.CLOSED_FLOW_BOUNDS)
    flows = ss_exporter.FLOWS.name in plan.exported
    return totals + states + flows + sum(len(each) + 3 for each in bounds)


def _joined(parts: Sequence[Flows]) -> Flows:
    """The flows of all namespaces; of one they are what they were."""
    if len(parts) == 1:
        return parts[0]
    return Flows(
        Sockets.concatenate([part.sockets for part in parts]),
        np.concatenate([part.keys.T for part in parts], axis=1).T,  # each word stands in one piece
        np.concatenate([part.kept for part in parts]),
    )


def _is_open(sockets: Sockets) -> Bools:
    """The rows that are connections with counters: not listening, TIME_WAIT or request sockets, which have none."""
    connected: Bools = sockets.known("bytes_received") & (sockets.state != TcpState.LISTEN)
    return connected


def has_peer(sockets: Sockets) -> Bools:
    """The rows whose remote address is not the unspecified one."""
    low = sockets.remote[:, 1]
    told: Bools = (sockets.remote[:, 0] != 0) | ((low != 0) & (low != _MAPPED))
    return told
