"""Every byte counted once: what each flow moved between two ticks, whatever became of it in between.

The ledger remembers the last counters of each flow by its socket cookie, which dumps and destroy events share. It does
no I/O and reads no clock: each tick hands it a complete dump, and the events that were drained after that dump.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from typing import Any, Final, Self, TypeVar

import numpy as np
import numpy.typing as npt

from ss_pusher.model import F64, I64, U8, U64, Bools, Flows, LedgerField, Movement, Rows, Sockets

LIFE: Final = ("bytes_acked", "bytes_received", "bytes_retrans", "bytes_sent", "delivered", "segs_out")
"""Fields of tcp_info that never fall while a connection lives. They are accounted for whatever is exported."""

NEEDS: Final = (*LIFE, "min_rtt")
"""Fields of tcp_info that the sockets must have, besides those that the ledger is asked to account for."""

_OUTLIVE: Final = frozenset({"busy_time", "rehash", "rwnd_limited", "sndbuf_limited"})
"""Fields that a socket keeps when it is disconnected: all others begin again from 0 (measured on 6.18)."""

_MOST_AWAITED: Final = 1 << 16
_NO_PEER: Final = 0

_Item = TypeVar("_Item", bound=np.generic)


class _Word(IntEnum):
    """What the last tick said of a flow."""

    OPEN = 0  # the dump had it
    ENDED = 1  # the dump had it, and then its end was announced
    NONE = 2  # nothing: its announcement is late, or an application still holds the dead socket
    LOST = 3  # nothing, and announcements were lost


@dataclass(frozen=True, slots=True)
class _Known:
    """The last word on flows, as columns: flows stand along the last axis of each."""

    cookie: U64
    endpoints: U64
    kept: Bools
    word: U8
    keys: U64  # [words, flows]
    counters: tuple[npt.NDArray[Any], ...]  # one a field, as wide as the kernel's

    def __len__(self) -> int:
        return len(self.cookie)

    @classmethod
    def of(cls, flows: Flows, names: Sequence[str]) -> Self:
        sockets = flows.sockets
        # Copied, so that they do not keep all columns of the dump in memory until the next one.
        counters = tuple(sockets.info[name].copy() for name in names)
        word = np.full(len(flows), _Word.OPEN, dtype=np.uint8)
        return cls(sockets.cookie.copy(), _endpoints(sockets), flows.kept, word, flows.keys.T, counters)

    def take(self, rows: Rows | Bools) -> Self:
        return type(self)(
            self.cookie[rows],
            self.endpoints[rows],
            self.kept[rows],
            self.word[rows],
            self.keys[:, rows],
            tuple(column[rows] for column in self.counters),
        )

    def join(self, more: Self) -> Self:
        return type(self)(
            _joined(self.cookie, more.cookie),
            _joined(self.endpoints, more.endpoints),
            _joined(self.kept, more.kept),
            _joined(self.word, more.word),
            _joined(self.keys, more.keys),
            tuple(map(_joined, self.counters, more.counters)),
        )


@dataclass(frozen=True, slots=True)
class _Steps:
    """How flows went on from what was known before."""

    before: tuple[_Known, ...]  # looked through as if it were one table; joined, it would be copied in each tick
    rows: Rows  # [flows], where each stands in it; -1: it is new
    same: int | None  # the part of it that has just these flows in this order; None: none has
    unheard: _Known  # those before of which nothing is said now

    def at(self, columns: Sequence[npt.NDArray[_Item]]) -> npt.NDArray[_Item]:
        """What columns of `before` say of each flow; 0 of one that is new."""
        if self.same is not None:
            return columns[self.same]
        return np.concatenate([*columns, np.zeros(1, columns[0].dtype)])[self.rows]


class Ledger:
    """Turns dumps and destroy events into increments.

    Its memory is bounded by the flows that are open, and 65,536 of those that vanished and may still be heard of.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """Account for these fields of tcp_info, for those in `LIFE`, and for those of `LedgerField`."""
        self._kernel: Final = tuple(sorted({*names, *LIFE} - set(LedgerField)))
        self._known: tuple[_Known, ...] = ()  # those that vanished, and those that were open at the last tick
        self._complete = True
        self.fields: Final = (*self._kernel, *LedgerField)

    def awaited(self) -> int:
        """How many flows that are kept are gone, while nobody has announced their end yet."""
        return sum(int(np.count_nonzero(known.kept & (known.word == _Word.NONE))) for known in self._known)

    def advance(self, opened: Flows, closed: Flows, *, complete: bool) -> Movement:
        """Account for one tick: the flows of a complete dump, and of the events drained after it.

        No cookie may stand in either of them twice (see `each_once`). `complete` says that no event was lost since the
        last call. The rows of the movement are those of `opened`, then of `closed`, each in its order, then lost flows.

        The first call sets the baseline: what a flow had moved before it is credited to nobody.
        """
        now, final = _Known.of(opened, self._kernel), _Known.of(closed, self._kernel)
        dumped = _find(final.cookie, now.cookie)
        went_on = _follow(now, self._known or (final.take(dumped < 0), now))
        dumped = dumped[dumped >= 0]
        ended = _follow(final, (went_on.unheard.join(now.take(dumped)),))
        now.word[dumped] = _Word.ENDED
        vanished, lost = _await(ended.unheard, complete=complete and self._complete)
        self._known, self._complete = (vanished, now), complete

        increments = np.empty((len(self.fields), len(now) + len(final) + len(lost)), dtype=np.int64)
        of_open, of_closed, of_lost = np.split(increments, [len(now), len(now) + len(final)], axis=1)
        increments[len(self._kernel) :] = of_lost[:] = 0  # the rest, most of a tick's memory, is written by `_move`
        self._credit_open(now, went_on, of_open)
        recalled = _recall(final, ended)
        closed_bytes = self._credit_closed(closed.sockets, final, recalled, ended, of_closed)
        self._count(of_lost, {LedgerField.LOST: np.ones(len(lost), dtype=np.int64)})
        keys, kept = _joined(now.keys, recalled.keys, lost.keys), _joined(now.kept, recalled.kept, lost.kept)
        return Movement(self.fields, keys.T, kept, increments, closed_bytes)

    def _credit_open(self, now: _Known, steps: _Steps, into: I64) -> None:
        anew = self._move(now, steps, into)
        new = steps.rows < 0
        self._count(into, {LedgerField.OPENED: anew | new, LedgerField.CLOSED: anew, LedgerField.WIPED: anew})

    def _credit_closed(self, sockets: Sockets, final: _Known, recalled: _Known, steps: _Steps, into: I64) -> F64:
        """Credit those that ended; payload over the whole life of those of which it is known, and which were kept.

        The kernel may have wiped the counters before the event; what was known of the flow then speaks for it.
        min_rtt survives the wiping (measured on 6.18), so it tells an aborted connection from one that never came up.
        """
        anew, new = self._move(final, steps, into), steps.rows < 0
        again = (anew & (final.endpoints != _NO_PEER)).astype(np.int64)
        last = [(final.counters[row], recalled.counters[row]) for row in map(self._kernel.index, LIFE)]
        blank = ~np.any([told for told, _ in last], axis=0)
        acked, received, retransmitted, sent, delivered, _ = (np.where(blank, known, told) for told, known in last)
        unborn = ~sockets.known("min_rtt") & (acked == 0) & (received == 0) & (delivered == 0)
        wiped = (anew | (final.endpoints == _NO_PEER)) & ~unborn
        counts = {
            LedgerField.OPENED: again + new,
            LedgerField.CLOSED: again + 1,
            LedgerField.CONNECT_FAILURES: unborn,
            LedgerField.WIPED: wiped,
        }
        self._count(into, counts)
        # The kernel counts a retransmission before it knows that it could be sent.
        payload: U64 = sent - np.minimum(retransmitted, sent) + received
        told: Bools = recalled.kept & ~unborn & ~(wiped & new)
        return payload[told].astype(np.float64)

    def _move(self, flows: _Known, steps: _Steps, into: I64) -> Bools:
        """Write what each flow moved [fields, flows]; which of them were disconnected and live anew [flows].

        Unsigned integers wrap here as they do in the kernel. No counter advances by half its range in a tick: one that
        seems to has fallen, and began again from 0. If it is one of `LIFE`, so did all but those of `_OUTLIVE`.
        """
        found = steps.rows >= 0
        anew: Bools = found & (steps.at([known.endpoints for known in steps.before]) != flows.endpoints)
        columns = zip(self._kernel, flows.counters, *(known.counters for known in steps.before), strict=True)
        for moved, (name, column, *before) in zip(into, columns, strict=False):
            difference = column - steps.at(before)
            moved[:] = difference
            signed = difference.view(f"i{difference.itemsize}")
            if signed.min(initial=0) < 0:
                fell = signed < 0
                moved[fell] = column[fell]
                if name in LIFE:
                    anew |= fell & found
        rows = np.flatnonzero(anew)
        connected = flows.endpoints[rows] != _NO_PEER
        for moved, name, column in zip(into, self._kernel, flows.counters, strict=False):
            # With a peer again it counts from 0. Without one, what is 0 was erased, and all else goes on.
            began = rows[np.where(connected, name not in _OUTLIVE, column[rows] == 0)]
            moved[began] = column[began]
        return anew

    def _count(self, into: I64, counts: Mapping[LedgerField, Bools | I64]) -> None:
        for name, count in counts.items():
            into[self.fields.index(name)] = count


def _follow(flows: _Known, before: tuple[_Known, ...]) -> _Steps:
    """Find each flow among those known before."""
    rows = _find(flows.cookie, np.concatenate([known.cookie for known in before]))
    same = next((part for part, known in enumerate(before) if np.array_equal(flows.cookie, known.cookie)), None)
    silent = np.ones(sum(map(len, before)), dtype=np.bool_)
    silent[rows[rows >= 0]] = False
    parts = np.split(silent, np.cumsum([len(known) for known in before])[:-1])
    unheard = (known.take(part & (known.word != _Word.ENDED)) for known, part in zip(before, parts, strict=True))
    return _Steps(before, rows, same, reduce(_Known.join, unheard))


def _await(unheard: _Known, *, complete: bool) -> tuple[_Known, _Known]:
    """Those that may still be heard of, and those that count as lost from now on.

    An event may come a tick late, or hours later: when a peer resets a connection, its socket leaves the dumps at once
    and ends when its application closes it. So a flow is lost only if events were, in this tick or the one before.
    """
    too_many = np.arange(len(unheard), 0, -1) > _MOST_AWAITED
    late = unheard.word == _Word.NONE
    lost = (late & (not complete) | too_many) & (unheard.word != _Word.LOST)
    unheard.word[:] = np.where(lost, _Word.LOST, np.maximum(unheard.word, _Word.NONE))
    return unheard.take(~too_many), unheard.take(lost)


def _recall(final: _Known, steps: _Steps) -> _Known:
    """What was known of each flow that ended; of one that never was in a dump, what its event says."""
    (before,) = steps.before
    return before.join(final).take(np.where(steps.rows >= 0, steps.rows, len(before) + np.arange(len(final))))


def _joined(*parts: npt.NDArray[_Item]) -> npt.NDArray[_Item]:
    """Columns end to end, copied only where there is more than one."""
    filled = [part for part in parts if part.shape[-1]]
    return np.concatenate(filled, axis=-1) if len(filled) > 1 else [*filled, parts[0]][0]


def _find(cookies: U64, among: U64) -> Rows:
    """Where each of `cookies` stands in `among`, -1 where it does not."""
    if np.array_equal(cookies, among):
        return np.arange(len(cookies))
    if not (len(cookies) and len(among)):
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
    """A fingerprint of each socket's peer and ports [n]; `_NO_PEER` where it was disconnected."""
    mixed = sockets.local_port.astype(np.uint64) << np.uint64(16) | sockets.remote_port
    for word in sockets.remote.T:
        mixed = (mixed ^ (mixed >> np.uint64(29)) ^ word) * np.uint64(0xD6E8FEB86659FD93)
    mixed[sockets.remote_port == 0] = _NO_PEER
    return mixed
