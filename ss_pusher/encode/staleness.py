"""What the change from one snapshot to the next says: series that ended get a marker, new counters a first 0."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np

from ss_pusher.encode.native_histogram import bare
from ss_pusher.encode.series import Table
from ss_pusher.model import Bools, Labels

STALE: Final = np.uint64(0x7FF0_0000_0000_0002)
"""The bits of Prometheus' stale marker: a signalling NaN, which any arithmetic would turn into an ordinary one."""


_Name: TypeAlias = tuple[str, str]  # __name__ and le


def markers(table: Table, ended: Bools) -> Table:
    """Stale markers for the series of `table` that `ended` marks, bool[label sets, columns]."""
    rows = np.flatnonzero(ended.any(axis=1))
    return Table(
        columns=table.columns,
        labels=tuple(table.labels[row] for row in rows),
        bits=np.full((len(rows), len(table.columns)), STALE),
        samples=ended[rows].astype(np.uint8),
        start_ms=table.start_ms[rows],
        histograms=(bare(STALE.tobytes()),) * len(rows) if table.histograms else (),
    )


def changes(before: Sequence[Table], now: Sequence[Table], time_ms: int, previous_ms: int) -> list[Table]:
    """`now`, with the zeros marked that new counters need, and after it the markers of what was there `before`."""
    ended = [table.samples > 0 for table in before]
    new = [table.samples > 0 for table in now]
    partners = {table.columns: index for index, table in enumerate(before)}
    places = list(before)
    for index, table in enumerate(now):
        partner = partners.pop(table.columns, None)
        if partner is None:
            places.append(table)
        else:
            ended[partner], new[index] = _difference(before[partner], table)
    names = Counter(column.key for table in places for column in table.columns)
    in_many_places = {name for name, count in names.items() if count > 1}
    if in_many_places:
        _forget_moved(in_many_places, (before, ended), (now, new))
    started = [_with_zeros(table, mask, time_ms, previous_ms) for table, mask in zip(now, new, strict=True)]
    return started + [markers(table, mask) for table, mask in zip(before, ended, strict=True) if mask.any()]


def _difference(before: Table, now: Table) -> tuple[Bools, Bools]:
    """Which series of `before` are not in `now`, and which of `now` were not in `before`; the columns are the same."""
    ended, new = before.samples > 0, now.samples > 0
    if before.labels == now.labels:
        return ended & ~new, new & ~ended
    row_of = {labels: row for row, labels in enumerate(before.labels)}
    rows = np.array([row_of.get(labels, -1) for labels in now.labels], dtype=np.intp)
    kept = rows >= 0
    old, current = ended[rows[kept]], new[kept]
    ended[rows[kept]] &= ~current
    new[kept] &= ~old
    return ended, new


_Marked: TypeAlias = tuple[Sequence[Table], Sequence[Bools]]
"""Tables, and which of their series are meant."""


def _forget_moved(names: set[_Name], ended: _Marked, new: _Marked) -> None:
    """Clear in both what only went from one table to another: a marker would meet its value at the same time."""
    lost = dict(_series(names, ended))
    for series, (table, *place) in list(_series(names, new)):
        if series in lost:
            old_table, *old_place = lost[series]
            ended[1][old_table][*old_place] = False
            new[1][table][*place] = False


def _series(names: set[_Name], marked: _Marked) -> Iterator[tuple[tuple[_Name, Labels], tuple[int, int, int]]]:
    """The identity of each marked series of these names, and where it stands: table, row, column."""
    for index, (table, mask) in enumerate(zip(*marked, strict=True)):
        for column in [c for c, each in enumerate(table.columns) if each.key in names]:
            for row in np.flatnonzero(mask[:, column]).tolist():
                yield (table.columns[column].key, table.labels[row]), (index, row, column)


def _with_zeros(table: Table, new: Bools, time_ms: int, previous_ms: int) -> Table:
    """A counter that began after the tick before was 0 then, and `increase()` has to see it."""
    if previous_ms <= 0 or previous_ms + 1 >= time_ms or not new.any():
        return table
    cumulative = np.array([column.cumulative for column in table.columns])
    zeros = new & cumulative & (table.start_ms >= previous_ms)[:, None]
    return replace(table, samples=table.samples + zeros)
