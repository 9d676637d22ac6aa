"""What the change from one snapshot to the next says: series that ended get a marker, new counters a first 0."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from ss_pusher.encode.series import Table
from ss_pusher.model import Bools, Labels

STALE: Final = np.uint64(0x7FF0_0000_0000_0002)
"""The bits of Prometheus' stale marker: a signalling NaN, which any arithmetic would turn into an ordinary one."""


def markers(table: Table, ended: Bools) -> Table:
    """Stale markers for the series of `table` that `ended` marks, bool[label sets, columns]."""
    rows = np.flatnonzero(ended.any(axis=1))
    return Table(
        columns=table.columns,
        labels=tuple(table.labels[row] for row in rows),
        bits=np.full((len(rows), len(table.columns)), STALE),
        samples=ended[rows].astype(np.uint8),
        start_ms=table.start_ms[rows],
    )


def changes(before: Sequence[Table], now: Sequence[Table], time_ms: int, previous_ms: int) -> list[Table]:
    """`now`, with the zeros marked that new counters need, and after it the markers of what was there `before`."""
    ended = [table.samples > 0 for table in before]
    new = [table.samples > 0 for table in now]
    unmatched = {table.columns: index for index, table in enumerate(before)}
    for index, table in enumerate(now):
        same = unmatched.pop(table.columns, None)
        if same is not None:
            ended[same], new[index] = _difference(before[same], table)
    _forget_moved(before, ended, now, new)
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


def _forget_moved(before: Sequence[Table], ended: list[Bools], now: Sequence[Table], new: list[Bools]) -> None:
    """Clear in both what only went from one block to another: a marker would meet its value at the same time."""
    lost = dict(_marked(before, ended))
    found = _marked(now, new) if lost else iter(())
    for series, (table, *place) in found:
        if series in lost:
            new[table][*place] = False
            old_table, *old_place = lost[series]
            ended[old_table][*old_place] = False


def _marked(
    tables: Sequence[Table], masks: Sequence[Bools]
) -> Iterator[tuple[tuple[str, str, Labels], tuple[int, int, int]]]:
    """The identity of each marked series, and where it stands: table, row, column."""
    for index, (table, mask) in enumerate(zip(tables, masks, strict=True)):
        for row, column in np.argwhere(mask).tolist():
            _, name, le = table.columns[column]
            yield (name, le, table.labels[row]), (index, row, column)


def _with_zeros(table: Table, new: Bools, time_ms: int, previous_ms: int) -> Table:
    """A counter that began after the tick before was 0 then, and `increase()` has to see it."""
    if previous_ms <= 0 or previous_ms + 1 >= time_ms or not new.any():
        return table
    cumulative = np.array([column.cumulative for column in table.columns])
    zeros = new & cumulative & (table.start_ms >= previous_ms)[:, None]
    return replace(table, samples=table.samples + zeros)
