"""Every byte counted once: what each flow moved between two ticks, whatever became of it in between.

The ledger remembers the last counters of each flow by its socket cookie, which dumps and destroy events share. It does
no I/O and reads no clock: each tick hands it a complete dump, and the events that were drained after that dump.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Self

import numpy as np

from ss_pusher.model import F64, I64, U64, Bools, Flows, LedgerField, Movement, Rows, Sockets

LIFE: Final = ("bytes_acked", "bytes_received", "bytes_retrans", "bytes_sent", "delivered")
"""Fields of tcp_info that are accounted for whatever is exported: they tell how a flow lived."""

NEEDS: Final = (*LIFE, "min_rtt")
"""Fields of tcp_info that the sockets must have, besides those that the ledger is asked to account for."""

_WIDEST_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class _Known:
    """The last word on each flow, as columns: flows stand along the last axis of each."""

    cookie: U64
    endpoints: U64
    kept: Bools
    missing: Bools  # was not in the last dump, and no event came: it may be late
    keys: U64  # [words, flows]
    counters: U64  # [fields, flows]

    def __len__(self) -> int:
        return len(self.cookie)

    @classmethod
    def of(cls, flows: Flows, names: Sequence[str]) -> Self:
        counters = np.empty((len(names), len(flows)), dtype=np.uint64)
        for row, name in zip(counters, names, strict=True):
            row[:] = flows.sockets.info[name]
        missing = np.zeros(len(flows), dtype=np.bool_)
        return cls(flows.sockets.cookie, _endpoints(flows.sockets), flows.kept, missing, flows.keys.T, counters)

    def blank(self) -> Self:
        """One flow of which nothing is known."""
        columns = (getattr(self, f.name) for f in fields(self))
        return type(self)(*(np.zeros((*column.shape[:-1], 1), column.dtype) for column in columns))

    def take(self, rows: Rows | Bools) -> Self:
        if rows.dtype == np.bool_ and rows.all():
            return self
        return type(self)(*(getattr(self, f.name)[..., rows] for f in fields(self)))

    def join(self, more: Self) -> Self:
        if not len(more):
            return self
        return type(self)(*(np.concatenate([getattr(k, f.name) for k in (self, more)], axis=-1) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class _Steps:
    """How flows went on from what was known before."""

    rows: Rows  # [flows], where each stands among those known before; -1: it is new
    silent: Bools  # [known before], those of which nothing is said now
    moved: U64  # [fields, flows]
    reborn: Bools  # [flows], disconnected in between: the counters began again from 0


class Ledger:
    """Turns dumps and destroy events into increments. Its memory is bounded by the flows that are open."""

    def __init__(self, names: Iterable[str]) -> None:
        """Account for these fields of tcp_info, for those in `LIFE`, and for those of `LedgerField`."""
        self._kernel: Final = tuple(sorted({*names, *LIFE} - set(LedgerField)))
        self._known: _Known | None = None
        self.fields: Final = (*self._kernel, *LedgerField)

    def advance(self, opened: Flows, closed: Flows) -> Movement:
        """Account for one tick: the flows of a complete dump, and of the events drained after it.

        No cookie may stand in either of them twice (see `each_once`). The rows of the movement are those of `opened`,
        then of `closed`, each in its order, then the flows that were lost.

        The first call sets the baseline: what a flow had moved before it is credited to nobody.
        """
        bits = [8 * opened.sockets.info[name].dtype.itemsize for name in self._kernel]
        now, final = _Known.of(opened, self._kernel), _Known.of(closed, self._kernel)
        before = self._known
        if before is None:
            before = now.join(final.take(_find(final.cookie, now.cookie) < 0))

        went_on = _compare(now, before, bits)
        latest = now.join(before.take(went_on.silent))
        ended = _compare(final, latest, bits)

        # An event may come a tick late. A flow of which two ticks say nothing is lost.
        lost = ended.silent & latest.missing
        missing = np.arange(len(latest)) >= len(now)
        self._known = replace(latest, missing=missing).take(ended.silent & ~lost)

        recalled = _recall(final, latest, ended.rows)
        payload, unborn = self._lives(closed.sockets, final, recalled)
        wiped = (ended.reborn | (closed.sockets.remote_port == 0)) & ~unborn
        told = closed.kept & ~unborn & ~(wiped & (ended.rows < 0))
        everyone = now.join(recalled).join(latest.take(lost))
        counted = _count(went_on, ended, unborn, wiped, int(lost.sum()))
        moved = np.zeros((len(self._kernel), len(everyone)), dtype=np.uint64)
        moved[:, : len(now)] = went_on.moved
        moved[:, len(now) : len(now) + len(final)] = ended.moved
        increments = np.concatenate([moved.view(np.int64), counted])
        return Movement(self.fields, everyone.keys.T, everyone.kept, increments, payload[told])

    def _lives(self, closed: Sockets, final: _Known, recalled: _Known) -> tuple[F64, Bools]:
        """Payload over the whole life [flows] of those that ended, and which of them were never established.

        The kernel may have wiped the counters before the event; what was known of the flow then speaks for it.
        min_rtt survives the wiping (measured on 6.18), so it tells an aborted connection from one that never came up.
        """
        known = np.where(final.counters.any(axis=0), final.counters, recalled.counters)
        acked, received, retransmitted, sent, delivered = (known[self._kernel.index(name)] for name in LIFE)
        payload = (sent - retransmitted + received).astype(np.float64)
        return payload, ~closed.known("min_rtt") & (acked == 0) & (received == 0) & (delivered == 0)


def _compare(flows: _Known, known: _Known, bits: Sequence[int]) -> _Steps:
    """Go from what is known of each flow to what is said of it now; what was not known began at 0.

    Counters narrower than 64 bits wrap. A wrap and a new life both look like a fall; no counter advances by half its
    range in a tick, so a fall that would need more is a new life.
    """
    rows = _find(flows.cookie, known.cookie)
    found = rows >= 0
    silent = np.ones(len(known), dtype=np.bool_)
    silent[rows[found]] = False
    # A row beyond the last stands for what was not known.
    before = known if found.all() else known.join(known.blank())
    base = before.counters if np.array_equal(rows, np.arange(len(known))) else before.counters[:, rows]
    moved = flows.counters - base
    reborn = found & (before.endpoints[rows] != flows.endpoints)
    for row, width in enumerate(bits):
        if width == _WIDEST_BITS:
            reborn |= flows.counters[row] < base[row]
        else:
            moved[row] &= np.uint64((1 << width) - 1)
            reborn |= found & (moved[row] >= np.uint64(1 << (width - 1)))
    moved[:, reborn] = flows.counters[:, reborn]
    return _Steps(rows, silent, moved, reborn)


def _count(went_on: _Steps, ended: _Steps, unborn: Bools, wiped: Bools, lost: int) -> I64:
    """The rows of `LedgerField`, [fields, flows]: open flows, closed ones, lost ones."""
    again = ended.reborn & ended.moved.any(axis=0)
    nothing = np.zeros(len(went_on.rows), dtype=np.int64)
    of_open = [went_on.reborn | (went_on.rows < 0), went_on.reborn, nothing, went_on.reborn, nothing]
    of_closed = [again + (ended.rows < 0), again + 1, unborn, wiped, np.zeros_like(unborn)]
    of_lost = np.zeros((len(LedgerField), lost), dtype=np.int64)
    of_lost[-1] = 1
    return np.concatenate([np.array(of_open, np.int64), np.array(of_closed, np.int64), of_lost], axis=1)


def _recall(final: _Known, latest: _Known, rows: Rows) -> _Known:
    """What was known of each flow that ended; of one that never was in a dump, what its event says."""
    found = rows >= 0
    recalled = final.take(np.arange(len(final)))
    for field in fields(_Known):
        getattr(recalled, field.name)[..., found] = getattr(latest, field.name)[..., rows[found]]
    return recalled


def _find(cookies: U64, among: U64) -> Rows:
    """Where each of `cookies` stands in `among`, -1 where it does not."""
    if np.array_equal(cookies, among):
        return np.arange(len(cookies))
    if not len(among):
        return np.full(len(cookies), -1)
    # Looking up sorted values walks the memory in order: four times as fast as in the order of the dump.
    order, places = np.argsort(cookies), np.argsort(among)
    ranks = np.searchsorted(among[places], cookies[order])
    rows = np.empty(len(cookies), dtype=np.intp)
    rows[order] = places[np.minimum(ranks, len(among) - 1)]
    return np.where(among[rows] == cookies, rows, -1)


def each_once(sockets: Sockets) -> Sockets:
    """The sockets without those whose cookie stands in an earlier row: a dump under churn may show one twice."""
    ranked = np.sort(sockets.cookie)
    if not (ranked[1:] == ranked[:-1]).any():
        return sockets
    return sockets.take(np.sort(np.unique(sockets.cookie, return_index=True)[1]))


def _endpoints(sockets: Sockets) -> U64:
    """A fingerprint of each socket's addresses and ports [n]."""
    ports = sockets.local_port.astype(np.uint64) << np.uint64(16) | sockets.remote_port
    mixed = ports * np.uint64(0x9E3779B97F4A7C15)
    for words in (sockets.local, sockets.remote):
        for word in words.T:
            mixed = (mixed ^ (mixed >> np.uint64(29)) ^ word) * np.uint64(0xD6E8FEB86659FD93)
    return mixed
