"""The first rows of an order that many columns decide, without sorting all of them; and finding in what is sorted."""

from collections.abc import Sequence

import numpy as np

from ss_pusher.model import Column, Rows


def leading(rows: Rows, count: int, columns: Sequence[Column]) -> Rows:
    """The first `count` of `rows` in no particular order: ascending by the first column, ties by the next, and so on.

    `count` is at least 1. Columns are indexed by `rows`, and no two rows are alike in all of them. Costs one pass a
    column over the rows that are still tied: a flood of equals is not sorted.
    """
    ahead: list[Rows] = []
    for column in columns:
        if len(rows) <= count:
            break
        values = column[rows]
        bound = np.partition(values, count - 1)[count - 1]
        ahead.append(rows[values < bound])
        count -= len(ahead[-1])
        rows = rows[values == bound]
    return np.concatenate([*ahead, rows])


def ordered(rows: Rows, columns: Sequence[Column]) -> Rows:
    """`rows` sorted ascending by the first column, ties by the next, and so on."""
    return rows[np.lexsort([column[rows] for column in reversed(columns)])]


def lookup(ascending: Column, sought: Column) -> tuple[Rows, Rows]:
    """Which of `sought` occur in a sorted column, as indices, and where each of these stands there first."""
    at = np.searchsorted(ascending, sought)
    found = np.flatnonzero(at < len(ascending))
    found = found[ascending[at[found]] == sought[found]]
    return found, at[found]
